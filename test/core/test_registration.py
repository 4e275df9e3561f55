"""Where the scene of one picture lies in another."""

import cv2
import numpy as np
import pytest

from mlss_core import registration
from mlss_core.registration import STILL, Registrable, moved
from mlss_core.simulate import SceneParams
from mlss_core.simulate.scene import Scene


def registered(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return registration.registered(Registrable(one), Registrable(other))


def world(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return cv2.GaussianBlur(rng.normal(110, 260, (700, 1000)).astype(np.float32), (0, 0), 5)


def view(scene, shift=(0.0, 0.0), turn=0.0, zoom=1.0, size=(320, 256), noise=3.0):
    """A picture of the scene's middle, and the matrix from the scene to it."""
    to_view = cv2.getRotationMatrix2D((500, 350), turn, zoom * size[0] / 320)
    to_view[:, 2] += np.array(size) / 2 - (500, 350) + shift
    picture = cv2.warpAffine(scene, to_view, size, flags=cv2.INTER_CUBIC)
    rng = np.random.default_rng(round(abs(shift[0] + 7 * shift[1])))
    return picture + rng.normal(0, noise, picture.shape).astype(np.float32), to_view


def errors(found, to_first, to_later, size):
    """Distances of points of the first picture from where they should be in the later one."""
    corners = [(0.1, 0.1), (0.9, 0.1), (0.5, 0.5), (0.1, 0.9), (0.9, 0.9)]
    back = cv2.invertAffineTransform(to_first)
    return [
        np.hypot(*np.subtract(moved(found, x, y), moved(to_later, *moved(back, x, y))))
        for x, y in (np.multiply(corner, size) for corner in corners)
    ]


@pytest.mark.parametrize("size", [(320, 256), (640, 512), (200, 160)])
@pytest.mark.parametrize(
    "motion",
    [
        {"shift": (0.4, -0.3)},
        {"shift": (50.0, -14.0)},
        {"shift": (-12.0, 6.0), "turn": 2.0, "zoom": 1.04},
    ],
    ids=["slow", "far", "turned"],
)
def test_shift_turn_and_zoom_are_found_to_a_pixel_of_320(motion, size):
    motion = motion | {"shift": np.multiply(motion["shift"], size[0] / 320)}
    first, to_first = view(world(), size=size)
    later, to_later = view(world(), size=size, **motion)
    found = registered(first, later)
    assert max(errors(found, to_first, to_later, size)) < size[0] / 320


def test_gain_control_and_dead_pixels_change_nothing():
    first, to_first = view(world())
    later, to_later = view(world(), shift=(9.0, 4.0))
    later = 60 + 0.4 * later
    for picture in (first, later):
        picture[::9, ::11] = 255
    found = registered(first, later)
    assert max(errors(found, to_first, to_later, (320, 256))) < 1.0


def test_what_moves_by_itself_does_not_count():
    first, to_first = view(world())
    later, to_later = view(world(), shift=(5.0, 0.0))
    body = 40 * (world(3)[:120, :120] - 110) / 50 + 200
    first[60:180, 60:180] = body
    later[60:180, 140:260] = body
    assert max(errors(registered(first, later), to_first, to_later, (320, 256))) < 1.0


def test_part_of_the_picture_may_show_something_new():
    first, to_first = view(world())
    later, to_later = view(world(), shift=(6.0, 2.0))
    later[:, :190] = view(world(4))[0][:, :190]
    assert max(errors(registered(first, later), to_first, to_later, (320, 256))) < 1.0


def test_pictures_with_nothing_in_common_are_taken_for_still():
    first, _ = view(world())
    rng = np.random.default_rng(2)
    noise = [rng.normal(100, 3, (256, 320)).astype(np.float32) for _ in range(2)]
    plain = np.full((256, 320), 80, np.float32)
    for pair in (
        (first, view(world(5))[0]),
        (first, first[:200]),
        (first, plain),
        (plain, first),
        noise,
        [np.zeros((4, 6), np.float32)] * 2,
    ):
        assert registered(*pair) is STILL


def test_a_simulated_camera_is_followed_over_a_second():
    scene = Scene(SceneParams(kind="vehicle", seed=3, frames=60, camera_motion=0.6, occlusion=0.0))
    camera = scene._camera
    first, later = (scene[n].astype(np.float32) for n in (10, 40))
    middle = (scene.params.width - 1) / 2, (scene.params.height - 1) / 2
    seen = moved(registered(first, later), *middle)
    shift = camera.zoom[40] * np.array([camera.x[10] - camera.x[40], camera.y[10] - camera.y[40]])
    assert np.hypot(*shift) > 8
    np.testing.assert_allclose(np.subtract(seen, middle), shift, atol=3.0)
