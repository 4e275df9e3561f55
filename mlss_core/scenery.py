"""Whether something that looks like the target was there before: then it is a part of the scene.

A search that finds its target no more finds the wall in front of it, faintly, and would learn it.
But the wall was in the picture before the target came there. So does somebody who stands still.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

import cv2
import numpy as np

from mlss_core.box import Box
from mlss_core.registration import Registrable, moved, registered

KEPT_EVERY = 30  # frames from one picture that is kept to the next: a second at 30 Hz
_KEPT = 4  # pictures: a target that walks leaves its place within so many
_SIDE_PX = 24  # longer side of the patches that are compared, at most
_LEAST_PX = 8  # side of a patch in the frame, at least
_BLUR_PX = 1.0  # against noise, of which a plain wall shows little else
# How far from where the camera's motion has brought it a part of the scene is looked for.
_REACH = 0.5  # sides,
_REACH_PX = 6  # and px more
_OWN = 0.7  # sides around the target's place of then, where it would be found itself
_ALIKE = 0.85  # correlation from which on two patches show the same
_BETTER = 0.1  # correlation above that with the target of then


class Picture(NamedTuple):
    """A frame in which the target was surely seen."""

    grey: np.ndarray  # (H, W) float32
    box: Box
    scene: Registrable


class Scenery:
    """Pictures of the last seconds."""

    def __init__(self, grey: np.ndarray, box: Box) -> None:
        self._kept = deque([Picture(grey, box, Registrable(grey))], maxlen=_KEPT)
        self._now: np.ndarray | None = None  # the frame
        self._motions: list[np.ndarray] = []  # from it to each picture that is kept

    def keep(self, grey: np.ndarray, box: Box) -> None:
        """Keep a frame (H, W) in which the target is surely seen, in place of the oldest."""
        self._kept.append(Picture(grey, box, Registrable(grey)))
        self._now = None

    def shows(self, grey: np.ndarray, box: Box) -> bool:
        """Whether what `box` holds in the frame `grey` was there before, beside the target."""
        patch = _part(grey, box, 0)
        if patch is None:
            return False  # on the border
        if grey is not self._now:
            self._now, scene = grey, Registrable(grey)
            self._motions = [registered(scene, then.scene) for then in self._kept]
        return any(
            _shown(patch, box, motion, then)
            for motion, then in zip(self._motions, self._kept, strict=True)
        )


def _shown(patch: np.ndarray, box: Box, motion: np.ndarray, then: Picture) -> bool:
    """Whether a picture shows the patch about the place of `box`, and not as the target."""
    x, y = moved(motion, box.cx, box.cy)
    side = math.sqrt(box.w * box.h)
    reach = round(_REACH * side) + _REACH_PX
    around = _part(then.grey, box._replace(cx=x, cy=y), reach)
    if around is None:
        return False  # too near to the border to tell
    zoom = min(1.0, _SIDE_PX / max(patch.shape))
    patch, around = (_smooth(part, zoom) for part in (patch, around))
    found = cv2.matchTemplate(around, patch, cv2.TM_CCOEFF_NORMED)
    rows, columns = np.mgrid[: found.shape[0], : found.shape[1]]
    off_x = x - reach + columns / zoom - then.box.cx
    off_y = y - reach + rows / zoom - then.box.cy
    own = np.hypot(off_x, off_y) < _OWN * side
    if own.all():
        return False  # the target has not left its place
    itself = found[own].max(initial=-1.0)
    return bool(found[~own].max() >= max(_ALIKE, itself + _BETTER))


def _part(grey: np.ndarray, box: Box, margin: int) -> np.ndarray | None:
    """What a box holds, and `margin` px around it; None where that is not all in the picture."""
    w, h = max(round(box.w), _LEAST_PX), max(round(box.h), _LEAST_PX)
    left, top = round(box.cx - w / 2) - margin, round(box.cy - h / 2) - margin
    right, bottom = left + w + 2 * margin, top + h + 2 * margin
    if left < 0 or top < 0 or right > grey.shape[1] or bottom > grey.shape[0]:
        return None
    return grey[top:bottom, left:right]


def _smooth(part: np.ndarray, zoom: float) -> np.ndarray:
    part = cv2.GaussianBlur(part, (0, 0), _BLUR_PX)
    if zoom < 1:
        part = cv2.resize(part, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
    return part
