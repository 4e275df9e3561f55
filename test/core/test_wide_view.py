"""Wide views: others while a target is followed, the whole picture while it is lost."""

import cv2
import numpy as np
import pytest
import torch
from seeded import seeded_box, seeded_frames, seeded_network

from mlss_core.likeness import Likeness
from mlss_core.network_params import NetworkParams
from mlss_core.params import PresenceParams, TrackerParams
from mlss_core.recovery import Region
from mlss_core.response import Peak
from mlss_core.search import Seen, compared_templates, regions_of, sight
from mlss_core.target import expect_step, thaw
from mlss_core.tracker import MLSSTracker, TrackState
from mlss_core.whereabouts import Meeting, Thing

NETWORK = NetworkParams()
PARAMS = TrackerParams()


@pytest.fixture(scope="module")
def network():
    return seeded_network(NETWORK, seed=1)


@pytest.fixture
def tracker(network):
    tracker = MLSSTracker(network, PARAMS, device="cpu", precision="fp32")
    tracker.initialize(seeded_frames(1)[0], seeded_box())
    return tracker


@pytest.fixture
def target(tracker):
    return tracker._targets["target"]


def regions(target, params=PARAMS, frame_hw=(240, 320)):
    return regions_of(target, params, NETWORK, frame_hw)


def test_now_and_then_a_target_that_is_followed_is_looked_around(target):
    found = []
    for target.updates in range(8):
        found.append([region.wide for region in regions(target)])
    assert found == [[False] * 2 + [True] * (n % 4 == 1) for n in range(8)]
    target.updates = 1
    own, wide = regions(target)[1:]
    assert wide == own._replace(side=PARAMS.presence.wide_view * own.side, wide=True)


def test_in_doubt_it_is_looked_around_in_every_frame(target):
    target.state = TrackState.UNCERTAIN
    for target.updates in range(4):
        assert [region.wide for region in regions(target)] == [False, False, True]


@pytest.mark.parametrize("turn", [0, 5])
def test_behind_a_shutter_the_nearest_wide_views_are_searched_however_far_they_reach(target, turn):
    target.where.turn, target.where.vx = turn, 1.0
    target.frozen_frames = 7
    thaw([target])
    assert target.where.hidden == 7
    own, *wide = regions(target, frame_hw=(900, 1200))
    assert (own.cx, own.cy, own.wide) == (*target.where.expected(), False)
    assert len(wide) == PARAMS.presence.freeze_windows
    assert all(region.wide for region in wide)
    off = [max(abs(region.cx - own.cx), abs(region.cy - own.cy)) for region in wide]
    assert off[0] == 0
    assert max(off) < 1.1 * wide[0].side


def test_behind_a_shutter_a_target_that_is_not_told_from_others_is_searched_ahead_too(target):
    target.where.vx, target.frozen_frames = 1.0, 60
    thaw([target])
    params = TrackerParams(presence=PresenceParams(others=False))
    own, *further = regions(target, params)
    assert (own.cx, own.cy) == target.where.expected()
    assert own.cx > target.box.cx + 20
    assert not any(region.wide for region in further)


def test_the_step_of_the_camera_behind_a_shutter_is_in_the_speeds_already(target):
    place = target.box[:2]
    target.frozen_frames = 60
    expect_step([target], (30.0, 0.0), (240, 320))
    assert (target.box[:2], (target.where.x, target.where.y)) == (place, place)
    target.frozen_frames = 0
    expect_step([target], (30.0, 0.0), (240, 320))
    assert target.box.cx == target.where.x == place[0] + 30


def test_where_others_are_not_told_there_is_no_wide_view(target):
    params = TrackerParams(presence=PresenceParams(others=False))
    for target.state in TrackState:
        for target.updates in range(4):
            assert not any(region.wide for region in regions(target, params))


def test_a_lost_target_is_looked_for_in_the_whole_picture_within_few_frames(target):
    target.state = TrackState.LOST
    target.where.hidden = PARAMS.presence.open_after
    seen = np.zeros((240, 320), bool)
    for target.where.turn in range(4):
        searched = regions(target)
        assert len(searched) == PARAMS.presence.search_windows + 1
        assert not searched[0].wide  # where it is expected, at its own size
        for region in searched[1:]:
            assert region.wide
            half = 33 * 4 / 255 * region.side / 2  # what the response covers
            rows = slice(max(round(region.cy - half), 0), max(round(region.cy + half), 0))
            seen[rows, max(round(region.cx - half), 0) : max(round(region.cx + half), 0)] = True
    assert seen.all()


@pytest.mark.parametrize("windows", [0, 1, 2, 6])
def test_no_more_further_regions_are_searched_than_asked_for(target, windows):
    params = TrackerParams(presence=PresenceParams(search_windows=windows))
    target.state = TrackState.LOST
    target.where.hidden = PARAMS.presence.open_after
    for target.where.turn in range(3):
        first, *further = regions(target, params)
        assert not first.wide
        assert [region.wide for region in further] == [True] * windows


def test_every_region_is_compared_with_the_templates_of_its_view(target):
    own, wide = Region(0, 0, 80.0), Region(0, 0, 160.0, wide=True)
    alone = compared_templates([target, target], [[own, own], [own, own]])
    assert len(alone.semantic) == 2
    mixed = compared_templates([target, target], [[own, wide], [wide, own]])
    for level, single, around in zip(mixed, alone, target.wide_templates, strict=True):
        torch.testing.assert_close(level, torch.cat([single[:1], around, around, single[1:]]))


