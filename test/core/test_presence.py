import pytest

from mlss_core.params import NetworkParams, PresenceParams
from mlss_core.presence import TrackState, next_state, peak_score

PARAMS = PresenceParams(
    uncertain_below=0.4, lost_below=0.2, lost_after=3, regain_near=0.6, regain_above=0.8
)


def states(scores, params=PARAMS):
    state, low, seen = TrackState.TRACKING, 0, []
    for score in scores:
        state, low = next_state(state, low, score, params)
        seen.append(state.value)
    return seen


def test_one_bad_frame_loses_nothing():
    assert states([0.9, 0.1, 0.9]) == ["TRACKING", "UNCERTAIN", "TRACKING"]


def test_bad_frames_in_a_row_lose_the_target():
    assert states([0.1, 0.1, 0.1, 0.1]) == ["UNCERTAIN", "UNCERTAIN", "LOST", "LOST"]


def test_frames_between_the_thresholds_do_not_add_up_to_lost():
    assert states([0.1, 0.1, 0.3, 0.1, 0.1, 0.3]) == ["UNCERTAIN"] * 6


def test_lost_target_needs_more_to_come_back_than_to_stay():
    assert states([0.1, 0.1, 0.1, 0.5, 0.59, 0.6]) == ["UNCERTAIN"] * 2 + ["LOST"] * 3 + [
        "TRACKING"
    ]


def test_lost_target_is_taken_up_far_away_only_above_the_stricter_threshold():
    assert next_state(TrackState.LOST, 5, 0.7, PARAMS, near=False)[0] is TrackState.LOST
    assert next_state(TrackState.LOST, 5, 0.8, PARAMS, near=False)[0] is TrackState.TRACKING


def test_presence_switched_off_always_tracks():
    assert states([0.0] * 5, PresenceParams(enabled=False)) == ["TRACKING"] * 5


@pytest.mark.parametrize("quality", [-1e6, -3.0, 0.0, 6.0, 40.0, 1e6])
@pytest.mark.parametrize("height", [-1e3, 0.0, 1e3])
def test_score_stays_between_zero_and_one(quality, height):
    assert 0 <= peak_score(quality, height, NetworkParams(score_per_height=1.0)) <= 1


def test_score_rises_with_the_peak():
    network = NetworkParams(score_constant=-6.0, score_per_quality=0.5, score_per_height=2.0)
    assert peak_score(12, 0.0, network) == 0.5
    assert peak_score(11, 0.0, network) < 0.5 < peak_score(12, 0.1, network)
