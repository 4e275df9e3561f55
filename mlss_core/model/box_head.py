"""How the target's box has changed: a small network that compares the first picture with now.

MLSSNet finds where the target is; its search over a few scales follows the size coarsely and the
aspect not at all. The box head is shown the first picture with its box and the present picture
with the estimated one, and says how the estimate has to move and stretch to lie on the target as
the first box did. It looks at grey levels alone, so it works beside any weights of MLSSNet.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from mlss_core.errors import FrameError

PATCH_PX = 64  # side of the patches it compares
REGION_SCALE = 1.25  # side of what they show, in target sizes s_z: 2.5 sides of a square box
_FINE, _MIDDLE, _COARSE = 24, 40, 64  # channels at a half, a quarter and an eighth of the patch
_SPREAD = 0.1  # of the patch: how far off the estimate edges are sought before anything is learnt
_LEAST_SHARE = 0.02  # of the patch: side of a box at least
_LEAST_SPREAD = 1e-3  # of the patch: of edges
_GREY_FLOOR = 4.0  # grey levels added to a patch's spread, so that flat ones are not amplified


class FirstLook(NamedTuple):
    """What the head remembers of the first picture."""

    code: Tensor  # (N, 64, 8, 8)
    gains: Tensor  # (N, 128) of the comparison, by what the box holds and what is around it
    own: Tensor  # (N, 4) what it would say of the first picture itself


class Correction(NamedTuple):
    """How boxes have to change, and how surely."""

    change: Tensor  # (N, 4) step right and down in sides, logarithms of the factors on w and h
    spread: Tensor  # (N, 2) of the left and right, of the upper and lower edge together, in sides


class BoxHead(nn.Module):
    """Where each edge of the target's box lies now, as a distribution along its axis.

    215,236 learnt numbers; one comparison costs 0.05 GMAC, 0.8 % of a patch in MLSSNet.
    """

    def __init__(self) -> None:
        super().__init__()
        halved = nn.Conv2d(2, _FINE, 5, stride=2, padding=2)  # of grey levels and the box
        self.encoder = nn.ModuleList(
            [
                nn.Sequential(halved, nn.GroupNorm(8, _FINE), nn.ReLU()),
                nn.Sequential(*_conv(_FINE, _MIDDLE), nn.MaxPool2d(2)),
                nn.Sequential(*_conv(_MIDDLE, _COARSE), nn.MaxPool2d(2)),
            ]
        )
        self.gains = nn.Linear(2 * _COARSE, 2 * _COARSE)
        self.join = nn.Sequential(*_conv(2 * _COARSE, _COARSE), *_conv(_COARSE, 40))
        self.finer = nn.Sequential(*_conv(40 + _MIDDLE, 40))
        self.finest = nn.Sequential(*_conv(40 + _FINE, 32))
        self.across, self.along = _profile(2 * 32), _profile(2 * 32)

    def remember(self, patch: Tensor, sides: Tensor) -> FirstLook:
        """Keep the first picture of each target.

        Args:
            patch: (N, 1, 64, 64) grey levels, the box in the middle, 1.25 s_z wide.
            sides: (N, 2) w, h of the box as shares of the patch.

        Raises:
            FrameError: the patches have another shape.
        """
        codes = self._encode(patch, sides)
        coarse = codes[-1]
        inside = functional.adaptive_avg_pool2d(draw_boxes(sides), coarse.shape[-1])
        held, around = _mean(coarse, inside), _mean(coarse, 1 - inside)
        gains = self.gains(torch.cat([held, around], dim=1))
        first = FirstLook(coarse, gains, torch.zeros_like(sides).repeat(1, 2))
        return first._replace(own=self._compare(first, codes, sides).change)

    def forward(self, first: FirstLook, patch: Tensor, sides: Tensor) -> Correction:
        """How the box has to change.

        Args:
            first: what `remember` gave.
            patch: (N, 1, 64, 64) the present picture, the estimated box in the middle.
            sides: (N, 2) of the estimated box.

        Returns:
            In sides of the estimated box. The change is zero for the first picture itself; the
            spread is about as large as the error of the width and of the height to be expected.

        Raises:
            FrameError: the patches have another shape.
        """
        return self._compare(first, self._encode(patch, sides), sides)

    def _encode(self, patch: Tensor, sides: Tensor) -> list[Tensor]:
        """Codes of a half, a quarter and an eighth of the patch's side."""
        if patch.shape[1:] != (1, PATCH_PX, PATCH_PX):
            raise FrameError(
                f"expected grey patches (N, 1, {PATCH_PX}, {PATCH_PX}), got {tuple(patch.shape)}; "
                "cut them with crop_patches"
            )
        levels = patch.flatten(1)
        mean, spread = levels.mean(1)[:, None, None, None], levels.std(1)[:, None, None, None]
        picture = (patch - mean) / (spread + _GREY_FLOOR)
        codes = [torch.cat([picture, 2 * draw_boxes(sides) - 1], dim=1)]
        for level in self.encoder:
            codes.append(level(codes[-1]))
        return codes[1:]

    def _compare(self, first: FirstLook, codes: list[Tensor], sides: Tensor) -> Correction:
        fine, middle, coarse = codes
        gain, offset = first.gains[..., None, None].chunk(2, dim=1)
        joined = self.join[:2](torch.cat([first.code, coarse], dim=1))
        joined = self.join[2:](joined * (1 + gain) + offset)
        joined = self.finer(torch.cat([_twice(joined), middle], dim=1))
        joined = self.finest(torch.cat([_twice(joined), fine], dim=1))
        cells = joined.shape[-1]
        columns, rows = _shares(sides, cells)
        across = torch.cat([(joined * rows.unsqueeze(3)).sum(2), joined.amax(2)], dim=1)
        along = torch.cat([(joined * columns.unsqueeze(2)).sum(3), joined.amax(3)], dim=1)
        edges = torch.stack([self.across(across), self.along(along)], dim=1)
        estimate = torch.stack([-sides / 2, sides / 2], dim=2).unsqueeze(3)  # (N, 2, 2, 1)
        places = _places(cells, sides.device)
        edges = edges - 0.5 * ((places - estimate) / _SPREAD).square()
        shares = edges.softmax(dim=3)
        middle = (shares * places).sum(3, keepdim=True)
        variance = (shares * (places - middle).square()).sum((2, 3))
        spread = variance.clamp(min=_LEAST_SPREAD**2).sqrt()
        low, high = middle.squeeze(3).unbind(dim=2)  # (N, 2) each: x, y
        size = (high - low).clamp(min=_LEAST_SHARE)
        change = torch.cat([(low + high) / 2 / sides, (size / sides).log()], dim=1)
        return Correction(change - first.own, spread / sides)


