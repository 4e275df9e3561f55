import pytest

from mlss_core.network_params import NetworkParams
from mlss_core.params import PresenceParams
from mlss_core.presence import TrackState, UsualPeak, next_state, peak_score

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
@pytest.mark.parametrize("usual", [UsualPeak(), UsualPeak(12.0, 5.0, 1), UsualPeak(0.0, -1.0, 1)])
def test_score_stays_between_zero_and_one(quality, height, usual):
    assert 0 <= peak_score(quality, height, usual, NetworkParams()) <= 1


def test_score_rises_with_the_peak():
    network = NetworkParams(
        score_constant=-2.0, score_per_log_quality=1.0, score_per_height_share=2.0
    )
    usual = UsualPeak(quality=12.0, height=4.0, frames=1)
    assert peak_score(12, 4.0, usual, network) == 0.5
    assert peak_score(11, 4.0, usual, network) < 0.5 < peak_score(12, 4.1, usual, network)


def test_a_peak_is_judged_by_what_is_usual_of_its_target():
    network, faint, bright = NetworkParams(), UsualPeak(4.5, 1.5, 1), UsualPeak(40.0, 9.0, 1)
    assert peak_score(4.2, 1.4, faint, network) > 0.9
    assert peak_score(4.2, 0.4, bright, network) < 0.2 < peak_score(4.2, 0.4, faint, network)


def test_an_ample_peak_is_the_target_even_if_it_was_twice_as_high_before():
    network, striking = NetworkParams(), UsualPeak(31.0, 11.3, 1)
    assert peak_score(10.0, 6.0, striking, network) > 0.9  # it turned
    assert peak_score(6.0, 1.0, striking, network) > PresenceParams().uncertain_below  # and bent
    assert peak_score(5.0, -0.5, striking, network) < PresenceParams().lost_below  # it is gone


def test_before_a_target_was_seen_any_peak_is_usual():
    network = NetworkParams()
    assert peak_score(3.0, 0.5, UsualPeak(), network) == peak_score(
        12.0, 4.0, UsualPeak(12.0, 4.0, 1), network
    )


def test_what_is_usual_is_a_mean_of_the_first_frames_and_then_follows_slowly():
    usual = UsualPeak()
    for quality in (10.0, 12.0, 14.0):
        usual.see(quality, quality / 2)
    assert (usual.quality, usual.height) == pytest.approx((12.0, 6.0))
    for _ in range(10):
        usual.see(2.0, 1.0)
    assert 9.0 < usual.quality < 11.0
    for _ in range(300):
        usual.see(2.0, 1.0)
    assert usual.quality == pytest.approx(2.0, abs=0.1)
