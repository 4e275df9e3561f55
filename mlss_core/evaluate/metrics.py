"""One-pass evaluation (OPE) exactly as the LSOTB-TIR and PTB-TIR toolkits define it.

Boxes are rows of x, y, w, h in px, 1-based top-left pixel, as result and ground-truth files hold
them; NaN where there is none. Two variants of every figure:

`toolkit`
    The published protocol. A ground-truth row is *valid* when its four numbers are positive; a
    frame whose row is not valid stays in the denominator, always as a miss in success and always
    as a hit in both precisions (its overlap and errors are set to -1).
`plain`
    The same formulas over the valid frames alone. It is the better absolute figure where many
    frames carry no label.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlss_core.errors import SequenceError

Array = NDArray[np.float64]
Variant = Literal["toolkit", "plain"]
VARIANTS: tuple[Variant, ...] = ("toolkit", "plain")

SUCCESS_THRESHOLDS: Array = np.arange(21) / 20  # overlap; compared with a strict >
PRECISION_THRESHOLDS: Array = np.arange(51.0)  # px of centre error; compared with <=
NORM_PRECISION_THRESHOLDS: Array = np.arange(51) / 100  # centre error per ground-truth size; <=
HEADLINE_PX = 20  # the precision that tables quote


class Curves(NamedTuple):
    """Shares of frames, 0..1, over the three threshold lists: of one sequence or a mean."""

    success: Array  # (21,)
    precision: Array  # (51,)
    norm_precision: Array  # (51,)

    @property
    def success_auc(self) -> float:
        """Mean of the success curve: 20/21 for a perfect tracker, as t = 1 is never passed."""
        return float(self.success.mean())

    @property
    def precision_20px(self) -> float:
        """Share of frames whose centre is within 20 px of the ground truth."""
        return float(self.precision[HEADLINE_PX])

    @property
    def norm_precision_auc(self) -> float:
        """Mean of the normalised precision curve over 0..0.5 (not a point of it)."""
        return float(self.norm_precision.mean())


def valid_rows(ground_truth: Array) -> NDArray[np.bool_]:
    """(N, 4) -> (N,): True where all four numbers are positive, the toolkits' rule."""
    return np.asarray((ground_truth > 0).all(axis=1))


def first_valid_row(ground_truth: Array) -> int:
    """Index of the frame on which OPE starts: the first valid one of (N, 4) x, y, w, h.

    Raises:
        SequenceError: no row is valid.
    """
    valid = valid_rows(ground_truth)
    if not valid.any():
        raise SequenceError(
            f"expected at least one ground-truth box with x, y, w, h > 0, got none in "
            f"{len(ground_truth)} rows; label one frame"
        )
    return int(valid.argmax())


def clean_results(results: Array, ground_truth: Array) -> Array:
    """Repair rows as the toolkits do: (N, 4), (N, 4) -> new (N, 4).

    The first row becomes the ground truth. A later row without a box (all four NaN, or w <= 0 or
    h <= 0) repeats the row before it, provided that its ground-truth row holds no NaN. A row with
    only some NaN stays as it is and counts as a miss.
    """
    cleaned = results.astype(np.float64, copy=True)
    cleaned[0] = ground_truth[0]
    missing = np.isnan(cleaned).all(axis=1) | (cleaned[:, 2] <= 0) | (cleaned[:, 3] <= 0)
    for i in np.flatnonzero(missing & ~np.isnan(ground_truth).any(axis=1)):
        if i > 0:
            cleaned[i] = cleaned[i - 1]
    return cleaned


def overlaps(results: Array, ground_truth: Array) -> Array:
    """Intersection over union row by row, (N, 4), (N, 4) -> (N,); NaN where a row holds a NaN."""
    with np.errstate(invalid="ignore", divide="ignore"):
        low = np.maximum(results[:, :2], ground_truth[:, :2])
        high = np.minimum(
            results[:, :2] + results[:, 2:], ground_truth[:, :2] + ground_truth[:, 2:]
        )
        shared = np.clip(high - low, 0, None).prod(axis=1)
        union = results[:, 2:].prod(axis=1) + ground_truth[:, 2:].prod(axis=1) - shared
        return np.asarray(shared / union)


def center_offsets(results: Array, ground_truth: Array) -> Array:
    """Centre of the result minus centre of the ground truth, (N, 4), (N, 4) -> (N, 2) px."""
    return np.asarray(
        (results[:, :2] + results[:, 2:] / 2) - (ground_truth[:, :2] + ground_truth[:, 2:] / 2)
    )


def score_sequence(results: Array, ground_truth: Array, variant: Variant = "toolkit") -> Curves:
    """Score one run over the frames that were tracked, the first being the initialised one.

    Args:
        results: (N, 4) boxes of the tracker, NaN rows where it gave none.
        ground_truth: (N, 4) boxes whose first row is valid.
        variant: see the module's text.

    Raises:
        SequenceError: the two counts differ, or the first ground-truth row is not valid.
    """
    if len(results) != len(ground_truth):
        raise SequenceError(
            f"expected one result row per ground-truth row, got {len(results)} results for "
            f"{len(ground_truth)} frames; run the tracker again"
        )
    valid = valid_rows(ground_truth)
    if not len(valid) or not valid[0]:
        raise SequenceError(
            "expected a valid ground-truth box in the first frame to be scored, got "
            f"{ground_truth[:1].tolist()}; start at the first labelled frame"
        )
    cleaned = clean_results(results, ground_truth)
    overlap = np.full(len(valid), -1.0)
    error = np.full(len(valid), -1.0)
    norm_error = np.full(len(valid), -1.0)
    overlap[valid] = overlaps(cleaned[valid], ground_truth[valid])
    offsets = center_offsets(cleaned[valid], ground_truth[valid])
    error[valid] = np.hypot(offsets[:, 0], offsets[:, 1])
    relative = offsets / ground_truth[valid, 2:]
    norm_error[valid] = np.hypot(relative[:, 0], relative[:, 1])
    if variant == "plain":
        overlap, error, norm_error = overlap[valid], error[valid], norm_error[valid]
    return Curves(
        (overlap[:, None] > SUCCESS_THRESHOLDS).mean(axis=0),
        (error[:, None] <= PRECISION_THRESHOLDS).mean(axis=0),
        (norm_error[:, None] <= NORM_PRECISION_THRESHOLDS).mean(axis=0),
    )


def mean_curves(sequences: Sequence[Curves]) -> Curves:
    """Mean of per-sequence curves, every sequence weighing the same.

    A sequence whose whole curve is zero is left out of that curve's mean: the toolkits' way to
    skip runs that do not exist.
    """

    def mean(curves: list[Array]) -> Array:
        kept = [curve for curve in curves if curve.any()]
        return np.mean(kept, axis=0) if kept else np.zeros_like(curves[0])

    if not sequences:
        return Curves(
            np.zeros_like(SUCCESS_THRESHOLDS),
            np.zeros_like(PRECISION_THRESHOLDS),
            np.zeros_like(NORM_PRECISION_THRESHOLDS),
        )
    return Curves(
        mean([s.success for s in sequences]),
        mean([s.precision for s in sequences]),
        mean([s.norm_precision for s in sequences]),
    )
