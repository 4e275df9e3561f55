"""`make soak MINUTES=10`: one tracker node, a camera that misbehaves, and a user who never rests.

Fails (exit code 1) when the node's memory, threads or open files grow, its latency rises, it ends,
or an honest image is no longer answered. Prints a table, writes soak.json and the node's log.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import rclpy
from fault_camera import KEPT, published_ns
from hostile_messages import MAKERS
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from processes import CAMERA, TRACKER, Usage, end, start_node, usage
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, RegionOfInterest
from std_msgs.msg import Float64
from std_srvs.srv import SetBool, Trigger
from vision_msgs.msg import Detection2D, Detection2DArray

from mlss_core.box import Box
from mlss_tracker_ros.demo_processes import own_graph
from mlss_tracker_ros.detections import detection_from_box

MAX_SLOPE_MB = 5.0  # in 10 minutes
MAX_LATENCY_GROWTH = 0.5  # of a minute's p99 over the whole run, as a share of their median
WARM_UP_SHARE = 0.2
SILENT_S = 60.0  # without an answer although images come: the node has hung
ROWS = 12
NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
NEW_BOX_S, FAULT_S = 2.0, 5.0  # mean time between two
PARAMS = {"max_targets": 2, "buffer_max_mb": 16}  # a buffer that fills and empties hides growth


class Sample(NamedTuple):
    """The node's holdings at a time, in seconds since the start."""

    at_s: float
    usage: Usage


class User(Node):
    """Everything that one tracker has to bear with."""

    def __init__(self, seed: int, log_folder: Path) -> None:
        super().__init__("soak_user")
        self.rng = random.Random(seed)
        self.latencies: list[tuple[float, float]] = []  # when, ms
        self.sent = dict.fromkeys(("boxes", "faults"), 0)
        self.answered_s = time.monotonic()
        self._log_folder = log_folder
        self._truth: Detection2DArray | None = None
        self._later: list[tuple[float, Any]] = []  # steady time, what to do then
        self._watching: list[Any] = []
        self.camera = self._new_camera()
        self._rate = self.create_publisher(Float64, "fault_camera/rate", KEPT)
        self._jump = self.create_publisher(Float64, "fault_camera/jump", 10)
        self._boxes = self.create_publisher(Detection2D, "mlss_tracker/init_box", 10)
        self._hostile = {
            kind: self.create_publisher(kind, topic, 10)
            for kind, topic in {
                Image: "image_raw",
                Detection2D: "mlss_tracker/init_box",
                RegionOfInterest: "mlss_tracker/init_roi",
            }.items()
        }
        self._stop = self.create_client(Trigger, "mlss_tracker/stop")
        self._reset = self.create_client(Trigger, "mlss_tracker/reset")
        self._enable = self.create_client(SetBool, "mlss_tracker/enable")
        self._change = self.create_client(ChangeState, "mlss_tracker/change_state")
        self._set = self.create_client(SetParameters, "mlss_tracker/set_parameters")
        self.create_subscription(
            Detection2DArray, "mlss_tracker/detections", self._on_detections, 10
        )
        self.create_subscription(Detection2DArray, "fault_camera/truth", self._on_truth, NEWEST)
        self._faults = (
            self._hostile_messages,
            self._another_rate,
            self._silence,
            self._clock_jump,
            self._restart_camera,
            self._parameter_storm,
            self._box_storm,
            self._transitions,
            self._pause,
            self._watch,
            lambda: self._stop.call_async(Trigger.Request()),
            lambda: self._reset.call_async(Trigger.Request()),
        )

    def act(self) -> None:
        """Do what is due; called a few times a second."""
        now_s = time.monotonic()
        due = [action for at_s, action in self._later if at_s <= now_s]
        self._later = [item for item in self._later if item[0] > now_s]
        for action in due:
            action()
        self._in(self.rng.expovariate(1 / NEW_BOX_S), self._box, once="box")
        self._in(self.rng.expovariate(1 / FAULT_S), self._fault, once="fault")

    def _in(self, seconds: float, action: Any, once: str = "") -> None:
        if not once or not any(getattr(what, "once", "") == once for _, what in self._later):
            task = _Task(action, once)
            self._later.append((time.monotonic() + seconds, task))

    def _fault(self) -> None:
        self.sent["faults"] += 1
        self.rng.choice(self._faults)()

    def _box(self, target_id: str | None = None) -> None:
        if self._truth is None or not self._truth.detections:
            return
        self.sent["boxes"] += 1
        shown = self.rng.choice(self._truth.detections)
        center = shown.bbox.center.position
        box = Box(center.x, center.y, shown.bbox.size_x, shown.bbox.size_y)
        name = target_id if target_id is not None else self.rng.choice(("", "a", "b", "c"))
        self._boxes.publish(detection_from_box(box, shown.header, name))

    def _hostile_messages(self) -> None:
        for _ in range(10):
            kind = self.rng.choice(list(self._hostile))
            self._hostile[kind].publish(MAKERS[kind](self.rng))

    def _another_rate(self) -> None:
        self._rate.publish(Float64(data=self.rng.choice((1.0, 10.0, 200.0))))
        self._in(5, lambda: self._rate.publish(Float64(data=60.0)))

    def _silence(self) -> None:
        self._rate.publish(Float64(data=0.0))
        self._in(5, lambda: self._rate.publish(Float64(data=60.0)))

    def _clock_jump(self) -> None:
        self._jump.publish(Float64(data=self.rng.choice((-3600.0, -2.0, -0.01, 2.0, 3600.0))))

    def _restart_camera(self) -> None:
        self.camera.kill()
        self.camera.wait()
        self.camera = self._new_camera()

    def _new_camera(self) -> subprocess.Popen[bytes]:
        seed = self.rng.randrange(2**31)
        return start_node(CAMERA, self._log_folder / "camera.log", params={"seed": seed})

    def _parameter_storm(self) -> None:
        for n in range(50):
            values = {
                "class_id": f"class {n}",
                "search.window_influence": self.rng.uniform(-1.0, 2.0),
                "max_targets": self.rng.choice((2, 0)),
            }
            request = SetParameters.Request()
            request.parameters = [
                Parameter(k, value=v).to_parameter_msg() for k, v in values.items()
            ]
            self._set.call_async(request)

    def _box_storm(self) -> None:
        for n in range(20):
            self._in(n / 20, lambda: self._box("storm"))

    def _transitions(self) -> None:
        for at_s, transition in enumerate(
            (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE)
        ):
            request = ChangeState.Request(transition=Transition(id=transition))
            self._in(at_s, lambda request=request: self._change.call_async(request))

    def _pause(self) -> None:
        self._enable.call_async(SetBool.Request(data=False))
        self._in(3, lambda: self._enable.call_async(SetBool.Request(data=True)))

    def _watch(self) -> None:
        """Look at the drawn images for a while, or no longer."""
        if self._watching:
            self.destroy_subscription(self._watching.pop())
        else:
            self._watching = [
                self.create_subscription(
                    Image, "mlss_tracker/debug_image", lambda message: None, NEWEST
                )
            ]

    def _on_truth(self, message: Detection2DArray) -> None:
        self._truth = message

    def _on_detections(self, message: Detection2DArray) -> None:
        self.answered_s = time.monotonic()
        published = published_ns(message.header)
        if published is not None:
            self.latencies.append((self.answered_s, (time.monotonic_ns() - published) / 1e6))


