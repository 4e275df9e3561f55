"""Metrics against hand-made cases and against an independent, slow implementation."""

import math

import numpy as np
import pytest

from mlss_core.errors import SequenceError
from mlss_core.evaluate.metrics import (
    Curves,
    clean_results,
    first_valid_row,
    mean_curves,
    score_sequence,
)

NAN = [math.nan] * 4


def moving_boxes(frames: int = 40) -> np.ndarray:
    steps = np.arange(frames)
    return np.stack([50 + 3 * steps, 60 + steps, 24 + steps % 5, 40 - steps % 7], axis=1) * 1.0


def slow_scores(results: list, ground_truth: list, variant: str) -> tuple:
    """The toolkits' rules once more, one frame and one threshold at a time."""
    rows = [list(row) for row in results]
    rows[0] = list(ground_truth[0])
    for i in range(1, len(rows)):
        no_box = all(math.isnan(v) for v in rows[i]) or rows[i][2] <= 0 or rows[i][3] <= 0
        if no_box and not any(math.isnan(v) for v in ground_truth[i]):
            rows[i] = rows[i - 1]
    overlaps, errors, norm_errors = [], [], []
    for (x, y, w, h), (gx, gy, gw, gh) in zip(rows, ground_truth, strict=True):
        if not (gx > 0 and gy > 0 and gw > 0 and gh > 0):
            if variant == "toolkit":
                overlaps.append(-1.0)
                errors.append(-1.0)
                norm_errors.append(-1.0)
            continue
        # inclusive pixels, as the toolkits write it: right = x + w - 1, overlap + 1
        across = min(x + w - 1, gx + gw - 1) - max(x, gx) + 1
        down = min(y + h - 1, gy + gh - 1) - max(y, gy) + 1
        shared = max(0.0, across) * max(0.0, down)
        overlaps.append(shared / (w * h + gw * gh - shared))
        dx = (x + (w - 1) / 2) - (gx + (gw - 1) / 2)
        dy = (y + (h - 1) / 2) - (gy + (gh - 1) / 2)
        errors.append(math.sqrt(dx * dx + dy * dy))
        norm_errors.append(math.sqrt((dx / gw) ** 2 + (dy / gh) ** 2))
    frames = len(overlaps)
    success = [sum(o > t / 20 for o in overlaps) / frames for t in range(21)]
    precision = [sum(e <= t for e in errors) / frames for t in range(51)]
    norm = [sum(e <= t / 100 for e in norm_errors) / frames for t in range(51)]
    return success, precision, norm


@pytest.mark.parametrize("variant", ["toolkit", "plain"])
@pytest.mark.parametrize("seed", range(8))
def test_scores_equal_the_slow_implementation(variant, seed):
    rng = np.random.default_rng(seed)
    ground_truth = moving_boxes(60)
    results = ground_truth + rng.normal(0, 1 + 2 * seed, ground_truth.shape)
    results[rng.integers(1, 60, 5)] = math.nan  # no box
    results[rng.integers(1, 60, 3), 2] = -1.0
    ground_truth[rng.integers(1, 60, 6)] = math.nan  # unlabelled
    ground_truth[rng.integers(1, 60, 3), 0] = -4.0  # past the left edge
    curves = score_sequence(results, ground_truth, variant)
    success, precision, norm = slow_scores(results.tolist(), ground_truth.tolist(), variant)
    np.testing.assert_allclose(curves.success, success, atol=1e-12)
    np.testing.assert_allclose(curves.precision, precision, atol=1e-12)
    np.testing.assert_allclose(curves.norm_precision, norm, atol=1e-12)


def test_a_perfect_tracker_scores_20_of_21():
    curves = score_sequence(moving_boxes(), moving_boxes())
    assert curves.success_auc == pytest.approx(20 / 21)
    assert curves.success[-1] == 0.0
    assert curves.precision_20px == 1.0
    assert curves.norm_precision_auc == 1.0


def test_overlap_must_pass_the_threshold_but_error_may_equal_it():
    ground_truth = np.array([[10.0, 10, 40, 40]] * 2)
    half = np.array([[10.0, 10, 40, 40], [10, 10, 40, 20]])  # overlap exactly 0.5, 10 px lower
    curves = score_sequence(half, ground_truth)
    assert curves.success[9] == 1.0
    assert curves.success[10] == 0.5
    assert curves.precision[9] == 0.5
    assert curves.precision[10] == 1.0
    assert curves.norm_precision[24] == 0.5  # 10 px of 40
    assert curves.norm_precision[25] == 1.0


