"""What was in the picture before the target came there is not the target."""

import cv2
import numpy as np
import pytest

from mlss_core.box import Box
from mlss_core.registration import STILL
from mlss_core.scenery import Scenery

SIZE = (120, 160)
THEN = Box(50.0, 60.0, 16.0, 20.0)
NOW = Box(90.0, 60.0, 16.0, 20.0)


def texture(seed, size, spread=25.0):
    noise = np.random.default_rng(seed).normal(0, 1, size).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return 120 + spread * smooth / smooth.std()


def picture(box=None, shift=0, seed=5):
    """A textured scene, moved by `shift` px, with noise; the target at `box`."""
    frame = np.roll(texture(0, SIZE), shift, axis=1)
    if box is not None:
        y, x = round(box.cy - box.h / 2), round(box.cx - box.w / 2)
        frame[y : y + round(box.h), x : x + round(box.w)] = texture(1, (20, 16), 40.0) + 40
    return frame + np.random.default_rng(seed).normal(0, 2, SIZE).astype(np.float32)


@pytest.mark.parametrize("shift", [0, 5, 25])
def test_a_place_that_the_target_has_left_shows_what_was_there_before(shift):
    assert Scenery(picture(THEN), THEN).shows(picture(shift=shift, seed=6), NOW)


def test_the_target_itself_was_not_there_before():
    assert not Scenery(picture(THEN), THEN).shows(picture(NOW, seed=6), NOW)


def test_what_came_since_was_not_there_before():
    frame = picture(seed=6)
    frame[50:70, 82:98] = texture(7, (20, 16), 60.0)
    assert not Scenery(picture(THEN), THEN).shows(frame, NOW)


def test_a_target_that_stays_where_it_was_is_no_scenery():
    scenery = Scenery(picture(THEN), THEN)
    assert not scenery.shows(picture(THEN, seed=6), THEN)
    assert not scenery.shows(picture(THEN, seed=6), THEN._replace(cx=THEN.cx + 3))


def test_noise_on_a_plain_wall_says_nothing():
    walls = [
        np.random.default_rng(seed).normal(120, 2, SIZE).astype(np.float32) for seed in (1, 2)
    ]
    assert not Scenery(walls[0], THEN).shows(walls[1], NOW)


def test_beside_the_border_nothing_is_told():
    place = Box(3.0, 60.0, 16.0, 20.0)
    assert not Scenery(picture(THEN), THEN).shows(picture(), place)


def test_any_of_the_last_four_pictures_may_show_it():
    scenery = Scenery(picture(THEN), THEN)
    for seed in (6, 7, 8):
        scenery.keep(picture(NOW, seed=seed), NOW)
        assert scenery.shows(picture(seed=9), NOW)  # the target came there only in newer ones
    scenery.keep(picture(NOW, seed=9), NOW)
    assert not scenery.shows(picture(seed=9), NOW)


def test_every_picture_is_registered_once_a_frame(monkeypatch):
    registered = []
    monkeypatch.setattr(
        "mlss_core.scenery.registered", lambda grey, then: registered.append(1) or STILL
    )
    scenery = Scenery(picture(THEN), THEN)
    frame = picture(seed=6)
    for _ in range(3):
        assert scenery.shows(frame, NOW)
    assert len(registered) == 1
    scenery.keep(frame, THEN)
    scenery.shows(frame, NOW)
    assert len(registered) == 3


def test_large_and_tiny_boxes_are_compared_too():
    for size in (2.0, 60.0):
        large = Box(190.0, 130.0, size, size)
        then = Box(40.0, 130.0, size, size)
        frame = texture(0, (260, 300))
        noise = np.random.default_rng(3).normal(0, 2, frame.shape).astype(np.float32)
        assert Scenery(frame, then).shows(frame + noise, large)