class _Task:
    def __init__(self, action: Any, once: str) -> None:
        self.action, self.once = action, once

    def __call__(self) -> None:
        self.action()


def main() -> int:
    """Run the soak; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("build/soak"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for log in options.out.glob("*.log"):
        log.unlink()
    os.environ.update(own_graph())
    rclpy.init()
    tracker = start_node(TRACKER, options.out / "tracker.log", params=PARAMS)
    user = User(options.seed, options.out)
    executor = SingleThreadedExecutor()
    executor.add_node(user)
    problems: list[str] = []
    samples: list[Sample] = []
    start_s = time.monotonic()
    print(
        "  minutes       RSS MB  threads  files  answers   p50 ms   p99 ms  MB/10 min", flush=True
    )
    try:
        while not user.latencies and tracker.poll() is None:
            executor.spin_once(timeout_sec=0.1)
            if time.monotonic() - start_s > 120:
                problems.append("the tracker answered no image within 120 s")
                break
        start_s = time.monotonic()
        user.latencies.clear()
        for second in itertools.count(1):
            if problems or second > options.minutes * 60:
                break
            while time.monotonic() < start_s + second:
                executor.spin_once(timeout_sec=0.05)
                user.act()
            if tracker.poll() is not None:
                problems.append(f"the tracker ended with code {tracker.returncode}")
                break
            if time.monotonic() - user.answered_s > SILENT_S:
                problems.append(f"no image was answered for {SILENT_S:g} s")
                break
            samples.append(Sample(time.monotonic() - start_s, usage(tracker.pid)))
            if second % max(1, round(options.minutes * 60 / ROWS)) == 0:
                print(row(samples, user.latencies, start_s, options.minutes), flush=True)
    except KeyboardInterrupt:
        problems.append("interrupted")
    finally:
        code = end(tracker)
        end(user.camera)
        executor.shutdown()
        user.destroy_node()
        rclpy.try_shutdown()
    if code != 0 and not problems:
        problems.append(f"the tracker ended with code {code}")
    if "Traceback" in (options.out / "tracker.log").read_text(errors="replace"):
        problems.append("the tracker's log holds a traceback")
    latencies = [(at_s - start_s, ms) for at_s, ms in user.latencies]
    figures = judge(samples, latencies, problems)
    summary = {"minutes": options.minutes, "seed": options.seed, **user.sent, **figures}
    (options.out / "soak.json").write_text(json.dumps({**summary, "problems": problems}, indent=1))
    for name, value in summary.items():
        print(f"  {name:<28} {value}")
    for problem in problems:
        print(f"soak: failed: {problem}", file=sys.stderr)
    print("soak: " + ("failed" if problems else "passed"))
    return 1 if problems else 0


def judge(
    samples: list[Sample], latencies: list[tuple[float, float]], problems: list[str]
) -> dict[str, float | int]:
    """Figures after warm-up; what they miss goes to `problems`."""
    warm_s = WARM_UP_SHARE * (samples[-1].at_s if samples else 0.0)
    warm = [sample for sample in samples if sample.at_s >= warm_s]
    answers = [(at_s, ms) for at_s, ms in latencies if at_s >= warm_s]
    if len(warm) < 30 or len(answers) < 30:
        problems.append(f"too short to judge: {len(warm)} samples, {len(answers)} answers")
        return {}
    third = len(warm) // 3
    first, last = warm[:third], warm[-third:]
    slope_mb = slope([(s.at_s / 600, s.usage.rss_mb) for s in warm[:: 1 + len(warm) // 500]])
    threads = [median(s.usage.threads for s in part) for part in (first, last)]
    files = [median(s.usage.descriptors for s in part) for part in (first, last)]
    minutes: dict[int, list[float]] = {}
    for at_s, ms in answers:
        minutes.setdefault(int((at_s - warm_s) // 60), []).append(ms)
    p99 = [(float(m), float(np.percentile(ms, 99))) for m, ms in minutes.items() if len(ms) > 9]
    typical_ms = median(ms for _, ms in p99)
    growth = slope(p99) * len(minutes) / typical_ms
    if slope_mb > MAX_SLOPE_MB:
        problems.append(f"memory grows by {slope_mb:.1f} MB in 10 minutes")
    if threads[1] > threads[0] or files[1] > files[0]:
        problems.append(
            f"threads went {threads[0]} -> {threads[1]}, files {files[0]} -> {files[1]}"
        )
    if growth > MAX_LATENCY_GROWTH:
        problems.append(f"a minute's p99 latency rose by {growth:.0%} of {typical_ms:.0f} ms")
    return {
        "answers": len(latencies),
        "rss_mb": round(warm[-1].usage.rss_mb, 1),
        "rss_slope_mb_per_10_min": round(slope_mb, 2),
        "threads_first_third": threads[0],
        "threads_last_third": threads[1],
        "files_first_third": files[0],
        "files_last_third": files[1],
        "latency_ms_p50": round(float(np.median([ms for _, ms in answers])), 1),
        "latency_ms_p99_of_a_minute": round(typical_ms, 1),
        "latency_p99_growth_percent": round(100 * growth, 1),
    }


def slope(points: list[tuple[float, float]]) -> float:
    """Median of the slopes between all pairs of points (Theil and Sen): outliers count little."""
    slopes = [
        (b[1] - a[1]) / (b[0] - a[0])
        for n, a in enumerate(points)
        for b in points[n + 1 :]
        if b[0] > a[0]
    ]
    return median(slopes) if slopes else 0.0


def row(
    samples: list[Sample], latencies: list[tuple[float, float]], start_s: float, minutes: float
) -> str:
    """The last part of the run in a line; the slope is that of the whole run after warm-up."""
    to_s = samples[-1].at_s
    from_s = to_s - minutes * 60 / ROWS
    held = [sample.usage for sample in samples if sample.at_s > from_s]
    times = [ms for at_s, ms in latencies if from_s < at_s - start_s <= to_s] or [float("nan")]
    rss, threads, files = (median(getattr(u, name) for u in held) for name in Usage._fields)
    p50, p99 = np.percentile(times, (50, 99))
    warm = [s for s in samples if s.at_s >= WARM_UP_SHARE * minutes * 60]
    slope_mb = slope([(s.at_s / 600, s.usage.rss_mb) for s in warm[:: 1 + len(warm) // 500]])
    return (
        f"  {from_s / 60:5.1f} - {to_s / 60:5.1f} {rss:7.1f} {threads:8g} {files:6g} "
        f"{len(times):8} {p50:8.1f} {p99:8.1f} {slope_mb:10.2f}"
    )


if __name__ == "__main__":
    sys.exit(main())
