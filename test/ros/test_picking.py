"""What a drag in a window means: views, zooms, whole pixels, presses and releases."""

import numpy as np
import pytest

from mlss_core.box import Box
from mlss_tracker_ros.picking import LARGEST_VIEW_PX, Drag, View, fitting_view


@pytest.mark.parametrize(
    ("size", "scale"),
    [((160, 120), 8), ((80, 60), 8), ((640, 512), 1), ((1280, 1024), 0.5), ((3000, 100), 1 / 3)],
)
def test_a_picture_is_shown_as_large_as_fits_at_a_whole_zoom(size, scale):
    view = fitting_view(*size)
    assert view.scale == pytest.approx(scale)
    shown = view.shown(np.zeros((size[1], size[0], 3), np.uint8))
    assert shown.shape[1::-1] == view.size
    assert shown.shape[1] <= LARGEST_VIEW_PX[0]


def test_a_drag_over_whole_pixels_is_the_region_of_interest_of_them():
    assert View(640, 512, 1).box((40, 30), (79, 69)) == Box.from_roi(40, 30, 40, 40)
    # the same pixels at zoom 4: from the first window px of the first to the last of the last
    assert View(160, 120, 4).box((160, 120), (319, 279)) == Box.from_roi(40, 30, 40, 40)
    assert View(1280, 1024, 0.5).box((20, 15), (39, 34)) == Box.from_roi(40, 30, 40, 40)


def test_a_marked_pixel_lies_where_the_view_shows_it():
    picture = np.zeros((12, 16, 3), np.uint8)
    picture[7, 5] = 255
    view = View(16, 12, 4)
    rows, columns = np.nonzero(view.shown(picture)[..., 0])
    corners = (columns.min(), rows.min()), (columns.max(), rows.max())
    assert view.box(*corners) == Box(5, 7, 1, 1)


@pytest.mark.parametrize("corners", [((10, 40), (30, 20)), ((30, 20), (10, 40))])
def test_a_drag_may_go_any_way_and_ends_at_the_border(corners):
    assert View(64, 48, 1).box(*corners) == Box.from_roi(10, 20, 21, 21)
    assert View(64, 48, 1).box((50, 40), (500, -9)) == Box.from_roi(50, 0, 14, 41)


def test_a_drag_belongs_to_the_picture_at_its_start_and_a_click_is_none():
    drag = Drag()
    drag.press(3, 4, "shown")
    drag.move(30, 40)
    assert (drag.picture, drag.to_xy) == ("shown", (30, 40))
    assert drag.release(33, 44) == "shown"
    assert (drag.from_xy, drag.to_xy) == ((3, 4), (33, 44))
    assert drag.picture is None
    assert drag.release(50, 50) is None  # the button went down elsewhere
    drag.press(3, 4, "shown")
    assert drag.release(4, 4) is None
