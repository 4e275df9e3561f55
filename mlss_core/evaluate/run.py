"""Run trackers over sequences: one pass, in parallel processes, resumable, repeatable."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlss_core.box import Box
from mlss_core.errors import MlssError, SequenceError
from mlss_core.evaluate.corrupt import Corruption, corrupt
from mlss_core.evaluate.metrics import Array, first_valid_row
from mlss_core.evaluate.pool import WorkerDiedError, run_parallel
from mlss_core.evaluate.results import RunInfo, digest, load_info, save_run
from mlss_core.evaluate.sources import Source
from mlss_core.evaluate.trackers import (
    Tracker,
    TrackerOptions,
    TrackerSpec,
    build_tracker,
    tracker_key,
)
from mlss_core.sequences import Sequence, load_sequence


@dataclass(frozen=True)
class Job:
    """One tracker on one sequence; small, it travels to a process."""

    path: Path
    name: str
    spec: TrackerSpec
    options: TrackerOptions
    corruption: Corruption | None
    folder: Path  # of this tracker's results
    key: dict[str, str]


def make_jobs(
    sources: Iterable[Source],
    specs: Iterable[TrackerSpec],
    options: TrackerOptions,
    folder: Path,
    corruption: Corruption | None = None,
) -> list[Job]:
    """One job per tracker and sequence; results go to `folder`/TRACKER/SEQUENCE.txt."""
    jobs = []
    for spec in specs:
        key = tracker_key(spec, options)
        key["corruption"] = str(corruption or "")
        for source in sources:
            labels = source.sequence.ground_truth
            key_here = {**key, "labels": digest(labels.tobytes()) if labels is not None else ""}
            jobs.append(
                Job(
                    source.path.resolve(),
                    source.name,
                    spec,
                    options,
                    corruption,
                    folder / spec.label,
                    key_here,
                )
            )
    return jobs


def is_done(job: Job) -> bool:
    """Whether the results of an equal job are on disk; a failed one counts as not done."""
    info = load_info(job.folder, job.name)
    rows = job.folder / f"{job.name}.txt"
    return info is not None and info.status == "done" and info.key == job.key and rows.is_file()


def run_jobs(jobs: Iterable[Job], processes: int, on_done: Callable[[Job, RunInfo], None]) -> None:
    """Run what is not on disk yet; `on_done` is called for every job, as they end.

    A job that raises, or whose process dies, is written as failed and the others go on.
    """
    pending = []
    for job in jobs:
        info = load_info(job.folder, job.name)
        if info is not None and is_done(job):
            on_done(job, info)
        else:
            pending.append(job)
    for job, outcome in run_parallel(run_job, pending, processes):
        if isinstance(outcome, WorkerDiedError):
            outcome = _save_failure(job, str(outcome))
        on_done(job, outcome)


def run_job(job: Job) -> RunInfo:
    """Run one job and write its results; never raises for what a tracker or a sequence does."""
    try:
        sequence = corrupt(load_sequence(job.path), job.corruption)
        boxes, scores, fps = track(build_tracker(job.spec, job.options), sequence)
    except Exception as error:  # noqa: BLE001 - anything a tracker raises is its failure alone
        reason = " ".join(str(error).split())[:300]
        named = reason if isinstance(error, MlssError) else f"{type(error).__name__}: {reason}"
        return _save_failure(job, named)
    info = RunInfo(job.key, "done", fps=fps, scores=tuple(round(float(s), 5) for s in scores))
    save_run(job.folder, job.name, boxes, info)
    return info


def track(tracker: Tracker, sequence: Sequence) -> tuple[Array, Array, float | None]:
    """One pass from the first valid label to the end.

    Returns:
        boxes: (N, 4) x, y, w, h, 1-based; NaN before the start and where the tracker gave none;
            the row of the start is the ground truth.
        scores: (N,) confidence, 0 before the start.
        fps: updates per second of `update` alone; None when there was none.

    Raises:
        SequenceError: the sequence has no valid label, or a frame cannot be read.
    """
    if sequence.ground_truth is None:
        raise SequenceError(f"expected ground truth for {sequence.name}, got none; label it")
    start = first_valid_row(sequence.ground_truth)
    boxes = np.full((len(sequence.frames), 4), math.nan)
    scores = np.zeros(len(boxes))
    boxes[start], scores[start] = sequence.ground_truth[start], 1.0
    tracker.initialize(sequence.frames[start], Box.from_ltwh(*map(float, boxes[start])))
    seconds = 0.0
    for i in range(start + 1, len(boxes)):
        frame = sequence.frames[i]
        before = time.perf_counter()
        estimate = tracker.update(frame)
        seconds += time.perf_counter() - before
        scores[i] = estimate.score
        if estimate.box is not None:
            boxes[i] = estimate.box.to_ltwh()
    updates = len(boxes) - start - 1
    return boxes, scores, updates / seconds if seconds > 0 else None


def _save_failure(job: Job, reason: str) -> RunInfo:
    info = RunInfo(job.key, "failed", error=reason)
    (job.folder / f"{job.name}.txt").unlink(missing_ok=True)
    save_run(job.folder, job.name, None, info)
    return info
