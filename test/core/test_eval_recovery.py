"""What became of a target that was away: judged against cases counted by hand."""

import numpy as np

from mlss_core.evaluate.presence import PresenceRun, score_presence
from mlss_core.evaluate.recovery import Return, returns_of, score_recovery


def run_of(present: str, overlap: str) -> PresenceRun:
    """By frame: seen `1`, a bit `.`, hidden `0`; a box `#` on target, `x` beside, `.` none."""
    boxes = np.array(list(overlap))
    return PresenceRun(
        np.where(boxes == "#", 0.8, 0.0),
        np.where(boxes == ".", -np.inf, 0.5),
        np.array([{"1": 1.0, ".": 0.2, "0": 0.0}[character] for character in present]),
    )


def test_the_right_target_is_taken_up_after_some_frames() -> None:
    run = run_of("1110000000111111", "###.........####")
    assert returns_of(run, 10) == [Return("right", 2)]


def test_a_box_elsewhere_is_a_wrong_one_and_no_box_is_none() -> None:
    away = "111" + "0" * 6 + "1" * 6
    assert returns_of(run_of(away, "###......xxxxxx"), 10) == [Return("wrong", None)]
    assert returns_of(run_of(away, "###............"), 10) == [Return("none", None)]


def test_it_is_judged_three_seconds_after_the_return_or_when_it_leaves_again() -> None:
    # Right within 3 frames at one frame a second, wrong later.
    assert returns_of(run_of("1000001111", "#.....##xx"), 1) == [Return("wrong", 0)]
    assert returns_of(run_of("1000001111", "#.....###x"), 1) == [Return("right", 0)]
    twice = run_of("1000001100000111", "#.....##.....xxx")
    assert [r.outcome for r in returns_of(twice, 4)] == ["right", "wrong"]


def test_a_target_is_back_once_half_of_it_is_seen() -> None:
    # Glimpses neither end an absence nor make two of it.
    run = run_of("11.000.00...111111", "##..........xx####")
    assert returns_of(run, 10) == [Return("right", 2)]
    assert returns_of(run_of("1100.00..........", "##....xxxxxxxxxxx"), 10) == []


def test_a_view_of_less_than_half_a_second_is_not_judged() -> None:
    away = "11" + "0" * 5
    assert returns_of(run_of(away + "1" * 4, "##" + "." * 9), 10) == []
    assert len(returns_of(run_of(away + "1" * 5, "##" + "." * 10), 10)) == 1


def test_short_absences_and_endings_without_return_do_not_count() -> None:
    assert returns_of(run_of("1100111", "##..###"), 10) == []
    assert returns_of(run_of("110000000", "##......."), 10) == []
    assert score_recovery([]).returns == 0


def test_shares_and_the_median_delay() -> None:
    found = [Return("right", 2), Return("right", 4), Return("wrong", None), Return("none", None)]
    score = score_recovery(found)
    assert (score.returns, score.right, score.wrong, score.median_delay_frames) == (
        4,
        0.5,
        0.25,
        3,
    )


def test_there_f_score_counts_hits_whatever_their_overlap() -> None:
    # 4 claims, 3 of them hits; present in 4 frames: precision 3/4, recall 3/4.
    run = run_of("111100", "###.x.")
    assert score_presence([run]).there_f_score == 0.75
