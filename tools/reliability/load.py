"""`make load`: four cameras at 30 Hz and sixteen targets on two cores.

Four cameras and four tracker nodes in namespaces of their own; every second each node's services
are called and timed. Fails (exit code 1) when a service takes longer than 200 ms, an image has to
wait in a queue, or a node ends. Prints a table and writes load.json.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from fault_camera import published_ns
from lifecycle_msgs.srv import GetState
from processes import CAMERA, TRACKER, end, start_node, usage
from rcl_interfaces.srv import GetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import Header
from std_srvs.srv import SetBool
from vision_msgs.msg import Detection2D, Detection2DArray

from mlss_core.box import Box
from mlss_tracker_ros.demo_processes import own_graph
from mlss_tracker_ros.detections import detection_from_box
from mlss_tracker_ros.diagnostics import parse_status

MAX_ANSWER_MS = 200.0
MAX_QUEUED_MS = 100.0  # two images of the camera and their way
CALLS_PER_S = 5.0
START_S = 180.0


class Camera:
    """One camera with its tracker, seen by the client."""

    def __init__(self, node: Node, namespace: str) -> None:
        self.namespace = namespace
        self.latencies_ms: list[float] = []
        self.waits_ms: list[float] = []  # beyond the time that the image before it took
        self._answered_s = time.monotonic()
        self.answers_ms: list[float] = []
        self.figures: dict[str, str] = {}
        self.truth: Detection2DArray | None = None
        self.targets = 0
        prefix = f"{namespace}/mlss_tracker"
        self.boxes = node.create_publisher(Detection2D, f"{prefix}/init_box", 10)
        node.create_subscription(Detection2DArray, f"{prefix}/detections", self._detections, 10)
        self._node = node
        self._shown = node.create_subscription(
            Detection2DArray, f"{namespace}/fault_camera/truth", self._on_truth, 10
        )
        node.create_subscription(DiagnosticStatus, f"{prefix}/status", self._status, 10)
        self._calls = (
            (node.create_client(GetState, f"{prefix}/get_state"), GetState.Request()),
            (
                node.create_client(GetParameters, f"{prefix}/get_parameters"),
                GetParameters.Request(names=["class_id"]),
            ),
            (node.create_client(SetBool, f"{prefix}/enable"), SetBool.Request(data=True)),
        )
        self._turn = 0

    def call(self) -> None:
        """Call the next service."""
        client, request = self._calls[self._turn % len(self._calls)]
        self._turn += 1
        sent_s = time.monotonic()
        future = client.call_async(request)
        future.add_done_callback(
            lambda _: self.answers_ms.append((time.monotonic() - sent_s) * 1e3)
        )

    def start_targets(self, count: int) -> None:
        """Send boxes until so many targets are followed."""
        if self.truth is None or self.targets >= count:
            return
        for shown in self.truth.detections[:count]:
            center = shown.bbox.center.position
            box = Box(center.x, center.y, shown.bbox.size_x, shown.bbox.size_y)
            # no stamp, so the newest image: a busy client hears of the blobs late
            self.boxes.publish(detection_from_box(box, Header(), shown.id))

    def _on_truth(self, message: Detection2DArray) -> None:
        self.truth = message
        if self._shown is not None:  # one is enough; the others would keep the client busy
            self._node.destroy_subscription(self._shown)
            self._shown = None

    def _status(self, message: DiagnosticStatus) -> None:
        self.figures = parse_status(message)
        self.targets = int(self.figures.get("targets", "0"))

    def _detections(self, message: Detection2DArray) -> None:
        published = published_ns(message.header)
        if published is not None:
            now_s, latency_ms = time.monotonic(), (time.monotonic_ns() - published) / 1e6
            self.latencies_ms.append(latency_ms)
            self.waits_ms.append(latency_ms - (now_s - self._answered_s) * 1e3)
            self._answered_s = now_s


def main() -> int:
    """Run the load; returns the exit code."""
    options = parse_options()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.cores:
        os.sched_setaffinity(0, {int(core) for core in options.cores.split(",")})
    os.environ.update(own_graph())
    rclpy.init()
    node = rclpy.create_node("load_client")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    names = [f"/camera_{n}" for n in range(options.cameras)]
    each = options.targets // options.cameras
    processes: dict[str, subprocess.Popen] = {}
    for n, name in enumerate(names):
        processes |= start_camera_and_tracker(options.out, name, n, each)
    cameras = [Camera(node, name) for name in names]
    try:
        problems = follow_all(executor, cameras, each)
        rows = measure(executor, cameras, processes, options.seconds)
        problems += [
            f"{name} ended with code {process.returncode}"
            for name, process in processes.items()
            if process.poll() is not None
        ]
    finally:
        for process in processes.values():  # all at once: each first finishes its image
            process.send_signal(signal.SIGINT)
        codes = {name: end(process) for name, process in processes.items()}
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
    problems += [f"{name} ended with code {code}" for name, code in codes.items() if code]
    problems += [problem for row in rows for problem in problems_of(row)]
    (options.out / "load.json").write_text(json.dumps({"rows": rows, "problems": problems}))
    print_table(rows)
    for problem in problems:
        print(f"load: failed: {problem}", file=sys.stderr)
    print("load: " + ("failed" if problems else "passed"))
    return 1 if problems else 0


def parse_options() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cameras", type=int, default=4, help="each with a tracker")
    parser.add_argument("--targets", type=int, default=16, help="of all cameras together")
    parser.add_argument("--seconds", type=float, default=60.0, help="measured")
    parser.add_argument("--cores", default="0,1", help="cores for everything; empty: all")
    parser.add_argument("--out", type=Path, default=Path("build/load"))
    return parser.parse_args()


def start_camera_and_tracker(
    out: Path, name: str, seed: int, targets: int
) -> dict[str, subprocess.Popen]:
    """Start one camera that shows so many targets, and its tracker; both by their names."""
    log = out / f"{name[1:]}.log"
    log.unlink(missing_ok=True)
    # presence off: a lost target costs more or less than a followed one
    params = {"presence.enabled": False, "max_targets": targets}
    shown = {"rate": 30.0, "blobs": targets, "seed": seed}
    return {
        f"{name} tracker": start_node(TRACKER, log, name, params),
        f"{name} camera": start_node(CAMERA, log, name, shown),
    }


def follow_all(
    executor: SingleThreadedExecutor, cameras: Sequence[Camera], targets: int
) -> list[str]:
    """Have every target of every camera followed; what is wrong if that takes too long."""
    start_s = time.monotonic()
    while any(camera.targets < targets for camera in cameras):
        for camera in cameras:
            camera.start_targets(targets)
        spin(executor, 5.0)
        if time.monotonic() - start_s > START_S:
            return [f"not all targets were followed within {START_S:g} s"]
    return []


def measure(
    executor: SingleThreadedExecutor,
    cameras: Sequence[Camera],
    processes: Mapping[str, subprocess.Popen],
    seconds: float,
) -> list[dict[str, Any]]:
    """Call every camera's services for a while; figures of each camera over that time."""
    before = {camera.namespace: dict(camera.figures) for camera in cameras}
    for camera in cameras:
        camera.latencies_ms.clear()
        camera.waits_ms.clear()
        camera.answers_ms.clear()
    start_s = time.monotonic()
    while time.monotonic() < start_s + seconds:
        for camera in cameras:
            camera.call()
            spin(executor, 1.0 / CALLS_PER_S / len(cameras))
    spin(executor, 2.0)  # the last answers and statuses
    took_s = time.monotonic() - start_s
    held = {
        camera.namespace: usage(processes[f"{camera.namespace} tracker"].pid) for camera in cameras
    }
    return [figures(camera, before[camera.namespace], held, took_s) for camera in cameras]


