"""What `make soak` calls growth: not the heap's free part, which comes and goes every minute."""

import numpy as np
import pytest

pytest.importorskip("rclpy")

from processes import Usage
from soak import Sample, judge


def hold(minutes, growth_mb):
    """Samples of a process that grows by so much in 10 minutes, under a saw-tooth of 130 MB."""
    noise = np.random.default_rng(0).normal(0, 5, minutes * 60 + 1)
    return [
        Sample(s, Usage(440 + growth_mb * s / 600 + 130 * (s % 60 / 60) ** 0.3 + noise[s], 23, 23))
        for s in range(1, minutes * 60 + 1)
    ]


def answer(minutes, growth=0.0):
    """Two answers a second whose latency grows by that share over the run."""
    noise = np.random.default_rng(1).normal(0, 5, minutes * 120)
    return [
        (n / 2, 100 * (1 + growth * n / (minutes * 120)) + noise[n]) for n in range(minutes * 120)
    ]


@pytest.mark.parametrize(
    ("minutes", "growth_mb", "grows"),
    [(10, 0, False), (60, 0, False), (60, 8, True), (10, 30, True)],
)
def test_a_saw_tooth_is_no_growth_of_memory(minutes, growth_mb, grows):
    problems = []
    figures = judge(hold(minutes, growth_mb), answer(minutes), problems)
    assert [problem.startswith("memory grows") for problem in problems] == [True] * grows
    low, high = figures["rss_slope_interval"]
    assert low < growth_mb < high


def test_one_more_thread_or_file_and_slower_answers_are_told():
    samples = hold(30, 0)
    samples[900:] = [s._replace(usage=s.usage._replace(threads=24)) for s in samples[900:]]
    problems = []
    judge(samples, answer(30, growth=2.0), problems)
    assert [problem.split()[0] for problem in problems] == ["threads", "a"]


def test_a_run_of_five_minutes_is_not_judged():
    problems = []
    assert judge(hold(5, 0), answer(5), problems) == {}
    assert problems == ["too short to judge: 2 parts of 2 minutes, 480 answers"]
