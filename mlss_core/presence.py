"""Whether the target is there: a score in 0..1 and a state with hysteresis."""

from __future__ import annotations

import math
from enum import Enum

from mlss_core.params import PresenceParams


class TrackState(str, Enum):
    """What a track's box is worth."""

    TRACKING = "TRACKING"
    UNCERTAIN = "UNCERTAIN"  # followed, but the template is not updated
    LOST = "LOST"  # no box; searched for
    FROZEN = "FROZEN"  # the camera repeats itself (shutter); the last box is held


# Logistic of the peak-to-sidelobe ratio, see `peak_score`.
_HALF_QUALITY = 6.0
_QUALITY_SLOPE = 1.0


def peak_score(quality: float) -> float:
    """Peak-to-sidelobe ratio -> confidence in 0..1."""
    return 0.5 + 0.5 * math.tanh(0.5 * _QUALITY_SLOPE * (quality - _HALF_QUALITY))


def next_state(
    state: TrackState, low_frames: int, score: float, params: PresenceParams
) -> tuple[TrackState, int]:
    """State after a frame with `score`, and how many frames in a row were under `lost_below`.

    A lost target is taken up again only above `regain_above`, so a state never flickers.
    """
    if not params.enabled:
        return TrackState.TRACKING, 0
    if state is TrackState.LOST:
        regained = score >= params.regain_above
        return (TrackState.TRACKING, 0) if regained else (TrackState.LOST, low_frames)
    low_frames = low_frames + 1 if score < params.lost_below else 0
    if low_frames >= params.lost_after:
        return TrackState.LOST, low_frames
    certain = score >= params.uncertain_below
    return (TrackState.TRACKING if certain else TrackState.UNCERTAIN), low_frames
