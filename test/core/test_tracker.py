import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from seeded import seeded_box, seeded_frames, seeded_network

from mlss_core.box import Box
from mlss_core.errors import BoxError, ConfigError, FrameError
from mlss_core.model.network import Templates
from mlss_core.network_params import NetworkParams
from mlss_core.params import (
    BoxParams,
    PresenceParams,
    SearchParams,
    TemplateParams,
    ThermalParams,
    TrackerParams,
    tracker_params,
)
from mlss_core.refine import Corrected
from mlss_core.target import roll_templates
from mlss_core.tracker import MLSSTracker, TrackState
from mlss_core.whereabouts import Thing

ALWAYS_PRESENT = PresenceParams(enabled=False)


@pytest.fixture(scope="module")
def network():
    return seeded_network(NetworkParams(), seed=1)


def make_tracker(network, **changes):
    params = TrackerParams(**{"presence": ALWAYS_PRESENT, **changes})
    return MLSSTracker(network, params, device="cpu", precision="fp32")


def snapshot(tracker):
    tracker.learn()
    return {
        target_id: (target.box, target.size_px, target.state, target.templates.semantic.clone())
        for target_id, target in tracker._targets.items()
    }


def assert_untouched(tracker, before):
    after = snapshot(tracker)
    assert after.keys() == before.keys()
    for target_id, (*values, template) in before.items():
        assert list(after[target_id][:-1]) == values
        torch.testing.assert_close(after[target_id][-1], template)


def test_target_is_followed_even_with_random_weights(network):
    frames = seeded_frames()
    tracker = make_tracker(network)
    tracker.initialize(frames[0], seeded_box())
    for i, frame in enumerate(frames[1:], start=1):
        (result,) = tracker.update(frame)
        assert math.dist(result.box[:2], seeded_box(i)[:2]) < 4
    assert result.target_id == "target"
    assert result.state is TrackState.TRACKING


def test_deep_frames_give_the_track_of_their_eight_bit_version(network):
    shallow, deep = make_tracker(network), make_tracker(network)
    frames = seeded_frames(6)
    shallow.initialize(frames[0], seeded_box())
    deep.initialize(28_000 + 10 * frames[0].astype(np.uint16), seeded_box())
    for frame in frames[1:]:
        (a,) = shallow.update(frame)
        (b,) = deep.update(28_000 + 10 * frame.astype(np.uint16))
        assert a.box.iou(b.box) > 0.8


def test_many_targets_equal_single_trackers(network):
    frames = seeded_frames(5)
    boxes = {"moving": seeded_box(), "corner": Box(30, 25, 20, 30), "edge": Box(195, 80, 24, 24)}
    together = make_tracker(network)
    alone = {name: make_tracker(network) for name in boxes}
    for name, box in boxes.items():
        together.initialize(frames[0], box, name)
        alone[name].initialize(frames[0], box, name)
    for frame in frames[1:]:
        for result in together.update(frame):
            (expected,) = alone[result.target_id].update(frame)
            np.testing.assert_allclose(result.box, expected.box, rtol=0, atol=1e-4)
            assert result.score == pytest.approx(expected.score, abs=2e-3)
            assert result.state == expected.state


def test_targets_come_and_go(network):
    frames = seeded_frames(4)
    tracker = make_tracker(network)
    assert tracker.update(frames[0]) == []
    tracker.initialize(frames[0], seeded_box(), "a")
    tracker.initialize(frames[0], Box(40, 40, 20, 20), "b")
    assert [result.target_id for result in tracker.update(frames[1])] == ["a", "b"]
    tracker.remove("a")
    tracker.remove("never there")
    assert tracker.target_ids == ("b",)
    tracker.clear()
    assert tracker.update(frames[2]) == []


def test_same_id_restarts_that_target(network):
    frames = seeded_frames(3)
    tracker = make_tracker(network)
    tracker.initialize(frames[0], Box(40, 40, 20, 20))
    tracker.initialize(frames[1], seeded_box(1))
    (result,) = tracker.update(frames[2])
    assert math.dist(result.box[:2], seeded_box(2)[:2]) < 4


