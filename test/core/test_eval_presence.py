"""Presence figures against hand-made cases and a slow implementation of the VOT-LT formulas."""

import math

import numpy as np
import pytest

from mlss_core.evaluate.presence import (
    PresenceRun,
    confidence_thresholds,
    presence_run,
    score_presence,
)

BOX = [10.0, 20.0, 30.0, 40.0]
NAN = [math.nan] * 4


def run_of(overlap: list, score: list, present: list) -> PresenceRun:
    return PresenceRun(np.array(overlap), np.array(score), np.array(present, dtype=float))


def slow_curves(runs: list, thresholds: list) -> list:
    """Mean (precision, recall) per threshold, frame by frame."""
    curve = []
    for threshold in thresholds:
        precisions, recalls = [], []
        for run in runs:
            overlaps_of_predictions = []
            visible = 0
            for overlap, score, present in zip(*run, strict=True):
                visible += bool(present)
                if score > -math.inf and score >= threshold:
                    overlaps_of_predictions.append(overlap)
            total = sum(overlaps_of_predictions)
            count = len(overlaps_of_predictions)
            precisions.append(total / count if count else 1.0)
            recalls.append(total / visible)
        curve.append((sum(precisions) / len(runs), sum(recalls) / len(runs)))
    return curve


@pytest.mark.parametrize("seed", range(5))
def test_curves_equal_the_slow_implementation(seed):
    rng = np.random.default_rng(seed)
    runs = []
    for frames in (40, 250):
        present = rng.random(frames) > 0.3
        present[0] = True
        overlap = np.where(present, rng.random(frames), 0.0)
        score = np.where(rng.random(frames) > 0.2, rng.random(frames).round(2), -np.inf)
        score[0] = 1.0
        runs.append(PresenceRun(overlap, score, present.astype(float)))
    result = score_presence(runs)
    expected = slow_curves(runs, result.thresholds.tolist())
    np.testing.assert_allclose(result.precision, [p for p, _ in expected], atol=1e-12)
    np.testing.assert_allclose(result.recall, [r for _, r in expected], atol=1e-12)
    best = max(2 * p * r / (p + r) if p + r else 0.0 for p, r in expected)
    assert result.f_score == pytest.approx(best)
    assert result.own_precision == pytest.approx(expected[-1][0])


def test_a_tracker_that_is_right_and_knows_it_scores_one():
    result = score_presence([run_of([1, 1, 0, 0], [1, 0.9, 0.2, -np.inf], [1, 1, 0, 0])])
    assert result.f_score == 1.0
    assert 0.2 < result.best_threshold <= 0.9
    assert result.own_precision == pytest.approx(2 / 3)  # its third box was one too many
    assert result.own_recall == 1.0
    assert result.absent_frames == 2
    assert result.absent_noticed == 0.5


def test_a_tracker_that_never_gives_up_pays_in_precision():
    result = score_presence([run_of([1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 0, 0])])
    assert result.best_precision == 0.5
    assert result.best_recall == 1.0
    assert result.f_score == pytest.approx(2 / 3)
    assert result.absent_noticed == 0.0


def test_a_tracker_that_gives_up_too_early_pays_in_recall():
    result = score_presence([run_of([1, 0, 0, 0], [1, -np.inf, -np.inf, -np.inf], [1, 1, 1, 1])])
    assert result.best_precision == 1.0
    assert result.best_recall == 0.25
    assert math.isnan(result.absent_noticed)  # nothing was absent


def test_absence_comes_from_labels_and_from_visibility():
    ground_truth = np.array([BOX, BOX, NAN, BOX])
    results = np.array([BOX, BOX, BOX, NAN])
    scores = np.array([1.0, 0.8, 0.7, 0.6])
    run = presence_run(results, scores, ground_truth)
    assert run.present.tolist() == [True, True, False, True]
    assert run.overlap.tolist() == [1.0, 1.0, 0.0, 0.0]
    assert run.score.tolist() == [1.0, 0.8, 0.7, -math.inf]
    hidden = presence_run(results, scores, ground_truth, np.array([1.0, 0.0, 1.0, 0.3]))
    assert hidden.present.tolist() == [True, False, False, True]
    assert hidden.overlap.tolist() == [1.0, 0.0, 0.0, 0.0]


def test_thresholds_cut_the_scores_into_equal_parts():
    few = confidence_thresholds(np.array([0.5, -np.inf, 0.9]))
    assert few.tolist() == [math.inf, 0.9, 0.5, -math.inf]
    many = confidence_thresholds(np.linspace(0, 1, 1001))
    assert len(many) == 100
    np.testing.assert_allclose(np.diff(many[1:-1]), -1 / 99, atol=0.002)
