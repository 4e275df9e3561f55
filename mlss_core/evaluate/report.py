"""From runs on disk to figures: scores per tracker and sequence, the table, `results.json`."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mlss_core.errors import SequenceError
from mlss_core.evaluate.metrics import (
    NORM_PRECISION_THRESHOLDS,
    PRECISION_THRESHOLDS,
    SUCCESS_THRESHOLDS,
    Array,
    Curves,
    Variant,
    first_valid_row,
    mean_curves,
    score_sequence,
    valid_rows,
)
from mlss_core.evaluate.presence import PresenceRun, PresenceScore, presence_run, score_presence
from mlss_core.evaluate.recovery import RecoveryScore, Return, returns_of, score_recovery
from mlss_core.evaluate.results import load_info, load_run
from mlss_core.sequences import Sequence as Frames

DEFAULT_FPS = 30.0  # of sequences that do not tell


@dataclass(frozen=True)
class SequenceScore:
    """One tracker on one sequence, from its first labelled frame on."""

    toolkit: Curves
    plain: Curves
    presence: PresenceRun
    returns: list[Return]  # of a target that was away
    boxes: Array  # (N, 4) of the whole sequence, as the tracker gave them
    fps: float | None  # None from other tools

    def curves(self, variant: Variant) -> Curves:
        """The curves of one variant, see `mlss_core.evaluate.metrics`."""
        return self.toolkit if variant == "toolkit" else self.plain


@dataclass(frozen=True)
class TrackerScores:
    """One row of the table."""

    label: str
    sequences: dict[str, SequenceScore] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)  # sequence -> reason, one line

    def mean(self, variant: Variant = "toolkit") -> Curves:
        """Mean over the sequences that it finished, as the toolkits take it."""
        return mean_curves([score.curves(variant) for score in self.sequences.values()])

    @property
    def fps(self) -> float | None:
        """Mean over sequences; None when none was timed."""
        rates = [score.fps for score in self.sequences.values() if score.fps is not None]
        return statistics.fmean(rates) if rates else None

    def presence(self) -> PresenceScore | None:
        """VOT-LT figures; None when no frame of any sequence is without its target."""
        runs = [score.presence for score in self.sequences.values()]
        return score_presence(runs) if any(not run.present.all() for run in runs) else None

    def recovery(self) -> RecoveryScore:
        """What became of the targets that were away."""
        return score_recovery([r for score in self.sequences.values() for r in score.returns])


def score_tracker(label: str, folder: Path, sequences: Sequence[Frames]) -> TrackerScores:
    """Score the results in `folder`, ours or another tool's, against labelled sequences.

    A sequence whose run failed, is missing or does not line up goes to `failed`.
    """
    scores = TrackerScores(label)
    for sequence in sequences:
        info = load_info(folder, sequence.name)
        if info is not None and info.status == "failed":
            scores.failed[sequence.name] = info.error
            continue
        try:
            scores.sequences[sequence.name] = _score_run(folder, sequence)
        except SequenceError as error:
            scores.failed[sequence.name] = str(error)
    return scores


def _score_run(folder: Path, sequence: Frames) -> SequenceScore:
    labels = sequence.ground_truth
    if labels is None:
        raise SequenceError(f"expected ground truth for {sequence.name}, got none; label it")
    start = first_valid_row(labels)
    run = load_run(folder, sequence.name, len(labels), start)
    given = run.scores if run.scores is not None else np.ones(len(labels))
    seen = None if sequence.visibility is None else sequence.visibility[start:]
    presence = presence_run(run.boxes[start:], given[start:], labels[start:], seen)
    return SequenceScore(
        score_sequence(run.boxes[start:], labels[start:], "toolkit"),
        score_sequence(run.boxes[start:], labels[start:], "plain"),
        presence,
        returns_of(presence, sequence.fps or DEFAULT_FPS),
        run.boxes,
        run.fps,
    )


def has_invalid_frames(sequences: Sequence[Frames]) -> bool:
    """Whether the two variants differ: some frame after a start has no valid label."""
    return any(
        not valid_rows(s.ground_truth[first_valid_row(s.ground_truth) :]).all()
        for s in sequences
        if s.ground_truth is not None
    )


def ranked(trackers: Sequence[TrackerScores]) -> list[TrackerScores]:
    """Best success AUC first; ties by label."""
    return sorted(trackers, key=lambda t: (-t.mean().success_auc, t.label))


def table_rows(
    trackers: Sequence[TrackerScores], sequences: Sequence[Frames]
) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the summary table, best first; columns that say nothing are left out."""
    plain = has_invalid_frames(sequences)
    presence = {t.label: t.presence() for t in trackers}
    with_presence = any(p is not None for p in presence.values())
    recovery = {t.label: t.recovery() for t in trackers}
    with_recovery = any(r.returns for r in recovery.values())
    header = ["tracker", "success AUC", "prec. 20 px", "norm. prec."]
    header += ["plain success", "plain prec."] if plain else []
    header += ["pres. P", "pres. R", "pres. F", "there F"] if with_presence else []
    header += ["back: right", "wrong"] if with_recovery else []
    header += ["fps", "sequences"]
    rows = []
    for tracker in ranked(trackers):
        mean, plain_mean = tracker.mean(), tracker.mean("plain")
        row = [tracker.label, _share(mean.success_auc), _share(mean.precision_20px)]
        row.append(_share(mean.norm_precision_auc))
        if plain:
            row += [_share(plain_mean.success_auc), _share(plain_mean.precision_20px)]
        if with_presence:
            score = presence[tracker.label]
            row += (
                [_share(score.best_precision), _share(score.best_recall), _share(score.f_score)]
                + [_share(score.there_f_score)]
                if score
                else ["-"] * 4
            )
        if with_recovery:
            row += [_share(recovery[tracker.label].right), _share(recovery[tracker.label].wrong)]
        row.append("-" if tracker.fps is None else f"{tracker.fps:.0f}")
        row.append(f"{len(tracker.sequences)}/{len(tracker.sequences) + len(tracker.failed)}")
        rows.append(row)
    return header, rows


