"""The frame buffer forgets in time, keeps what it must, and says when it is full."""

import pytest

from mlss_tracker_ros.frame_buffer import FrameBuffer

S = 10**9


def filled(buffer: FrameBuffer, count: int, size: int = 10, period_s: float = 0.1) -> FrameBuffer:
    for n in range(count):
        buffer.add(round((1 + n * period_s) * S), f"frame {n}", size)
    return buffer


def stamps(buffer: FrameBuffer) -> list[int]:
    return [kept.number for kept in buffer.after(-1)]


def test_frames_of_the_span_are_kept_and_found_by_stamp():
    buffer = filled(FrameBuffer(span_s=0.5, max_bytes=1000), 20)
    assert stamps(buffer) == [14, 15, 16, 17, 18, 19]
    assert buffer.find(round(2.5 * S)).frame == "frame 15"
    assert buffer.find(round(1.0 * S)) is None
    assert buffer.newest.number == 19


def test_bytes_are_bounded_but_the_newest_frame_stays():
    buffer = filled(FrameBuffer(span_s=60, max_bytes=35), 20)
    assert stamps(buffer) == [17, 18, 19]
    assert buffer.size_bytes == 30
    buffer.add(9 * S, "large", 1000)
    assert stamps(buffer) == [20]
    assert buffer.size_bytes == 1000


def test_of_equal_stamps_the_newest_frame_is_found():
    buffer = FrameBuffer(span_s=1, max_bytes=100)
    buffer.add(5, "first", 1)
    buffer.add(5, "second", 1)
    assert buffer.find(5).frame == "second"


@pytest.mark.parametrize("span_s", [0.0, 60.0])
def test_unread_frames_are_held_until_read_and_fill_the_buffer(span_s):
    buffer = FrameBuffer(span_s, max_bytes=50, hold_unread=True)
    filled(buffer, 4)
    assert not buffer.full
    filled(buffer, 4)
    assert len(buffer) == 8
    assert buffer.full
    buffer.mark_read(5)
    buffer.add(3 * S, "another", 10)
    assert min(stamps(buffer)) >= 4
    assert {6, 7, 8} <= set(stamps(buffer))


def test_a_live_buffer_is_never_full():
    assert not filled(FrameBuffer(span_s=60, max_bytes=50), 20).full


def test_a_pinned_frame_outlives_the_span_until_released():
    buffer = filled(FrameBuffer(span_s=0.2, max_bytes=55), 3)
    buffer.pin(2)
    filled(buffer, 10)
    assert 2 in stamps(buffer)
    assert buffer.size_bytes <= 55
    buffer.pin(None)
    buffer.add(30 * S, "later", 10)
    assert stamps(buffer) == [13]


def test_frames_before_a_break_in_the_stream_can_be_forgotten():
    buffer = filled(FrameBuffer(span_s=60, max_bytes=1000), 5)
    buffer.forget_before(3)
    assert stamps(buffer) == [3, 4]
    assert buffer.size_bytes == 20


def test_one_frame_can_be_forgotten():
    buffer = filled(FrameBuffer(span_s=60, max_bytes=1000), 4)
    buffer.forget(1)
    buffer.forget(9)
    assert stamps(buffer) == [0, 2, 3]
    assert buffer.size_bytes == 30
