"""Frames of a session: which are processed, what breaks the stream, what does not."""

import numpy as np
import pytest
from session_bench import BOX, MS, Bench, S

from mlss_tracker_ros.init_requests import InitRequest


def test_frames_before_any_box_are_processed_with_no_result():
    bench = Bench()
    assert bench.run_each(3) == [(0, ()), (1, ()), (2, ())]
    assert bench.session.results == []


def test_the_newest_frame_wins_and_the_others_count_as_dropped():
    bench = Bench()
    bench.send_many(5)
    assert bench.run() == [(4, ())]
    assert bench.session.dropped == 4
    assert bench.session.processed == 1


def test_every_frame_of_a_recording_is_processed_in_order():
    bench = Bench(process_every_frame=True)
    bench.send_many(50)
    assert [number for number, _ in bench.run()] == list(range(50))
    assert bench.session.dropped == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size": (32, 64)}, "image changed from 64x48 px uint8 to 64x32 px uint8"),
        ({"dtype": np.uint16}, "image changed from 64x48 px uint8 to 64x48 px uint16"),
        ({"size": (48, 64, 3)}, "64x48 px uint8 colour"),
    ],
)
def test_a_change_of_the_picture_drops_the_track_and_says_so(changes, said):
    bench = Bench()
    bench.session.request(InitRequest(BOX, 0, "a"))
    bench.run_each(2)
    bench.send(2 * S, **changes)
    assert bench.run() == [(2, ())]
    assert said in bench.session.reason
    assert "dropped target a" in bench.session.reason


def test_time_that_jumps_back_drops_the_track_and_says_so():
    bench = Bench()
    bench.session.request(InitRequest(BOX, 0, "a"))
    bench.run_each(3, start_s=100.0)
    assert bench.run_each(1, start_s=1.0) == [(3, ())]
    assert "time jumped back by 99.2" in bench.session.reason
    assert bench.session.buffer.find(round(100.0 * S)) is None


def test_a_looping_recording_starts_again_on_its_init_box():
    bench = Bench(init_box=tuple(BOX))
    bench.run_each(3, start_s=100.0)
    assert bench.run_each(2, start_s=1.0) == [(3, ("2",)), (4, ("2",))]


@pytest.mark.parametrize(("step_ms", "said"), [(0, "repeats the one before"), (-200, "earlier")])
def test_equal_and_slightly_backward_stamps_are_tracked_and_mentioned(step_ms, said):
    bench = Bench()
    bench.session.request(InitRequest(BOX, 0, "a"))
    bench.run_each(1, start_s=5.0)
    bench.send(5 * S + step_ms * MS)
    assert bench.run() == [(1, ("a",))]
    assert said in bench.session.reason


def test_an_unusable_frame_is_refused_and_the_next_good_one_goes_on():
    bench = Bench()
    bench.session.request(InitRequest(BOX, 0, "a"))
    bench.run_each(2)
    bench.session.buffer.add(2 * S, None, 0)
    assert bench.run() == []
    assert bench.session.broken
    assert "image refused: expected an image with pixels" in bench.session.reason
    assert bench.run_each(1, start_s=2.1) == [(3, ("a",))]
    assert not bench.session.broken
    assert bench.session.reason == ""


def test_a_paused_session_keeps_its_targets_and_does_not_count_drops():
    bench = Bench()
    bench.session.request(InitRequest(BOX, 0, "a"))
    bench.run_each(2)
    bench.session.enable(False)
    assert bench.run_each(5, start_s=1.2) == []
    bench.session.enable(True)
    assert bench.run_each(1, start_s=1.7) == [(7, ("a",))]
    assert bench.session.dropped == 0


@pytest.mark.parametrize(
    "refused", [None, np.full((8, 8), 3, np.uint8), np.full((48, 64), np.nan, np.float32)]
)
@pytest.mark.parametrize("stamp_s", [-(2**31), 0.001, 2**31])
def test_the_stamp_and_size_of_a_refused_image_break_nothing(refused, stamp_s):
    bench = Bench()
    bench.run_each(2)
    bench.session.request(InitRequest(BOX, 0, "a"))
    bench.run()
    kept = len(bench.session.buffer)
    bench.session.buffer.add(round(stamp_s * S), refused, 3072)
    assert bench.run() == []
    assert bench.session.refused == 1
    assert len(bench.session.buffer) <= kept  # it does not stay among those a box may name
    assert bench.run_each(1, start_s=1.2) == [(3, ("a",))]
    assert bench.session.reason == ""


def test_enabling_what_is_enabled_leaves_no_frame_out():
    bench = Bench()
    bench.run_each(1)
    bench.send(2 * S)
    bench.session.enable(True)
    assert bench.run() == [(1, ())]
