"""What the tracker needs beside time per frame: seconds to its first detection, and memory.

    python tools/reliability/footprint.py [--starts 5] [--frames 10000]

starts the node (without ROS 2's launch) beside a running 16-bit camera of 640x512 px and takes the
time from the start of its process to its first detection; then follows one target over many frames
with `MLSSTracker` alone and prints, for each part of the run, the least and the most resident
memory of the process and the share of frames in which the target was tracked. 10,000 frames take
ten minutes or more; `--starts 0` leaves the first half out. docs/benchmarks.md quotes it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import rclpy
from processes import CAMERA, TRACKER, end, start_node, usage
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from vision_msgs.msg import Detection2DArray

from mlss_core.bench import bench_frames
from mlss_core.box import Box
from mlss_core.presence import TrackState
from mlss_core.tracker import MLSSTracker
from mlss_tracker_ros.demo_processes import own_graph

INIT_BOX = [300.0, 236.0, 40.0, 60.0]  # center x, center y, width, height
LONGEST_START_S = 120.0


def start_times(starts: int) -> list[float]:
    """Seconds from the start of the node's process to its first detection, start by start."""
    os.environ.update(own_graph())
    rclpy.init()
    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        camera = start_node(CAMERA, Path(folder) / "camera.log", params={"rate": 30.0})
        for _ in range(starts):
            seen: list[float] = []
            listener = Node("listener")
            listener.create_subscription(
                Detection2DArray,
                "mlss_tracker/detections",
                lambda message, seen=seen: seen.append(time.monotonic()),
                10,
            )
            executor = SingleThreadedExecutor()
            executor.add_node(listener)
            began = time.monotonic()
            log = Path(folder) / "tracker.log"
            tracker = start_node(TRACKER, log, params={"init_box": INIT_BOX})
            while not seen and time.monotonic() < began + LONGEST_START_S:
                executor.spin_once(timeout_sec=0.05)
            end(tracker)
            executor.shutdown()
            listener.destroy_node()
            if not seen:
                raise SystemExit(f"no detection after {LONGEST_START_S:g} s: {log.read_text()}")
            times.append(seen[0] - began)
        end(camera)
    rclpy.shutdown()
    return times


def follow(frames: int) -> None:
    """Print the memory of a long track, part by part."""
    pictures = bench_frames(16, 16)
    tracker = MLSSTracker()
    tracker.initialize(pictures[0], Box(*INIT_BOX))
    shown = {round(frames * part) for part in (0.01, 0.02, 0.05, *(n / 10 for n in range(1, 11)))}
    print("to frame  least  most RSS MB  tracked")
    memory, tracked = [], 0
    for number in range(1, frames + 1):
        (result,) = tracker.update(pictures[number % len(pictures)])
        tracker.learn()
        memory.append(usage(os.getpid()).rss_mb)
        tracked += result.state is TrackState.TRACKING
        if number in shown:
            share = tracked / len(memory)
            print(f"{number:8} {min(memory):6.1f} {max(memory):6.1f} {share:12.0%}", flush=True)
            memory, tracked = [], 0


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--frames", type=int, default=10000)
    args = parser.parse_args()
    if args.starts:
        times = start_times(args.starts)
        print("start to first detection, s: " + " ".join(f"{one:.1f}" for one in times))
    if args.frames:
        follow(args.frames)


if __name__ == "__main__":
    main()
