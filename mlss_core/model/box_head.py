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

from mlss_core.errors import FrameError

PATCH_PX = 64  # side of the patches it compares
REGION_SCALE = 1.25  # side of what they show, in target sizes s_z: 2.5 sides of a square box
_WIDTHS = (24, 40, 64)  # channels of the encoder's three levels
_GREY_FLOOR = 4.0  # grey levels added to a patch's spread, so that flat ones are not amplified


class FirstLook(NamedTuple):
    """What the head remembers of the first picture."""

    code: Tensor  # (N, 64, 8, 8)
    sides: Tensor  # (N, 2) w, h of the box as shares of the patch
    own: Tensor  # (N, 4) what it would say of the first picture itself


class BoxHead(nn.Module):
    """318,028 learnt numbers; one comparison costs 0.02 GMAC, 0.3 % of a patch in MLSSNet."""

    def __init__(self) -> None:
        super().__init__()
        levels: list[nn.Module] = []
        channels = 2  # grey levels and the box
        for width in _WIDTHS:
            levels += [*_conv(channels, width), nn.MaxPool2d(2)]
            channels = width
        self.encoder = nn.Sequential(*levels)
        self.join = nn.Sequential(
            *_conv(2 * channels, 64), nn.Conv2d(64, 24, 3, padding=1), nn.ReLU()
        )
        cells = PATCH_PX // 2 ** len(_WIDTHS)
        self.regress = nn.Sequential(
            nn.Linear(24 * cells**2 + 4, 128), nn.ReLU(), nn.Linear(128, 4)
        )

    def remember(self, patch: Tensor, sides: Tensor) -> FirstLook:
        """Keep the first picture of each target.

        Args:
            patch: (N, 1, 64, 64) grey levels, the box in the middle, 1.25 s_z wide.
            sides: (N, 2) w, h of the box as shares of the patch.

        Raises:
            FrameError: the patches have another shape.
        """
        code = self._encode(patch, sides)
        return FirstLook(code, sides, self._compare(code, sides, code, sides))

    def forward(self, first: FirstLook, patch: Tensor, sides: Tensor) -> Tensor:
        """How the box has to change.

        Args:
            first: what `remember` gave.
            patch: (N, 1, 64, 64) the present picture, the estimated box in the middle.
            sides: (N, 2) of the estimated box.

        Returns:
            (N, 4): step right and down in sides of the estimated box, then the logarithms of the
            factors on its width and height. Zero for the first picture itself.

        Raises:
            FrameError: the patches have another shape.
        """
        code = self._encode(patch, sides)
        return self._compare(first.code, first.sides, code, sides) - first.own

    def _encode(self, patch: Tensor, sides: Tensor) -> Tensor:
        if patch.shape[1:] != (1, PATCH_PX, PATCH_PX):
            raise FrameError(
                f"expected grey patches (N, 1, {PATCH_PX}, {PATCH_PX}), got {tuple(patch.shape)}; "
                "cut them with crop_patches"
            )
        levels = patch.flatten(1)
        mean, spread = levels.mean(1)[:, None, None, None], levels.std(1)[:, None, None, None]
        picture = (patch - mean) / (spread + _GREY_FLOOR)
        return self.encoder(torch.cat([picture, 2 * draw_boxes(sides) - 1], dim=1))

    def _compare(self, first: Tensor, first_sides: Tensor, code: Tensor, sides: Tensor) -> Tensor:
        joined = self.join(torch.cat([first, code], dim=1)).flatten(1)
        return self.regress(torch.cat([joined, first_sides.log(), sides.log()], dim=1))


def draw_boxes(sides: Tensor) -> Tensor:
    """Boxes of (N, 2) w, h, as shares of the patch, in its middle: (N, 1, 64, 64), 0..1."""
    steps = (torch.arange(PATCH_PX, device=sides.device) + 0.5) / PATCH_PX - 0.5
    reach = (sides / 2).unsqueeze(2) - steps.abs()  # (N, 2, 64)
    columns, rows = (reach * PATCH_PX + 0.5).clamp(0, 1).unbind(dim=1)
    return (rows.unsqueeze(2) * columns.unsqueeze(1)).unsqueeze(1)


def _conv(channels: int, width: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, width, 3, padding=1), nn.GroupNorm(8, width), nn.ReLU()]
