"""A thermal camera that misbehaves on command: node `fault_camera`, 16-bit hot blobs on noise.

Publishes `image_raw` and, with the same header, `~/truth` with the box of every blob. Each image's
frame id ends in the steady time in ns at which it was published, which is one clock for all
processes of a machine: a detection's header says how long it took, whatever the stamps do.

`~/rate` (std_msgs/Float64) sets images a second, 0 for silence; `~/jump` moves its clock by so
many seconds.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Float64, Header
from vision_msgs.msg import Detection2DArray

from mlss_core.box import Box
from mlss_core.checked import Checked
from mlss_tracker_ros.detections import detection_from_box
from mlss_tracker_ros.image_conversion import image_from_frame
from mlss_tracker_ros.parameters import declare_params, load_params, setting
from mlss_tracker_ros.running import run_node

KEPT = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)  # for whoever joins late

BACKGROUND_COUNTS = 7000
NOISE_COUNTS = 60
BLOB_COUNTS = 2500
MARGIN_PX = 64  # by which the noise moves from image to image


@dataclass(frozen=True)
class FaultCameraParams(Checked):
    """What the camera shows."""

    rate: float = setting(60.0, "Images a second at the start; 0: none.", "Hz", (0.0, 1000.0))
    width: int = setting(640, "Width of the image.", "px", (64, 4096))
    height: int = setting(512, "Height of the image.", "px", (64, 4096))
    blobs: int = setting(4, "Hot blobs in the image.", "", (1, 64))
    seed: int = setting(0, "Of noise and paths.", "", (0, 2**31 - 1))


class Scene:
    """Blobs on slow closed paths in front of noise."""

    def __init__(self, params: FaultCameraParams) -> None:
        rng = np.random.default_rng(params.seed)
        self._size = np.array([params.width, params.height])
        noise = rng.normal(BACKGROUND_COUNTS, NOISE_COUNTS, self._size[::-1] + MARGIN_PX)
        self._noise = noise.astype(np.uint16)
        self._sides = rng.integers(16, 48, params.blobs)
        self._phases = rng.uniform(0, 2 * np.pi, (params.blobs, 2))
        self._periods_s = rng.uniform(15, 40, (params.blobs, 2))

    def boxes(self, time_s: float) -> list[Box]:
        """Box of every blob at a time."""
        swing = np.sin(self._phases + 2 * np.pi * time_s / self._periods_s)
        centres = self._size * (0.5 + 0.35 * swing)
        return [
            Box(float(x), float(y), float(side), float(side))
            for (x, y), side in zip(centres.round(), self._sides, strict=True)
        ]

    def picture(self, number: int, time_s: float) -> np.ndarray:
        """(H, W) uint16 picture at a time."""
        width, height = self._size
        left, top = (number * 7) % MARGIN_PX, (number * 13) % MARGIN_PX
        picture = self._noise[top : top + height, left : left + width].copy()
        for box in self.boxes(time_s):
            x0, y0, x1, y1 = (round(edge) for edge in box.corners())
            y, x = np.ogrid[max(y0, 0) : min(y1, height), max(x0, 0) : min(x1, width)]
            away = ((x - box.cx) ** 2 + (y - box.cy) ** 2) / (box.w / 4) ** 2
            picture[y[:, 0][:, None], x[0]] += (BLOB_COUNTS * np.exp(-away)).astype(np.uint16)
        return picture


class FaultCamera(Node):
    """Node `fault_camera`."""

    def __init__(self, **node_options: Any) -> None:
        super().__init__("fault_camera", **node_options)
        declare_params(self, FaultCameraParams())
        self._params = load_params(self, FaultCameraParams())
        self._scene = Scene(self._params)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._jumped_ns = 0
        self._published = 0
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._images = self.create_publisher(Image, "image_raw", qos)
        self._truth = self.create_publisher(Detection2DArray, "~/truth", 10)
        self.create_subscription(Float64, "~/rate", self._on_rate, KEPT)
        self.create_subscription(Float64, "~/jump", self._on_jump, 10)
        self._timer = None
        self._play(self._params.rate)

    def _play(self, rate_hz: float) -> None:
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None
        if rate_hz > 0:
            self._timer = self.create_timer(1 / rate_hz, self._on_period, clock=self._steady)

    def _on_rate(self, message: Float64) -> None:
        self._play(min(max(message.data, 0.0), 1000.0))

    def _on_jump(self, message: Float64) -> None:
        self._jumped_ns += int(message.data * 1e9)

    def _on_period(self) -> None:
        now_s = time.monotonic()
        picture = self._scene.picture(self._published, now_s)
        self._published += 1
        stamp_ns = max(1, time.time_ns() + self._jumped_ns)
        seconds, nanoseconds = divmod(stamp_ns, 10**9)
        header = Header(
            frame_id=f"fault_camera {time.monotonic_ns()}",
            stamp=Time(sec=seconds, nanosec=nanoseconds),
        )
        self._images.publish(image_from_frame(picture, header))
        boxes = self._scene.boxes(now_s)
        detections = [detection_from_box(box, header, str(n)) for n, box in enumerate(boxes)]
        self._truth.publish(Detection2DArray(header=header, detections=detections))


def published_ns(header: Header) -> int | None:
    """Steady time in ns at which an image of this camera was published; None for another's."""
    name, _, number = header.frame_id.partition(" ")
    return int(number) if name == "fault_camera" and number.isdigit() else None


if __name__ == "__main__":
    sys.exit(run_node(FaultCamera))
