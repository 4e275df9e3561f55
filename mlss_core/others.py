"""Which of several alike is the target: told by continuity, as their looks do not tell.

While the target is followed, a peak that moves on as another thing did is that thing; where the
two meet and one peak is left, it is that of whichever way it goes on. While the target is hidden,
whatever turns up is somebody else unless it appears where the target can have got to, and moves as
the target did; the best fit is taken on trial, and given up for a better one. (The idea of
KeepTrack, Mayer et al., ICCV 2021, without its learnt part.)
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from mlss_core.params import PresenceParams
from mlss_core.whereabouts import (
    GONE,
    JUDGED,
    REACH_LIMIT,
    Meeting,
    Spot,
    Thing,
    Whereabouts,
)

# Chosen on the geometry of simulated scenes (docs/evaluation.md).
_GATE = 0.6  # sides that a thing is off its expected place at most,
_GATE_GROWTH = 0.05  # more for each frame that it was not seen,
_GATE_LIMIT = 1.5  # up to this
_NEAR = 0.6  # sides off its way that count as around the target's last place
_APART = 0.75  # sides between the target and what is not a part of it
_MET = 0.3  # sides between two whose peaks have just become one, at least
_MEETING = 60  # frames after which two that met are taken for told apart
_BORN_ABOVE = 0.3  # score of a new thing
_FAMILIAR = 12  # sightings from which on a thing explains a peak next to the target: texture of
# the scene gives peaks for a few frames, and a target that moves past them must not be one of them
_DOUBTED = 4  # frames in doubt after which the target may well be hidden; then it takes
_FAMILIAR_IN_DOUBT = 4  # sightings
_FORGOTTEN = 45  # frames unseen
_MOST = 24  # things
_DOUBLE = 0.6  # score of a thing that may be taken for the target,
_BESIDE = 0.5  # sides between the two from which on each has a peak of its own
_BRIGHTER = 0.4  # score of a spot above a thing's from which on it is not that thing
_LOOSER = 60.0  # frames hidden after which twice the misfit is allowed, and so on
_BETTER = 0.3  # by which a thing must be less odd than the one on trial
_BY_FAR = 1.5  # times as odd is what is no rival
_FAR = 2.0  # sides of misfit count at most: after long the target may be anywhere
_LOOKS = 0.6  # sides that count as much as each change by which a thing differs beyond the first
_UNLIKE = 2.2  # changes by which a thing differs that is not the target,
_BLURRED = 600.0  # frames hidden after which it may differ by twice as much, and so on


def recognise(
    where: Whereabouts,
    spots: Sequence[Spot],
    side: float,
    searching: bool,
    params: PresenceParams,
    own_first: bool = True,
    skipped: int = 0,
) -> Spot | None:
    """Choose the spot that is the target, if one is; remember the others.

    Args:
        where: is changed.
        spots: of one frame.
        side: square root of the area of the target's box, px.
        searching: the target is hidden, not just in doubt.
        params: thresholds.
        own_first: while not searching, the first spot is the search region's own peak; else that
            is no spot at all.
        skipped: frames without a picture just before this one.
    """
    for thing in where.things:
        thing.advance()
    if where.meeting is not None:
        where.meeting.advance()
    if skipped and where.held is None and where.hidden - skipped <= GONE:
        chosen = _rejoin(where, spots, side, skipped, params)
    elif searching:
        chosen = _search(where, spots, side, params)
    else:
        chosen = _follow(where, spots, side, own_first)
    where.things = [thing for thing in where.things if thing.unseen <= _FORGOTTEN][-_MOST:]
    where.hidden += 1
    where.turn += 1
    return chosen


def _follow(
    where: Whereabouts, spots: Sequence[Spot], side: float, own_first: bool
) -> Spot | None:
    """Trust the search region's peak, faint or not, unless it is somebody else off the way."""
    enough = _FAMILIAR if where.doubted < _DOUBTED else _FAMILIAR_IN_DOUBT
    familiar = [t for t in where.things if t.seen >= enough and t.unseen <= GONE]
    own = [math.dist(spot[:2], where.expected()) / (_GATE * side) for spot in spots]
    pairs = _assign([*_distances(familiar, spots, side), own])
    mine = pairs.pop(len(familiar), None)
    explained = {n: familiar[row] for row, n in pairs.items()}
    somebody_else = not own_first or (  # what is near is trusted, unless the target is seen too
        0 in explained
        and (own[0] > 1 or (mine is not None and _is_double(explained[0], spots[0], where, side)))
    )
    chosen = mine if somebody_else else 0
    if chosen is not None and where.meeting is None:
        elsewhere = [thing for n, thing in explained.items() if n != chosen]
        free = [thing for thing in familiar if thing not in elsewhere]
        where.meeting = _meeting(where, free, spots[chosen], side)
    for n, thing in explained.items():
        thing.follow(spots[n])
    if chosen is not None and where.meeting is not None:
        met, seen = where.meeting, where.meeting.seen_in(spots[chosen], side)
        if seen is not None or met.frames > _MEETING:
            where.meeting = None
        if seen is met.other:
            if chosen not in explained:
                met.other.follow(spots[chosen])
                where.things.append(met.other)
                explained[chosen] = met.other
            where.part(met)
            chosen = _one_near(spots, where.expected(), _GATE * side, besides=explained)
    middle = where.expected() if chosen is None else spots[chosen][:2]
    rest = [
        spot
        for n, spot in enumerate(spots)
        if n not in explained and n != chosen and math.dist(spot[:2], middle) >= _APART * side
    ]
    unseen = [thing for thing in where.things if thing not in familiar and thing.unseen]
    _sort_out(where, rest, unseen, side, hidden=False)
    return None if chosen is None else spots[chosen]


