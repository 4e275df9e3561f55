"""The logistic loss of a response map, and what is monitored beside it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mlss_core.train.labels import Labels


def response_loss(score: Tensor, labels: Labels) -> Tensor:
    """Weighted logistic loss, summed over cells, averaged over the batch (released loss).

    Args:
        score: Response before any squashing, (B, 1, R, R).
        labels: Signs and weights of the same shape.
    """
    per_cell = F.softplus(-labels.sign * score.float()) * labels.weight
    return per_cell.sum() / score.shape[0]


@torch.no_grad()
def peak_error_cells(score: Tensor, labels: Labels) -> Tensor:
    """Distance in cells from each response's peak to the middle of its +1 cells, (B,).

    NaN for a negative pair, which has none.
    """
    cells = score.shape[-1]
    peak = score.flatten(1).argmax(dim=1)
    on = (labels.sign > 0).flatten(1).float()  # (B, R R)
    index = torch.arange(cells * cells, device=score.device, dtype=torch.float32)
    row, column = index.div(cells, rounding_mode="floor"), index.remainder(cells)
    total = on.sum(dim=1)  # 0 for a negative pair: NaN below
    d_row = peak.div(cells, rounding_mode="floor") - (on * row).sum(dim=1) / total
    d_column = peak.remainder(cells) - (on * column).sum(dim=1) / total
    return torch.hypot(d_row, d_column)
