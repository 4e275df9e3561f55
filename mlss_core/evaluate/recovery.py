"""After the target was away: is the right one taken up again, a wrong one, or none?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mlss_core.evaluate.presence import PresenceRun

SHORTEST_ABSENCE = 5  # frames; shorter ones are bridged without being noticed
JUDGED_AFTER_S = 3.0  # of the return, or when the target leaves again or the sequence ends
RIGHT_OVERLAP = 0.3  # a box that overlaps more is on the right target


class Return(NamedTuple):
    """One return of a target."""

    outcome: str  # "right", "wrong" (a box elsewhere) or "none" (no box)
    delay_frames: int | None  # from the return to the first box on the target


class RecoveryScore(NamedTuple):
    """Over all returns of all sequences; shares are NaN without any."""

    returns: int
    right: float  # share of them
    wrong: float
    median_delay_frames: float  # of those that had a box on the target; NaN without any


def returns_of(run: PresenceRun, fps: float) -> list[Return]:
    """Judge every return of one run, `JUDGED_AFTER_S` after the target is seen again.

    Args:
        run: presence and overlap per frame.
        fps: frames a second of the sequence.
    """
    change = np.flatnonzero(np.diff(run.present.astype(np.int8)))
    bounds = np.concatenate([[0], change + 1, [len(run.present)]])
    spans = list(zip(bounds[:-1], bounds[1:], strict=True))  # of equal presence, in turn
    found = []
    for (left, back), (_, end) in zip(spans[:-1], spans[1:], strict=True):
        if run.present[left] or back - left < SHORTEST_ABSENCE:
            continue
        end = min(end, back + max(1, round(JUDGED_AFTER_S * fps)))
        on_target = run.overlap[back:end] > RIGHT_OVERLAP
        given = not np.isneginf(run.score[end - 1])
        outcome = "right" if on_target[-1] else "wrong" if given else "none"
        found.append(Return(outcome, int(np.argmax(on_target)) if on_target.any() else None))
    return found


def score_recovery(found: Sequence[Return]) -> RecoveryScore:
    """Shares over returns, of one sequence or many."""
    if not found:
        return RecoveryScore(0, math.nan, math.nan, math.nan)
    delays = [item.delay_frames for item in found if item.delay_frames is not None]
    return RecoveryScore(
        len(found),
        sum(item.outcome == "right" for item in found) / len(found),
        sum(item.outcome == "wrong" for item in found) / len(found),
        float(np.median(delays)) if delays else math.nan,
    )