@pytest.mark.parametrize("box", [Box(math.nan, 9, 9, 9), Box(500, 9, 9, 9), Box(50, 50, 9, -9)])
def test_refused_box_leaves_the_running_track_untouched(network, box):
    frames = seeded_frames(3)
    tracker = make_tracker(network)
    tracker.initialize(frames[0], seeded_box())
    before = snapshot(tracker)
    with pytest.raises(BoxError):
        tracker.initialize(frames[1], box)
    assert_untouched(tracker, before)


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((90, 90), np.uint8),
        np.zeros((160, 200, 4), np.uint8),
        np.full((160, 200), np.nan, np.float32),
    ],
    ids=["another size", "four channels", "no finite pixel"],
)
def test_refused_frame_leaves_the_running_track_untouched(network, frame):
    frames = seeded_frames(3)
    tracker = make_tracker(network)
    tracker.initialize(frames[0], seeded_box())
    before = snapshot(tracker)
    for call in (tracker.update, lambda f: tracker.initialize(f, seeded_box(), "other")):
        with pytest.raises(FrameError):
            call(frame)
    assert_untouched(tracker, before)
    assert tracker.update(frames[1])[0].box is not None


def test_uniform_picture_teaches_no_target(network):
    tracker = make_tracker(network)
    with pytest.raises(FrameError, match="shutter"):
        tracker.initialize(np.full((160, 200), 90, np.uint8), seeded_box())
    assert tracker.target_ids == ()


def test_target_added_on_the_frame_being_processed_freezes_nobody(network):
    frames = seeded_frames(3)
    tracker = make_tracker(network)
    tracker.initialize(frames[0], seeded_box(), "a")
    tracker.update(frames[1])
    tracker.initialize(frames[2], Box(40, 40, 20, 20), "b")
    assert [result.state.value for result in tracker.update(frames[2])] == ["TRACKING"] * 2


def test_one_target_catches_up_while_the_others_wait(network):
    frames = seeded_frames(5)
    tracker = make_tracker(network)
    tracker.initialize(frames[0], Box(40, 40, 20, 20), "waiting")
    before = snapshot(tracker)
    tracker.initialize(frames[0], seeded_box(), "late")
    for frame in frames[1:]:
        (result,) = tracker.update(frame, only=["late"])
    assert math.dist(result.box[:2], seeded_box(4)[:2]) < 4
    tracker.remove("late")
    assert_untouched(tracker, before)
    assert tracker.update(frames[4], only=["unknown"]) == []


@pytest.mark.parametrize("shutter", ["repeated", "uniform"])
def test_shutter_freezes_the_track_and_teaches_nothing(network, shutter):
    frames = seeded_frames(4)
    tracker = make_tracker(network)
    tracker.initialize(frames[0], seeded_box())
    (moving,) = tracker.update(frames[1])
    before = snapshot(tracker)
    frozen = frames[1] if shutter == "repeated" else np.full_like(frames[1], 60)
    (held,) = tracker.update(frozen)
    assert held.state is TrackState.FROZEN
    assert held.box == moving.box
    assert_untouched(tracker, before)
    assert tracker.update(frames[2])[0].state is TrackState.TRACKING


def test_a_driver_that_sends_every_picture_thrice_changes_no_box():
    frames = seeded_frames(6)
    plain, filled_up = MLSSTracker(device="cpu"), MLSSTracker(device="cpu")
    for tracker in (plain, filled_up):
        tracker.initialize(frames[0], seeded_box())
    for frame in frames[1:]:
        (once,) = plain.update(frame)
        first, *repeated = (filled_up.update(frame)[0] for _ in range(3))
        assert (first.box, first.score, first.state) == (once.box, once.score, once.state)
        assert [result.state for result in repeated] == [TrackState.FROZEN] * 2


def test_lost_target_has_no_box_and_teaches_nothing(network):
    presence = PresenceParams(
        lost_below=1.0, uncertain_below=1.0, lost_after=2, regain_near=1.0, regain_above=1.0
    )
    tracker = make_tracker(network, presence=presence)
    frames = seeded_frames(5)
    tracker.initialize(frames[0], seeded_box())
    before = snapshot(tracker)["target"][-1]
    states = [tracker.update(frame)[0] for frame in frames[1:]]
    assert [result.state.value for result in states] == ["UNCERTAIN", "LOST", "LOST", "LOST"]
    assert [result.box is None for result in states] == [False, True, True, True]
    torch.testing.assert_close(snapshot(tracker)["target"][-1], before)


def test_template_rolls_by_its_rate(network):
    frames = seeded_frames(2)
    still = make_tracker(network, template=TemplateParams(online=False, rate=0.0))
    rolling = make_tracker(network, template=TemplateParams(online=False, rate=0.25))
    fresh = make_tracker(network, template=TemplateParams(online=False, rate=1.0))
    for tracker in (still, rolling, fresh):
        tracker.initialize(frames[0], seeded_box())
        tracker.update(frames[1])
    first, last = (snapshot(tracker)["target"][-1] for tracker in (still, fresh))
    torch.testing.assert_close(snapshot(rolling)["target"][-1], 0.75 * first + 0.25 * last)


