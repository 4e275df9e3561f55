"""Boxes and targets of a session: where a box starts, who catches up, what is refused."""

import pytest
from session_bench import BOX, MS, Bench, S

from mlss_core.box import Box
from mlss_tracker_ros.init_requests import InitRequest


def test_a_box_before_any_frame_waits_for_the_first_one():
    bench = Bench()
    bench.session.request(InitRequest(BOX, 0, "a"))
    assert bench.run() == []
    assert "kept" in bench.session.reason
    assert bench.run_each(2) == [(0, ("a",)), (1, ("a",))]


def test_a_box_before_any_frame_waits_for_one_that_it_fits():
    bench = Bench()
    bench.session.request(InitRequest(Box(300, 200, 20, 20), 0, "a"))
    bench.send(1 * S)
    assert bench.run() == [(0, ())]
    assert "outside" in bench.session.reason or "inside" in bench.session.reason
    bench.send(2 * S, size=(256, 320))
    assert bench.run() == [(1, ("a",))]


def test_an_unstamped_box_starts_on_the_newest_frame_at_once():
    bench = Bench()
    bench.run_each(3)
    bench.session.request(InitRequest(BOX, 0, "a"))
    bench.run()
    assert bench.tracker.calls == [("initialize", 2, ("a",))]
    assert bench.run_each(1, start_s=1.3) == [(3, ("a",))]


def test_a_stamped_box_starts_on_its_frame_and_catches_up():
    bench = Bench()
    bench.run_each(10)
    bench.session.request(InitRequest(BOX, round(1.4 * S), "a"))
    assert bench.run() == []  # those frames were published when they were new
    assert bench.tracker.calls[0] == ("initialize", 4, ("a",))
    assert [number for what, number, _ in bench.tracker.calls[1:]] == [5, 6, 7, 8, 9]
    assert bench.run_each(1, start_s=2.0) == [(10, ("a",))]


def test_catching_up_gains_on_a_camera_that_is_faster_than_the_tracker():
    bench = Bench(buffer_span_s=10.0)
    bench.run_each(30)

    def three_more_frames():
        if bench.pictures < 200:
            newest = bench.session.buffer.newest
            for n in range(3):
                bench.send(newest.stamp_ns + (n + 1) * 100 * MS)

    bench.tracker.on_update = three_more_frames
    bench.session.request(InitRequest(BOX, round(1.0 * S), "a"))
    steps = 0
    while bench.session.catching_up:
        bench.session.step()
        steps += 1
        assert steps < 15, "a lag of 30 frames, shrinking by 3 a step, is gone after 10 steps"
    numbers = [number for what, number, _ in bench.tracker.calls if what == "update"]
    assert numbers == sorted(numbers)


def test_catching_up_in_a_recording_leaves_no_frame_out_and_publishes_each():
    bench = Bench(process_every_frame=True)
    bench.run_each(5)
    bench.send_many(3, start_s=1.5)
    bench.session.request(InitRequest(BOX, round(1.0 * S), "a"))
    published = bench.run()
    assert published == [(n, ("a",)) for n in range(8)]


def test_other_targets_go_on_while_one_catches_up():
    bench = Bench()
    bench.session.request(InitRequest(BOX, 0, "a"))
    bench.run_each(10)
    bench.send(round(2.0 * S))
    bench.session.request(InitRequest(BOX, round(1.4 * S), "b"))
    published = bench.run()
    assert published[0] == (10, ("a",))
    assert bench.run_each(1, start_s=2.1) == [(11, ("a", "b"))]
    replayed = [n for what, n, ids in bench.tracker.calls if what == "update" and ids == ("b",)]
    assert replayed == [5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize("stamp_s", [1.05, 1.9, 2.3])
def test_a_stamp_near_the_newest_frame_takes_a_frame_near_it(stamp_s):
    bench = Bench(buffer_span_s=0.3)
    bench.run_each(11)  # stamps 1.0 to 2.0, kept from 1.7
    bench.session.request(InitRequest(BOX, round(stamp_s * S) + 1, "a"))
    bench.run()
    if stamp_s == 1.05:
        assert bench.tracker.calls == []
        assert "refused" in bench.session.reason
        assert "0.950 s before the newest" in bench.session.reason
    elif stamp_s == 1.9:
        assert bench.tracker.calls == [("initialize", 10, ("a",))]
    else:
        assert bench.tracker.calls == []
        bench.run_each(4, start_s=2.1)
        assert bench.tracker.calls[0] == ("initialize", 14, ("a",))


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        (Box(500, 20, 10, 10), "inside"),
        (Box(30, 20, 1, 1), "at least"),
        (Box(30, 20, 1000, 10), "no larger"),
    ],
)
def test_a_refused_box_says_why_and_leaves_the_running_track_alone(box, reason):
    bench = Bench()
    bench.session.request(InitRequest(BOX, 0, "a"))
    bench.run_each(2)
    bench.session.request(InitRequest(box, 0, "a"))
    bench.run()
    assert reason in bench.session.reason
    assert bench.session.reason in bench.said
    assert bench.run_each(1, start_s=1.2) == [(2, ("a",))]
    assert bench.tracker.targets["a"] == BOX


