"""What the node adds to the tracker's own time, from image callback to published detections.

`.venv/bin/python tools/reliability/overhead.py [--frames 100]` prints p50 and p95 on a DDS graph
of two processes, 640x512 mono16, and the age of a frame when its detections are out, also with a
camera faster than the tracker; docs/benchmarks.md quotes it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from mlss_core.bench import bench_frames
from mlss_tracker_ros.demo_processes import own_graph
from mlss_tracker_ros.image_conversion import image_from_frame
from mlss_tracker_ros.image_input import ImageMessage
from mlss_tracker_ros.session import Session, Step
from mlss_tracker_ros.tracker_node import TrackerNode


class TimedNode(TrackerNode):
    """Notes when each image came in and when its detections were out."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.came: dict[int, float] = {}
        self.overhead_ms: list[float] = []
        self.age_ms: list[float] = []

    def _on_image(self, message: ImageMessage) -> None:
        self.came[message.header.stamp.nanosec] = time.perf_counter()
        super()._on_image(message)

    def _on_step(self, session: Session[ImageMessage], step: Step[ImageMessage]) -> None:
        super()._on_step(session, step)
        if step.publish and step.results:
            stamp = step.kept.frame.header.stamp
            spent = time.perf_counter() - self.came[stamp.nanosec]
            self.overhead_ms.append(1e3 * (spent - step.tracker_s))
            now = self.get_clock().now().nanoseconds
            self.age_ms.append((now - stamp.sec * 10**9 - stamp.nanosec) / 1e6)


def send(rate: float) -> None:
    """Publish 16-bit frames at a rate until the process is ended."""
    rclpy.init()
    node = Node("camera")
    publisher = node.create_publisher(Image, "image_raw", QoSProfile(depth=1))
    frames = bench_frames(16, 16)
    while not publisher.get_subscription_count():
        time.sleep(0.01)
    began, number = time.monotonic(), 0
    while True:
        number += 1
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        header = Header(stamp=node.get_clock().now().to_msg(), frame_id="camera")
        publisher.publish(image_from_frame(frames[number % len(frames)], header))


def measure(rate: float, frames: int) -> TimedNode:
    """Follow one target until enough frames are through."""
    camera = subprocess.Popen([sys.executable, __file__, "--rate", str(rate), "--send"])
    box = Parameter("init_box", value=[300.0, 236.0, 40.0, 60.0])
    present = Parameter("presence.enabled", value=False)
    node = TimedNode(parameter_overrides=[box, present])
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    node.start()
    spinning = threading.Thread(target=executor.spin, daemon=True)
    spinning.start()
    while len(node.overhead_ms) < frames and camera.poll() is None:
        time.sleep(0.1)
    camera.kill()
    executor.shutdown()
    node.close()
    node.destroy_node()
    return node


def main() -> None:
    """Measure at a leisurely and at a hurried camera."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--rate", type=float, default=4.0, help="of the leisurely camera, Hz")
    parser.add_argument("--send", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.send:
        send(args.rate)
    os.environ.update(own_graph())  # the camera inherits it
    rclpy.init()
    for rate in (args.rate, 30.0):
        node = measure(rate, args.frames)
        p50, p95 = np.percentile(node.overhead_ms[5:], (50, 95))
        age50, age95 = np.percentile(node.age_ms[5:], (50, 95))
        print(
            f"{rate:4.0f} Hz: the node adds p50 {p50:.2f} ms, p95 {p95:.2f} ms; "
            f"age of a frame when its detections are out p50 {age50:.0f} ms, p95 {age95:.0f} ms"
        )
    rclpy.shutdown()


if __name__ == "__main__":
    main()