def problems_of(row: Mapping[str, Any]) -> list[str]:
    """What is too slow in the figures of a camera."""
    problems = []
    if row["service_ms_max"] > MAX_ANSWER_MS:
        problems.append(f"{row['camera']}: a service took {row['service_ms_max']} ms")
    if row["queued_ms_p50"] > MAX_QUEUED_MS:
        problems.append(f"{row['camera']}: images wait {row['queued_ms_p50']} ms in a queue")
    return problems


def spin(executor: SingleThreadedExecutor, seconds: float) -> None:
    """Handle messages for a while."""
    end_s = time.monotonic() + seconds
    while (left := end_s - time.monotonic()) > 0:
        executor.spin_once(timeout_sec=left)


def figures(
    camera: Camera, before: dict[str, str], held: dict[str, Any], seconds: float
) -> dict[str, Any]:
    """Figures of one camera over the measured time."""

    def counted(key: str) -> int:
        return int(camera.figures.get(key, 0)) - int(before.get(key, 0))

    answers = camera.answers_ms or [1e9]  # none: as good as never
    latencies = camera.latencies_ms or [1e9]
    return {
        "camera": camera.namespace,
        "targets": camera.targets,
        "received_hz": round(counted("received") / seconds, 1),
        "processed_hz": round(counted("processed") / seconds, 2),
        "dropped_hz": round(counted("dropped") / seconds, 1),
        "latency_ms_p50": round(float(np.median(latencies))),
        "queued_ms_p50": round(max(0.0, float(np.median(camera.waits_ms or [1e9])))),
        "calls": len(camera.answers_ms),
        "service_ms_p50": round(float(np.median(answers)), 1),
        "service_ms_p99": round(float(np.percentile(answers, 99)), 1),
        "service_ms_max": round(max(answers), 1),
        "rss_mb": round(held[camera.namespace].rss_mb),
    }


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print one column per camera."""
    for key in rows[0]:
        print(f"  {key:<18}" + "".join(f"{row[key]!s:>12}" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
