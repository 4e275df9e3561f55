"""After the target was away: is the right one taken up again, a wrong one, or none?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mlss_core.evaluate.presence import PresenceRun

SHORTEST_ABSENCE = 5  # frames out of sight; fewer are bridged without being noticed
SEEN_PART = 0.5  # from this part on a target that was away can be seen again
JUDGED_AFTER_S = 3.0  # of the return, or when the target leaves again or the sequence ends
SHORTEST_VIEW_S = 0.5  # in which it can be seen at least, or nobody could take it up
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
    """Judge every return of one run, `JUDGED_AFTER_S` after the target can be seen again.

    Glimpses of less than `SEEN_PART` of a target do not end its absence.

    Args:
        run: visible part and overlap per frame.
        fps: frames a second of the sequence.
    """
    seen = np.flatnonzero(run.visible >= SEEN_PART)
    away = [  # last frame seen before an absence, first one after it
        (left, back)
        for left, back in itertools.pairwise(seen)
        if np.count_nonzero(run.visible[left:back] <= 0) >= SHORTEST_ABSENCE
    ]
    found = []
    for number, (_, back) in enumerate(away):
        last = away[number + 1][0] if number + 1 < len(away) else seen[-1]
        last = min(last, back + max(1, round(JUDGED_AFTER_S * fps)) - 1)
        if last + 1 - back < SHORTEST_VIEW_S * fps:
            continue
        on_target = run.overlap[back : last + 1] > RIGHT_OVERLAP
        given = not np.isneginf(run.score[last])
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