def test_learning_early_changes_no_result(network):
    frames = seeded_frames(6)
    early, late = make_tracker(network), make_tracker(network)
    for tracker in (early, late):
        tracker.initialize(frames[0], seeded_box())
    for frame in frames[1:]:
        (a,), (b,) = early.update(frame), late.update(frame)
        early.learn()
        np.testing.assert_allclose(a.box, b.box, rtol=0, atol=1e-4)


@pytest.mark.parametrize("scale", [0, 2], ids=["ever smaller", "ever larger"])
def test_size_stays_within_its_limit(network, monkeypatch, scale):
    monkeypatch.setattr(
        "mlss_core.response.best_scales", lambda maps, search: torch.full((len(maps),), scale)
    )
    search = SearchParams(scales=3, scale_limit=1.05, scale_penalty=1.0, scale_rate=1.0)
    tracker = make_tracker(network, search=search, box=BoxParams(refine=False))
    frames = seeded_frames(12)
    tracker.initialize(frames[0], seeded_box())
    for frame in frames[1:]:
        (result,) = tracker.update(frame)
        assert seeded_box().w / 1.0501 <= result.box.w <= seeded_box().w * 1.0501


def test_boxes_are_in_px_of_the_frame_with_its_telemetry_rows(network):
    frames = seeded_frames(3)
    plain = make_tracker(network)
    cut = make_tracker(network, thermal=ThermalParams(crop_top=4, crop_bottom=2))
    plain.initialize(frames[0], seeded_box())
    shifted = seeded_box()._replace(cy=seeded_box().cy + 4)
    cut.initialize(np.pad(frames[0], ((4, 2), (0, 0))), shifted)
    for frame in frames[1:]:
        (a,) = plain.update(frame)
        (b,) = cut.update(np.pad(frame, ((4, 2), (0, 0))))
        np.testing.assert_allclose(b.box, a.box._replace(cy=a.box.cy + 4), rtol=0, atol=1e-4)


def test_rows_that_are_cut_only_from_the_next_start_on_move_no_box(network):
    frames = seeded_frames(3)
    plain, changed = make_tracker(network), make_tracker(network)
    for tracker in (plain, changed):
        tracker.initialize(frames[0], seeded_box())
    changed.params = TrackerParams(presence=ALWAYS_PRESENT, thermal=ThermalParams(crop_top=20))
    assert changed.update(frames[1]) == plain.update(frames[1])
    changed.initialize(frames[1], seeded_box(1), "b")
    assert changed.update(frames[2])[1].box.cy == pytest.approx(seeded_box(2).cy, abs=4)


def test_reference_profile_is_plain_float32():
    params = tracker_params("reference")
    tracker = MLSSTracker(seeded_network(), params, device="cpu", precision="bf16")
    assert tracker.precision == "fp32"


@pytest.mark.parametrize(
    ("device", "precision"), [("tpu", "auto"), ("cpu", "int4"), ("cpu", "fp16")]
)
def test_unknown_device_or_precision_is_refused(network, device, precision):
    with pytest.raises(ConfigError, match="expected"):
        MLSSTracker(network, device=device, precision=precision)


@pytest.mark.parametrize("online", [False, True])
def test_templates_change_every_few_frames(network, online):
    frames = seeded_frames()

    def template_after(every, count):
        policy = TemplateParams(every=every, rate=0.02, online=online)
        tracker = make_tracker(network, template=policy)
        tracker.initialize(frames[0], seeded_box())
        for i in range(1, count + 1):
            tracker.update(frames[i])
            tracker.learn()
        return tracker._targets["target"].templates.semantic

    begun = template_after(3, 0)
    assert torch.equal(template_after(3, 2), begun)
    assert not torch.equal(template_after(3, 3), begun)
    assert not torch.equal(template_after(1, 1), begun)


