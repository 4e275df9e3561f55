"""Whether the target is there: a score in 0..1 and a state with hysteresis."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from mlss_core.network_params import NetworkParams
from mlss_core.params import PresenceParams

# Chosen with the weights of the score (docs/training.md).
_USUAL_RATE = 0.02  # share of a frame in what is usual of a target
_FIRST_FRAMES = 3  # that are averaged
_LEAST = 0.1  # quality and height count as this at least, where they divide
_HIGHEST = 1e6  # a quality counts as this at most
_LARGEST_SHARE = 2.0
_AMPLE_QUALITY, _AMPLE_HEIGHT = 15.0, 4.0  # what is usual counts as this at most


class TrackState(str, Enum):
    """What a track's box is worth."""

    TRACKING = "TRACKING"
    UNCERTAIN = "UNCERTAIN"  # followed, but the template is not updated
    LOST = "LOST"  # no box; searched for
    FROZEN = "FROZEN"  # the camera repeats itself (shutter); the last box is held


@dataclass
class UsualPeak:
    """How a target's peak looks while it is surely seen.

    What a peak reaches depends on the target and its surroundings far more than on whether it is
    there, so a score compares it with this. (High-confidence updates do: Wang et al., LMCF, 2017.)
    """

    quality: float = 0.0  # peak-to-sidelobe ratio
    height: float = 0.0  # value of the peak; the network learns that a target is above 0
    frames: int = 0  # in which it was seen; before the first, nothing is usual

    def see(self, quality: float, height: float) -> None:
        """Follow it slowly, after a mean of the first frames."""
        self.frames += 1
        rate = 1 / self.frames if self.frames <= _FIRST_FRAMES else _USUAL_RATE
        self.quality += rate * (quality - self.quality)
        self.height += rate * (height - self.height)


def peak_score(quality: float, height: float, usual: UsualPeak, network: NetworkParams) -> float:
    """How likely a peak is the target, in 0..1, by a logistic regression.

    Args:
        quality: peak-to-sidelobe ratio.
        height: value of the peak.
        usual: what is usual of this target; before it was seen, any peak is as usual.
        network: its weights, which belong to the network's weights (tools/calibrate_score.py).
    """
    change, share = compared_with_usual(quality, height, usual)
    logit = (
        network.score_constant
        + network.score_per_log_quality * change
        + network.score_per_height_share * share
    )
    return 0.5 + 0.5 * math.tanh(0.5 * logit)


def compared_with_usual(quality: float, height: float, usual: UsualPeak) -> tuple[float, float]:
    """Logarithm of the quality and the height, as shares of what is usual; 0 and 1 are usual.

    A target like nothing else about it, in a picture like the first, has a peak far higher than
    needed: losing half of that says that it turned, not that it went.
    """
    if usual.frames == 0:
        return 0.0, 1.0
    ample = min(usual.quality, _AMPLE_QUALITY)
    quality = min(max(quality, _LEAST), _HIGHEST)
    change = math.log(quality) - math.log(max(ample, _LEAST))
    share = height / max(min(usual.height, _AMPLE_HEIGHT), _LEAST)
    return change, min(max(share, -_LARGEST_SHARE), _LARGEST_SHARE)


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
