import dataclasses
import math

import pytest
from alike import alike_scene, passing_scene

from mlss_core.box import Box
from mlss_core.others import recognise
from mlss_core.params import PresenceParams, tracker_params
from mlss_core.recovery import Region, Sighting
from mlss_core.response import Peak
from mlss_core.target import Target, expect_step, settle, take_sighting
from mlss_core.tracker import MLSSTracker, TrackState
from mlss_core.whereabouts import Spot, Thing, Whereabouts

SIDE = 20.0
PARAMS = PresenceParams(trial_frames=40, open_after=60)
SIGHTING = Sighting(Peak(0, 16, 16, (0.0, 0.0), 1.0, 20.0), Region(0.0, 0.0, 80.0))


def spot(x, y=0.0, score=0.9, unlike=1.0):
    return Spot(x, y, score, SIGHTING, unlike)


def followed(frames=40, others=()):
    """A target that walked 1 px a frame to x = `frames`; `others`: frame -> x, or None."""
    where = Whereabouts(0.0, 0.0)
    for n in range(1, frames + 1):
        seen = [spot(n), *(spot(other(n)) for other in others)]
        chosen = recognise(where, seen, SIDE, False, PARAMS)
        assert chosen is seen[0]
        where.settle(chosen.x, chosen.y, steady=True)
        where.make_sure()
    return where


def hide(where, frames, others=(), first=0):
    """Frames without the target; what was chosen in each."""
    return [
        recognise(where, [spot(*other(first + n)) for other in others], SIDE, True, PARAMS)
        for n in range(frames)
    ]


def test_speed_is_learnt_and_expected_to_fade_away():
    where = followed()
    assert (where.vx, where.vy) == pytest.approx((1.0, 0.0))
    assert where.expected() == pytest.approx((41.0, 0.0), abs=0.1)
    where.hidden = 1000
    assert where.expected()[0] == pytest.approx(where.x + 45)


def test_what_is_most_alike_is_seen_now_and_apart_from_the_target():
    where = followed()
    assert where.most_alike(12.0) is None
    near, gone = Thing(50.0, 0.0, score=0.9), Thing(80.0, 0.0, score=0.8, unseen=2)
    faint, alike = Thing(40.0, 13.0, score=0.2, unseen=1), Thing(0.0, 0.0, score=0.7)
    where.things = [near, gone, faint, alike]
    assert where.most_alike(12.0) is alike
    where.things = [near, gone, faint]
    assert where.most_alike(12.0) is faint


def test_peak_of_a_known_other_is_not_the_target_that_vanished_beside_it():
    def beside(n):
        return 72.0 - 0.4 * n  # comes nearer, to 56 while the target is at 40

    where = followed(others=[beside])
    assert recognise(where, [spot(beside(41))], SIDE, False, PARAMS) is None


def test_a_peak_as_high_as_ever_is_not_that_of_something_faint():
    where = followed()
    for n in range(41, 61):
        seen = [spot(n), spot(78.0, score=0.35)]
        where.settle(recognise(where, seen, SIDE, False, PARAMS).x, 0.0, steady=True)
    leap = [spot(77.0)]
    assert recognise(where, leap, SIDE, False, PARAMS) is leap[0]
    alike = followed(others=[lambda n: 58.0])
    assert recognise(alike, [spot(57.0)], SIDE, False, PARAMS) is None


def test_what_was_seen_for_a_few_frames_takes_no_peak_from_the_target():
    where = followed()
    for n in range(41, 46):  # texture of the scene, passed at speed
        seen = [spot(n), spot(62.0)]
        where.settle(recognise(where, seen, SIDE, False, PARAMS).x, 0.0, steady=True)
    leap = [spot(61.0)]
    assert recognise(where, leap, SIDE, False, PARAMS) is leap[0]


