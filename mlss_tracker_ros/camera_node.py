"""A thermal camera for trying things out: plays the simulator, a folder, a video or a bag."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from mlss_core.checked import Checked
from mlss_core.params import ThermalParams
from mlss_core.sequences import load_sequence
from mlss_core.simulate import SceneParams, simulate
from mlss_core.thermal import ThermalNormalizer, grey_counts
from mlss_tracker_ros.detections import detection_from_box
from mlss_tracker_ros.diagnostics import plain_status
from mlss_tracker_ros.image_conversion import image_from_frame
from mlss_tracker_ros.parameters import declare_params, load_params, setting
from mlss_tracker_ros.running import run_node

DEFAULT_RATE_HZ = 30.0
COUNTS_PER_GREY = 64  # 8-bit grey to the 14-bit counts of a thermal core
PACE_PATIENCE_S = 5.0  # refused images are never answered, however long one waits


@dataclass(frozen=True)
class CameraParams(Checked):
    """What the camera shows, and how it publishes it."""

    source: str = setting("", "Folder, video or bag to play; empty: the simulator.")
    topic: str = setting("", "Image topic of a bag; empty: its only one.")
    encoding: str = setting(
        "auto",
        "Encoding of the images; auto: as the frames are.",
        choices=("auto", "mono8", "mono16"),
    )
    rate: float = setting(0.0, "Images a second; 0: as recorded, else 30.", "Hz", (0.0, 1000.0))
    frames: int = setting(0, "Images to publish; 0: all.", range=(0, 1_000_000))
    loop: bool = setting(False, "Start again after the last image.")
    stamps: str = setting(
        "now",
        "Stamp of an image: now; or recording: 1 s at its first frame, again so in each loop.",
        choices=("now", "recording"),
    )
    frame_id: str = setting("thermal_camera_optical", "Frame id of every image.")
    wait_for_subscribers: int = setting(
        0, "Subscriptions of image_raw to wait for before the first image.", range=(0, 100)
    )
    pace_topic: str = setting(
        "",
        "Detections that answer the images: the camera stays at most pace_window images ahead of "
        "them, so that a slow tracker misses none; after 5 s without an answer it goes on; empty: "
        "it keeps its rate.",
    )
    pace_window: int = setting(4, "Images that may be unanswered.", "images", (1, 10_000))
    preload: bool = setting(True, "Hold every frame in memory before the first one is published.")


@dataclass(frozen=True)
class _Scene:
    """Gives the simulator's parameters the prefix `sim`."""

    sim: SceneParams = field(default_factory=SceneParams)


