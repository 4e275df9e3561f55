import numpy as np
import pytest
import torch

from mlss_core.errors import FrameError
from mlss_core.patch import crop_patches, kernel_reach, resize_matrix, search_side


def gradient_frame(height=90, width=120):
    rows = torch.arange(height, dtype=torch.float32)[:, None]
    columns = torch.arange(width, dtype=torch.float32)[None, :]
    return 2 * columns + 0.5 * rows  # grey is a linear function of the place


def slow_patch(frame, window, out_px, fill):
    """Independent: every pixel by a double loop over the kernel's taps."""

    def kernel(x):
        x = abs(x)
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0

    center_x, center_y, side = window
    step = side / out_px
    stretch = max(step, 1.0)
    height, width = frame.shape
    patch = np.zeros((out_px, out_px))
    for i in range(out_px):
        for j in range(out_px):
            y = center_y + (i + 0.5 - out_px / 2) * step
            x = center_x + (j + 0.5 - out_px / 2) * step
            total = value = 0.0
            for row in range(int(y - 2 * stretch) - 2, int(y + 2 * stretch) + 3):
                for column in range(int(x - 2 * stretch) - 2, int(x + 2 * stretch) + 3):
                    weight = kernel((y - row) / stretch) * kernel((x - column) / stretch)
                    inside = 0 <= row < height and 0 <= column < width
                    value += weight * (float(frame[row, column]) if inside else fill)
                    total += weight
            patch[i, j] = value / total
    return patch


@pytest.mark.parametrize(
    "window",
    [(20.3, 17.8, 12.0), (3.0, 30.0, 21.5), (39.0, 2.2, 47.0), (-4.0, 12.0, 9.0)],
    ids=["inside", "over the left edge", "shrunk over the top", "centre outside"],
)
def test_crop_equals_the_pixel_by_pixel_definition(window):
    frame = torch.from_numpy(np.random.default_rng(0).uniform(0, 255, (33, 41))).float()
    got = crop_patches(frame, torch.tensor([window], dtype=torch.float64), 16, 77.0)
    np.testing.assert_allclose(got[0, 0], slow_patch(frame, window, 16, 77.0), atol=2e-3)


def test_window_on_whole_pixels_copies_them():
    frame = gradient_frame()
    got = crop_patches(frame, torch.tensor([[50.0, 40.0, 11.0]]), 11, 0.0)
    torch.testing.assert_close(got[0, 0], frame[35:46, 45:56])


def test_enlarged_gradient_keeps_its_place():
    got = crop_patches(gradient_frame(), torch.tensor([[50.25, 40.5, 10.0]]), 40, 0.0)[0, 0]
    assert got.mean().item() == pytest.approx(2 * 50.25 + 0.5 * 40.5, abs=1e-3)
    assert (got[0, 1] - got[0, 0]).item() == pytest.approx(2 * 10 / 40, abs=1e-3)


def test_outside_of_the_frame_is_the_fill_of_that_window():
    windows = torch.tensor([[-100.0, -100.0, 20.0], [500.0, 40.0, 20.0]])
    got = crop_patches(gradient_frame(), windows, 8, torch.tensor([12.0, 34.0]))
    torch.testing.assert_close(got[0], torch.full((1, 8, 8), 12.0))
    torch.testing.assert_close(got[1], torch.full((1, 8, 8), 34.0))


def test_many_windows_in_one_frame_equal_one_at_a_time():
    frame = gradient_frame()
    windows = torch.tensor([[20.0, 20.0, 15.0], [100.5, 80.25, 60.0], [60.0, 45.0, 255.0]])
    together = crop_patches(frame, windows, 31, 9.0)
    for n in range(3):
        alone = crop_patches(frame, windows[n : n + 1], 31, 9.0)
        torch.testing.assert_close(together[n : n + 1], alone, rtol=0, atol=2e-4)


def test_one_frame_per_window():
    frames = torch.stack([gradient_frame(), 255 - gradient_frame()])
    windows = torch.tensor([[20.0, 20.0, 15.0], [30.0, 40.0, 22.0]])
    got = crop_patches(frames, windows, 15, 0.0)
    for n in range(2):
        alone = crop_patches(frames[n], windows[n : n + 1], 15, 0.0)
        torch.testing.assert_close(got[n : n + 1], alone, rtol=0, atol=1e-4)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(FrameError, match="expected a frame"):
        crop_patches(torch.zeros(1, 1, 20, 20), torch.zeros(1, 3), 8, 0.0)
    with pytest.raises(FrameError, match="windows"):
        crop_patches(torch.zeros(20, 20), torch.zeros(3), 8, 0.0)


def test_resize_matrix_keeps_a_constant_and_its_size():
    matrix = resize_matrix(33, 264)
    assert matrix.shape == (264, 33)
    torch.testing.assert_close(matrix.sum(1), torch.ones(264, dtype=torch.float64))


def test_search_side_of_a_square_box_is_twice_its_side():
    assert search_side(40, 40) == pytest.approx(80)  # (40 + 40) by (40 + 40)
    assert search_side(30, 10, context=0.0) == pytest.approx(np.sqrt(300))


def test_a_crop_without_a_look_at_the_windows_is_the_same():
    frame = torch.rand(60, 80) * 255
    windows = torch.tensor([[40.0, 30, 20], [5, 58, 30], [70, 3, 300], [200, 30, 16]])
    reach = kernel_reach(windows[:, 2].tolist(), 16)
    fills = torch.tensor([1.0, 2, 3, 4])
    expected = crop_patches(frame, windows, 16, fills)
    torch.testing.assert_close(crop_patches(frame, windows, 16, fills, reach), expected)


@pytest.mark.parametrize(("side", "reach"), [(8, 4), (32, 4), (33, 8), (64, 8), (100, 16)])
def test_kernels_reach_as_far_as_the_largest_window_is_shrunk(side, reach):
    assert kernel_reach([4.0, side], 16) == reach