def test_in_doubt_what_was_seen_for_a_few_frames_takes_the_peak():
    where = followed()
    for n in range(41, 46):  # somebody comes up beside the target,
        seen = [spot(n), spot(70.0)]
        where.settle(recognise(where, seen, SIDE, False, PARAMS).x, 0.0, steady=True)
    for n in range(46, 51):  # which fades away behind something
        seen = [spot(n, score=0.1), spot(70.0)]
        recognise(where, seen, SIDE, False, PARAMS)
        where.doubted += 1
    assert recognise(where, [spot(69.5)], SIDE, False, PARAMS) is None


def test_where_the_search_regions_own_peak_is_no_spot_only_what_is_near_is_followed():
    far, near = spot(62.0), spot(43.0, score=0.2)
    assert recognise(followed(), [far], SIDE, False, PARAMS, own_first=False) is None
    seen = [far, near]
    assert recognise(followed(), seen, SIDE, False, PARAMS, own_first=False) is near


def test_peak_near_the_expected_place_is_the_target_though_an_other_is_expected_there():
    def across(n):
        return 80.0 - n  # meets the target at 40

    where = followed(others=[across])
    both = [spot(37.0), spot(43.0)]
    assert recognise(where, both, SIDE, False, PARAMS) is both[0]


def test_peak_of_a_double_beside_the_target_is_not_it_while_a_faint_one_is_there():
    beside = spot(52.0)

    def between_two():
        return followed(others=[lambda _: beside.x, lambda n: n - 16.0])

    for faint in (0.2, 0.02):  # the target fades behind something, and the double outshines it
        own, texture = spot(36.0, score=faint), spot(45.0, 9.0, score=0.2)
        # texture could be the target, and its peak that of the other who is out of sight
        assert recognise(between_two(), [beside, own, texture], SIDE, False, PARAMS) is own
    # nothing else there: what is near is trusted
    assert recognise(between_two(), [beside], SIDE, False, PARAMS) is beside


def test_unknown_peak_is_followed_however_faint():
    for faint in (spot(41.0, score=0.02), spot(58.0, score=0.2)):
        assert recognise(followed(), [faint], SIDE, False, PARAMS) is faint


def test_where_a_target_was_last_seen_is_no_place_of_a_faint_peak():
    presence = PresenceParams()
    box = Box(40.0, 0.0, SIDE, SIDE)
    target = Target("a", box, 2 * SIDE, box, 2 * SIDE, None, 0.0, None, None, None, None, None)
    target.state, target.box = TrackState.UNCERTAIN, box._replace(cx=45.0)
    target.score = presence.lost_below - 0.01
    settle([target], presence)
    assert target.where.x == 40.0
    target.score = presence.lost_below
    settle([target], presence)
    assert target.where.x == 45.0


def doubtful(where):
    """The target of `where`, in doubt."""
    box = Box(where.x, where.y, SIDE, SIDE)
    target = Target("a", box, 2 * SIDE, box, 2 * SIDE, None, 0.0, None, None, None, None, None)
    target.state, target.where = TrackState.UNCERTAIN, where
    return target


def test_who_clings_to_something_faint_for_long_has_lost_the_target():
    params = tracker_params("robust")
    target = doubtful(followed())
    faint = (params.presence.lost_below + params.presence.uncertain_below) / 2
    clung = Sighting(SIGHTING.peak, Region(45.0, 0.0, 80.0))
    states = []
    for _ in range(params.presence.doubt_limit + 2):
        expect_step([target], (0.0, 1.0), (200, 200))  # the camera moves
        take_sighting(target, clung, faint, 4 / 255, params, (200, 200))
        settle([target], params.presence)
        states.append(target.state)
    assert states == [TrackState.UNCERTAIN] * params.presence.doubt_limit + [TrackState.LOST] * 2
    frames = params.presence.doubt_limit + 1
    assert (target.where.x, target.where.y) == (40.0, frames + 1)  # the last sure place
    assert target.where.hidden == frames - 1


def test_a_sure_sighting_ends_the_doubt():
    params = tracker_params("robust")
    target = doubtful(followed())
    for score in [0.3] * 50 + [0.9] + [0.3] * 50:
        take_sighting(target, SIGHTING, score, 4 / 255, params, (200, 200))
        settle([target], params.presence)
        assert target.state is not TrackState.LOST