class CameraNode(Node):
    """Node `thermal_camera`: publishes image_raw, ~/ground_truth (where known) and ~/status."""

    def __init__(self, **node_options: Any) -> None:
        """Load the recording or render the scene.

        Args:
            **node_options: as rclpy's Node takes them (namespace, context, parameter_overrides).

        Raises:
            ConfigError: a parameter is refused.
            SequenceError: the source cannot be read.
        """
        super().__init__("thermal_camera", **node_options)
        declare_params(self, CameraParams(), read_only=True)
        declare_params(self, _Scene(), read_only=True)
        params = self._params = load_params(self, CameraParams())
        self._sequence = (
            load_sequence(params.source, params.topic or None)
            if params.source
            else simulate(load_params(self, _Scene()).sim)
        )
        self._source = params.source or f"simulator: {self._sequence.name}"
        length = len(self._sequence)
        self._count = min(length, params.frames or length)
        self._converted = converter(params.encoding)
        self._rate = params.rate or self._sequence.fps or DEFAULT_RATE_HZ
        self._published = 0
        self._state = "WAITING"
        override = {"qos_overriding_options": QoSOverridingOptions.with_default_policies()}
        self._images = self.create_publisher(Image, "image_raw", QoSProfile(depth=5), **override)
        latched = DurabilityPolicy.TRANSIENT_LOCAL
        self._truth = self.create_publisher(
            Detection2DArray, "~/ground_truth", QoSProfile(depth=1000, durability=latched)
        )
        self._status = self.create_publisher(
            DiagnosticStatus, "~/status", QoSProfile(depth=1, durability=latched)
        )
        # publishers first: those who wait for images see that a camera is coming
        self.get_logger().info(f"reading {self._count} images of {self._source}")
        self._frames = [self._frame(n) for n in range(self._count)] if params.preload else None
        self._unanswered: list[tuple[int, int]] = []  # stamps, the oldest first
        self._waits_since_s = 0.0  # steady time of the last image or answer
        if params.pace_topic:
            self.create_subscription(Detection2DArray, params.pace_topic, self._on_answer, 100)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # plays without /clock too
        self._timer = self.create_timer(1.0 / self._rate, self._on_period, clock=steady)
        self._report("WAITING")

    def _on_period(self) -> None:
        """Publish the next image with its stamp, and the ground truth with the same header."""
        if self._published == 0 and not self._awaited():
            return
        index = self._published % self._count
        if self._published >= self._count and not self._params.loop:
            self._timer.cancel()
            self._report("FINISHED")
            return
        if len(self._unanswered) >= self._params.pace_window:
            if time.monotonic() - self._waits_since_s < PACE_PATIENCE_S:
                return
            self._give_up_answers()
        header = Header(frame_id=self._params.frame_id, stamp=self._stamp(index))
        frame = self._frames[index] if self._frames is not None else self._frame(index)
        try:
            self._images.publish(image_from_frame(frame, header))
        except RuntimeError as error:  # RCLError; keep all: full until subscribers catch up
            self.get_logger().warning(
                f"image {self._published + 1} was not published and is tried again until it is; "
                f"further ones are not told: {error}",
                once=True,
            )
            return
        if self._params.pace_topic:
            self._unanswered.append((header.stamp.sec, header.stamp.nanosec))
            self._waits_since_s = time.monotonic()
        self._truth.publish(self._ground_truth(index, header))
        self._published += 1
        self._report("PLAYING")

    def _on_answer(self, message: Detection2DArray) -> None:
        """Images before the one answered were refused or dropped: nobody will answer them."""
        stamp = message.header.stamp.sec, message.header.stamp.nanosec
        if stamp in self._unanswered:
            del self._unanswered[: self._unanswered.index(stamp) + 1]
            self._waits_since_s = time.monotonic()

    def _give_up_answers(self) -> None:
        self.get_logger().warning(
            f"no answer on {self._params.pace_topic} to {len(self._unanswered)} images in "
            f"{PACE_PATIENCE_S:g} s: refused, or nobody tracks; going on without"
        )
        self._unanswered.clear()

    def _awaited(self) -> bool:
        return self._images.get_subscription_count() >= self._params.wait_for_subscribers

    def _frame(self, index: int) -> np.ndarray:
        return self._converted(self._sequence.frames[index])

    def _stamp(self, index: int) -> Time:
        if self._params.stamps == "now":
            return self.get_clock().now().to_msg()
        nanoseconds = round((1.0 + index / self._rate) * 1e9)  # 0 would mean: no stamp
        return Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)

    def _ground_truth(self, index: int, header: Header) -> Detection2DArray:
        """The labelled box, its score being the visible part of the target where that is known."""
        box = self._sequence.box(index) if self._sequence.ground_truth is not None else None
        if box is None:
            return Detection2DArray(header=header)
        visible = self._sequence.visibility
        score = 1.0 if visible is None else float(visible[index])
        detection = detection_from_box(box, header, "truth", self._sequence.name, score)
        return Detection2DArray(header=header, detections=[detection])

    def _report(self, state: str) -> None:
        """Publish the status when the state changes, and every so many images."""
        if state == self._state and self._published % 30:
            return
        if state != self._state:
            topic = self._images.topic_name
            self.get_logger().info(
                f"{state.lower()}: {self._count} images at {self._rate:g} Hz on {topic}"
            )
        self._state = state
        figures = {
            "state": state,
            "published": self._published,
            "frames": self._count,
            "rate_hz": self._rate,
            "source": self._source,
        }
        name = self.get_fully_qualified_name().lstrip("/")
        self._status.publish(plain_status(name, DiagnosticStatus.OK, state, figures))


def converter(encoding: str) -> Callable[[np.ndarray], np.ndarray]:
    """Function that brings raw frames, (H, W) or (H, W, 3), in their order to an encoding.

    auto leaves them as they are. mono8 of deeper frames is stretched as an automatic gain control
    does; mono16 of 8-bit frames is scaled to the counts of a 14-bit core.
    """
    if encoding == "auto":
        return lambda frame: frame
    stretch = ThermalNormalizer(ThermalParams(normalization="percentile"))

    def convert(frame: np.ndarray) -> np.ndarray:
        counts = grey_counts(frame)
        if encoding == "mono8":
            return counts if counts.dtype == np.uint8 else np.rint(stretch(counts)).astype("u1")
        if counts.dtype == np.uint8:
            return counts.astype(np.uint16) * np.uint16(COUNTS_PER_GREY)
        return np.clip(counts, 0, 65535).astype(np.uint16)

    return convert


def main(args: list[str] | None = None) -> int:
    """Run the node; returns the process's exit code."""
    return run_node(CameraNode, args)


if __name__ == "__main__":
    sys.exit(main())
