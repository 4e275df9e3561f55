import numpy as np
import pytest
import torch

from mlss_core.params import SearchParams
from mlss_core.response import (
    best_scales,
    further_peaks,
    locate,
    peak_qualities,
    peak_to_sidelobe,
)


def bump(row, column, height=1.0, level=0.0, cells=33):
    y = torch.arange(cells, dtype=torch.float32)[:, None] - row
    x = torch.arange(cells, dtype=torch.float32)[None, :] - column
    return level + height * torch.exp(-(y**2 + x**2) / 8)


def test_peak_in_the_middle_moves_nothing_by_more_than_a_sample():
    (peak,) = locate(bump(16, 16).expand(1, 3, 33, 33), SearchParams())
    assert np.abs(peak.offset_xy).max() <= 0.5 / 8 + 1e-6
    assert peak.scale_index == 1


@pytest.mark.parametrize(("row", "column"), [(20, 16), (16, 11), (22, 25)])
def test_offset_is_in_cells_right_and_down(row, column):
    search = SearchParams(window_influence=0.0)
    (peak,) = locate(bump(row, column).expand(1, 3, 33, 33), search)
    assert peak.offset_xy == pytest.approx((column - 16, row - 16), abs=0.13)


def test_window_prefers_the_nearer_of_two_equal_peaks():
    twins = torch.maximum(bump(16, 18), bump(16, 30))
    (peak,) = locate(twins.expand(1, 3, 33, 33), SearchParams())
    assert peak.offset_xy[0] == pytest.approx(2, abs=0.3)


def test_targets_of_one_batch_do_not_mix():
    maps = torch.stack([bump(10.3, 16.2), bump(16.2, 24.3)]).unsqueeze(1).expand(2, 3, 33, 33)
    together = locate(maps, SearchParams())
    assert together == [locate(maps[n : n + 1], SearchParams())[0] for n in range(2)]


def test_highest_scale_wins_only_beyond_its_penalty():
    search = SearchParams()
    barely = torch.stack([bump(16, 16, h) for h in (1.0, 1.0, 1.01)])[None]
    clearly = torch.stack([bump(16, 16, h) for h in (1.0, 1.0, 1.10)])[None]
    assert best_scales(barely, search).tolist() == [1]
    assert best_scales(clearly, search).tolist() == [2]


def test_negative_peaks_reward_a_change_as_released_but_not_when_rises_are_compared():
    maps = torch.stack([bump(16, 16, 0.5, level=-1.0) for _ in range(3)])[None]
    assert best_scales(maps, SearchParams(peak="released")).tolist() == [0]
    assert best_scales(maps, SearchParams(peak="rise")).tolist() == [1]


def test_sharp_peak_has_a_higher_quality_than_noise():
    noise = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (33, 33)))
    sharp, blunt = peak_to_sidelobe(torch.stack([noise + bump(16, 16), noise]))
    assert sharp > 2 * blunt


def test_peak_to_sidelobe_is_as_numpy_reckons_it_also_at_the_border():
    maps = np.random.default_rng(1).normal(2, 0.3, (3, 33, 33))
    maps[0, 2, 30] = maps[1, 16, 16] = maps[2, 32, 0] = 5.0
    for response, found in zip(maps, peak_to_sidelobe(torch.from_numpy(maps)), strict=True):
        row, column = np.unravel_index(response.argmax(), response.shape)
        far = np.maximum.outer(abs(np.arange(33) - row), abs(np.arange(33) - column)) > 5
        rest = response[far]
        assert float(found) == pytest.approx((5.0 - rest.mean()) / (rest.std() + 1e-6))


def test_peak_to_sidelobe_of_a_flat_response_is_finite():
    assert peak_to_sidelobe(torch.zeros(1, 33, 33)).tolist() == [0]


def test_further_peaks_are_all_that_rise_but_those_on_the_border():
    maps = torch.stack([bump(10, 8) + bump(24, 22, 0.8) + bump(0, 30, 2.0), bump(16, 16)])
    crowd, alone = further_peaks(maps, peak_qualities(maps))
    assert [(peak.row, peak.column) for peak in crowd] == [(10, 8), (24, 22)]
    assert crowd[0].offset_xy == (8 - 16, 10 - 16)
    assert crowd[0].height == pytest.approx(1.0, abs=0.01)
    assert [(peak.row, peak.column) for peak in alone] == [(16, 16)]


def test_quality_of_a_further_peak_is_not_lowered_by_a_higher_one():
    noise = torch.from_numpy(np.random.default_rng(0).normal(0, 0.02, (1, 33, 33))).float()

    def quality_of_the_peak_at_24_22(other):
        maps = noise + bump(24, 22) + other
        (peaks,) = further_peaks(maps, peak_qualities(maps))
        return max(p.quality for p in peaks if abs(p.row - 24) + abs(p.column - 22) < 3)

    alone = quality_of_the_peak_at_24_22(0)
    assert quality_of_the_peak_at_24_22(bump(8, 8, 1.5)) > 0.8 * alone
