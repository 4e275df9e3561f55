"""The camera's own motion: found where the whole scene shifts, and nowhere else."""

import dataclasses

import cv2
import numpy as np
import pytest

from mlss_core.box import Box
from mlss_core.checkpoint import load_network
from mlss_core.egomotion import EgoMotion
from mlss_core.params import tracker_params
from mlss_core.tracker import MLSSTracker


def world(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return cv2.GaussianBlur(rng.normal(110, 260, (500, 900)).astype(np.float32), (0, 0), 5)


def view(scene: np.ndarray, x: float, y: float, noise: float = 2.0) -> np.ndarray:
    """320x256 px of the scene with its left top corner at (x, y)."""
    shift = np.float32([[1, 0, -x], [0, 1, -y]])
    picture = cv2.warpAffine(scene, shift, (320, 256), flags=cv2.INTER_CUBIC)
    rng = np.random.default_rng(round(7 * x + 13 * y))
    return np.clip(picture + rng.normal(0, noise, picture.shape), 0, 255).astype(np.float32)


@pytest.mark.parametrize("step", [(24.0, 0.0), (-13.5, 9.0), (3.0, -40.0)])
def test_a_pan_is_found_to_a_pixel(step):
    motion = EgoMotion()
    assert motion(view(world(), 200, 100)) == (0.0, 0.0)
    found = motion(view(world(), 200 + step[0], 100 + step[1]))
    np.testing.assert_allclose(found, (-step[0], -step[1]), atol=1.0)


def test_nothing_is_found_without_texture_or_without_motion():
    rng = np.random.default_rng(1)
    motion = EgoMotion()
    for _ in range(4):
        assert motion(rng.normal(100, 3, (256, 320)).astype(np.float32)) == (0.0, 0.0)
    motion = EgoMotion()
    for _ in range(3):
        assert motion(view(world(), 200, 100, noise=6.0)) == (0.0, 0.0)


def test_a_target_that_moves_alone_moves_nothing():
    motion = EgoMotion()
    for x in (100, 130, 160):
        picture = view(world(), 200, 100)
        picture[80:150, x : x + 60] = 230
        assert motion(picture) == (0.0, 0.0)


def test_a_new_scene_or_another_size_moves_nothing():
    motion = EgoMotion()
    motion(view(world(0), 200, 100))
    assert motion(view(world(5), 200, 100)) == (0.0, 0.0)
    assert motion(np.zeros((100, 100), np.float32)) == (0.0, 0.0)


def test_a_small_target_is_kept_through_a_fast_pan():
    scene = world(3)
    scene[300:314, 560:572] = 250  # 12 x 14 px; the camera pans by 24 px a frame

    def last_overlap(ego_motion: bool) -> float:
        params = tracker_params("robust")
        search = dataclasses.replace(params.search, ego_motion=ego_motion)
        presence = dataclasses.replace(params.presence, enabled=False)
        params = dataclasses.replace(params, search=search, presence=presence)
        tracker = MLSSTracker(load_network(), params, "cpu", "fp32")
        for n in range(6):
            x, y = 300 + 24 * n, 180
            truth = Box(565.5 - x, 306.5 - y, 12.0, 14.0)
            frame = view(scene, x, y).astype(np.uint8)
            if n == 0:
                tracker.initialize(frame, truth)
            else:
                (result,) = tracker.update(frame)
        assert result.box is not None
        return truth.iou(result.box)

    assert last_overlap(ego_motion=True) > 0.5
    assert last_overlap(ego_motion=False) < 0.1