@pytest.mark.parametrize("known_before", [False, True])
def test_what_came_up_while_the_box_clung_elsewhere_may_be_the_target(known_before):
    ahead = 25.0 if known_before else 0.0

    def walks(n):
        return 41.0 + ahead + n, 0.0

    where = followed(others=[lambda n: n + ahead] if known_before else [])
    for n in range(30):  # the search region's own peak clings to something
        spots = [spot(40.0, 20.0, score=0.2)]
        if known_before or n >= 20:
            spots.append(spot(*walks(n)))
        recognise(where, spots, SIDE, False, PARAMS)
        where.settle(40.0, 20.0)
        where.doubted += 1
    where.turn_back()
    assert any(hide(where, 12, [walks], first=30)) != known_before


def test_hidden_target_is_taken_up_on_its_way_at_its_speed():
    where = followed()
    assert hide(where, 30) == [None] * 30

    def returns(n):
        return (70.0 + n,)

    chosen = hide(where, 12, [returns])
    assert chosen[:4] == [None] * 4  # its speed must be known first
    assert chosen[-1] is not None
    assert where.held is not None


def test_what_is_seen_where_the_target_cannot_be_is_somebody_else_wherever_it_goes():
    where = followed(others=[lambda n: 300.0])  # it is not the only one of its kind

    def walks_in(n):
        return (100.0 - 1.0 * n,)  # meets the expected place after some 40 frames

    assert hide(where, 55, [walks_in, lambda n: (300.0, 0.0)]) == [None] * 55


def test_what_comes_against_the_targets_direction_is_somebody_else():
    where = followed(others=[lambda n: 300.0])
    hide(where, 20)

    def against(n):
        return (65.0 - 1.5 * n,)

    assert hide(where, 12, [against]) == [None] * 12


@pytest.mark.parametrize(("frames", "taken"), [(10, False), (75, True)])
def test_the_longer_it_is_hidden_the_farther_off_its_way_it_may_come_up(frames, taken):
    where = followed(others=[lambda n: 300.0])

    def rival(n):
        return 300.0, 0.0

    def aside(n):
        return 60.0 + 0.3 * n, 38.0  # 1.9 sides beside the way

    params = dataclasses.replace(PARAMS, open_after=200)
    for n in range(frames + 12):
        about = [spot(*rival(n))] + ([spot(*aside(n))] if n >= frames else [])
        chosen = recognise(where, about, SIDE, True, params)
    assert (chosen is about[-1]) == taken


def test_one_on_trial_is_given_up_for_one_that_fits_better():
    where = followed()
    hide(where, 20)

    def odd(n):
        return 60.0 + 1.0 * n, 14.0  # 0.7 sides beside the way

    assert hide(where, 10, [odd])[-1] is not None
    first = where.held
    for n in range(10, 22):
        right = spot(61.0 + n)
        chosen = recognise(where, [spot(*odd(n)), right], SIDE, True, PARAMS)
    assert chosen is right
    assert where.held is not first


def test_of_two_on_the_way_the_one_that_looks_like_the_target_is_taken():
    where = followed()
    hide(where, 20)
    for n in range(12):
        double = spot(61.0 + n, -7.0, unlike=1.9)
        right = spot(61.0 + n, 8.0, unlike=1.1)
        chosen = recognise(where, [double, right], SIDE, True, PARAMS)
    assert chosen is right


def test_long_after_looks_decide_however_far_off_it_comes_up():
    where = followed()
    for _ in range(2 * PARAMS.open_after + 8):
        nearer, like = spot(60.0, 60.0, unlike=1.9), spot(60.0, 200.0)
        chosen = recognise(where, [nearer, like], SIDE, True, PARAMS)
    assert chosen is like


def test_what_looks_like_something_else_is_not_the_target_until_long_after():
    where = followed()
    hide(where, 20)
    chosen = [
        recognise(where, [spot(61.0, unlike=3.0)], SIDE, True, PARAMS) is not None
        for _ in range(240)
    ]
    assert not any(chosen[:180])
    assert any(chosen[180:])  # it may have turned, or the camera's gain has changed


