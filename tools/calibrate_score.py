"""Fit the score of mlss_core/presence.py: how a peak tells the target from anything else.

    python tools/calibrate_score.py ROOT [--list config/validation.txt] [--weights W]

Follows every labelled clip below ROOT with presence switched off. A frame whose box overlaps the
label by more than half is an example of the target; a frame that lost it, and a search beside the
target where it is not, are examples of something else. Prints the three weights of a logistic
regression on peak-to-sidelobe ratio and peak height, each class weighing the same, and how well
they separate.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import scipy.optimize
from tqdm import tqdm

from mlss_core.box import Box
from mlss_core.checkpoint import load_network
from mlss_core.params import PresenceParams, tracker_params
from mlss_core.sequences import Sequence, find_sequences, load_sequence
from mlss_core.tracker import MLSSTracker

BESIDE = 1.2  # shift of the searches beside the target, in sides of what a response covers


def main() -> None:
    """Collect examples and fit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, nargs="+")
    parser.add_argument("--list", type=Path, help="names of the clips to use, one per line")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--frames", type=int, default=60, help="frames of each clip")
    args = parser.parse_args()
    names = set(args.list.read_text().split()) if args.list else None
    paths = [path for root in args.root for path in find_sequences(root)]
    params = dataclasses.replace(tracker_params(), presence=PresenceParams(enabled=False))
    tracker = MLSSTracker(load_network(args.weights), params)
    examples: list[tuple[float, float, bool]] = []
    for path in tqdm([p for p in paths if names is None or p.stem in names], disable=None):
        examples += collect(tracker, load_sequence(path), args.frames)
    data = np.array([example[:2] for example in examples])
    truth = np.array([example[2] for example in examples])
    weights = fit(data, truth)
    scores = 1 / (1 + np.exp(-(weights[0] + data @ weights[1:])))
    print(f"{len(truth)} examples, {truth.mean():.2f} of them the target")
    print("weights: constant {:.3f}, quality {:.3f}, height {:.3f}".format(*weights))
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
    """Peak quality, peak height and whether it was the target, for the frames of a clip."""
    labelled = [i for i in range(len(clip)) if clip.box(i) is not None]
    if not labelled:
        return []
    random = np.random.default_rng(len(clip))
    first, box = labelled[0], clip.box(labelled[0])
    assert box is not None
    examples = []
    tracker.clear()
    tracker.initialize(clip.frames[first], box)
    for index in range(first + 1, min(first + frames, len(clip))):
        frame = clip.frames[index]
        (result,) = tracker.update(frame)
        truth = clip.box(index)
        if truth is None or result.box is None:
            continue
        (peak,) = tracker.last_peaks
        examples.append((peak.quality, peak.height, result.box.iou(truth) > 0.5))
        if index % 2 == 0:
            (peak,) = look_beside(tracker, frame, truth, float(random.uniform(0, 2 * np.pi)))
            examples.append((peak.quality, peak.height, False))
    return examples


def look_beside(tracker: MLSSTracker, frame: np.ndarray, truth: Box, angle: float) -> list:
    """Peaks of one search where the target is not; the track itself stays as it was."""
    tracker.learn()
    target = tracker._targets["target"]
    kept = dataclasses.replace(target)
    shift = BESIDE * tracker._response_share * tracker.params.search.region_scale * target.size_px
    target.box = target.box._replace(
        cx=truth.cx + shift * np.cos(angle), cy=truth.cy + shift * np.sin(angle)
    )
    tracker.update(frame, only=["target"])
    peaks = tracker.last_peaks
    tracker._unlearnt.clear()
    tracker._targets["target"] = kept
    return peaks


def fit(data: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Weights (constant, quality, height) of the balanced logistic regression."""
    share = np.where(truth, 0.5 / truth.sum(), 0.5 / (~truth).sum())
    mean, spread = data.mean(axis=0), data.std(axis=0)
    scaled = (data - mean) / spread

    def loss(weights: np.ndarray) -> float:
        logits = weights[0] + scaled @ weights[1:]
        entropy = np.logaddexp(0, np.where(truth, -logits, logits))
        return float((share * entropy).sum() + 1e-4 * (weights[1:] ** 2).sum())

    weights = scipy.optimize.minimize(loss, np.zeros(3)).x
    slopes = weights[1:] / spread
    return np.array([weights[0] - (slopes * mean).sum(), *slopes])


if __name__ == "__main__":
    main()
