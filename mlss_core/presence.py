"""Whether the target is there: a score in 0..1 and a state with hysteresis."""

from __future__ import annotations

import math
from enum import Enum

from mlss_core.params import NetworkParams, PresenceParams


class TrackState(str, Enum):
    """What a track's box is worth."""

    TRACKING = "TRACKING"
    UNCERTAIN = "UNCERTAIN"  # followed, but the template is not updated
    LOST = "LOST"  # no box; searched for
    FROZEN = "FROZEN"  # the camera repeats itself (shutter); the last box is held


def peak_score(quality: float, height: float, network: NetworkParams) -> float:
    """How likely a peak is the target, in 0..1, by a logistic regression.

    Args:
        quality: peak-to-sidelobe ratio.
        height: value of the peak; the network learns that a target is above 0.
        network: its weights, which belong to the network's weights (tools/calibrate_score.py).
    """
    logit = (
        network.score_constant
        + network.score_per_quality * quality
        + network.score_per_height * height
    )
    return 0.5 + 0.5 * math.tanh(0.5 * logit)


def next_state(
    state: TrackState, low_frames: int, score: float, params: PresenceParams, near: bool = True
) -> tuple[TrackState, int]:
    """State after a frame with `score`, and how many frames in a row were under `lost_below`.

    A lost target is taken up again only above `regain_near`, or away from its last place above
    `regain_above`; both are well above `lost_below`, so a state does not flicker.
    """
    if not params.enabled:
        return TrackState.TRACKING, 0
    if state is TrackState.LOST:
        regained = score >= (params.regain_near if near else params.regain_above)
        return (TrackState.TRACKING, 0) if regained else (TrackState.LOST, low_frames)
    low_frames = low_frames + 1 if score < params.lost_below else 0
    if low_frames >= params.lost_after:
        return TrackState.LOST, low_frames
    certain = score >= params.uncertain_below
    return (TrackState.TRACKING if certain else TrackState.UNCERTAIN), low_frames