def test_one_on_trial_that_turns_out_to_look_otherwise_is_not_shown():
    where = followed()
    hide(where, 20)
    shown = [
        recognise(where, [spot(61.0 + n, unlike=1.0 if n < 10 else 4.0)], SIDE, True, PARAMS)
        for n in range(30)
    ]
    assert shown[9] is not None
    assert shown[-1] is None


def test_trial_ends_and_all_others_are_others():
    where = followed()
    hide(where, 20)

    def target(n):
        return (60.0 + n,)

    def other(n):
        return 61.0 + n, 25.0

    begun = len([chosen for chosen in hide(where, 10, [target, other]) if chosen is None])
    hide(where, begun + PARAMS.trial_frames - 10, [target, other], first=10)
    assert where.held is not None
    hide(where, 1, [target, other], first=begun + PARAMS.trial_frames)
    assert where.held is None
    assert where.hidden == 1
    assert [math.isinf(thing.misfit) for thing in where.things] == [True]


def test_one_on_trial_that_is_gone_is_given_up():
    where = followed()
    hide(where, 20)
    assert hide(where, 10, [lambda n: (60.0 + n,)])[-1] is not None
    assert hide(where, 20) == [None] * 20
    assert where.held is None


def test_what_may_be_the_target_is_looked_at_until_its_speed_is_known():
    where = followed()
    hide(where, 20)
    both = [lambda n: (60.0 + n,), lambda n: (60.0, 100.0)]
    hide(where, 2, both)
    assert [thing.y for thing in where.suspects(PARAMS.misfit, anywhere=False)] == [0.0]
    assert [thing.y for thing in where.suspects(PARAMS.misfit, anywhere=True)] == [0.0, 100.0]
    hide(where, 20, both, first=2)
    assert where.suspects(PARAMS.misfit, anywhere=False) == []
    assert len(where.suspects(PARAMS.misfit, anywhere=True)) == 2


def places(*columns):
    return [lambda n, y=y: (300.0, y) for y in columns]


@pytest.mark.parametrize(
    ("new", "faint", "patience"),
    [
        (places(0.0), [], 2 * PARAMS.lost_after),  # the only thing like it
        (places(0.0), places(200.0), 2 * PARAMS.lost_after),
        (places(0.0, 200.0), [], 2 * PARAMS.open_after),
    ],
)
def test_far_away_it_is_taken_up_in_time_sooner_when_nothing_else_is_about(new, faint, patience):
    where = followed()
    about = [spot(*place(0)) for place in new] + [spot(*place(0), 0.35) for place in faint]
    for n in range(patience + 8):
        chosen = recognise(where, about, SIDE, True, PARAMS)
        assert chosen is None or n >= patience
    assert chosen is about[0]


def test_far_away_the_only_new_thing_is_taken_up_though_known_others_are_about():
    where = followed(others=[lambda n: 300.0])
    both = [lambda n: (300.0, 0.0), lambda n: (300.0, 200.0)]
    assert not any(hide(where, PARAMS.open_after, both))
    assert hide(where, 5, both)[-1].y == 200.0


def shut(where, frames=60):
    """Pass over a shutter."""
    where.skip(frames)
    return {"searching": True, "params": PARAMS, "skipped": frames}


def test_behind_a_shutter_everybody_is_where_its_way_led():
    where = followed(others=[lambda n: 150.0 - 1.5 * n])  # at 90 when the shutter closes
    crossed = [spot(0.0, score=1.0), spot(95.0, score=0.7)]
    assert recognise(where, crossed, SIDE, **shut(where)) is crossed[1]
    (other,) = where.things
    assert (other.x, other.seen) == (pytest.approx(0.0, abs=2.0), 41)