@pytest.mark.parametrize("online", [False, True])
def test_how_templates_are_learnt_is_settled_when_a_target_starts(network, online):
    frames = seeded_frames(4)
    changed = make_tracker(network, template=TemplateParams(every=1, online=online))
    same = make_tracker(network, template=TemplateParams(every=1, online=online))
    for tracker in (changed, same):
        tracker.initialize(frames[0], seeded_box())
    other = TemplateParams(every=1, online=not online)
    changed.params = dataclasses.replace(changed.params, template=other)
    for frame in frames[1:]:
        changed.update(frame)
        same.update(frame)
    torch.testing.assert_close(snapshot(changed)["target"][-1], snapshot(same)["target"][-1])
    changed.initialize(frames[0], seeded_box())
    assert (changed._targets["target"].filter is None) == online


def test_what_is_most_like_the_target_is_learnt_too_with_the_targets_place_beside_it(
    network,
):
    frame, box = seeded_frames(1)[0], seeded_box()
    tracker = make_tracker(network, template=TemplateParams(every=1))
    tracker.initialize(frame, box)
    target = tracker._targets["target"]
    near, alike, gone = (
        Thing(box.cx + right, box.cy + 10.0, score=score, unseen=unseen)
        for right, score, unseen in ((9.0, 0.9, 0), (-40.0, 0.5, 1), (40.0, 0.8, 2))
    )
    target.where.things = [near, Thing(box.cx, box.cy - 50.0, score=0.1), alike, gone]
    tracker._cut_exemplars([target], [target.size_px], torch.from_numpy(frame).float())
    own, other = tracker._unlearnt
    assert own.off_cells is None
    assert not torch.equal(own.patch, other.patch)
    cell_px = 4 / 255 * 255 / 127 * target.size_px
    assert other.off_cells == pytest.approx((40 / cell_px, -10 / cell_px))
    target.where.things = [near, gone]
    tracker._cut_exemplars([target], [target.size_px], torch.from_numpy(frame).float())
    assert len(tracker._unlearnt) == 3


def test_a_seldom_roll_takes_over_as_much_as_rolls_in_every_frame_would():
    begun, fresh = (Templates(*torch.rand(2, 1, 4, 3, 3)) for _ in range(2))
    seldom, often = SimpleNamespace(templates=begun), SimpleNamespace(templates=begun)
    roll_templates(seldom, fresh, TemplateParams(every=3, rate=0.02))
    for _ in range(3):
        roll_templates(often, fresh, TemplateParams(every=1, rate=0.02))
    for one, other in zip(seldom.templates, often.templates, strict=True):
        torch.testing.assert_close(one, other)
    assert not torch.allclose(seldom.templates.semantic, begun.semantic)


def test_two_scales_are_the_present_one_and_its_neighbours_by_turns(network, monkeypatch):
    frames = seeded_frames(5)
    tracker = make_tracker(network, search=SearchParams(scales=2, scale_rate=0.0))
    cut = tracker._cut
    searched = []

    def watching(regions, fills, pixels, scales=1):
        searched.append([region.side for region in regions])
        return cut(regions, fills, pixels, scales)

    tracker.initialize(frames[0], seeded_box())
    monkeypatch.setattr(tracker, "_cut", watching)
    monkeypatch.setattr(tracker, "_cut_exemplars", lambda *_: None)
    monkeypatch.setattr(tracker, "_refine_boxes", lambda *_: None)
    for frame in frames[1:]:
        tracker.update(frame)
    step = tracker.params.search.scale_step
    ratios = [other / present for other, present in searched]
    assert ratios == pytest.approx([1 / step, step, 1 / step, step])


@pytest.mark.parametrize(
    ("state", "on_trial", "score", "expected"),
    [
        (TrackState.TRACKING, False, 0.3, True),
        (TrackState.UNCERTAIN, True, 0.9, True),
        (TrackState.UNCERTAIN, True, 0.3, False),
        (TrackState.UNCERTAIN, False, 0.9, False),
    ],
)
def test_boxes_follow_outlines_of_targets_that_are_sure_or_plainly_seen_on_trial(
    network, monkeypatch, state, on_trial, score, expected
):
    frames = seeded_frames(2)
    tracker = make_tracker(network, presence=PresenceParams())
    tracker.initialize(frames[0], seeded_box())
    (target,) = tracker._targets.values()
    target.state, target.score = state, score
    target.where.held = Thing(*target.box[:2]) if on_trial else None
    kept, shown = (target.box._replace(w=target.box.w + wider) for wider in (1, 2))
    monkeypatch.setattr(tracker._refiner, "refine", lambda *_: [Corrected(kept, shown)])
    tracker._refine_boxes([target], torch.from_numpy(frames[1]).float())
    assert (target.box == kept) is expected
    assert (target.shown == shown) is expected
