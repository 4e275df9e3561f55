"""The box head at work: boxes that follow their targets' outlines frame by frame.

What the head says of one picture is right about limbs that swing and a body that turns, and a
little wrong about the size each time. So the tracker goes on from a box that takes over a small
share, and shows one that takes over as much as the head is sure of.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mlss_core.box import Box
from mlss_core.cuda_graphs import LONGEST_SMALL, Replayed
from mlss_core.cutting import Cutter
from mlss_core.model.box_head import PATCH_PX, REGION_SCALE, BoxHead, FirstLook
from mlss_core.params import TrackerParams
from mlss_core.patch import search_side, upload

_PLACE_LIMIT = 0.25  # of a side: the head saw errors of 0.08, seldom 0.2, in training
_SIZE_LIMIT = 0.5  # of the logarithm of a side: it saw 0.18, seldom 0.36
_PULL_LIMIT = 0.3  # of the logarithm of a side: what has grown more is not held back more
_DETAILED_PX = 0.4 * PATCH_PX  # side of a box that the head sees pixel by pixel
_DETAIL = 4  # power of the share of that side with which a size is taken for what it looks like
_ASPECT_LIMIT = math.log(3.0)  # change of the aspect since the first frame: a turn, no collapse


class Corrected(NamedTuple):
    """A box after the box head has seen it."""

    kept: Box  # the tracker goes on from this one; it follows slowly, held by the init box
    shown: Box  # how the target lies in this very picture


class BoxRefiner:
    """Takes over shares of the box head's corrections, within bounds."""

    def __init__(
        self,
        head: BoxHead,
        params: TrackerParams,
        device: torch.device,
        cutter: Cutter | None = None,
    ) -> None:
        self._head = head.to(device)
        self._compare = Replayed(self._compared, device, LONGEST_SMALL)
        self._device, self._cut = device, cutter or Cutter(device)
        self._rates = params.box
        self._context = params.search.context

    @torch.inference_mode()
    def remember(self, pixels: Tensor, box: Box, fill: float) -> FirstLook:
        """Keep the first picture of a target.

        Args:
            pixels: (H, W) float32 grey levels.
            box: the init box, px of it.
            fill: grey level outside of it.
        """
        return self._head.remember(*self._see(pixels, [box], [fill]))

    @torch.inference_mode()
    def refine(
        self,
        pixels: Tensor,
        boxes: Sequence[Box],
        fills: Sequence[float],
        looks: Sequence[FirstLook],
        starts: Sequence[Box],
    ) -> list[Corrected]:
        """Correct the boxes of N targets in the frame `pixels` (H, W); `starts`: init boxes."""
        patches, sides = self._see(pixels, boxes, fills)
        first = FirstLook(*(torch.cat(parts) for parts in zip(*looks, strict=True)))
        said = self._compare(patches, sides, *first).double().cpu()
        return [
            self._corrected(box, start, of_box[:4], of_box[4:])
            for box, start, of_box in zip(boxes, starts, said.tolist(), strict=True)
        ]

    def _compared(self, patches: Tensor, sides: Tensor, *first: Tensor) -> Tensor:
        """(N, 6): changes and spreads, see `Correction`."""
        return torch.cat(self._head(FirstLook(*first), patches, sides), dim=1)

    def _see(
        self, pixels: Tensor, boxes: Sequence[Box], fills: Sequence[float]
    ) -> tuple[Tensor, Tensor]:
        """Patches (N, 1, 64, 64) around the boxes, and their sides (N, 2) as shares of them."""
        widths = [REGION_SCALE * search_side(box.w, box.h, self._context) for box in boxes]
        windows = [(box.cx, box.cy, px) for box, px in zip(boxes, widths, strict=True)]
        shares = [(box.w / px, box.h / px) for box, px in zip(boxes, widths, strict=True)]
        patches = self._cut(pixels, windows, fills, PATCH_PX)
        sides = torch.tensor(shares, dtype=torch.float32)
        return upload(patches, self._device), upload(sides, self._device)

    def _corrected(
        self, box: Box, start: Box, change: list[float], spread: list[float]
    ) -> Corrected:
        """What a target that started as `start` takes over of a `Correction` of its box."""
        rates = self._rates
        right, down = (_within(step, _PLACE_LIMIT) for step in change[:2])
        wider, higher = change[2:]
        grown_w, grown_h = math.log(box.w / start.w), math.log(box.h / start.h)
        # Half the logarithm of the area, and of the aspect: their sum is that of the width.
        detail = _detail(box)
        size = rates.size_rate * _pulled(
            (wider + higher) / 2, (grown_w + grown_h) / 2, rates.size_stiffness / detail**2
        )
        turned = (grown_w - grown_h) / 2
        aspect = rates.aspect_rate * _pulled((wider - higher) / 2, turned, rates.aspect_stiffness)
        aspect = _within(turned + aspect, _ASPECT_LIMIT / 2) - turned
        kept = (rates.place_rate * right, rates.place_rate * down, size + aspect, size - aspect)
        whole = (right, down, _within(wider, _SIZE_LIMIT), _within(higher, _SIZE_LIMIT))
        sure = [_share(each, rates.shown_spread) for each in spread]
        shares = [*sure, *(share * detail**_DETAIL for share in sure)]
        shown = (k + s * (w - k) for k, w, s in zip(kept, whole, shares, strict=True))
        return Corrected(_changed(box, *kept), _changed(box, *shown))


def _share(spread: float, half: float) -> float:
    """Of a correction of that spread, where half of one of the spread `half` is taken."""
    return half**2 / (half**2 + spread**2) if half > 0 else 0.0


def steadied(box: Box, start: Box, noise: float) -> Box:
    """The box to publish: sides of small targets stay the init box's until they plainly differ.

    Args:
        box: as it is followed, px.
        start: the init box.
        noise: `BoxParams.size_noise`.
    """
    noise *= 1 - _detail(box) ** _DETAIL
    if noise == 0:
        return box
    w, h = (
        first * math.exp(_beyond(math.log(side / first), noise))
        for side, first in zip(box[2:], start[2:], strict=True)
    )
    return box._replace(w=w, h=h)


def _beyond(change: float, noise: float) -> float:
    """A change less noise: none of what is smaller, all of what is twice as large."""
    return math.copysign(max(0.0, min(abs(change), 2 * (abs(change) - noise))), change)


def _detail(box: Box) -> float:
    """How much the picture says of a box's size, 0..1."""
    return min(1.0, math.sqrt(box.w * box.h) / _DETAILED_PX)


def _changed(box: Box, right: float, down: float, wider: float, higher: float) -> Box:
    """A box after a step in its sides and a change of their logarithms."""
    return Box(
        box.cx + right * box.w,
        box.cy + down * box.h,
        box.w * math.exp(wider),
        box.h * math.exp(higher),
    )


def _pulled(step: float, so_far: float, stiffness: float) -> float:
    """A correction, less the pull towards the first box."""
    return _within(step - stiffness * _within(so_far, _PULL_LIMIT), _SIZE_LIMIT)


def _within(value: float, limit: float) -> float:
    return min(max(value, -limit), limit)
