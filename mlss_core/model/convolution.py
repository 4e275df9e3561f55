"""Convolutions in the forms that a GPU's matrix units compute fastest."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

HALVES = (torch.float16, torch.bfloat16)


class Convolution(nn.Conv2d):
    """`nn.Conv2d`; in half precision on a GPU the same sums in another form.

    cuDNN is slow at two groups and at a single input channel, and slower at their gradients.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D, H', W')."""
        halves = x.dtype in HALVES or torch.is_autocast_enabled(x.device.type)
        return self.dense(x) if x.is_cuda and halves else super().forward(x)

    def dense(self, x: Tensor) -> Tensor:
        """The same without groups, and at stride 2 with pixels by twos in place of the stride."""
        weight, stride = dense_weight(self.weight, self.groups), self.stride
        if stride == (2, 2):
            pad = odd_sides(self)
            x, weight, stride = pixels_by_twos(x, pad), pixels_by_twos(weight, pad), (1, 1)
            x = x.contiguous(memory_format=torch.channels_last)
        return F.conv2d(x, weight, self.bias, stride)


def dense_weight(weight: Tensor, groups: int) -> Tensor:
    """Weight (D, C / groups, h, w) -> (D, C, h, w) without groups: zeros between them."""
    parts = [part.flatten(1) for part in weight.chunk(groups)]
    return torch.block_diag(*parts).unflatten(1, (-1, *weight.shape[2:]))


def odd_sides(conv: nn.Conv2d) -> tuple[int, int]:
    """Rows and columns, 0 or 1, that make the sides of a kernel even."""
    return conv.kernel_size[0] % 2, conv.kernel_size[1] % 2


def pixels_by_twos(x: Tensor, pad: tuple[int, int]) -> Tensor:
    """(B, C, H, W), with `pad` rows and columns of zeros more -> (B, 4 C, H' / 2, W' / 2)."""
    return F.pixel_unshuffle(F.pad(x, (0, pad[1], 0, pad[0])), 2)
