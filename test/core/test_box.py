import math

import pytest

from mlss_core.box import Box, check_box
from mlss_core.errors import BoxError

FRAME_HW = (256, 320)


def test_one_based_rectangle_of_one_pixel_is_centred_on_that_pixel():
    assert Box.from_ltwh(1, 1, 1, 1) == Box(0, 0, 1, 1)


def test_one_based_rectangle_covers_its_pixels():
    box = Box.from_ltwh(11, 21, 4, 6)  # columns 10..13, rows 20..25 counted from 0
    assert box == Box(11.5, 22.5, 4, 6)
    assert box.corners() == (9.5, 19.5, 13.5, 25.5)


def test_rectangle_survives_the_round_trip():
    assert Box.from_ltwh(12.25, 7.5, 33.0, 9.75).to_ltwh() == (12.25, 7.5, 33.0, 9.75)


def test_region_of_interest_is_zero_based():
    assert Box.from_roi(10, 20, 4, 6) == Box.from_ltwh(11, 21, 4, 6)


@pytest.mark.parametrize("corners", [(2, 3, 12, 9), (12, 9, 2, 3), (12, 3, 2, 9)])
def test_corners_may_come_in_any_order(corners):
    assert Box.from_corners(*corners) == Box(7, 6, 10, 6)


def test_iou_of_half_shifted_boxes_is_a_third():
    assert Box(0, 0, 2, 2).iou(Box(1, 0, 2, 2)) == pytest.approx(1 / 3)


def test_iou_of_touching_or_empty_boxes_is_zero():
    assert Box(0, 0, 2, 2).iou(Box(2, 0, 2, 2)) == 0
    assert Box(0, 0, 0, 0).iou(Box(0, 0, 0, 0)) == 0


def test_usable_box_passes_unchanged():
    box = Box(160, 128, 30, 20)
    assert check_box(box, FRAME_HW) is box


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        (Box(math.nan, 10, 10, 10), "finite"),
        (Box(10, 10, math.inf, 10), "finite"),
        (Box(10, 10, 0, 10), "positive"),
        (Box(10, 10, 10, -4), "positive"),
        (Box(10, 10, 2, 40), "at least 3 px"),
        (Box(-1, 10, 10, 10), "inside the 320x256"),
        (Box(10, 256, 10, 10), "inside the 320x256"),
        (Box(10, 10, 641, 10), "no larger than twice"),
    ],
)
def test_unusable_box_is_refused_with_the_reason(box, reason):
    with pytest.raises(BoxError, match=reason):
        check_box(box, FRAME_HW)
