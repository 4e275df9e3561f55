"""Boxes, regions and clicks become requests; whatever cannot be a box is refused."""

import math

import pytest
from sensor_msgs.msg import RegionOfInterest
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D

from mlss_core.box import Box
from mlss_core.errors import BoxError
from mlss_tracker_ros.detections import box_from_detection, detection_from_box
from mlss_tracker_ros.init_requests import (
    CornerPair,
    InitRequest,
    request_from_detection,
    request_from_roi,
)


def detection(cx=50.0, cy=40.0, w=20.0, h=10.0, theta=0.0, target_id="", stamp_ns=0):
    message = Detection2D(id=target_id)
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    message.bbox.center.position.x, message.bbox.center.position.y = cx, cy
    message.bbox.center.theta = theta
    message.bbox.size_x, message.bbox.size_y = w, h
    return message


def test_a_detection_names_the_box_the_frame_and_the_target():
    message = detection(target_id="drone", stamp_ns=3_000_000_007)
    request = request_from_detection(message)
    assert request == InitRequest(Box(50, 40, 20, 10), 3_000_000_007, "drone")
    assert not request.stop


def test_what_the_node_publishes_can_be_sent_back_as_an_init_box():
    message = detection_from_box(Box(12.25, 7.5, 9, 4), Header(), "a", "person", 0.5)
    assert request_from_detection(message).box == box_from_detection(message)


def test_both_sizes_zero_mean_stop():
    request = request_from_detection(detection(w=0.0, h=0.0, target_id="drone"))
    assert request.stop
    assert request.target_id == "drone"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"cx": math.nan}, "finite"),
        ({"cy": math.inf}, "finite"),
        ({"w": math.nan}, "finite"),
        ({"h": -math.inf}, "finite"),
        ({"theta": math.nan}, "finite"),
        ({"w": 0.0}, "positive size"),
        ({"h": 0.0}, "positive size"),
        ({"w": -5.0}, "positive size"),
        ({"w": -5.0, "h": -5.0}, "positive size"),
        ({"w": 0.0, "h": 0.0, "cx": math.nan}, "finite"),
        ({"theta": 0.1}, "along the picture's axes"),
        ({"target_id": "x" * 65}, "at most 64 characters"),
    ],
)
def test_a_detection_that_is_no_box_is_refused_with_the_reason(changes, reason):
    with pytest.raises(BoxError, match=reason):
        request_from_detection(detection(**changes))


def test_a_region_covers_whole_pixels():
    region = RegionOfInterest(x_offset=10, y_offset=20, width=5, height=3)
    assert request_from_roi(region).box == Box(12, 21, 5, 3)


@pytest.mark.parametrize("size", [(0, 0), (0, 4), (4, 0)])
def test_a_region_without_area_is_refused_not_taken_for_a_stop(size):
    with pytest.raises(BoxError, match="positive size"):
        request_from_roi(RegionOfInterest(width=size[0], height=size[1]))


def test_two_clicks_in_any_order_span_a_box_on_the_frame_of_the_first():
    corners = CornerPair(timeout_s=10)
    assert corners.click(30, 8, now_s=1.0, stamp_ns=111) is None
    assert corners.waiting(2.0)
    request = corners.click(10, 20, now_s=2.0, stamp_ns=222)
    assert request == InitRequest(Box(20, 14, 20, 12), 111)
    assert not corners.waiting(2.0)


def test_a_late_second_click_is_a_first_one():
    corners = CornerPair(timeout_s=10)
    corners.click(0, 0, now_s=0.0)
    assert corners.click(30, 30, now_s=10.1) is None
    assert corners.click(40, 50, now_s=10.2).box == Box(35, 40, 10, 20)


def test_whether_a_corner_waits_can_be_asked_while_another_thread_takes_it():
    seen = iter([(1.0, 2.0, 0, 5.0), None])  # held at first, taken in the very next moment
    taken = type("Taken", (CornerPair,), {"_first": property(lambda _: next(seen), lambda *_: 0)})
    assert taken(timeout_s=10).waiting(6.0)


def test_clicks_that_span_nothing_are_refused_and_forgotten():
    corners = CornerPair(timeout_s=10)
    corners.click(5, 5, now_s=0.0)
    with pytest.raises(BoxError, match="positive size"):
        corners.click(5, 9, now_s=1.0)
    assert not corners.waiting(1.0)
    with pytest.raises(BoxError, match="inside the picture"):
        corners.click(math.nan, 9, now_s=1.0)
