"""The camera on a real graph: what it shows, when, and with which stamps."""

import contextlib
import math

import cv2
import numpy as np
import pytest
from conftest import LATCHED, S, blob_frame, spinning
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from mlss_core.box import Box
from mlss_core.errors import ConfigError, SequenceError
from mlss_tracker_ros.camera_node import COUNTS_PER_GREY, CameraNode, converter
from mlss_tracker_ros.detections import box_from_detection
from mlss_tracker_ros.diagnostics import parse_status
from mlss_tracker_ros.image_conversion import frame_from_image

FRAMES = 6


@pytest.fixture
def sequence_folder(tmp_path):
    (tmp_path / "img").mkdir()
    for n in range(FRAMES):
        cv2.imwrite(str(tmp_path / "img" / f"{n + 1:04d}.png"), blob_frame(n))
    rows = ["73,53,16,16"] * (FRAMES - 1) + ["nan,nan,nan,nan"]
    (tmp_path / "groundtruth_rect.txt").write_text("\n".join(rows) + "\n")
    return tmp_path


class Viewer:
    """Keeps what a camera publishes."""

    def __init__(self, client, namespace):
        node = client.node
        self.client = client
        self.images, self.truth, self.statuses = [], [], []
        node.create_subscription(
            Detection2DArray,
            "thermal_camera/ground_truth",
            self.truth.append,
            QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL),
        )
        node.create_subscription(
            DiagnosticStatus, "thermal_camera/status", self.statuses.append, LATCHED
        )
        self.listen = lambda: node.create_subscription(
            Image, "image_raw", self.images.append, QoSProfile(depth=100)
        )

    def state(self):
        return parse_status(self.statuses[-1])["state"] if self.statuses else ""

    def until_finished(self):
        self.client.until(
            lambda: self.state() == "FINISHED" and len(self.images) == len(self.truth),
            "the last image",
        )


@pytest.fixture
def make_camera(ros_context, make_client):  # which ends after it, as for make_tracker
    with contextlib.ExitStack() as running:

        def make(namespace, **params):
            overrides = [Parameter(name, value=value) for name, value in params.items()]
            node = CameraNode(
                context=ros_context, namespace=namespace, parameter_overrides=overrides
            )
            running.callback(node.destroy_node)
            running.enter_context(spinning(node))
            return node

        yield make


@pytest.fixture
def viewer(namespace, make_client):
    client = make_client(namespace)
    client.node.destroy_publisher(client.images)
    return Viewer(client, namespace)


def stamp_ns(message) -> int:
    return message.header.stamp.sec * S + message.header.stamp.nanosec


def test_a_recording_is_shown_whole_and_in_order_once_somebody_listens(
    namespace, make_camera, viewer, sequence_folder
):
    make_camera(namespace, source=str(sequence_folder), rate=100.0, wait_for_subscribers=1)
    viewer.client.until(lambda: viewer.state() == "WAITING", "a waiting camera")
    viewer.listen()
    viewer.until_finished()
    assert len(viewer.images) == FRAMES
    for n, message in enumerate(viewer.images):
        np.testing.assert_array_equal(frame_from_image(message), blob_frame(n))
        assert message.header.frame_id == "thermal_camera_optical"
    stamps = [stamp_ns(message) for message in viewer.images]
    assert stamps == sorted(set(stamps))


def test_the_ground_truth_has_the_images_header_and_box(
    namespace, make_camera, viewer, sequence_folder
):
    make_camera(namespace, source=str(sequence_folder), rate=100.0, wait_for_subscribers=1)
    viewer.listen()
    viewer.until_finished()
    assert [m.header for m in viewer.truth] == [m.header for m in viewer.images]
    (labelled,) = viewer.truth[0].detections
    assert box_from_detection(labelled) == Box.from_ltwh(73, 53, 16, 16)
    assert viewer.truth[-1].detections == []


