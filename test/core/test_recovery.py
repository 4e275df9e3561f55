import math

import numpy as np
import pytest
import torch

from mlss_core.params import SearchParams
from mlss_core.recovery import Region, best_sighting, regions_around

MIDDLE = Region(200.0, 60.0, 120.0)
FRAME_HW = (240, 320)


def test_first_region_is_the_last_place_and_the_others_surround_it():
    regions = regions_around(MIDDLE, 60.0, FRAME_HW, turn=0, count=8)
    assert regions[0] == MIDDLE
    distances = [math.dist(region[:2], MIDDLE[:2]) for region in regions[1:]]
    assert distances == sorted(distances)
    assert max(distances) <= math.hypot(60, 60) + 1e-9
    assert {region.side for region in regions} == {120.0}


@pytest.mark.parametrize("middle", [MIDDLE, Region(0.0, 0.0, 40.0), Region(319.0, 239.0, 400.0)])
def test_rising_turns_cover_every_pixel_of_the_frame(middle):
    reach = middle.side / 2
    seen = np.zeros(FRAME_HW, dtype=bool)
    y, x = np.mgrid[: FRAME_HW[0], : FRAME_HW[1]]
    for turn in range(100):
        for region in regions_around(middle, reach, FRAME_HW, turn, count=4):
            seen |= (abs(x - region.cx) <= reach / 2) & (abs(y - region.cy) <= reach / 2)
    assert seen.all()


def test_a_frame_smaller_than_the_reach_has_few_other_regions():
    assert len(regions_around(Region(50, 50, 900.0), 450.0, (100, 100), 0, 8)) <= 9


def test_no_region_is_searched_twice_in_one_frame():
    regions = regions_around(Region(50, 50, 100.0), 50.0, (100, 100), turn=3, count=64)
    assert len(set(regions)) == len(regions)


def test_best_sighting_is_the_highest_peak_wherever_it_lies():
    cells = torch.zeros(3, 33, 33)
    cells[0, 16, 16] = 1.0
    cells[2, 30, 2] = 3.0
    regions = [MIDDLE, Region(100, 60, 120.0), Region(100, 120, 120.0)]
    sighting = best_sighting(regions, cells, SearchParams())
    assert sighting.region == regions[2]
    assert sighting.peak.offset_xy == pytest.approx((2 - 16, 30 - 16), abs=0.2)


def test_regions_farther_than_asked_are_left_out_and_the_others_come_round_again():
    turns = [
        regions_around(MIDDLE, 60.0, FRAME_HW, turn, count=3, within_px=90.0) for turn in range(3)
    ]
    others = {region for regions in turns for region in regions[1:]}
    assert len(others) == 8
    assert all(math.dist(region[:2], MIDDLE[:2]) < 90 for region in others)
