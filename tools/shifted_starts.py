"""How trackers do when their init box is off: success AUC over several starts of each sequence.

    python tools/shifted_starts.py SEQUENCE... [--trackers mlssnet,csrt] [--frames 300]

starts on the true box and on boxes a tenth of its sides up or down and left or right (four of the
shifts of OTB's spatial robustness evaluation: Wu, Lim and Yang, "Online Object Tracking", CVPR
2013) and prints the mean, the worst and the best of the five. One pass is one draw: where a
sequence turns on a moment, this tells luck from skill.
"""

from __future__ import annotations

import argparse
import dataclasses
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch

from mlss_core.box import Box
from mlss_core.evaluate.metrics import score_sequence
from mlss_core.evaluate.run import track
from mlss_core.evaluate.trackers import (
    Estimate,
    Tracker,
    TrackerOptions,
    TrackerSpec,
    build_tracker,
)
from mlss_core.sequences import load_sequence

SHIFTS = ((0.0, 0.0), (-0.1, -0.1), (0.1, -0.1), (-0.1, 0.1), (0.1, 0.1))  # of the box's sides


class ShiftedStart:
    """A tracker whose init box is off."""

    def __init__(self, tracker: Tracker, shift: tuple[float, float]) -> None:
        self._tracker, self._shift = tracker, shift

    def initialize(self, frame: np.ndarray, box: Box) -> None:
        """Start beside `box`."""
        right, down = self._shift
        shifted = box._replace(cx=box.cx + right * box.w, cy=box.cy + down * box.h)
        self._tracker.initialize(frame, shifted)

    def update(self, frame: np.ndarray) -> Estimate:
        """Find the target in the next frame."""
        return self._tracker.update(frame)


def success(name: str, path: Path, shift: tuple[float, float], frames: int) -> float:
    """Success AUC of one start."""
    torch.set_num_threads(1)
    clip = load_sequence(path)
    assert clip.ground_truth is not None
    images = [clip.frames[i] for i in range(min(frames, len(clip)))]
    truth = clip.ground_truth[: len(images)]
    clip = dataclasses.replace(clip, frames=images, ground_truth=truth, visibility=None)
    tracker = build_tracker(TrackerSpec.parse(name), TrackerOptions())
    boxes, _, _ = track(ShiftedStart(tracker, shift), clip)
    return score_sequence(boxes, truth).success_auc


def main() -> None:
    """Start every tracker five times on every sequence, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sequences", type=Path, nargs="+")
    parser.add_argument("--trackers", default="mlssnet,csrt")
    parser.add_argument("--frames", type=int, default=300, help="of each sequence (%(default)s)")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    names = args.trackers.split(",")
    print(f"{'':24s}" + "".join(f"{name:>10s}  worst   best" for name in names))
    with ProcessPoolExecutor(args.jobs) as pool:
        runs = {
            path: [
                [pool.submit(success, name, path, shift, args.frames) for shift in SHIFTS]
                for name in names
            ]
            for path in args.sequences
        }
        means = []
        for path, by_name in runs.items():
            found = np.array([[run.result() for run in starts] for starts in by_name])
            means.append(found.mean(axis=1))
            cells = "".join(f"{v.mean():10.3f}{v.min():7.3f}{v.max():7.3f}" for v in found)
            print(f"{path.stem:24s}{cells}", flush=True)
    print(f"{'mean':24s}" + "".join(f"{value:10.3f}{'':14s}" for value in np.mean(means, axis=0)))


if __name__ == "__main__":
    main()
