"""Where a target was last seen, how it moved, and what else like it is about.

Lengths are measured in sides: the square root of the area of the target's box.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import NamedTuple

from mlss_core.recovery import Sighting

# Chosen on the geometry of simulated scenes (docs/evaluation.md).
_SPEED_RATE = 0.1  # share of the last step in the target's speed
_COAST = 45.0  # frames in which a hidden target is expected to lose all but 1/e of its speed
_REACH = 0.6  # sides that a hidden target may be off its way at first,
_REACH_GROWTH = 0.05  # more in each frame,
REACH_LIMIT = 2.0  # up to this
_PARTED = 1.0  # sides between two that met from which on it can be told which one is seen,
_PLAINLY = 0.35  # and by which it has to be nearer to one,
_FITS = 0.75  # and within which of that one
_SPAN = 45  # frames in which a difference in speed counts as the way that it makes
JUDGED = range(6, 13)  # sightings in which a thing's speed is compared with the target's
GONE = 8  # frames unseen from which on a thing is taken for gone


class Spot(NamedTuple):
    """Something in one frame that looks like the target."""

    x: float  # px
    y: float
    score: float
    sighting: Sighting
    unlike: float = 1.0  # how much it differs from the target, as `Likeness.unlike` has it


@dataclass(eq=False)
class Thing:
    """Something like the target in frame after frame."""

    x: float  # px
    y: float
    off: float = math.inf  # sides off the target's way where it was first seen; inf: another one
    vx: float = 0.0  # px a frame
    vy: float = 0.0
    seen: int = 1
    unseen: int = 0  # frames in a row
    score: float = 1.0  # of its peaks, a mean that follows
    unlike: float = 1.0  # the same mean of how much it differs from the target
    misfit: float = math.inf  # sides; not known before it was seen a few times

    def advance(self, frames: int = 1) -> None:
        """Expect it so many frames later."""
        self.x, self.y = self.x + frames * self.vx, self.y + frames * self.vy
        self.unseen += frames

    def follow(self, spot: Spot) -> None:
        """See it there."""
        dx, dy = spot.x - self.x, spot.y - self.y
        share = max(0.2, 1.0 / (self.seen + 1))
        rate = share / self.unseen
        self.x, self.y = self.x + 0.7 * dx, self.y + 0.7 * dy
        self.vx, self.vy = self.vx + rate * dx, self.vy + rate * dy
        self.score += share * (spot.score - self.score)
        self.unlike += share * (spot.unlike - self.unlike)
        self.seen, self.unseen = self.seen + 1, 0


@dataclass
class Meeting:
    """One peak where there should be two: the target's, and that of a thing in its way.

    Both are expected to go on as they did until they met; which of them is seen shows in time.
    """

    own: Thing  # the target, as it should go on
    other: Thing

    @property
    def frames(self) -> int:
        """Frames since they met."""
        return self.own.unseen

    def advance(self) -> None:
        """Expect both in the next frame."""
        self.own.advance()
        self.other.advance()

    def seen_in(self, spot: Spot, side: float) -> Thing | None:
        """Tell which of them a spot is; None where that does not show yet."""
        off_own, off_other = (
            math.dist(spot[:2], (thing.x, thing.y)) for thing in (self.own, self.other)
        )
        apart = math.dist((self.own.x, self.own.y), (self.other.x, self.other.y))
        alike = apart < _PARTED * side or abs(off_own - off_other) < _PLAINLY * side
        if alike or min(off_own, off_other) > _FITS * side:
            return None
        return self.own if off_own < off_other else self.other


@dataclass
class Whereabouts:
    """What continuity knows of a target; places move with the scene."""

    x: float  # px, where it was last seen
    y: float
    vx: float = 0.0  # px a frame, the camera's motion removed
    vy: float = 0.0
    steps: int = 0  # that its speed was learnt from
    steady: bool = True  # whether it was seen well enough then to learn its speed from
    hidden: int = 0  # frames since
    sure: tuple[float, float] = field(init=False)  # px, where it was last seen without a doubt
    doubted: int = 0  # frames since
    turn: int = 0  # frames searched
    things: list[Thing] = field(default_factory=list)  # the others
    meeting: Meeting | None = None
    held: Thing | None = None  # taken for the target, on trial
    trial: int = 0  # frames

    def __post_init__(self) -> None:
        self.sure = self.x, self.y

    def shift(self, dx: float, dy: float) -> None:
        """Move with the scene."""
        self.x, self.y = self.x + dx, self.y + dy
        self.sure = self.sure[0] + dx, self.sure[1] + dy
        met = [self.meeting.own, self.meeting.other] if self.meeting else []
        for thing in self.things + met:
            thing.x, thing.y = thing.x + dx, thing.y + dy

    def skip(self, frames: int) -> None:
        """Pass over frames without a picture: everything goes on as it did."""
        if frames:
            self.hidden, self.meeting = self.hidden + frames, None
        for thing in self.things:
            thing.advance(frames)

    def settle(self, x: float, y: float, steady: bool = False) -> None:
        """See the target there; its speed is learnt from `steady` sightings in a row."""
        if steady and self.steady and self.hidden <= 1:
            self.steps += 1
            rate = max(_SPEED_RATE, 1 / self.steps)
            self.vx += rate * (x - self.x - self.vx)
            self.vy += rate * (y - self.y - self.vy)
        self.x, self.y, self.hidden, self.held, self.trial = x, y, 0, None, 0
        self.steady = steady

    def make_sure(self) -> None:
        """Have no doubt that what was just seen is the target: all others are others."""
        self.sure, self.doubted = (self.x, self.y), 0
        for thing in self.things:
            thing.off = thing.misfit = math.inf

    def turn_back(self) -> None:
        """Give up what was followed since the doubt began: the target was hidden since then."""
        (self.x, self.y), self.hidden = self.sure, self.doubted

    def part(self, met: Meeting) -> None:
        """What was followed since they met was the other: the target is hidden since then."""
        own = met.own
        self.vx, self.vy, self.hidden, self.doubted = own.vx, own.vy, met.frames, met.frames
        self.x, self.y = own.x - met.frames * own.vx, own.y - met.frames * own.vy
        self.sure = self.x, self.y

    def since_sure(self) -> Whereabouts:
        """As if turned back."""
        return dataclasses.replace(self, x=self.sure[0], y=self.sure[1], hidden=self.doubted)

    def most_alike(self, apart_px: float) -> Thing | None:
        """What is most like the target of all that is now seen so far from it."""
        others = [
            thing
            for thing in self.things
            if thing.unseen <= 1 and math.dist((thing.x, thing.y), (self.x, self.y)) > apart_px
        ]
        return max(others, key=lambda thing: thing.score, default=None)

    def expected(self) -> tuple[float, float]:
        """Where it most likely is in the next frame, px: it may have turned or stopped."""
        frames = _COAST * (1 - math.exp(-(self.hidden + 1) / _COAST))
        return self.x + frames * self.vx, self.y + frames * self.vy

    def reach(self) -> float:
        """Sides that it may be off its way by now."""
        return min(_REACH + _REACH_GROWTH * self.hidden, REACH_LIMIT)

    def off_way(self, x: float, y: float) -> float:
        """Distance of a place from the way at any speed up to its last one, px."""
        frames = self.hidden + 1
        return _off_segment(x - self.x, y - self.y, frames * self.vx, frames * self.vy)

    def suspects(self, limit: float, anywhere: bool) -> list[Thing]:
        """Things that may prove to be the target, the nearest to its way first.

        Args:
            limit: sides off its way at most, and only until their speed is known.
            anywhere: without either limit.
        """
        unknown = [t for t in self.things if t.unseen <= GONE and math.isfinite(t.off)]
        if not anywhere:
            unknown = [t for t in unknown if t.off < limit and t.seen < JUDGED.stop]
        return sorted(unknown, key=lambda thing: thing.off)

    def misfit(self, thing: Thing, side: float) -> float:
        """How little a thing's first place and its speed are the target's, sides."""
        odd = _off_segment(thing.vx, thing.vy, self.vx, self.vy)
        return math.hypot(thing.off, _SPAN * odd / side)


def _off_segment(x: float, y: float, end_x: float, end_y: float) -> float:
    """Distance of a point from the line between the origin and the end."""
    length = end_x**2 + end_y**2
    share = min(max((x * end_x + y * end_y) / length, 0.0), 1.0) if length > 0 else 0.0
    return math.hypot(x - share * end_x, y - share * end_y)
