"""Convolutions in 8-bit integers, for CPUs that multiply them faster than floats (VNNI).

Weights are rounded once, by output channel; activations in each call, by the largest of one patch.
So nothing has to be calibrated, and no patch depends on another. PyTorch's interface to oneDNN's
integer kernels is not a public one, so `int8_computes` tries it before anything relies on it.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

_TINY = 1e-12  # stands for the scale of what is zero throughout
_CLOSE = 0.05  # of a norm: four times what rounding costs in the trial


class Int8Conv2d(nn.Module):
    """A convolution of one patch: float32 in and out, integers between."""

    def __init__(self, conv: nn.Conv2d, signed: bool) -> None:
        """Round the weights.

        Args:
            conv: with a bias; stays as it is.
            signed: whether its input has negative values; else the range is spent on the others.
        """
        super().__init__()
        weight = conv.weight.detach().float()
        self._scales = (weight.abs().amax(dim=(1, 2, 3)) / 127).clamp_min(_TINY)
        rounded = (weight / self._scales.reshape(-1, 1, 1, 1)).round().to(torch.int8)
        self._zeros = torch.zeros(len(weight), dtype=torch.int64)
        self._bias = None if conv.bias is None else conv.bias.detach().float()
        self._middle, self._steps = (128, 127) if signed else (0, 255)
        self._half = torch.tensor(self._middle + 0.5)  # what is cut off then is rounded
        self._shape = [*map(list, (conv.stride, conv.padding, conv.dilation)), conv.groups]
        self._packed = torch.ops.onednn.qconv_prepack(
            rounded, self._scales, 1.0, self._middle, *self._shape, None
        )

    def forward(self, x: Tensor) -> Tensor:
        """(1, C, H, W) -> (1, D, H', W'), float32."""
        largest = float(x.amax())
        if self._middle:
            largest = max(largest, -float(x.amin()))
        scale = max(largest / self._steps, _TINY)
        levels = torch.add(self._half, x, alpha=1 / scale)
        levels = levels.to(torch.int32).to(torch.uint8)  # in two steps: four times as fast
        return self.multiply(levels, scale)

    def multiply(self, levels: Tensor, scale: float) -> Tensor:
        """The convolution of uint8 levels that are `scale` apart."""
        return torch.ops.onednn.qconv2d_pointwise(
            *(levels, scale, self._middle),
            *(self._packed, self._scales, self._zeros, self._bias),
            *self._shape,
            *(1.0, 0, torch.float32, "none", [], ""),  # of the output: as it is
        )


def to_int8(backbone: nn.Module) -> None:
    """Replace the convolutions of a folded Backbone but the first: one channel gains nothing."""
    for name in ("conv2", "conv3", "conv4", "conv5", "reduce"):
        signed = name == "reduce"  # it reads conv3 before its ReLU
        setattr(backbone, name, Int8Conv2d(getattr(backbone, name), signed))


@lru_cache(maxsize=1)
def int8_computes() -> bool:
    """Whether this PyTorch has these convolutions, and their results are right on this machine."""
    conv = nn.Conv2d(8, 8, 3, groups=2)
    fixed = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        conv.weight.normal_(generator=fixed)
        x = torch.randn(1, 8, 9, 9, generator=fixed)
        x = x.contiguous(memory_format=torch.channels_last)
        try:
            found = [Int8Conv2d(conv, signed)(y) for signed, y in ((True, x), (False, x.relu()))]
        except (AttributeError, RuntimeError, TypeError):  # another PyTorch's interface
            return False
        for y, expected in zip(found, (conv(x), conv(x.relu())), strict=True):
            if not (y - expected).norm() < _CLOSE * expected.norm():
                return False
    return True
