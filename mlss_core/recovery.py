"""Looking for a target beyond its search region: after it was lost, or after a freeze."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np
from torch import Tensor

from mlss_core.params import SearchParams
from mlss_core.response import Peak, locate


class Region(NamedTuple):
    """Square part of a frame that becomes a patch: centre and side in px, 0-based."""

    cx: float
    cy: float
    side: float
    wide: bool = False  # shows the target smaller than its search region does


class Sighting(NamedTuple):
    """A peak, and the region that its offset starts from the middle of."""

    peak: Peak
    region: Region


def regions_around(
    middle: Region,
    reach_px: float,
    frame_hw: tuple[int, ...],
    turn: int,
    count: int,
    within_px: float = math.inf,
) -> list[Region]:
    """The last region and `count` others of a grid over the frame, from near to far.

    Calls with rising `turn` walk through the whole grid and start again, so that a few regions per
    frame cover everything in time.

    Args:
        middle: where the target was last seen.
        reach_px: side of the square that the response of one region covers, px of the frame.
        frame_hw: height and width of the frame.
        turn: how often this was called before.
        count: regions to add.
        within_px: leave out regions whose middle is farther away.
    """
    columns, rows = (
        np.arange(-math.ceil(place / reach_px), math.ceil((side - place) / reach_px) + 1)
        for place, side in ((middle.cx, frame_hw[1]), (middle.cy, frame_hw[0]))
    )
    steps = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2) * reach_px
    places = steps + (middle.cx, middle.cy)
    half = reach_px / 2  # a region is worth a look when its response covers a part of the frame
    far = np.hypot(*steps.T)
    worth = (places > -half).all(axis=1) & (places < np.add(frame_hw[::-1], half)).all(axis=1)
    worth &= (far > 0) & (far <= within_px)
    places = places[worth][far[worth].argsort(kind="stable")]
    count = min(count, len(places))
    chosen = [places[(turn * count + n) % len(places)].tolist() for n in range(count)]
    return [middle, *(middle._replace(cx=x, cy=y) for x, y in chosen)]


def best_sighting(regions: list[Region], responses: Tensor, search: SearchParams) -> Sighting:
    """The highest peak of several regions, no place preferred.

    Args:
        regions: S regions.
        responses: (S, R, R) fused responses to them.
        search: how peaks are located.
    """
    anywhere = dataclasses.replace(search, scales=1, window_influence=0.0)
    peaks = locate(responses.unsqueeze(1), anywhere)
    best = max(range(len(peaks)), key=lambda n: peaks[n].height)
    return Sighting(peaks[best], regions[best])