def test_headline_precision_is_at_20_px():
    ground_truth = np.array([[10.0, 10, 40, 40]] * 4)
    results = ground_truth + np.array([[0.0], [20], [20.5], [300]]) * [[1, 0, 0, 0]]
    assert score_sequence(results, ground_truth).precision_20px == 0.5


@pytest.mark.parametrize("bad", [NAN, [-3.0, 5, 20, 20], [5.0, 0, 20, 20], [5.0, 5, 0, 20]])
def test_invalid_ground_truth_is_a_miss_in_success_and_a_hit_in_precision(bad):
    ground_truth = moving_boxes(4)
    ground_truth[3] = bad
    results = moving_boxes(4) + [[0, 0, 0, 0], [900, 0, 0, 0], [0, 0, 0, 0], [900, 0, 0, 0]]
    toolkit = score_sequence(results, ground_truth, "toolkit")
    assert toolkit.success[0] == 0.5
    assert toolkit.precision_20px == 0.75
    assert toolkit.norm_precision[0] == 0.75
    plain = score_sequence(results, ground_truth, "plain")
    assert plain.success[0] == pytest.approx(2 / 3)
    assert plain.precision_20px == pytest.approx(2 / 3)


def test_first_row_is_replaced_and_rows_without_a_box_repeat_the_one_before():
    ground_truth = moving_boxes(5)
    results = np.array([[1.0, 1, 1, 1], NAN, [7, 8, 9, 10], [5, 5, 0, 4], [5, 5, 4, -1]])
    expected = [ground_truth[0], ground_truth[0], [7, 8, 9, 10], [7, 8, 9, 10], [7, 8, 9, 10]]
    before = results.copy()
    np.testing.assert_array_equal(clean_results(results, ground_truth), expected)
    np.testing.assert_array_equal(results, before)  # the caller's rows are left alone


def test_rows_without_a_box_are_not_repaired_where_the_label_is_nan():
    ground_truth = moving_boxes(4)
    ground_truth[1] = math.nan
    results = np.array([ground_truth[0], NAN, NAN, ground_truth[3]])
    cleaned = clean_results(results, ground_truth)
    assert np.isnan(cleaned[1]).all()
    assert np.isnan(cleaned[2]).all()  # repeats the row before, which stayed empty


def test_a_row_with_some_nan_is_a_miss():
    ground_truth = moving_boxes(2)
    results = ground_truth.copy()
    results[1, 3] = math.nan
    curves = score_sequence(results, ground_truth)
    assert curves.success[0] == 0.5
    assert curves.precision[50] == 0.5


def test_counts_that_differ_are_both_named():
    with pytest.raises(SequenceError, match="got 3 results for 4 frames"):
        score_sequence(moving_boxes(3), moving_boxes(4))


def test_scoring_refuses_to_start_on_an_unlabelled_frame():
    ground_truth = moving_boxes(3)
    ground_truth[0] = math.nan
    with pytest.raises(SequenceError, match="first labelled frame"):
        score_sequence(moving_boxes(3), ground_truth)


def test_evaluation_starts_at_the_first_valid_row():
    ground_truth = moving_boxes(5)
    ground_truth[0] = math.nan
    ground_truth[1, 1] = 0.0
    assert first_valid_row(ground_truth) == 2
    with pytest.raises(SequenceError, match="none in 2 rows"):
        first_valid_row(ground_truth[:2])


def test_sequences_weigh_the_same_and_empty_curves_are_left_out():
    def curves(value: float) -> Curves:
        return Curves(np.full(21, value), np.full(51, value), np.full(51, value))

    long_and_short = [
        score_sequence(moving_boxes(100), moving_boxes(100)),
        score_sequence(moving_boxes(2) + [[0, 0, 0, 0], [900, 0, 0, 0]], moving_boxes(2)),
    ]
    assert mean_curves(long_and_short).precision_20px == 0.75
    mean = mean_curves([curves(1.0), curves(0.0), curves(0.5)])
    assert mean.success_auc == 0.75
    assert mean_curves([]).success_auc == 0.0