def draw_boxes(sides: Tensor) -> Tensor:
    """Boxes of (N, 2) w, h, as shares of the patch, in its middle: (N, 1, 64, 64), 0..1."""
    columns, rows = _covered(sides, PATCH_PX).unbind(dim=1)
    return (rows.unsqueeze(2) * columns.unsqueeze(1)).unsqueeze(1)


def _covered(sides: Tensor, cells: int) -> Tensor:
    """How much of each column and of each row lies within boxes: (N, 2, cells), 0..1."""
    reach = (sides / 2).unsqueeze(2) - _places(cells, sides.device).abs()
    return (reach * cells + 0.5).clamp(0, 1)


def _shares(sides: Tensor, cells: int) -> tuple[Tensor, Tensor]:
    """Weights of the columns and of the rows that lie within boxes: (N, 1, cells), sum 1."""
    covered = _covered(sides, cells)
    columns, rows = (covered / covered.sum(2, keepdim=True).clamp(min=1e-3)).split(1, dim=1)
    return columns, rows


def _places(cells: int, device: torch.device) -> Tensor:
    """Middles of the cells along an axis, as shares of the patch from its middle."""
    return (torch.arange(cells, device=device) + 0.5) / cells - 0.5


def _mean(code: Tensor, where: Tensor) -> Tensor:
    """Mean of a code (N, C, h, w) over a part of it, (N, 1, h, w) in 0..1: (N, C)."""
    return (code * where).sum((2, 3)) / where.sum((2, 3)).clamp(min=1e-3)


def _twice(code: Tensor) -> Tensor:
    return functional.interpolate(code, scale_factor=2.0, mode="nearest")


def _conv(channels: int, width: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, width, 3, padding=1), nn.GroupNorm(8, width), nn.ReLU()]


def _profile(channels: int) -> nn.Sequential:
    """Logits of both edges along an axis, (N, 2, cells), of what was summed up across it."""
    hidden = nn.Conv1d(channels, 32, 5, padding=2)
    return nn.Sequential(hidden, nn.ReLU(), nn.Conv1d(32, 2, 3, padding=1))
