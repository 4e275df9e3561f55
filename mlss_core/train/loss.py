"""The logistic loss of a response map, and what is monitored beside it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mlss_core.train.labels import Labels

_HIT_RADIUS_CELLS = 2.0  # largest distance of a peak that counts as on the target


def response_loss(score: Tensor, labels: Labels) -> Tensor:
    """Weighted logistic loss, summed over cells, averaged over the batch (released loss).

    Args:
        score: Response before any squashing, (B, 1, R, R).
        labels: Signs and weights of the same shape.
    """
    per_cell = F.softplus(-labels.sign * score.float()) * labels.weight
    return per_cell.sum() / score.shape[0]


@torch.no_grad()
def hit_share(score: Tensor, labels: Labels) -> Tensor:
    """Share of the positive pairs whose peak lies within 2 cells of the target; 0 without any.

    Args:
        score: Response, (B, 1, R, R).
        labels: Of the same batch; the target is the middle of the +1 cells.
    """
    cells = score.shape[-1]
    on_target = (labels.sign > 0).squeeze(1)  # (B, R, R)
    count = on_target.sum(dim=(1, 2))
    place = torch.arange(cells, device=score.device)
    row = (on_target.sum(dim=2) * place).sum(dim=1) / count  # NaN for a negative pair
    column = (on_target.sum(dim=1) * place).sum(dim=1) / count
    peak = score.flatten(1).argmax(dim=1)
    distance = torch.hypot(peak.div(cells, rounding_mode="floor") - row, peak % cells - column)
    return (distance <= _HIT_RADIUS_CELLS).sum() / (count > 0).sum().clamp(min=1)
