"""The demo's checking client: sends the first box, and keeps every message to compare."""

from __future__ import annotations

import time
from typing import NamedTuple

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray

from mlss_core.box import Box
from mlss_tracker_ros.detections import box_from_detection, detection_from_box
from mlss_tracker_ros.diagnostics import parse_status

TARGET_ID = "demo"
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
HISTORY = QoSProfile(depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Answer(NamedTuple):
    """What the tracker said of one image."""

    box: Box | None
    score: float
    latency_s: float  # from the image's stamp, taken as it was published, to its detections


class DemoClient(Node):
    """Hears camera and tracker; keyed by stamp, in ns."""

    def __init__(self) -> None:
        """Create everything but the image subscription, which starts the camera."""
        super().__init__("demo_client")
        self.images: dict[int, Header] = {}
        self.truth: dict[int, tuple[Box | None, float]] = {}  # box and its visible part
        self.answers: dict[int, Answer] = {}
        self._headers: list[Header] = []  # of every array and detection
        self.camera: dict[str, str] = {}
        self.tracker: dict[str, str] = {}
        self.last_heard_s = time.monotonic()
        self._box_sent = False
        self._boxes = self.create_publisher(Detection2D, "mlss_tracker/init_box", 10)
        self.create_subscription(
            Detection2DArray, "mlss_tracker/detections", self._on_detections, 100
        )
        self.create_subscription(
            Detection2DArray, "thermal_camera/ground_truth", self._on_truth, HISTORY
        )
        self.create_subscription(
            DiagnosticStatus, "mlss_tracker/status", self._on_tracker_status, LATCHED
        )
        self.create_subscription(
            DiagnosticStatus, "thermal_camera/status", self._on_camera_status, LATCHED
        )

    @property
    def connected(self) -> bool:
        """Whether boxes reach the tracker and its detections and the ground truth come back."""
        return bool(
            self._boxes.get_subscription_count()
            and self.count_publishers("mlss_tracker/detections")
            and self.count_publishers("thermal_camera/ground_truth")
            and self.tracker.get("state") == "WAITING_IMAGE"
        )

    @property
    def tracker_refused(self) -> str:
        """Why the tracker cannot be configured; empty while it can."""
        reason = self.tracker.get("reason", "")
        return reason if reason.startswith("cannot configure") else ""

    @property
    def finished(self) -> bool:
        """Whether the camera has published its last image."""
        return self.camera.get("state") == "FINISHED"

    def watch(self) -> None:
        """Subscribe to the images; the camera waits for that."""
        self.create_subscription(Image, "image_raw", self._on_image, 100)

    def wrong_headers(self) -> int:
        """Headers of detections that are not the header of an image, to the last field."""
        return sum(self.images.get(_key(header)) != header for header in self._headers)

    def _on_image(self, message: Image) -> None:
        self.images[_key(message.header)] = message.header
        self.last_heard_s = time.monotonic()

    def _on_truth(self, message: Detection2DArray) -> None:
        if not message.detections:
            self.truth[_key(message.header)] = (None, 0.0)
            return
        (labelled,) = message.detections
        box = box_from_detection(labelled)
        self.truth[_key(message.header)] = (box, labelled.results[0].hypothesis.score)
        if not self._box_sent:
            self._box_sent = True
            self._boxes.publish(detection_from_box(box, message.header, TARGET_ID))

    def _on_detections(self, message: Detection2DArray) -> None:
        now_ns = self.get_clock().now().nanoseconds
        self.last_heard_s = time.monotonic()
        key = _key(message.header)
        self._headers.append(message.header)
        self._headers += [detection.header for detection in message.detections]
        before = self.answers.get(key)
        latency_s = before.latency_s if before is not None else (now_ns - key) / 1e9
        mine = [d for d in message.detections if d.id == TARGET_ID]
        box = box_from_detection(mine[0]) if mine else None
        score = mine[0].results[0].hypothesis.score if mine else 0.0
        self.answers[key] = Answer(box, score, latency_s)

    def _on_tracker_status(self, message: DiagnosticStatus) -> None:
        self.tracker = parse_status(message)

    def _on_camera_status(self, message: DiagnosticStatus) -> None:
        self.camera = parse_status(message)


def _key(header: Header) -> int:
    return header.stamp.sec * 10**9 + header.stamp.nanosec
