"""Detections, status, diagnostics, debug picture and image plane, as messages."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import PATIENCE_S
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import Point
from std_msgs.msg import Header

from mlss_core.box import Box
from mlss_core.presence import TrackState
from mlss_core.tracker import TrackResult
from mlss_tracker_ros.debug_image import debug_picture
from mlss_tracker_ros.detections import box_from_detection, detections_from_results
from mlss_tracker_ros.diagnostics import (
    NodeState,
    diagnostic_tasks,
    loss_cause,
    overall_state,
    parse_status,
    status_message,
)
from mlss_tracker_ros.image_plane import MAX_POINTS, image_plane, pixel_on_plane
from mlss_tracker_ros.input_monitor import WINDOW, InputMonitor
from mlss_tracker_ros.reporter import Reporter

BOX = Box(20.5, 10.25, 8.0, 6.0)
TRACKED = TrackResult("a", BOX, 0.75, TrackState.TRACKING)
LOST = TrackResult("b", None, 0.1, TrackState.LOST)


def test_detections_carry_the_images_header_everywhere_and_no_lost_target():
    header = Header(frame_id="17")
    header.stamp.sec, header.stamp.nanosec = 5, 7
    array = detections_from_results([TRACKED, LOST], header, "person")
    assert array.header == header
    (detection,) = array.detections
    assert detection.header == header
    assert (detection.id, detection.results[0].hypothesis.class_id) == ("a", "person")
    assert detection.results[0].hypothesis.score == 0.75
    assert box_from_detection(detection) == BOX
    assert detection.bbox.center.theta == 0


def test_the_target_that_is_worst_off_names_the_state():
    uncertain = TRACKED._replace(state=TrackState.UNCERTAIN)
    assert overall_state([]) is NodeState.IDLE
    assert overall_state([TRACKED]) is NodeState.TRACKING
    assert overall_state([TRACKED, uncertain]) is NodeState.UNCERTAIN
    assert overall_state([uncertain, LOST, TRACKED]) is NodeState.LOST


@pytest.mark.parametrize(
    ("state", "level"),
    [
        (NodeState.TRACKING, DiagnosticStatus.OK),
        (NodeState.LOST, DiagnosticStatus.WARN),
        (NodeState.WAITING_IMAGE, DiagnosticStatus.WARN),
        (NodeState.ERROR, DiagnosticStatus.ERROR),
    ],
)
def test_a_status_begins_with_its_state_and_gives_the_reason(state, level):
    message = status_message("node", state, "because", {"fps": 29.97})
    assert message.message == f"{state.value}: because"
    assert message.level == level
    values = parse_status(message)
    assert (values["state"], values["reason"], values["fps"]) == (state.value, "because", "29.97")


def test_diagnostics_sort_the_figures_into_three_tasks():
    figures = {"received": 9, "rate_hz": 30.0, "device": "cpu", "tracker_fps": 20.0}
    tasks = diagnostic_tasks("ns/node", NodeState.TRACKING, "", figures)
    by_name = {task.name: parse_status(task) for task in tasks}
    assert set(by_name["ns/node: input"]) == {"received", "rate_hz"}
    assert by_name["ns/node: device"]["device"] == "cpu"
    assert by_name["ns/node: tracker"]["tracker_fps"] == "20.00"


def test_diagnostics_name_the_likely_cause_of_missing_images():
    assert "fastdds.xml" in loss_cause({"lost": 3, "lost_lately": 3, "received": 97})
    gap = {"lost": 0, "largest_gap_ms": 200.0, "period_ms": 33.0}
    assert "camera" in loss_cause(gap)
    assert "this process" in loss_cause(gap)  # overwritten images are lost without an event
    assert loss_cause({"lost": 0, "largest_gap_ms": 40.0, "period_ms": 33.0}) == ""


def test_images_lost_long_ago_are_counted_and_no_longer_warned_of():
    monitor = InputMonitor()

    def images(count):
        for _ in range(count):
            stamp_ns = monitor.received * 10**8
            monitor.arrived(stamp_ns, stamp_ns, "")
        return monitor.figures()

    images(5)
    monitor.lost = 3
    assert "3 images lost" in loss_cause(images(5))
    figures = images(WINDOW)
    assert (figures["lost"], loss_cause(figures)) == (3, "")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_debug_picture_shows_the_box_in_its_colour(dtype):
    frame = np.random.default_rng(0).integers(0, 200, (96, 160)).astype(dtype)
    plain = debug_picture(frame, [])
    assert (plain.shape, plain.dtype) == ((96, 160, 3), np.uint8)
    box = Box(60, 50, 20, 16)
    drawn = debug_picture(frame, [TRACKED._replace(box=box), LOST])
    left, _, right, bottom = (round(edge) for edge in box.corners())
    edge = drawn[bottom, left : right + 1].astype(int)
    assert (edge[:, 1] > edge[:, 2] + 100).all(), "green where it tracks"


def test_a_debug_picture_of_nothing_but_nan_is_drawn():
    frame = np.full((32, 32), np.nan, np.float32)
    assert debug_picture(frame, [TRACKED]).shape == (32, 32, 3)


def test_a_point_of_the_plane_is_the_pixel_that_was_drawn_there():
    picture = np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)
    cloud = image_plane(picture, Header(frame_id="plane"))
    assert cloud.header.frame_id == "plane"
    raw = bytes(cloud.data)
    for u, v in ((0, 0), (15, 0), (3, 11)):
        at = v * cloud.row_step + u * cloud.point_step
        x, y, z = np.frombuffer(raw, "<f4", 3, at)
        assert pixel_on_plane(Point(x=float(x), y=float(y))) == pytest.approx((u, v), abs=1e-4)
        assert z == 0
        blue, green, red = np.frombuffer(raw, "u1", 3, at + 12)
        assert (blue, green, red) == tuple(picture[v, u])


def test_a_large_picture_makes_a_bounded_cloud():
    cloud = image_plane(np.zeros((2160, 3840, 3), np.uint8), Header())
    assert cloud.width * cloud.height <= MAX_POINTS
    assert len(cloud.data) == cloud.row_step * cloud.height


def test_the_status_published_last_is_the_newest_when_two_threads_report():
    state, published = ["OLD"], []
    slow, goes_on = threading.Event(), threading.Event()

    def figures():
        if threading.current_thread() is first:
            slow.set()
            goes_on.wait(PATIENCE_S)
        return {}

    publisher = SimpleNamespace(publish=lambda message: published.append(message.message))
    node = SimpleNamespace(
        create_publisher=lambda *_: publisher,
        create_timer=lambda *_, **__: None,
        get_fully_qualified_name=lambda: "/node",
    )
    reporter = Reporter(node, lambda: (NodeState.IDLE, state[0]), figures)
    reporter._reporting = TellingLock()
    first, second = (threading.Thread(target=reporter.report) for _ in range(2))
    first.start()
    assert slow.wait(PATIENCE_S)
    state[0] = "NEW"
    reporter._reporting.asked.clear()
    second.start()
    while not reporter._reporting.asked.wait(0.01) and second.is_alive():
        pass  # it ends here, too early, unless reports wait for each other
    goes_on.set()
    first.join(PATIENCE_S)
    second.join(PATIENCE_S)
    assert published == ["IDLE: OLD", "IDLE: NEW"]


class TellingLock:
    """A lock that tells when somebody asks for it."""

    def __init__(self):
        self.asked, self._lock = threading.Event(), threading.Lock()

    def __enter__(self):
        self.asked.set()
        self._lock.acquire()

    def __exit__(self, *_):
        self._lock.release()