def test_boxes_without_a_name_replace_each_other_and_named_ones_stay():
    bench = Bench()
    bench.session.request(InitRequest(BOX, 0, "named"))
    bench.session.request(InitRequest(BOX))
    assert bench.run_each(1) == [(0, ("named", "1"))]
    bench.session.request(InitRequest(BOX))
    assert bench.run_each(1, start_s=1.1)[-1] == (1, ("named", "2"))


def test_too_many_targets_are_refused():
    bench = Bench(max_targets=2)
    bench.run_each(1)
    for name in "abc":
        bench.session.request(InitRequest(BOX, 0, name))
    bench.run()
    assert bench.tracker.target_ids == ("a", "b")
    assert "max_targets=2" in bench.session.reason
    bench.session.request(InitRequest(Box(10, 10, 8, 8), 0, "a"))
    bench.run()
    assert bench.tracker.targets["a"] == Box(10, 10, 8, 8)


def test_a_stop_ends_one_target_or_all_and_an_unknown_one_is_refused():
    bench = Bench()
    for name in "abc":
        bench.session.request(InitRequest(BOX, 0, name))
    bench.run_each(2)
    bench.session.request(InitRequest(None, 0, "b"))
    assert bench.run_each(1, start_s=1.2) == [(2, ("a", "c"))]
    bench.session.request(InitRequest(None, 0, "x"))
    assert "got 'x'" in bench.session.reason
    assert bench.tracker.target_ids == ("a", "c")
    bench.session.request(InitRequest(None))
    assert bench.run_each(1, start_s=1.3) == [(3, ())]


def test_reset_starts_every_target_again_from_its_last_box():
    bench = Bench()
    bench.run_each(1)
    bench.session.request(InitRequest(BOX, 0, "a"))
    bench.session.request(InitRequest(Box(20, 20, 8, 8), 0, "b"))
    bench.run_each(2, start_s=1.1)
    bench.tracker.calls.clear()
    assert bench.session.reset() == ["a", "b"]
    bench.run()
    assert bench.tracker.calls == [("initialize", 2, ("a",)), ("initialize", 2, ("b",))]


def test_twenty_boxes_a_second_leave_one_target():
    bench = Bench()
    for n in range(60):
        bench.session.request(InitRequest(BOX._replace(cx=20 + n % 20)))
        if n % 2:
            bench.send(round((1 + n / 20) * S))
            bench.run()
    assert len(bench.tracker.target_ids) == 1
    assert len(bench.session.results) == 1


def test_a_storm_of_boxes_for_one_target_is_one_start_and_keeps_no_frame_out():
    bench = Bench()
    bench.run_each(1)
    published = []
    for n in range(30):
        bench.send(round((2 + n / 60) * S))
        for _ in range(3):
            bench.session.request(InitRequest(BOX._replace(cx=20 + n), 0, "a"))
        for _ in range(2):
            step = bench.session.step()
            published += [step.kept.number] if step is not None and step.publish else []
    starts = [call for call in bench.tracker.calls if call[0] == "initialize"]
    assert len(starts) <= 30
    assert len(published) >= 29
    bench.run()
    assert bench.tracker.targets["a"].cx == 49  # the newest box counts


def test_boxes_that_wait_for_their_start_are_bounded():
    bench = Bench(max_targets=2)
    bench.run_each(1)
    for n in range(50):
        bench.session.request(InitRequest(BOX, 0, f"target {n}"))
    assert "boxes to wait for their start" in bench.session.reason
    bench.run()
    assert bench.tracker.target_ids == ("target 0", "target 1")


@pytest.mark.parametrize("seen", [True, False])
def test_a_box_drawn_before_the_picture_changed_its_size_is_refused(seen):
    bench = Bench()
    bench.run_each(3)  # stamps 1.0 to 1.2
    bench.session.buffer.forget_before(2)
    bench.send(round(1.3 * S), size=(96, 128))
    if seen:
        bench.run()
    bench.session.request(InitRequest(BOX, round(1.1 * S), "a"))
    assert bench.run() == ([] if seen else [(3, ())])
    assert bench.tracker.calls == []
    assert any("before the stream broke at 1.300 s; draw it again" in said for said in bench.said)
    bench.session.request(InitRequest(BOX, round(1.3 * S), "a"))
    bench.run()
    assert bench.tracker.calls == [("initialize", 3, ("a",))]


def test_a_box_on_the_first_picture_of_another_size_starts_and_drops_the_others():
    bench = Bench()
    bench.session.request(InitRequest(BOX, 0, "a"))
    bench.run_each(2)
    bench.send(round(1.2 * S), size=(96, 128))
    bench.session.request(InitRequest(BOX, 0, "b"))
    assert bench.run() == [(2, ("b",))]
    assert any("dropped target a" in said for said in bench.said)


def test_a_box_ahead_in_a_recording_where_the_size_differs_leaves_no_frame_out():
    bench = Bench(process_every_frame=True)
    bench.run_each(2)
    bench.send_many(3, start_s=1.2)
    bench.send(round(1.5 * S), size=(96, 128))
    bench.session.request(InitRequest(BOX, round(1.5 * S), "a"))
    assert bench.run() == [(2, ()), (3, ()), (4, ()), (5, ())]
    assert any("128x96 px uint8; send it when they have come" in said for said in bench.said)
