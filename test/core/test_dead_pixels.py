import cv2
import numpy as np
import pytest
from seeded import seeded_box, seeded_frames, seeded_network

from mlss_core.box import Box
from mlss_core.tracker import MLSSTracker, TrackState


def test_a_dead_pixel_on_the_target_is_unlearnt_once_it_proves_dead():
    """The shipped network: its template holds on to the one pixel that stands out most."""
    random = np.random.default_rng(0)
    tracker = MLSSTracker(device="cpu")
    states = []
    for n in range(14):
        frame = random.normal(100, 3, (120, 160))
        frame[45:55, 60 + n // 2 :][:, :5] = 170
        frame[49, 61] = 0
        picture = frame.clip(0, 255).astype(np.uint8)
        if n == 0:
            tracker.initialize(picture, Box(62.0, 49.5, 5.0, 10.0))
        else:
            states.append(tracker.update(picture)[0].state)
    assert states == [TrackState.TRACKING] * 13


@pytest.mark.parametrize(("beside_px", "learnt_anew"), [(12, True), (70, False)])
def test_a_dead_pixel_far_from_the_target_teaches_nothing(beside_px, learnt_anew):
    tracker = MLSSTracker(seeded_network(), device="cpu")
    box = seeded_box()
    for n, frame in enumerate(seeded_frames(7)):
        picture = cv2.GaussianBlur(frame, (0, 0), 2.0)  # nothing else of a single pixel
        picture[round(box.cy), round(box.cx) + beside_px] = 255
        if n == 0:
            tracker.initialize(picture, box)
            first = tracker._targets["target"].wide_templates
        else:
            tracker.update(picture)
    assert (tracker._targets["target"].wide_templates is not first) == learnt_anew
    assert tracker._targets["target"].first_frame is None
