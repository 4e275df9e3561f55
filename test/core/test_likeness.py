"""How a target looked lately tells it from others."""

import cv2
import numpy as np
import pytest

from mlss_core.box import Box
from mlss_core.likeness import Likeness

SIZE = (120, 160)
BOX = Box(50.0, 60.0, 16.0, 24.0)


def picture(box=BOX, warm=60.0, seed=0):
    """A figure whose upper half is `warm` grey levels above the lower, with noise."""
    frame = np.full(SIZE, 100.0, np.float32)
    left, top = round(box.cx - box.w / 2), round(box.cy - box.h / 2)
    right, bottom = left + round(box.w), top + round(box.h)
    frame[max(top, 0) : max(bottom, 0), max(left, 0) : right] += 40
    frame[max(top, 0) : round(box.cy), max(left, 0) : right] += warm
    frame = cv2.GaussianBlur(frame, (0, 0), 1.0)
    return frame + np.random.default_rng(seed).normal(0, 2, SIZE).astype(np.float32)


def learnt(frames=90):
    """A target seen for some seconds."""
    likeness = Likeness(picture(seed=1), BOX)
    for n in range(frames):
        likeness.see(picture(seed=n), BOX)
    return likeness


def test_the_target_is_like_itself_wherever_it_is():
    elsewhere = Box(110.0, 40.0, 16.0, 24.0)
    assert learnt().unlike(picture(elsewhere, seed=500), elsewhere) < 1


@pytest.mark.parametrize("warm", [20.0, 100.0, -60.0])
def test_one_of_another_warmth_is_unlike_it_though_its_outline_is_the_same(warm):
    assert learnt().unlike(picture(warm=warm, seed=500), BOX) > 2


def test_what_a_target_does_itself_is_usual():
    likeness = Likeness(picture(), BOX)
    for n in range(180):
        likeness.see(picture(warm=60.0 + 40.0 * np.sin(n / 20), seed=n), BOX)
    assert likeness.unlike(picture(warm=95.0, seed=500), BOX) < 1.5
    assert learnt().unlike(picture(warm=95.0, seed=500), BOX) > 1.5


def test_nothing_is_told_before_it_is_known_how_much_a_target_changes():
    likeness = learnt(frames=44)
    assert likeness.unlike(picture(warm=-60.0), BOX) == 1
    likeness.see(picture(), BOX)
    assert likeness.unlike(picture(warm=-60.0), BOX) > 2


def test_something_else_is_not_learnt_but_what_stays_different_is():
    likeness = learnt()
    other = picture(warm=-60.0, seed=3)
    for _ in range(135):
        likeness.see(other, BOX)
    assert likeness.unlike(other, BOX) > 2
    assert likeness.unlike(picture(seed=4), BOX) < 1
    for _ in range(90):
        likeness.see(other, BOX)
    assert likeness.unlike(other, BOX) < 1
    assert likeness.unlike(picture(seed=4), BOX) > 2


def test_memory_is_bounded_and_the_first_picture_stays():
    likeness = learnt(frames=15)
    first = likeness._pictures[0]
    for n in range(600):
        likeness.see(picture(seed=n), BOX)
    assert len(likeness._pictures) == 12
    assert likeness._pictures[0] is first


@pytest.mark.parametrize(
    "box",
    [
        Box(0.0, 0.0, 16.0, 24.0),
        Box(159.0, 119.0, 300.0, 300.0),
        Box(50.0, 60.0, 3.0, 3.0),
        Box(-40.0, 300.0, 10.0, 10.0),
    ],
)
def test_any_box_can_be_looked_at(box):
    assert np.isfinite(learnt().unlike(picture(), box))
