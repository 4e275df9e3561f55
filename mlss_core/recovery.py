"""Looking for a target beyond its search region: after it was lost, or after a freeze."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

from torch import Tensor

from mlss_core.params import SearchParams
from mlss_core.response import Peak, locate


class Region(NamedTuple):
    """Square part of a frame that becomes a patch: centre and side in px, 0-based."""

    cx: float
    cy: float
    side: float


class Sighting(NamedTuple):
    """A peak, and the region that its offset starts from the middle of."""

    peak: Peak
    region: Region


def regions_around(
    middle: Region, reach_px: float, frame_hw: tuple[int, int], turn: int, count: int
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
    """
    height, width = frame_hw
    columns = range(
        -math.ceil(middle.cx / reach_px), math.ceil((width - middle.cx) / reach_px) + 1
    )
    rows = range(-math.ceil(middle.cy / reach_px), math.ceil((height - middle.cy) / reach_px) + 1)
    places = [
        (middle.cx + column * reach_px, middle.cy + row * reach_px)
        for row in rows
        for column in columns
        if (row, column) != (0, 0)
    ]
    half = reach_px / 2  # a region is worth a look when its response covers a part of the frame
    places = [
        place
        for place in places
        if -half < place[0] < width + half and -half < place[1] < height + half
    ]
    places.sort(key=lambda place: math.dist(place, (middle.cx, middle.cy)))
    count = min(count, len(places))
    chosen = [places[(turn * count + n) % len(places)] for n in range(count)]
    return [middle] + [Region(x, y, middle.side) for x, y in chosen]


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
