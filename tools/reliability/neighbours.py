"""What a frame costs beside other busy processes, by what threads do that wait for work.

    python tools/reliability/neighbours.py [--rounds 3] [--frames 40]

measures the tracker in a process of its own, by turns with threads that spin, that sleep at once,
and that do as `mlss_core` sets it, on an idle machine and beside a busy process for each core.
docs/benchmarks.md quotes it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

import numpy as np

_BUSY = "while True: pass"
_POLICIES = {
    "spin": {"OMP_WAIT_POLICY": "ACTIVE"},
    "sleep": {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"},
    "as set": {},
}
_MEASURE = """
import sys, time
from mlss_core.bench import bench_frames
from mlss_core.box import Box
from mlss_core.tracker import MLSSTracker
frames = bench_frames(16, 16)
tracker = MLSSTracker()
tracker.initialize(frames[0], Box(319.5, 255.5, 40.0, 60.0))
for n in range(5 + int(sys.argv[1])):
    start = time.perf_counter()
    tracker.update(frames[n % len(frames)])
    print(1000 * (time.perf_counter() - start) if n >= 5 else "nan", flush=True)
"""


def frame_times(policy: str, frames: int) -> list[float]:
    """Milliseconds of every frame of one process."""
    unset = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    answer = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(frames)],
        env={**unset, **_POLICIES[policy]},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [float(line) for line in answer.stdout.split() if line != "nan"]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="of each case (%(default)s)")
    parser.add_argument("--frames", type=int, default=40, help="of each round (%(default)s)")
    args = parser.parse_args()
    print(f"{'busy processes':>15s} {'waiting threads':>16s} {'p50 ms':>8s} {'p95 ms':>8s}")
    for neighbours in (0, os.cpu_count() or 1):
        busy = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(neighbours)]
        times: dict[str, list[float]] = {policy: [] for policy in _POLICIES}
        try:
            for _ in range(args.rounds):
                for policy, taken in times.items():
                    taken += frame_times(policy, args.frames)
        finally:
            for process in busy:
                process.kill()
                process.wait()
        for policy, taken in times.items():
            p50, p95 = np.percentile(taken, (50, 95))
            print(f"{neighbours:15d} {policy:>16s} {p50:8.0f} {p95:8.0f}", flush=True)


if __name__ == "__main__":
    main()