def peak(height, offset=0.0):
    return Peak(1, 16, 16, (offset, 0.0), height, 10.0)


def see(target, peaks, height=3.0, grey=None):
    own, small, wide = regions(target)
    seen = Seen(peak(height), torch.zeros(3, 33, 33), [[], [], peaks])
    grey = np.zeros((240, 320), np.float32) if grey is None else grey
    return sight(target, [own, small, wide], seen, PARAMS, NETWORK, grey)


def test_what_is_usual_in_a_wide_view_is_learnt_where_the_target_is_seen_in_its_own(target):
    target.updates = 1
    see(target, [peak(9.0, offset=12.0)])  # somebody else
    assert target.usual_wide.frames == 0
    see(target, [peak(9.0, offset=12.0), peak(4.0)])
    assert (target.usual_wide.frames, target.usual_wide.height) == (1, 4.0)
    target.state = TrackState.UNCERTAIN
    see(target, [peak(2.0)])
    assert target.usual_wide.frames == 1


def test_others_are_known_from_wide_views_once_it_is_known_how_the_target_looks_there(target):
    target.updates = 1
    see(target, [peak(9.0, offset=12.0)])
    assert target.where.things == []
    see(target, [peak(4.0), peak(4.0, offset=12.0)])
    (other,) = target.where.things
    wide = regions(target)[-1]
    assert other.x == pytest.approx(target.box.cx + 12 * 4 / 255 * wide.side)


def scene(seed):
    noise = np.random.default_rng(seed).uniform(0, 255, (240, 320)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 3.0)


def test_a_faint_peak_where_the_same_was_before_the_target_came_is_not_the_target(target):
    grey = scene(0)
    away = target.box._replace(cx=target.box.cx + 2 * target.side_px)
    target.scenery.keep(grey, target.box)
    target.scenery.keep(grey, target.box)
    target.box, target.where.x = away, away.cx
    target.usual.see(10.0, 4.0)
    target.updates = 1
    sighting, score = see(target, [], height=1.0, grey=grey)
    assert (sighting, score) == (None, 0.0)
    plain, _ = see(target, [], height=4.0, grey=grey)
    assert plain is not None  # seen too well to be asked for
    moved, _ = see(target, [], height=1.0, grey=scene(1))
    assert moved is not None


def test_the_frame_is_kept_only_for_targets_that_are_surely_seen(tracker, target):
    grey, keep = np.zeros((240, 320), np.float32), target.scenery
    before = list(keep._kept)
    for state, score in ((TrackState.UNCERTAIN, 0.9), (TrackState.TRACKING, 0.2)):
        target.state, target.score = state, score
        for _ in range(60):
            tracker._remember([target], grey)
    assert all(a.grey is b.grey for a, b in zip(keep._kept, before, strict=True))
    target.score = 0.9
    for _ in range(30):
        tracker._remember([target], grey)
    assert keep._kept[-1].grey is grey


def known(target, grey):
    """It is known how the target looks, in the frame `grey`, and that it changes little."""
    target.likeness = Likeness(grey, target.box)
    for _ in range(60):
        target.likeness.see(grey, target.box)


@pytest.mark.parametrize(("doubted", "height"), [(0, 1.0), (5, 4.0)])
def test_a_faint_peak_and_in_doubt_any_that_looks_otherwise_is_not_the_target(
    target, doubted, height
):
    grey = scene(0)
    known(target, grey)
    target.usual.see(10.0, 4.0)
    target.updates, target.where.doubted = 1, doubted
    same, _ = see(target, [], height=height, grey=grey)
    assert same is not None
    other = grey.copy()
    x, y, side = round(target.box.cx), round(target.box.cy), round(target.side_px)
    other[y - side : y + side, x - side : x + side] += 60
    assert see(target, [], height=height, grey=other) == (None, 0.0)
    target.where.doubted = 0
    plain, _ = see(target, [], height=4.0, grey=other)
    assert plain is not None  # seen too well to be asked for


@pytest.mark.parametrize(("height", "believed"), [(1.0, False), (4.0, True)])
def test_in_doubt_what_is_plainly_seen_may_have_changed_more(target, height, believed):
    grey = scene(0)
    known(target, grey)
    target.usual.see(10.0, 4.0)
    target.updates, target.where.doubted = 1, 5
    found, _ = see(target, [], height=height, grey=grey + 10)  # 2.5 changes of 4 grey levels
    assert (found is not None) == believed


def test_only_a_target_that_is_surely_seen_and_met_nobody_shows_how_it_looks(tracker, target):
    grey, frames = np.zeros((240, 320), np.float32), target.likeness._frames
    target.state, target.score = TrackState.UNCERTAIN, 0.9
    tracker._remember([target], grey)
    target.state, target.score = TrackState.TRACKING, 0.5
    tracker._remember([target], grey)
    assert target.likeness._frames == frames
    target.score = 0.9
    target.where.meeting = Meeting(Thing(0.0, 0.0), Thing(1.0, 0.0))
    tracker._remember([target], grey)
    assert target.likeness._frames == frames
    target.where.meeting = None
    tracker._remember([target], grey)
    assert target.likeness._frames == frames + 1


def test_a_target_learnt_anew_looks_as_it_was_learnt(tracker, target):
    before = target.likeness
    first = tracker._first_sight("target", seeded_frames(1)[0].astype(np.float32), target.box)
    target.learn_anew(first)
    assert target.likeness is first.likeness is not before
