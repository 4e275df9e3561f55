"""How long boxes were in doubt, sequence by sequence: what `presence.doubt_limit` rests on.

    python tools/longest_doubt.py RESULTS/results/mlssnet

reads what `mlss eval --out RESULTS` wrote; docs/evaluation.md quotes it. A box is in doubt where
its score is below `presence.uncertain_below`.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import numpy as np

from mlss_core.params import tracker_params


def longest_doubt(scores: np.ndarray, boxes: np.ndarray, below: float) -> int:
    """Frames of the longest run of boxes (N, 4), NaN where there is none, with a score below."""
    doubted = (scores < below) & np.isfinite(boxes).all(axis=1)
    return max((len(list(run)) for low, run in itertools.groupby(doubted) if low), default=0)


def main() -> None:
    """Print the longest runs, the longest first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="folder of one tracker's results")
    args = parser.parse_args()
    below = tracker_params().presence.uncertain_below
    found = {}
    for path in sorted(args.results.glob("*.json")):
        scores = np.array(json.loads(path.read_text())["scores"], dtype=float)
        boxes = np.genfromtxt(path.with_suffix(".txt"), delimiter=",")
        found[path.stem] = longest_doubt(scores, boxes, below)
    if not found:
        parser.error(f"expected results of mlss eval in {args.results}, got none")
    for name, frames in sorted(found.items(), key=lambda item: -item[1]):
        print(f"{name:24s}{frames:6d}")


if __name__ == "__main__":
    main()
