"""`make soak MINUTES=10`: one tracker node, a camera that misbehaves, and a user who never rests.

Fails (exit code 1) when the node's memory, threads or open files grow, its latency rises, it ends,
or an honest image is no longer answered. Prints a table, writes soak.json and the node's log.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import rclpy
from processes import TRACKER, Usage, end, start_node, usage
from rclpy.executors import SingleThreadedExecutor
from scipy.stats import theilslopes
from soak_user import User

from mlss_tracker_ros.demo_processes import own_graph

MAX_SLOPE_MB = 5.0  # in 10 minutes, of the least that was held in each part
PART_MINUTES = 2  # holds a trim of the heap, which the node makes once a minute
CONFIDENCE = 0.9  # of the interval that is printed
MAX_LATENCY_GROWTH = 0.5  # of a minute's p99 over the whole run, as a share of their median
WARM_UP_SHARE = 0.2
FIRST_ANSWER_S = 120.0
SILENT_S = 60.0  # without an answer although images come: the node has hung
ROWS = 12
HEAD = "  minutes       RSS MB    least  threads  files  answers   p50 ms   p99 ms"
PARAMS = {"max_targets": 2, "buffer_max_mb": 16}  # a buffer that fills and empties hides growth


class Sample(NamedTuple):
    """The node's holdings at a time, in seconds since the start."""

    at_s: float
    usage: Usage


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
    samples: list[Sample] = []
    problems: list[str] = []
    try:
        torment(tracker, user, executor, options.minutes, samples, problems)
    except KeyboardInterrupt:
        problems.append("interrupted")
    finally:
        code = end(tracker)
        executor.shutdown()
        user.leave()
        rclpy.try_shutdown()
    if code != 0 and not problems:
        problems.append(f"the tracker ended with code {code}")
    if "Traceback" in (options.out / "tracker.log").read_text(errors="replace"):
        problems.append("the tracker's log holds a traceback")
    figures = judge(samples, user.latencies, problems)
    summary = {"minutes": options.minutes, "seed": options.seed, **user.sent, **figures}
    (options.out / "soak.json").write_text(json.dumps({**summary, "problems": problems}, indent=1))
    for name, value in summary.items():
        print(f"  {name:<28} {value}")
    for problem in problems:
        print(f"soak: failed: {problem}", file=sys.stderr)
    print("soak: " + ("failed" if problems else "passed"))
    return 1 if problems else 0


def torment(
    tracker: subprocess.Popen[bytes],
    user: User,
    executor: SingleThreadedExecutor,
    minutes: float,
    samples: list[Sample],
    problems: list[str],
) -> None:
    """Let the user act for so long, from the first answer on; fill `samples` and `problems`."""
    print(HEAD, flush=True)
    patience_s = time.monotonic() + FIRST_ANSWER_S
    while not user.latencies and tracker.poll() is None:
        executor.spin_once(timeout_sec=0.1)
        if time.monotonic() > patience_s:
            problems.append(f"the tracker answered no image within {FIRST_ANSWER_S:g} s")
            return
    user.start_s = time.monotonic()
    user.latencies.clear()
    for second in itertools.count(1):
        if second > minutes * 60:
            return
        while time.monotonic() < user.start_s + second:
            executor.spin_once(timeout_sec=0.05)
            user.act()
        if tracker.poll() is not None:
            problems.append(f"the tracker ended with code {tracker.returncode}")
            return
        if time.monotonic() - user.answered_s > SILENT_S:
            problems.append(f"no image was answered for {SILENT_S:g} s")
            return
        samples.append(Sample(time.monotonic() - user.start_s, usage(tracker.pid)))
        if second % max(1, round(minutes * 60 / ROWS)) == 0:
            print(row(samples, user.latencies, minutes), flush=True)


