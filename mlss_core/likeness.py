"""How a target looked lately, to tell it from others of its kind by their grey levels.

A correlation filter answers to outlines. How warm the parts of a thing are tells two people or two
cars apart better (docs/evaluation.md).
"""

from __future__ import annotations

import cv2
import numpy as np

from mlss_core.box import Box

# Chosen on boxes of simulated actors before and after an absence (docs/evaluation.md).
_SIDE = 16  # px of the pictures that are kept
_KEPT = 12  # pictures: the first, and the latest
_KEPT_EVERY = 15  # frames from one picture to the next
_SURE = 3  # changes from which on it is known how much a target changes
_FIRST, _RATE = 4, 0.2  # mean of so many changes, then the share of a new one
_LEAST_GREY = 4.0  # grey levels that any target changes by
_OTHER = 1.8  # changes by which a picture differs that is not kept,
_REFUSED = 10  # unless so many in a row do
_SIDE_WINDOW = np.hanning(_SIDE + 2)[1:-1]
_WEIGHTS = np.outer(_SIDE_WINDOW, _SIDE_WINDOW)  # the middle of a box is all target
_WEIGHTS = (_WEIGHTS / _WEIGHTS.sum()).astype(np.float32)


class Likeness:
    """Small pictures of a target, kept while it is surely seen."""

    def __init__(self, grey: np.ndarray, box: Box) -> None:
        """Keep the picture of the first frame (H, W) float32, grey levels."""
        self._pictures = [_picture(grey, box)]
        self._frames = self._changes = self._refused = 0
        self._change = 0.0  # grey levels, a mean that follows

    def see(self, grey: np.ndarray, box: Box) -> None:
        """See the target in a frame (H, W); every so often its picture is kept.

        Not one of something else: who has taken its neighbour for it must not learn the neighbour.
        What stays different is the target after all.
        """
        self._frames += 1
        if self._frames % _KEPT_EVERY:
            return
        picture = _picture(grey, box)
        change = self._nearest(picture)
        if self._unlike(change) > _OTHER:
            self._refused += 1
            if self._refused == _REFUSED:  # begin anew
                self._pictures, self._changes, self._refused = [picture], 0, 0
            return
        self._refused = 0
        self._changes += 1
        rate = 1 / self._changes if self._changes <= _FIRST else _RATE
        self._change += rate * (change - self._change)
        self._pictures.append(picture)
        if len(self._pictures) > _KEPT:
            del self._pictures[1]

    def unlike(self, grey: np.ndarray, box: Box) -> float:
        """How much what `box` holds in a frame (H, W) differs from the target.

        The least mean difference of grey levels from a picture that is kept, as a multiple of what
        the target itself changes in half a second: 1 is usual. 1 too until that is known.
        """
        return self._unlike(self._nearest(_picture(grey, box)))

    def _unlike(self, difference: float) -> float:
        known = self._changes >= _SURE
        return difference / max(self._change, _LEAST_GREY) if known else 1.0

    def _nearest(self, picture: np.ndarray) -> float:
        return min(float((np.abs(picture - kept) * _WEIGHTS).sum()) for kept in self._pictures)


def _picture(grey: np.ndarray, box: Box) -> np.ndarray:
    """What a box holds, (16, 16) float32; beyond the border the frame's last pixels go on."""
    step_x, step_y = box.w / _SIDE, box.h / _SIDE
    margin = 3 * max(step_x, step_y, 1.0)
    height, width = grey.shape
    left = int(min(max(box.cx - box.w / 2 - margin, 0), width - 2))
    top = int(min(max(box.cy - box.h / 2 - margin, 0), height - 2))
    right = int(max(min(box.cx + box.w / 2 + margin + 1, width), left + 2))
    bottom = int(max(min(box.cy + box.h / 2 + margin + 1, height), top + 2))
    part = grey[top:bottom, left:right]
    if max(step_x, step_y) > 1:  # against aliasing
        part = cv2.GaussianBlur(part, (0, 0), max(step_x / 2, 0.1), sigmaY=max(step_y / 2, 0.1))
    middle = (_SIDE - 1) / 2
    x, y = box.cx - left - middle * step_x, box.cy - top - middle * step_y
    there = np.array([[step_x, 0.0, x], [0.0, step_y, y]])
    return cv2.warpAffine(
        part, there, (_SIDE, _SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
