"""Where target and another thing meet and one peak is left: whose it is shows by where it goes."""

import pytest
import torch
from seeded import seeded_box, seeded_frames, seeded_network

from mlss_core.network_params import NetworkParams
from mlss_core.others import recognise
from mlss_core.params import PresenceParams, ThermalParams, TrackerParams
from mlss_core.recovery import Region, Sighting
from mlss_core.response import Peak
from mlss_core.tracker import MLSSTracker
from mlss_core.whereabouts import Meeting, Spot, Thing, Whereabouts

SIDE = 20.0
SIGHTING = Sighting(Peak(0, 16, 16, (0.0, 0.0), 1.0, 20.0), Region(0.0, 0.0, 80.0))


def spot(x, y=0.0):
    return Spot(x, y, 0.9, SIGHTING)


def meet(goes_on, frames=80):
    """The target walks right, an other left; when they meet at 40, one peak is left.

    Args:
        goes_on: frame -> place of that peak, x, y.
        frames: at most, until the target is told to be hidden.

    Returns:
        What is known at the end, and what was chosen in each frame.
    """
    where = Whereabouts(0.0, 0.0)
    chosen = []
    for n in range(1, frames + 1):
        together = n > 35
        spots = [spot(*goes_on(n))] if together else [spot(n), spot(80.0 - n)]
        chosen.append(recognise(where, spots, SIDE, False, PresenceParams()))
        if chosen[-1] is None:
            break
        where.settle(chosen[-1].x, chosen[-1].y, steady=True)
        where.make_sure()
    return where, chosen


def test_what_goes_on_as_the_other_did_is_the_other_and_the_target_is_where_it_was_going():
    where, chosen = meet(lambda n: (80.0 - n, 0.0))
    now = len(chosen)
    assert chosen[-1] is None
    assert 45 < now < 60  # as soon as they should be a side apart
    assert where.expected()[0] == pytest.approx(now, abs=5)
    assert where.hidden > 5
    assert min(abs(thing.x - (80 - now)) for thing in where.things) < 4
    assert where.meeting is None
    apart = [spot(79.0 - now), spot(now + 1.0)]
    assert recognise(where, apart, SIDE, False, PresenceParams()) is apart[1]


def test_what_goes_on_as_the_target_did_is_the_target():
    where, chosen = meet(lambda n: (n, 0.0))
    assert None not in chosen
    assert where.meeting is None


def test_who_stands_still_is_not_told_and_stays_the_target():
    where, chosen = meet(lambda n: (40.0, 0.0), frames=150)
    assert None not in chosen
    assert where.meeting is None  # given up


def test_what_goes_neither_way_is_not_told():
    where, chosen = meet(lambda n: (75.0 - n, 2.0 * (n - 35)))  # as if kicked
    assert None not in chosen


def test_a_double_of_the_target_at_its_place_is_nobody_that_it_met():
    where = Whereabouts(0.0, 0.0)
    for n in range(1, 20):
        recognise(where, [spot(n)], SIDE, False, PresenceParams())
        where.settle(n, 0.0, steady=True)
    where.things.append(Thing(21.0, 0.0, vx=-1.0, seen=9))
    recognise(where, [spot(20.0)], SIDE, False, PresenceParams())
    assert where.meeting is None


def test_what_met_moves_with_the_scene_and_is_forgotten_behind_a_shutter():
    where, _ = meet(lambda n: (40.0, 0.0), frames=45)
    before = where.meeting.own.x, where.meeting.other.x
    where.shift(7.0, 0.0)
    assert (where.meeting.own.x, where.meeting.other.x) == (before[0] + 7, before[1] + 7)
    where.skip(0)
    assert where.meeting is not None
    where.skip(20)
    assert where.meeting is None


def test_things_seen_too_seldom_to_know_their_speed_meet_nobody():
    where = Whereabouts(0.0, 0.0)
    for n in range(1, 30):
        seen = [spot(n)] if n < 26 else [spot(n), spot(n + 18.0)]
        recognise(where, seen, SIDE, False, PresenceParams())
        where.settle(n, 0.0, steady=True)
    recognise(where, [spot(36.0)], SIDE, False, PresenceParams())
    assert where.meeting is None


@pytest.mark.parametrize("met", [False, True])
def test_nothing_is_learnt_while_the_peak_may_be_the_others(met):
    frames = seeded_frames()
    network = seeded_network(NetworkParams(), seed=1)
    params = TrackerParams(thermal=ThermalParams(dead_pixels=False))
    tracker = MLSSTracker(network, params, device="cpu", precision="fp32")
    tracker.initialize(frames[0], seeded_box())
    (target,) = tracker._targets.values()
    first = target.templates.semantic.clone()
    for frame in frames[1 : params.template.every + 1]:
        place = target.box[:2]
        if met:
            target.where.meeting = Meeting(Thing(*place), Thing(*place))
        tracker.update(frame)
    tracker.learn()
    assert torch.equal(target.templates.semantic, first) == met