def results_document(
    trackers: Sequence[TrackerScores],
    sequences: Sequence[Frames],
    robustness: Mapping[str, Any],
    environment: Mapping[str, str],
    unusable: Mapping[str, str],
) -> dict[str, Any]:
    """Everything measured, as `results.json` holds it; no NaN in it."""
    return {
        "format": 1,
        "environment": dict(environment),
        "thresholds": {
            "success": SUCCESS_THRESHOLDS.tolist(),
            "precision": PRECISION_THRESHOLDS.tolist(),
            "norm_precision": NORM_PRECISION_THRESHOLDS.tolist(),
        },
        "sequences": {s.name: _describe(s) for s in sequences},
        "unusable": dict(unusable),
        "trackers": {tracker.label: _tracker_document(tracker) for tracker in ranked(trackers)},
        "robustness": dict(robustness),
    }


def save_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write `results.json`; the file appears whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
    partial.replace(path)


def _describe(sequence: Frames) -> dict[str, Any]:
    labels = sequence.ground_truth
    assert labels is not None
    return {
        "frames": len(labels),
        "valid_frames": int(valid_rows(labels).sum()),
        "start": first_valid_row(labels),
    }


def _tracker_document(tracker: TrackerScores) -> dict[str, Any]:
    presence = tracker.presence()
    return {
        **_figures(tracker.mean()),
        "fps": _rounded(tracker.fps, 2),
        "plain": _figures(tracker.mean("plain")),
        "presence": None if presence is None else _presence_document(presence),
        "recovery": {k: _rounded(v) for k, v in tracker.recovery()._asdict().items()},
        "curves": {
            name: [round(float(value), 5) for value in curve]
            for name, curve in tracker.mean()._asdict().items()
        },
        "failed": tracker.failed,
        "sequences": {
            name: {
                **_figures(score.toolkit),
                "fps": _rounded(score.fps, 2),
                "plain": _figures(score.plain),
            }
            for name, score in tracker.sequences.items()
        },
    }


def _figures(curves: Curves) -> dict[str, float]:
    return {
        "success_auc": round(curves.success_auc, 5),
        "precision_20px": round(curves.precision_20px, 5),
        "norm_precision": round(curves.norm_precision_auc, 5),
    }


def _presence_document(score: PresenceScore) -> dict[str, Any]:
    return {
        "precision": _rounded(score.best_precision),
        "recall": _rounded(score.best_recall),
        "f_score": _rounded(score.f_score),
        "threshold": _rounded(score.best_threshold),
        "own_precision": _rounded(score.own_precision),
        "own_recall": _rounded(score.own_recall),
        "own_f_score": _rounded(score.own_f_score),
        "absent_frames": score.absent_frames,
        "absent_noticed": _rounded(score.absent_noticed),
        "there_f_score": _rounded(score.there_f_score),
    }


def _rounded(value: float | None, digits: int = 5) -> float | None:
    """None for what is not known, as JSON has no NaN."""
    return None if value is None or not math.isfinite(value) else round(value, digits)


def _share(value: float) -> str:
    return f"{value:.3f}"