def judge(
    samples: list[Sample], latencies: list[tuple[float, float]], problems: list[str]
) -> dict[str, float | int]:
    """Figures after warm-up; what they miss goes to `problems`."""
    warm_s = WARM_UP_SHARE * (samples[-1].at_s if samples else 0.0)
    warm = [sample for sample in samples if sample.at_s >= warm_s]
    answers = [(at_s, ms) for at_s, ms in latencies if at_s >= warm_s]
    least_mb = least_of_each_part(warm)
    p99 = p99_of_each_minute(answers, warm_s)
    if min(len(least_mb), len(p99)) < 3:
        parts = f"{len(least_mb)} parts of {PART_MINUTES} minutes"
        problems.append(f"too short to judge: {parts}, {len(answers)} answers")
        return {}
    third = len(warm) // 3
    first, last = warm[:third], warm[-third:]
    memory = theilslopes(least_mb, np.arange(len(least_mb)) * PART_MINUTES / 10, CONFIDENCE)
    threads = [median(s.usage.threads for s in part) for part in (first, last)]
    files = [median(s.usage.descriptors for s in part) for part in (first, last)]
    typical_ms = median(p99.values())
    growth = theilslopes(list(p99.values()), list(p99)).slope * len(p99) / typical_ms
    if memory.slope > MAX_SLOPE_MB:
        problems.append(f"memory grows by {memory.slope:.1f} MB in 10 minutes")
    if threads[1] > threads[0] or files[1] > files[0]:
        problems.append(
            f"threads went {threads[0]} -> {threads[1]}, files {files[0]} -> {files[1]}"
        )
    if growth > MAX_LATENCY_GROWTH:
        problems.append(f"a minute's p99 latency rose by {growth:.0%} of {typical_ms:.0f} ms")
    return {
        "answers": len(latencies),
        "rss_mb": round(warm[-1].usage.rss_mb, 1),
        "rss_least_mb_by_parts": [round(mb) for mb in least_mb],
        "rss_slope_mb_per_10_min": round(float(memory.slope), 2),
        "rss_slope_interval": [
            round(float(end), 2) for end in (memory.low_slope, memory.high_slope)
        ],
        "threads_first_third": threads[0],
        "threads_last_third": threads[1],
        "files_first_third": files[0],
        "files_last_third": files[1],
        "latency_ms_p50": round(float(np.median([ms for _, ms in answers])), 1),
        "latency_ms_p99_of_a_minute": round(typical_ms, 1),
        "latency_p99_growth_percent": round(100 * growth, 1),
    }


def least_of_each_part(samples: list[Sample]) -> list[float]:
    """MB in each whole part; the free part of the heap comes and goes above that."""
    parts: dict[int, list[Sample]] = {}
    for sample in samples:
        part = int((sample.at_s - samples[0].at_s) // (60 * PART_MINUTES))
        parts.setdefault(part, []).append(sample)
    whole = [held for held in parts.values() if held[-1].at_s - held[0].at_s > 50 * PART_MINUTES]
    return [min(sample.usage.rss_mb for sample in held) for held in whole]


def p99_of_each_minute(answers: list[tuple[float, float]], from_s: float) -> dict[int, float]:
    """Latency in ms, by minutes since `from_s` with at least ten answers."""
    minutes: dict[int, list[float]] = {}
    for at_s, ms in answers:
        minutes.setdefault(int((at_s - from_s) // 60), []).append(ms)
    return {m: float(np.percentile(ms, 99)) for m, ms in minutes.items() if len(ms) > 9}


def row(samples: list[Sample], latencies: list[tuple[float, float]], minutes: float) -> str:
    """The last part of the run in a line."""
    to_s = samples[-1].at_s
    from_s = to_s - minutes * 60 / ROWS
    held = [sample.usage for sample in samples if sample.at_s > from_s]
    times = [ms for at_s, ms in latencies if from_s < at_s <= to_s]
    rss, threads, files = (median(getattr(u, name) for u in held) for name in Usage._fields)
    p50, p99 = np.percentile(times or [np.nan], (50, 99))
    least = min(u.rss_mb for u in held)
    return (
        f"  {from_s / 60:5.1f} - {to_s / 60:5.1f} {rss:7.1f} {least:8.1f} {threads:8g} {files:6g} "
        f"{len(times):8} {p50:8.1f} {p99:8.1f}"
    )


if __name__ == "__main__":
    sys.exit(main())
