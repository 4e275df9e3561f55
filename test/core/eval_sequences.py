"""Small sequences on disk, trackers to try evaluation with, and the command itself."""

import json
import os
import time
from pathlib import Path

import cv2
import numpy as np

from mlss_core import cli
from mlss_core.evaluate.trackers import PlainEstimate, StaticTracker


def write_sequence(root: Path, name: str, frames: int = 12, speed_px: float = 2.0) -> Path:
    """Write an OTB folder: a warm block that moves to the right over cold clutter."""
    rng = np.random.default_rng(len(name) + frames)
    folder = root / name
    (folder / "img").mkdir(parents=True)
    background = cv2.GaussianBlur(rng.normal(70, 40, (96, 128)), (0, 0), 3)
    target = cv2.resize(rng.normal(140, 40, (6, 8)), (24, 32), interpolation=cv2.INTER_CUBIC)
    rows = []
    for i in range(frames):
        picture = background + rng.normal(0, 2, background.shape)
        x, y = round(20 + speed_px * i), 30 + i % 3
        picture[y : y + 32, x : x + 24] = target.clip(100, 255)
        pixels = picture.clip(0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / "img" / f"{i + 1:04d}.png"), pixels)
        rows.append(f"{x + 1},{y + 1},24,32")
    (folder / "groundtruth_rect.txt").write_text("\n".join(rows) + "\n")
    return folder


def evaluate(*arguments: object, trackers: str = "eval_sequences:BrightTracker,static") -> int:
    """Exit code of `mlss eval`."""
    words = ["eval", *map(str, arguments), "--trackers", trackers]
    return cli.main([*words, "--jobs", "1", "--no-report"])


def results_of(out) -> dict:
    return json.loads((out / "results.json").read_text())


def label_file(folder):
    return folder / "groundtruth_rect.txt"


class BrightTracker:
    """Finds the block by its warmth: right on every frame of `write_sequence`."""

    def initialize(self, frame, box):
        self.box = box

    def update(self, frame):
        rows, columns = np.nonzero(frame > 95)
        cx, cy = (columns.min() + columns.max()) / 2, (rows.min() + rows.max()) / 2
        return PlainEstimate(self.box._replace(cx=cx, cy=cy), 0.9)


class DyingTracker(BrightTracker):
    """Raises on sequences of exactly 13 frames, on the last one."""

    def initialize(self, frame, box):
        super().initialize(frame, box)
        self.updates = 0

    def update(self, frame):
        self.updates += 1
        if self.updates == 12:
            raise RuntimeError("no more\nmemory")
        return super().update(frame)


class CrashingTracker(BrightTracker):
    """Ends its process, as native code does when it crashes."""

    def update(self, frame):
        os._exit(7)


class ShyTracker(StaticTracker):
    """Gives no box on any frame after the first."""

    def update(self, frame):
        return PlainEstimate(None, 0.1)


class SleepingTracker(StaticTracker):
    """Writes its process id to a file and then takes longer than any test."""

    def update(self, frame):
        Path(os.environ["SLEEPING_TRACKER_PID_FILE"]).write_text(str(os.getpid()))
        time.sleep(600)
