"""How the tracker behaves behind occlusions, shutters and on raw counts, beside its peers.

    python tools/measure_robustness.py --out build/robustness

simulates three groups of sequences, runs `mlss eval` on each and prints what docs/evaluation.md
quotes: returns of the target after 1, 2 and 3 s behind an obstacle with others of its kind about,
presence, what a shutter of 2 s costs, and what raw 16-bit counts cost against 8 bit.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from mlss_core.cli import main as mlss
from mlss_core.evaluate.metrics import score_sequence
from mlss_core.sequences import find_sequences, load_sequence

PICTURE = ["--width", "320", "--height", "256"]
HIDDEN_S = (1.0, 2.0, 3.0)


def simulate(folder: Path, scenes: int, seed: int, *options: str) -> None:
    """Write `scenes` sequences below `folder` unless they are there."""
    if folder.is_dir() and len(find_sequences(folder)) >= scenes:
        return
    code = mlss(["simulate", str(folder), "--scenes", str(scenes), "--seed", str(seed), *options])
    if code != 0:
        raise SystemExit(code)


def evaluate(folder: Path, out: Path, trackers: str) -> dict[str, Any]:
    """Run every tracker on the sequences of a folder; the content of results.json."""
    mlss(["eval", str(folder), "--trackers", trackers, "--out", str(out), "--no-report"])
    return json.loads((out / "results.json").read_text())["trackers"]


def fresh_success(folder: Path, clean: Path, shuttered: Path, tracker: str) -> tuple[float, float]:
    """Success AUC without and with shutters, both over the frames with a picture of their own."""
    without, with_shutters = [], []
    for path in find_sequences(folder):
        sequence = load_sequence(path)
        frames = sequence.frames
        fresh = [True] + [
            bool((frames[i] != frames[i - 1]).any()) and np.ptp(frames[i]) > 0
            for i in range(1, len(sequence))
        ]
        assert sequence.ground_truth is not None
        for results, found in ((clean, without), (shuttered, with_shutters)):
            file = results / "results" / tracker / f"{sequence.name}.txt"
            boxes = np.genfromtxt(file, delimiter=",")
            curves = score_sequence(boxes[fresh], sequence.ground_truth[fresh], "plain")
            found.append(curves.success_auc)
    return float(np.mean(without)), float(np.mean(with_shutters))


def main() -> None:
    """Simulate, evaluate, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/robustness"))
    parser.add_argument("--trackers", default="mlssnet,csrt,kcf")
    parser.add_argument("--scenes", type=int, default=4, help="of each kind (%(default)s)")
    parser.add_argument(
        "--seed", type=int, default=7100, help="of the first occlusion (%(default)s)"
    )
    args = parser.parse_args()
    out, scenes = args.out, args.scenes
    for n, seconds in enumerate(HIDDEN_S):
        hidden = ["--occlusion", "1", "--occlusions", "1", "--occlusion-s", str(seconds)]
        simulate(
            out / "occlusion" / f"{seconds:.0f}s", scenes, args.seed + 20 * n, *PICTURE, *hidden,
            "--frames", "360", "--distractors", "3", "--lookalikes", "0",
        )  # fmt: skip
    open_air = [
        *PICTURE,
        "--frames",
        "240",
        "--occlusion",
        "0",
        "--occlusions",
        "0",
        "--distractors",
        "1",
    ]
    simulate(out / "steady", scenes, 7300, *open_air, "--bits", "8", "--freezes", "0")
    simulate(out / "raw", scenes, 7300, *open_air, "--bits", "16", "--freezes", "0")
    simulate(
        out / "shutter", scenes, 7300, *open_air, "--bits", "8",
        "--freezes", "1", "--freeze-s", "2",
    )  # fmt: skip
    found = {
        group: evaluate(out / group, out / f"eval_{group}", args.trackers)
        for group in ("occlusion", "steady", "raw", "shutter")
    }
    print("\noccluded for 1, 2, 3 s")
    print(f"{'':16s}{'returns':>8s}{'right':>8s}{'wrong':>8s}{'after':>8s}{'pres. F':>9s}there F")
    for name, figures in found["occlusion"].items():
        back, there = figures["recovery"], figures["presence"]
        print(
            f"{name:16s}{back['returns']:8.0f}{back['right']:8.2f}{back['wrong']:8.2f}"
            f"{back['median_delay_frames'] or float('nan'):8.0f}{there['f_score']:9.3f}"
            f"{there['there_f_score']:8.3f}"
        )
    print("\nsuccess AUC: 8 bit, 16 bit; shutter of 2 s, over frames with a picture of their own")
    for name in found["steady"]:
        grey, raw = (found[group][name]["success_auc"] for group in ("steady", "raw"))
        clean, shut = fresh_success(
            out / "shutter", out / "eval_steady", out / "eval_shutter", name
        )
        print(f"{name:16s}{grey:8.3f}{raw:8.3f}{clean:10.3f} -> {shut:.3f}")


if __name__ == "__main__":
    main()