def _is_double(thing: Thing, spot: Spot, where: Whereabouts, side: float) -> bool:
    """Whether a spot near the target's expected place is plainly that of a thing beside it."""
    own, place = where.expected(), (thing.x, thing.y)
    return (
        thing.score >= _DOUBLE
        and thing.unseen <= 1
        and math.dist(own, place) >= _BESIDE * side
        and math.dist(spot[:2], place) < 0.5 * math.dist(spot[:2], own)
    )


def _meeting(where: Whereabouts, free: Sequence[Thing], spot: Spot, side: float) -> Meeting | None:
    """What the target has met, if its peak may be that of one of the `free` things as well."""
    known = [
        thing
        for thing in free
        if thing.seen >= _FAMILIAR
        and thing.unseen <= 1
        and math.dist(where.expected(), (thing.x, thing.y)) >= _MET * side
    ]
    off = [row[0] for row in _distances(known, [spot], side)]
    if not off or min(off) > 1:
        return None
    other = dataclasses.replace(known[off.index(min(off))], off=math.inf, misfit=math.inf)
    return Meeting(Thing(*where.expected(), vx=where.vx, vy=where.vy), other)


def _one_near(
    spots: Sequence[Spot], place: tuple[float, float], gate_px: float, besides: Collection[int]
) -> int | None:
    near = {n: math.dist(spot[:2], place) for n, spot in enumerate(spots) if n not in besides}
    best = min(near, key=lambda n: near[n], default=None)
    return best if best is not None and near[best] < gate_px else None


def patience(where: Whereabouts, params: PresenceParams) -> int:
    """Frames after which a hidden target is taken up wherever something like it is about.

    Few where one such thing is about and there was none before; more where others may be taken for
    the target.
    """
    alike = [thing for thing in where.things if thing.score >= params.regain_near]
    rivals = [thing for thing in alike if math.isinf(thing.off)]
    unknown = sum(math.isfinite(t.off) and t.unseen <= GONE for t in alike)
    if not rivals and unknown <= 1:
        return 2 * params.lost_after
    return params.open_after if unknown <= 1 else 2 * params.open_after


def misfit_limit(where: Whereabouts, params: PresenceParams) -> float:
    """Sides by which what is taken for a hidden target may differ from its way and speed."""
    if where.hidden > patience(where, params):
        return math.inf
    return params.misfit * (1 + where.hidden / _LOOSER)


def _search(
    where: Whereabouts, spots: Sequence[Spot], side: float, params: PresenceParams
) -> Spot | None:
    """Take the thing that fits best, on trial."""
    where.meeting = None
    seen = _sort_out(where, spots, where.things, side, hidden=True)
    for thing in where.things:
        late = thing.seen >= JUDGED.stop and math.isinf(thing.misfit)  # seen in doubt alone so far
        if thing.seen in JUDGED or late:
            thing.misfit = where.misfit(thing, side)
    if where.held not in where.things or where.held.unseen > GONE:
        where.held, where.trial = None, 0
    limit, unlike = misfit_limit(where, params), _unlike_limit(where)
    possible = [
        thing
        for thing, spot in seen.items()
        if thing.misfit < limit
        and thing.unlike < unlike
        and spot.score >= (params.regain_near if thing.off <= _NEAR else params.regain_above)
    ]
    best = min(possible, key=_oddness, default=None)
    if best is not None and (
        where.held is None or _oddness(best) < _oddness(where.held) - _BETTER
    ):
        where.held, where.trial = best, 0
    if where.held not in seen:
        return None
    spot = seen[where.held]
    if where.held.unlike >= unlike:
        return None
    where.trial += 1
    if where.trial > params.trial_frames and spot.score >= params.uncertain_below:
        _believe(where, where.held, spot)
    return spot


