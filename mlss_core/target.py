"""One target between frames: what is kept of it, and how a sighting changes that."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from mlss_core.box import Box
from mlss_core.likeness import Likeness
from mlss_core.model.box_head import FirstLook
from mlss_core.model.network import Templates
from mlss_core.online_filter import OnlineFilter
from mlss_core.params import PresenceParams, SearchParams, TemplateParams, TrackerParams
from mlss_core.patch import search_side
from mlss_core.presence import TrackState, UsualPeak, next_state
from mlss_core.recovery import Sighting
from mlss_core.refine import Corrected
from mlss_core.scenery import Scenery
from mlss_core.whereabouts import Whereabouts

_REPEATED = 6  # frames: a driver that sends 60 a second of a camera with 9 repeats each so often
_WIDE_EVERY = 4  # frames: others of a target's kind do not go far in a tenth of a second


@dataclass
class Target:
    """What is kept of a target from frame to frame."""

    target_id: str
    box: Box  # px of the normalised frame; the tracker goes on from it
    size_px: float  # s_z: target size with context
    first_box: Box
    first_size_px: float
    templates: Templates  # batch of one
    fill: float  # grey level outside the frame, from the first frame
    wide_templates: Templates  # of the first frame too, for wide views
    first_look: FirstLook | None  # None without a box head
    scenery: Scenery
    likeness: Likeness
    first_frame: np.ndarray | None = None  # what it was learnt from, (H, W) grey, for a few frames
    filter: OnlineFilter | None = None  # what makes its templates; None: they are rolled
    shown: Box | None = None  # what is published of the last picture instead of `box`
    where: Whereabouts = field(init=False)
    usual: UsualPeak = field(default_factory=UsualPeak)
    usual_wide: UsualPeak = field(default_factory=UsualPeak)
    updates: int = 0  # frames in which it was searched
    score: float = 1.0
    state: TrackState = TrackState.TRACKING
    low_frames: int = 0  # in a row under `lost_below`
    lost_frames: int = 0  # in a row without a box
    frozen_frames: int = 0  # in a row that repeated the one before, until the next is searched
    unlearnt_frames: int = 0  # since its template was last updated

    def __post_init__(self) -> None:
        self.where = Whereabouts(self.box.cx, self.box.cy)

    def learn_anew(self, first: Target) -> None:
        """Take over what `first` looks like, and keep the place."""
        self.templates, self.filter = first.templates, first.filter
        self.wide_templates = first.wide_templates
        self.first_look, self.fill = first.first_look, first.fill
        self.usual, self.usual_wide = UsualPeak(), UsualPeak()
        self.likeness = first.likeness

    @property
    def side_px(self) -> float:
        """Square root of the box's area."""
        return math.sqrt(self.box.w * self.box.h)

    def looks_around(self, params: TrackerParams) -> bool:
        """Whether a wide view is searched for others in this frame."""
        return params.presence.tells_others and self.updates % _WIDE_EVERY == 1

    def scale_steps(self, search: SearchParams) -> list[int]:
        """Powers of the scale step searched in this frame; that of no change is number S // 2."""
        low = search.scales // 2
        sign = -1 if search.scales % 2 == 0 and self.updates % 2 else 1
        return [sign * step for step in range(-low, search.scales - low)]


def searches_widely(target: Target, presence: PresenceParams) -> bool:
    """Whether to look beyond the search region: the target was lost, or a shutter was closed.

    One that was in doubt for long, or is on trial after it was lost, counts as lost.
    """
    thawed = target.frozen_frames > 0 and presence.enabled
    where = target.where
    doubted = where.held is not None or where.hidden > 2 * presence.lost_after
    return target.state is TrackState.LOST or thawed or (doubted and presence.tells_others)


def thaw(targets: Iterable[Target]) -> None:
    """The camera shows something new: pass over what a shutter hid, forget mere repetitions."""
    for target in targets:
        if target.frozen_frames <= _REPEATED:
            target.frozen_frames = 0
        target.where.skip(target.frozen_frames)


def expect_step(
    targets: Iterable[Target], step_xy: tuple[float, float], frame_hw: tuple[int, ...]
) -> None:
    """Expect targets, lost ones too, a step from their last place; their middle stays inside.

    Not behind a shutter: how the camera moves on is in the speeds of all things already.
    """
    if not any(step_xy):
        return
    for target in targets:
        if target.frozen_frames:
            continue
        target.where.shift(*step_xy)
        _move(target, target.box.cx + step_xy[0], target.box.cy + step_xy[1], frame_hw)


def _move(target: Target, x: float, y: float, frame_hw: tuple[int, ...]) -> None:
    """Put the middle of the box there, but inside of the frame."""
    x, y = _inside(x, y, frame_hw)
    target.box = target.box._replace(cx=x, cy=y)


