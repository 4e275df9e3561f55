"""One target between frames: what is kept of it, and how a sighting changes that."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mlss_core.box import Box
from mlss_core.model.box_head import FirstLook
from mlss_core.model.network import Templates
from mlss_core.params import PresenceParams, SearchParams, TrackerParams
from mlss_core.patch import search_side
from mlss_core.presence import TrackState, next_state
from mlss_core.recovery import Sighting


@dataclass
class Target:
    """What is kept of a target from frame to frame."""

    target_id: str
    box: Box  # px of the normalised frame
    size_px: float  # s_z: target size with context
    first_box: Box
    first_size_px: float
    templates: Templates  # batch of one
    fill: float  # grey level outside the frame, from the first frame
    first_templates: Templates
    first_look: FirstLook | None  # None without a box head
    score: float = 1.0
    state: TrackState = TrackState.TRACKING
    low_frames: int = 0  # in a row under `lost_below`
    lost_frames: int = 0  # in a row without a box
    frozen_frames: int = 0  # in a row of a shutter
    unlearnt_frames: int = 0  # since its template was last updated


def searches_widely(target: Target, presence: PresenceParams) -> bool:
    """Whether to look beyond the search region: the target was lost, or a shutter was closed."""
    thawed = target.frozen_frames > 0 and presence.enabled
    return target.state is TrackState.LOST or thawed


def expect_step(
    targets: Iterable[Target], step_xy: tuple[float, float], frame_hw: tuple[int, ...]
) -> None:
    """Expect targets, lost ones too, a step from their last place; their middle stays inside."""
    if not any(step_xy):
        return
    for target in targets:
        box = target.box
        target.box = box._replace(
            cx=min(max(box.cx + step_xy[0], 0.0), frame_hw[1] - 1.0),
            cy=min(max(box.cy + step_xy[1], 0.0), frame_hw[0] - 1.0),
        )


def take_sighting(
    target: Target,
    sighting: Sighting,
    score: float,
    cell_share: float,
    params: TrackerParams,
    frame_hw: tuple[int, ...],
) -> None:
    """Judge presence; unless lost, take over place and size (released tracker_step.m).

    Args:
        target: is changed.
        sighting: the best peak of its regions.
        score: of that peak, 0..1.
        cell_share: side of a response's cell as a share of the region's side.
        params: of the tracker.
        frame_hw: height and width of the frame, px.
    """
    search, peak, region = params.search, sighting.peak, sighting.region
    widely = searches_widely(target, params.presence)
    near = region[:2] == target.box[:2]
    target.score = score
    target.state, target.low_frames = next_state(
        target.state, target.low_frames, target.score, params.presence, near
    )
    target.frozen_frames = 0
    target.lost_frames = target.lost_frames + 1 if target.state is TrackState.LOST else 0
    if target.state is TrackState.LOST:
        return
    scale = 1.0 if widely else search.scale_step ** (peak.scale_index - search.scales // 2)
    side_px = region.side * (1.0 if search.peak == "released" else scale)
    to_frame = side_px * cell_share  # px of the frame per feature cell
    center_x = region.cx + peak.offset_xy[0] * to_frame
    center_y = region.cy + peak.offset_xy[1] * to_frame
    growth = 1 - search.scale_rate + search.scale_rate * scale
    smallest = target.first_size_px / search.scale_limit
    largest = target.first_size_px * search.scale_limit
    size_px = min(max(target.size_px * growth, smallest), largest)
    if params.presence.enabled:  # the middle of a target stays in the picture
        center_x = min(max(center_x, 0.0), frame_hw[1] - 1.0)
        center_y = min(max(center_y, 0.0), frame_hw[0] - 1.0)
        growth = size_px / target.size_px  # and its box within its limits
    target.size_px = size_px
    target.box = Box(center_x, center_y, target.box.w * growth, target.box.h * growth)


def take_box(target: Target, box: Box, search: SearchParams) -> None:
    """Take over a refined box, unless that would make the target too small or too large."""
    smallest = target.first_size_px / search.scale_limit
    largest = target.first_size_px * search.scale_limit
    size_px = search_side(box.w, box.h, search.context)
    if smallest <= size_px <= largest:
        target.box, target.size_px = box, size_px