def _rejoin(
    where: Whereabouts, spots: Sequence[Spot], side: float, skipped: int, params: PresenceParams
) -> Spot | None:
    """Tell who is who, behind a shutter, by their ways; the target by its looks too."""
    known = [
        t for t in where.things if t.seen >= _FAMILIAR_IN_DOUBT and t.unseen <= skipped + GONE
    ]
    odd, own = [], []
    for spot in spots:
        off = where.off_way(spot.x, spot.y) / side
        odd.append(math.hypot(off, _LOOKS * max(spot.unlike - 1, 0)))
        enough = params.regain_near if off <= _NEAR else params.regain_above
        own.append(odd[-1] / where.reach() if spot.score >= enough else math.inf)
    pairs = _assign([*_distances(known, spots, side), own])
    mine = pairs.pop(len(known), None)
    if mine is None:  # off its way, but plainly seen, and nobody else is nearly as likely
        plain = [n for n, spot in enumerate(spots) if spot.score >= params.regain_above]
        left = sorted((odd[n], n) for n in plain if n not in pairs.values())
        if left and (len(left) == 1 or left[1][0] > _BY_FAR * left[0][0]):
            mine = left[0][1]
    for row, n in pairs.items():
        known[row].follow(spots[n])
    where.things = known
    rest = [s for n, s in enumerate(spots) if n != mine and n not in pairs.values()]
    _sort_out(where, rest, [], side, hidden=mine is None)
    return None if mine is None else spots[mine]


def _unlike_limit(where: Whereabouts) -> float:
    """Changes of a target by which what is taken for it while it is hidden may differ from it."""
    return _UNLIKE * (1 + where.hidden / _BLURRED)


def _oddness(thing: Thing) -> float:
    """How little a thing moves and looks as the target, sides."""
    return math.hypot(min(thing.misfit, _FAR), _LOOKS * max(thing.unlike - 1, 0))


def _believe(where: Whereabouts, thing: Thing, spot: Spot) -> None:
    """The trial is over: this is the target, and all others are others."""
    where.vx, where.vy = thing.vx, thing.vy
    where.things.remove(thing)
    where.settle(spot.x, spot.y)
    where.make_sure()


def _sort_out(
    where: Whereabouts, spots: Sequence[Spot], things: Sequence[Thing], side: float, hidden: bool
) -> dict[Thing, Spot]:
    """Find known things again and make new ones; for a peak, a hidden target rivals the gone."""
    seen: dict[Thing, Spot] = {}
    left = list(spots)
    for gone in (False, True):
        sought = [thing for thing in things if (thing.unseen > GONE) == gone]
        cost = _distances(sought, left, side)
        if gone and hidden:
            reach = where.reach() * side
            cost.append([where.off_way(spot.x, spot.y) / reach for spot in left])
        for row, n in _assign(cost).items():
            if row < len(sought):
                sought[row].follow(left[n])
                seen[sought[row]] = left[n]
        left = [spot for spot in left if spot not in seen.values()]
    way = where if hidden else where.since_sure()
    for spot in left:
        if spot.score >= _BORN_ABOVE:
            off = way.off_way(spot.x, spot.y) / side * REACH_LIMIT / way.reach()
            thing = Thing(spot.x, spot.y, off, score=spot.score, unlike=spot.unlike)
            where.things.append(thing)
            seen[thing] = spot
    return seen


def _distances(things: Sequence[Thing], spots: Sequence[Spot], side: float) -> list[list[float]]:
    """Distance of every spot from every thing's expected place, as shares of the thing's gate.

    It is infinite where the spot is far more like the target than the thing ever was.
    """
    gates = [side * min(_GATE + _GATE_GROWTH * (t.unseen - 1), _GATE_LIMIT) for t in things]
    return [
        [
            math.inf
            if spot.score > thing.score + _BRIGHTER
            else math.dist(spot[:2], (thing.x, thing.y)) / gate
            for spot in spots
        ]
        for thing, gate in zip(things, gates, strict=True)
    ]


def _assign(cost: list[list[float]]) -> dict[int, int]:
    """Rows to columns, one to one, none above a cost of 1, at the least total.

    A row left out costs 1 as well: not all must find a column where that displaces others.
    """
    if not cost or not cost[0]:
        return {}
    pairs = zip(*linear_sum_assignment(np.minimum(cost, 1.0)), strict=True)
    return {int(row): int(n) for row, n in pairs if cost[row][n] <= 1}