def test_behind_a_shutter_the_target_may_have_stopped_and_looks_decide_between_two():
    for places, own in (((44.0, -20.0), 0), ((-20.0, 100.0), 1)):
        where = followed()
        seen = [spot(x) for x in places]
        assert recognise(where, seen, SIDE, **shut(where)) is seen[own]
    where = followed()
    seen = [spot(60.0, unlike=3.0), spot(80.0, 14.0)]
    assert recognise(where, seen, SIDE, **shut(where)) is seen[1]


def test_behind_a_shutter_what_is_far_off_the_way_is_the_target_if_nothing_else_is_like_it():
    far, faint = spot(60.0, 90.0), spot(70.0, 5.0, score=0.3)
    where = followed()
    assert recognise(where, [far, faint], SIDE, **shut(where)) is far
    where = followed()
    assert recognise(where, [far, spot(60.0, -90.0)], SIDE, **shut(where)) is None
    where = followed()
    assert recognise(where, [spot(60.0, -190.0, 1.0), far], SIDE, **shut(where)) is far
    where = followed(others=[lambda n: 60.0 + 2.0 * n])
    other = spot(261.0)  # the target is gone, the other went on
    assert recognise(where, [other], SIDE, **shut(where)) is None


def test_a_target_that_was_hidden_when_the_shutter_closed_is_not_taken_for_the_next_best():
    where = followed(others=[lambda n: 150.0])
    hide(where, 20, [lambda n: (150.0, 0.0)])
    assert recognise(where, [spot(62.0, 30.0)], SIDE, **shut(where)) is None


def test_others_move_with_the_scene():
    where = followed(others=[lambda n: 80.0])
    where.shift(-30.0, 5.0)
    assert (where.x, where.y) == pytest.approx((10.0, 5.0))
    assert [(thing.x, thing.y) for thing in where.things] == [pytest.approx((50.0, 5.0), abs=0.1)]


@pytest.mark.slow
@pytest.mark.parametrize(("others", "right"), [(True, True), (False, False)])
def test_target_behind_a_wall_is_not_confused_with_its_double_before_it(others, right):
    """The shipped network takes the double: nothing but continuity tells them apart."""
    frames, boxes = alike_scene(86)
    params = tracker_params()
    presence = dataclasses.replace(params.presence, others=others)
    tracker = MLSSTracker(None, dataclasses.replace(params, presence=presence), device="cpu")
    tracker.initialize(frames[0], boxes[0])
    results = [tracker.update(frame)[0] for frame in frames[1:]]
    overlaps = [
        result.box.iou(box) if result.box else 0.0
        for result, box in zip(results, boxes[1:], strict=True)
    ]
    assert (overlaps[-1] > 0.3) == right
    assert (results[50].box is None) == right
    assert [result.state for result in results[-5:]] == [
        TrackState.UNCERTAIN if right else TrackState.TRACKING
    ] * 5


def test_target_and_double_that_passed_each_other_behind_a_shutter_are_not_confused():
    frames, boxes = passing_scene()
    tracker = MLSSTracker(device="cpu")
    tracker.initialize(frames[0], boxes[0])
    shutter = range(20, 66)  # the double is now near where the target was
    results = [tracker.update(frames[19 if n in shutter else n])[0] for n in range(1, len(frames))]
    assert {results[n - 1].state for n in shutter} == {TrackState.FROZEN}
    for result, box in list(zip(results, boxes[1:], strict=True))[shutter.stop :]:
        assert result.state is TrackState.TRACKING
        assert box.iou(result.box) > 0.5


def test_what_a_shutter_hid_is_no_scenery_however_alike_the_picture_before(monkeypatch):
    frames, boxes = passing_scene()
    tracker = MLSSTracker(device="cpu")
    tracker.initialize(frames[0], boxes[0])
    for n in range(1, 12):
        tracker.update(frames[n])
    for _ in range(8):
        assert tracker.update(frames[11])[0].state is TrackState.FROZEN
    monkeypatch.setattr("mlss_core.scenery.Scenery.shows", lambda *_: True)
    (result,) = tracker.update(frames[20])
    assert result.state is TrackState.TRACKING
    assert boxes[20].iou(result.box) > 0.5
