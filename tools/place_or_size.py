"""What limits success, the place or the size of the boxes: each replaced by the label's in turn.

    python tools/place_or_size.py build/eval DIR...

takes a finished `mlss eval DIR... --out build/eval` and prints, for every tracker and as a mean
over the sequences, the success AUC of its boxes, of its centres with the labels' widths and
heights, and of its widths and heights at the labels' centres.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from mlss_core.evaluate.metrics import Array, clean_results, first_valid_row, score_sequence
from mlss_core.evaluate.results import load_boxes
from mlss_core.sequences import find_sequences, load_sequence
from mlss_core.sequences.load import sequence_name


def centred(boxes: Array, middles_of: Array) -> Array:
    """Boxes (N, 4) x, y, w, h of the same sizes, moved to the middles of others."""
    middles = middles_of[:, :2] + middles_of[:, 2:] / 2
    return np.hstack([middles - boxes[:, 2:] / 2, boxes[:, 2:]])


def main() -> None:
    """Read results and labels, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="--out of mlss eval")
    parser.add_argument("sequences", type=Path, nargs="+", metavar="DIR")
    args = parser.parse_args()
    if not (args.results / "results").is_dir():
        parser.error(f"expected --out of mlss eval, got no folder {args.results / 'results'}")
    labels = {}
    for path in [path for folder in args.sequences for path in find_sequences(folder)]:
        if list(args.results.glob(f"results/*/{sequence_name(path)}.txt")):
            sequence = load_sequence(path)
            labels[sequence.name] = sequence.ground_truth
    print("tracker      sequences  as it is  label's size  label's place")
    for folder in sorted((args.results / "results").iterdir()):
        rows = []
        for name, truth in labels.items():
            if truth is None or not (folder / f"{name}.txt").is_file():
                continue
            first = first_valid_row(truth)
            truth = truth[first:]
            boxes = clean_results(load_boxes(folder / f"{name}.txt")[first:], truth)
            variants = (boxes, centred(truth, boxes), centred(boxes, truth))
            rows.append([score_sequence(one, truth, "plain").success_auc for one in variants])
        if rows:
            own, size, place = np.mean(rows, axis=0)
            print(f"{folder.name:12} {len(rows):9} {own:9.3f} {size:13.3f} {place:14.3f}")


if __name__ == "__main__":
    main()
