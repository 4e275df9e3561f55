"""Fit the score of mlss_core/presence.py: how a peak tells the target from anything else.

    python tools/calibrate_score.py ROOT [--list config/validation.txt] [--weights W]

Follows every labelled clip below ROOT with presence switched off. A frame whose box overlaps the
label by more than 0.3 is an example of the target; the first frames in which it is hidden are
examples of something else (simulate clips with occlusions and without others of its kind, whose
peaks are as high as its own). Later ones are not: the template has then learnt the obstacle.
Prints the three weights of a logistic regression on peak-to-sidelobe ratio and peak height, both
compared with what is usual of the target (mlss_core/presence.py), each clip weighing the same
within its class, both classes the same, and how well they separate.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import scipy.optimize
from tqdm import tqdm

from mlss_core.checkpoint import load_network
from mlss_core.evaluate.sources import read_names
from mlss_core.params import PresenceParams, tracker_params
from mlss_core.presence import UsualPeak, compared_with_usual
from mlss_core.sequences import Sequence, find_sequences, load_sequence
from mlss_core.sequences.load import sequence_name
from mlss_core.tracker import MLSSTracker

WHOLE = 0.9  # visible part of a target from which on it counts as seen,
HIDDEN = 0.25  # and below which as hidden; between them it is no example
FOUND = 0.3  # overlap with the label from which on the track is on the target
FRESH = 12  # frames of hiding that are examples


def main() -> None:
    """Collect examples and fit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, nargs="+")
    parser.add_argument("--list", type=Path, help="names of the clips to use, one per line")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--frames", type=int, default=60, help="frames of each clip")
    args = parser.parse_args()
    names = read_names(args.list)
    paths = [path for root in args.root for path in find_sequences(root)]
    params = dataclasses.replace(tracker_params(), presence=PresenceParams(enabled=False))
    tracker = MLSSTracker(load_network(args.weights), params)
    examples: list[tuple[float, float, bool]] = []
    clips: list[int] = []
    chosen = [path for path in paths if names is None or sequence_name(path) in names]
    for number, path in enumerate(tqdm(chosen, disable=None)):
        found = collect(tracker, load_sequence(path), args.frames)
        clips += [number] * len(found)
        examples += found
    data = np.array([example[:2] for example in examples])
    truth = np.array([example[2] for example in examples])
    if not 0 < truth.sum() < len(truth):
        raise SystemExit(
            "expected examples of the target and of something else, got "
            f"{truth.sum():g} and {len(truth) - truth.sum():g}; give more clips, with occlusions"
        )
    weights = fit(data, truth, np.array(clips))
    scores = 1 / (1 + np.exp(-(weights[0] + data @ weights[1:])))
    print(f"{len(truth)} examples, {truth.mean():.2f} of them the target")
    print("weights: constant {:.3f}, log quality {:.3f}, height share {:.3f}".format(*weights))
    for name, values in (("target", scores[truth]), ("other", scores[~truth])):
        parts = np.percentile(values, (1, 5, 25, 50, 75, 95, 99))
        print(f"{name:7s} percentiles 1 5 25 50 75 95 99: {np.round(parts, 3)}")
    order = np.argsort(scores)
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    count = truth.sum()
    area = (ranks[truth].sum() - count * (count + 1) / 2) / (count * (~truth).sum())
    print(f"area under the ROC curve {area:.4f}")


def collect(tracker: MLSSTracker, clip: Sequence, frames: int) -> list[tuple[float, float, bool]]:
    """Logarithm of the quality's share, the height's share, and whether it was the target."""
    labelled = [i for i in range(len(clip)) if clip.box(i) is not None]
    if not labelled:
        return []
    first, box = labelled[0], clip.box(labelled[0])
    assert box is not None
    examples = []
    usual, hidden = UsualPeak(), 0
    tracker.clear()
    tracker.initialize(clip.frames[first], box)
    for index in range(first + 1, min(first + frames, len(clip))):
        frame = clip.frames[index]
        (result,) = tracker.update(frame)
        truth = clip.box(index)
        if truth is None or result.box is None:
            continue
        (peak,) = tracker.last_peaks
        found = result.box.iou(truth) > FOUND
        seen = 1.0 if clip.visibility is None else float(clip.visibility[index])
        if found and seen > WHOLE:
            usual.see(peak.quality, peak.height)
        hidden += seen < HIDDEN
        fresh = seen < HIDDEN and hidden <= FRESH
        if usual.frames == 0 or not (fresh or (found and seen > WHOLE)):
            continue
        terms = compared_with_usual(peak.quality, peak.height, usual)
        examples.append((*terms, not fresh))
    return examples


def fit(data: np.ndarray, truth: np.ndarray, clips: np.ndarray) -> np.ndarray:
    """Weights (constant, log quality, height share) of the logistic regression."""
    weight = np.zeros(len(truth))
    for kind in (True, False):
        parts = [(clips == clip) & (truth == kind) for clip in np.unique(clips[truth == kind])]
        for part in parts:
            weight[part] = 0.5 / len(parts) / part.sum()
    mean, spread = data.mean(axis=0), data.std(axis=0)
    scaled = (data - mean) / spread

    def loss(weights: np.ndarray) -> float:
        logits = weights[0] + scaled @ weights[1:]
        entropy = np.logaddexp(0, np.where(truth, -logits, logits))
        return float((weight * entropy).sum() + 1e-3 * (weights[1:] ** 2).sum())

    weights = scipy.optimize.minimize(loss, np.zeros(3)).x
    slopes = weights[1:] / spread
    return np.array([weights[0] - (slopes * mean).sum(), *slopes])


if __name__ == "__main__":
    main()
