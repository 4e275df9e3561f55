"""Is the target there? Precision, recall and F-score as the VOT long-term challenges define them.

A tracker gives a box and a confidence per frame; below a confidence threshold it counts as
saying "absent". With A(t) its boxes at a threshold and G the ground truth, empty where the target
is away: precision is the mean overlap over the frames where A(t) is not empty, recall the mean
overlap over the frames where G is not empty, an overlap with an empty ground truth being 0. Both
are averaged over sequences at each threshold; the figure that ranks is the largest F = 2PR/(P+R)
(Lukezic et al., "Now You See Me", 2018; thresholds as in vot-toolkit 0.9 `analysis/longterm.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlss_core.evaluate.metrics import Array, overlaps, valid_rows

THRESHOLDS = 100  # how many confidence thresholds the toolkit tries, both ends included


class PresenceRun(NamedTuple):
    """What one run says of presence, frame by frame."""

    overlap: Array  # (N,) 0..1; 0 where the target is absent or no box was given
    score: Array  # (N,) confidence; -inf where no box was given
    visible: Array  # (N,) 0..1, the part of the target that can be seen

    @property
    def present(self) -> NDArray[np.bool_]:
        """(N,) whether the target is there."""
        return self.visible > 0


class PresenceScore(NamedTuple):
    """Over all sequences; `own_*` takes every box that the tracker gave, whatever its score."""

    thresholds: Array  # (T,) falling, from inf (all absent) to -inf (every box given)
    precision: Array  # (T,)
    recall: Array  # (T,)
    f_score: float  # the largest over the thresholds
    best_precision: float  # at that threshold
    best_recall: float
    best_threshold: float
    own_precision: float
    own_recall: float
    own_f_score: float
    absent_frames: int
    absent_noticed: float  # share of the absent frames without a box; NaN when none is absent
    there_f_score: float  # of "the target is there, about here": any overlap counts as a hit


def presence_run(
    results: Array, scores: Array, ground_truth: Array, visibility: Array | None = None
) -> PresenceRun:
    """Prepare one run: (N, 4) boxes (NaN: none given), (N,) scores, (N, 4) labels.

    The target is present where its visible part is above zero, or, when visibility is unknown,
    where the ground-truth row is valid. The first frame is the given box: overlap 1.
    """
    visible = valid_rows(ground_truth).astype(np.float64)
    if visibility is not None:
        visible *= visibility
    given = np.asarray(np.isfinite(results).all(axis=1) & (results[:, 2:] > 0).all(axis=1))
    given[0] = True
    overlap = np.zeros(len(results))
    both = given & (visible > 0)
    overlap[both] = overlaps(results[both], ground_truth[both])
    overlap[0] = 1.0
    return PresenceRun(overlap, np.where(given, scores, -np.inf), visible)


def confidence_thresholds(scores: Array) -> Array:
    """Thresholds that cut the finite of `scores` (N,) into equal parts, between inf and -inf."""
    ordered = np.sort(scores[np.isfinite(scores)])[::-1]
    inner = THRESHOLDS - 2
    if len(ordered) > inner:
        step = len(ordered) // inner
        picks = np.linspace(step, len(ordered) - step, inner).round().astype(int)
        ordered = ordered[picks]
    return np.concatenate([[np.inf], ordered, [-np.inf]])


def score_presence(runs: Sequence[PresenceRun]) -> PresenceScore:
    """Presence figures of one tracker over `runs`, at least one, each with a present frame."""
    thresholds = confidence_thresholds(np.concatenate([run.score for run in runs]))
    curves = [[_precision_recall(run, threshold) for threshold in thresholds] for run in runs]
    precision, recall = np.mean(curves, axis=0).T
    f_scores = [_f_score(p, r) for p, r in zip(precision, recall, strict=True)]
    best = int(np.argmax(f_scores))
    absent = np.concatenate([~run.present for run in runs])
    silent = np.concatenate([np.isneginf(run.score) for run in runs])
    return PresenceScore(
        thresholds,
        precision,
        recall,
        f_scores[best],
        float(precision[best]),
        float(recall[best]),
        float(thresholds[best]),
        float(precision[-1]),
        float(recall[-1]),
        f_scores[-1],
        int(absent.sum()),
        float(silent[absent].mean()) if absent.any() else math.nan,
        _there_f_score(runs),
    )


def _there_f_score(runs: Sequence[PresenceRun]) -> float:
    """F-score of the tracker's own claims over all frames, the size of the overlap aside."""
    claimed = np.concatenate([~np.isneginf(run.score) for run in runs])
    hit = np.concatenate([run.overlap > 0 for run in runs])
    present = np.concatenate([run.present for run in runs])
    return _f_score(float(hit.sum() / max(claimed.sum(), 1)), float(hit.sum() / present.sum()))


def _precision_recall(run: PresenceRun, threshold: float) -> tuple[float, float]:
    """At one threshold; precision is 1 when no frame passes, as the toolkit has it."""
    passed = (run.score >= threshold) & ~np.isneginf(run.score)
    if not passed.any():
        return 1.0, 0.0
    total = float(run.overlap[passed].sum())
    return total / int(passed.sum()), total / int(run.present.sum())


def _f_score(precision: float, recall: float) -> float:
    total = precision + recall
    return float(2 * precision * recall / total) if total > 0 else 0.0