def _inside(x: float, y: float, frame_hw: tuple[int, ...]) -> tuple[float, float]:
    return min(max(x, 0.0), frame_hw[1] - 1.0), min(max(y, 0.0), frame_hw[0] - 1.0)


def settle(targets: Iterable[Target], presence: PresenceParams) -> None:
    """Remember where targets that are seen, and are not on trial, have got to."""
    for target in targets:
        place = target.box.cx, target.box.cy
        if target.state is TrackState.TRACKING:
            target.where.settle(*place, steady=target.score >= presence.regain_above)
            target.where.make_sure()
            continue
        target.where.doubted += 1
        if (
            target.score >= presence.lost_below
            and target.state is not TrackState.LOST
            and target.where.held is None
        ):
            target.where.settle(*place)


def _judge(target: Target, presence: PresenceParams, near: bool) -> None:
    """State from the score; what is on trial is uncertain."""
    state, target.low_frames = next_state(
        target.state, target.low_frames, target.score, presence, near
    )
    if target.where.held is not None and state is TrackState.TRACKING:
        state = TrackState.UNCERTAIN
    doubted = target.where.doubted >= presence.doubt_limit and target.where.held is None
    if doubted and state is TrackState.UNCERTAIN:
        target.where.turn_back()
        state = TrackState.LOST
    target.state = state
    target.frozen_frames = 0
    target.lost_frames = target.lost_frames + 1 if state is TrackState.LOST else 0


def _miss(target: Target, presence: PresenceParams, frame_hw: tuple[int, ...]) -> None:
    """Nothing is believed to be the target: it is expected to go on; in time it is lost."""
    where = target.where
    if where.held is not None:
        place = where.held.x, where.held.y
    else:
        place = where.expected()
        if where.hidden > 2 * presence.lost_after:
            target.low_frames = presence.lost_after
    _judge(target, presence, near=True)
    _move(target, *place, frame_hw)


def take_sighting(
    target: Target,
    sighting: Sighting | None,
    score: float,
    cell_share: float,
    params: TrackerParams,
    frame_hw: tuple[int, ...],
) -> None:
    """Judge presence; unless lost, take over place and size (released tracker_step.m).

    Args:
        target: is changed.
        sighting: the peak that is believed to be it; None: it is expected to go on as it did.
        score: of that peak, 0..1.
        cell_share: side of a response's cell as a share of the region's side.
        params: of the tracker.
        frame_hw: height and width of the frame, px.
    """
    target.score, target.shown = score, None
    if sighting is None:
        _miss(target, params.presence, frame_hw)
        return
    search, peak, region = params.search, sighting.peak, sighting.region
    widely = searches_widely(target, params.presence)
    _judge(target, params.presence, region[:2] == target.box[:2] or target.where.held is not None)
    if target.state is TrackState.LOST:
        return
    if target.state is TrackState.TRACKING and not widely:
        target.usual.see(peak.quality, peak.height)
    step = 0 if widely else target.scale_steps(search)[peak.scale_index]
    scale = search.scale_step**step
    side_px = region.side * (1.0 if search.peak == "released" else scale)
    to_frame = side_px * cell_share  # px of the frame per feature cell
    center_x = region.cx + peak.offset_xy[0] * to_frame
    center_y = region.cy + peak.offset_xy[1] * to_frame
    growth = 1 - search.scale_rate + search.scale_rate * scale
    smallest = target.first_size_px / search.scale_limit
    largest = target.first_size_px * search.scale_limit
    size_px = min(max(target.size_px * growth, smallest), largest)
    if params.presence.enabled:  # the middle of a target stays in the picture
        center_x, center_y = _inside(center_x, center_y, frame_hw)
    if search.peak != "released":  # its box keeps to the limits of its size
        growth = size_px / target.size_px
    target.size_px = size_px
    target.box = Box(center_x, center_y, target.box.w * growth, target.box.h * growth)


def take_box(target: Target, corrected: Corrected, search: SearchParams) -> None:
    """Take over a corrected box, unless that would make the target too small or too large."""
    smallest = target.first_size_px / search.scale_limit
    largest = target.first_size_px * search.scale_limit
    kept_px, shown_px = (search_side(box.w, box.h, search.context) for box in corrected)
    if smallest <= kept_px <= largest:
        target.box, target.size_px = corrected.kept, kept_px
    if smallest <= shown_px <= largest:
        target.shown = corrected.shown


def roll_templates(target: Target, fresh: Templates, policy: TemplateParams) -> None:
    """Take over of `fresh`, (1, C, h, w) each, as much as `policy.every` single updates would."""
    rate = policy.rate if policy.every == 1 else 1 - (1 - policy.rate) ** policy.every
    target.templates = Templates(
        *((1 - rate) * old + rate * new for old, new in zip(target.templates, fresh, strict=True))
    )
