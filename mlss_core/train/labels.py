"""What the response should look like: labels and weights of every cell (CFNet, MLSSNet)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_STRIDE_PX = 4  # patch px per cell, as NetworkParams.stride_px
_RADIUS_PX = 8.0  # of the +1 disc in patch px: 13 of 33 x 33 cells


class Labels(NamedTuple):
    """Target of the loss for a batch of pairs."""

    sign: Tensor  # +1 on the target, -1 elsewhere, (B, 1, R, R)
    weight: Tensor  # weight of each cell in the sum, (B, 1, R, R)


def make_labels(shift_px: Tensor, positive: Tensor, cells: int = 33) -> Labels:
    """Label the cells within 8 px of the target +1, the others -1.

    A positive pair weighs 1: half on its +1 cells, half on its -1 cells. A negative pair has no +1
    cell and weighs 0.5 (released rPos = 8 px, rNeg = 0).

    Args:
        shift_px: (B, 2) offset x, y of the target from the middle of the instance, in patch px.
        positive: (B,) bool, whether the instance shows the exemplar's target.
        cells: Side R of the response.
    """
    index = torch.arange(cells, dtype=torch.float32, device=shift_px.device)
    place = (index - (cells - 1) / 2) * _STRIDE_PX  # px
    dx = place.view(1, 1, cells) - shift_px[:, 0].view(-1, 1, 1)  # (B, 1, R)
    dy = place.view(1, cells, 1) - shift_px[:, 1].view(-1, 1, 1)  # (B, R, 1)
    on_target = (dx.square() + dy.square() <= _RADIUS_PX**2) & positive.view(-1, 1, 1)  # (B, R, R)
    on = on_target.sum(dim=(1, 2), keepdim=True).clamp(min=1)
    off = (~on_target).sum(dim=(1, 2), keepdim=True)
    weight = torch.where(on_target, 0.5 / on, 0.5 / off)
    sign = torch.where(on_target, 1.0, -1.0)
    return Labels(sign.unsqueeze(1), weight.unsqueeze(1))