def test_a_loop_with_the_recordings_stamps_jumps_back(
    namespace, make_camera, viewer, sequence_folder
):
    viewer.listen()
    make_camera(
        namespace,
        source=str(sequence_folder),
        rate=50.0,
        loop=True,
        stamps="recording",
        wait_for_subscribers=1,
    )
    viewer.client.until(lambda: len(viewer.images) > FRAMES, "a second round")
    stamps = [stamp_ns(message) for message in viewer.images[: FRAMES + 1]]
    assert stamps[:3] == [S, S + S // 50, S + 2 * S // 50]
    assert stamps[FRAMES] == stamps[0]


@pytest.mark.parametrize(("encoding", "bits"), [("mono8", 8), ("mono16", 16)])
def test_the_simulator_is_shown_in_the_encoding_asked_for(
    namespace, make_camera, viewer, encoding, bits
):
    viewer.listen()
    size = {"sim.width": 96, "sim.height": 64, "sim.target_px": 20.0, "sim.frames": 3}
    make_camera(namespace, encoding=encoding, rate=50.0, wait_for_subscribers=1, **size)
    viewer.until_finished()
    assert len(viewer.images) == 3
    for message in viewer.images:
        assert (message.encoding, message.width, message.height) == (encoding, 96, 64)
        assert message.step == 96 * bits // 8
    assert len(viewer.truth[0].detections) == 1


@pytest.fixture
def answers(namespace, make_camera, viewer, sequence_folder, monkeypatch):
    """Publisher of answers to a camera that waits for them for ever, two images ahead at most."""
    monkeypatch.setattr("mlss_tracker_ros.camera_node.PACE_PATIENCE_S", math.inf)
    publisher = viewer.client.node.create_publisher(Detection2DArray, "answers", 10)
    viewer.listen()
    make_camera(
        namespace,
        source=str(sequence_folder),
        rate=200.0,
        wait_for_subscribers=1,
        pace_topic="answers",
        pace_window=2,
    )
    viewer.client.until(publisher.get_subscription_count, "the camera's ears")
    return publisher


def test_a_camera_stays_no_further_ahead_than_its_window(viewer, answers):
    for answered in range(FRAMES):
        viewer.client.until(
            lambda n=answered: len(viewer.images) >= min(n + 2, FRAMES), "an image"
        )
        for _ in range(10):  # ten periods in which it could run ahead
            viewer.client.executor.spin_once(timeout_sec=0.005)
        assert len(viewer.images) <= answered + 2
        answers.publish(Detection2DArray(header=viewer.images[answered].header))
    viewer.until_finished()


def test_a_camera_goes_on_when_an_image_is_never_answered(viewer, answers):
    for answered in range(1, FRAMES, 2):  # a live tracker drops images, and refuses bad ones
        viewer.client.until(lambda n=answered: len(viewer.images) > n, "an image")
        answers.publish(Detection2DArray(header=viewer.images[answered].header))
    viewer.until_finished()


@pytest.mark.usefixtures("answers")
def test_a_camera_goes_on_when_more_images_than_its_window_are_never_answered(
    viewer, monkeypatch, capfd
):
    monkeypatch.setattr("mlss_tracker_ros.camera_node.PACE_PATIENCE_S", 0.05)
    viewer.until_finished()
    assert len(viewer.images) == FRAMES
    assert "no answer on answers to 2 images" in capfd.readouterr().err


def test_an_image_that_is_not_published_is_told_once_and_tried_again(
    namespace, make_camera, viewer, sequence_folder, capfd
):
    node = make_camera(namespace, source=str(sequence_folder), rate=100.0, wait_for_subscribers=1)
    publish, failures = node._images.publish, iter(range(3))

    def fail_three_times(message):
        for n in failures:
            raise RuntimeError(f"the history is full, time {n}")
        publish(message)

    node._images.publish = fail_three_times
    viewer.listen()
    viewer.until_finished()
    assert len(viewer.images) == FRAMES
    told = [line for line in capfd.readouterr().err.splitlines() if "not published" in line]
    assert len(told) == 1
    assert "history is full, time 0" in told[0]


def test_a_camera_publishes_reliably_as_drivers_do_and_can_be_told_otherwise(
    namespace, make_camera, viewer, sequence_folder
):
    topic = f"{namespace}/image_raw"
    make_camera(namespace, source=str(sequence_folder), wait_for_subscribers=9)
    other = f"{namespace}/other"
    make_camera(
        other,
        source=str(sequence_folder),
        wait_for_subscribers=9,
        **{f"qos_overrides.{other}/image_raw.publisher.reliability": "best_effort"},
    )

    def reliability(name):
        found = viewer.client.node.get_publishers_info_by_topic(name)
        return [info.qos_profile.reliability for info in found]

    viewer.client.until(lambda: reliability(topic) and reliability(f"{other}/image_raw"), "both")
    assert reliability(topic) == [ReliabilityPolicy.RELIABLE]
    assert reliability(f"{other}/image_raw") == [ReliabilityPolicy.BEST_EFFORT]


def test_a_source_or_parameter_that_cannot_be_used_is_refused(namespace, make_camera):
    with pytest.raises(SequenceError, match="/nowhere"):
        make_camera(namespace, source="/nowhere")
    with pytest.raises(ConfigError, match="encoding"):
        make_camera(namespace, encoding="yuv")


def test_what_the_camera_reads_at_its_start_cannot_be_set_later(
    namespace, make_camera, sequence_folder
):
    node = make_camera(namespace, source=str(sequence_folder), wait_for_subscribers=9)
    for name, value in (("loop", True), ("sim.seed", 5)):
        (answer,) = node.set_parameters([Parameter(name, value=value)])
        assert not answer.successful, name
        assert "read-only" in answer.reason


def test_conversion_keeps_order_and_range():
    deep = (blob_frame(0).astype(np.uint16) * 40) + 3000
    grey = converter("mono8")(deep)
    assert grey.dtype == np.uint8
    assert np.ptp(grey) > 200
    assert grey[60, 80] > grey[10, 10]
    counts = converter("mono16")(blob_frame(0))
    np.testing.assert_array_equal(counts, blob_frame(0).astype(np.uint16) * COUNTS_PER_GREY)
    colour = np.dstack([blob_frame(0), blob_frame(1), blob_frame(2)])
    assert converter("auto")(colour) is colour
    assert converter("mono8")(colour).shape == (120, 160)
