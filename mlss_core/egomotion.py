"""How the camera moved between two pictures: a shift of the whole scene, where there is one.

A search region reaches about one target size beyond the last box. A small target leaves it as soon
as the camera pans faster than that, however still it stands; a search that moves with the scene
does not lose it.
"""

from __future__ import annotations

import cv2
import numpy as np

from mlss_core.registration import compared_size, shift_of, shrunk

_LARGEST_SHARE = 0.3  # of a side: larger shifts leave too little in common
_MUCH_BETTER = 0.7  # share of the difference that may be left once the shift is undone
_BLUR_PX = 1.5  # against pixel noise, and the fixed pattern of a sensor, which never moves


class EgoMotion:
    """Shift of the scene from each picture to the next, in px; phase correlation, verified.

    Between two pictures without texture, or of which parts move differently, it is (0, 0).
    """

    def __init__(self) -> None:
        self._last: np.ndarray | None = None

    def __call__(self, grey: np.ndarray) -> tuple[float, float]:
        """Step right and down of the scene since the picture before.

        Args:
            grey: (H, W) float32 grey levels.
        """
        size = compared_size(grey)
        small = cv2.GaussianBlur(shrunk(grey, size), (0, 0), _BLUR_PX)
        last, self._last = self._last, small
        if last is None or last.shape != small.shape:
            return 0.0, 0.0
        x, y = shift_of(last, small)
        if not _explains(last, small, round(x), round(y)):
            return 0.0, 0.0
        return x * grey.shape[1] / size[0], y * grey.shape[0] / size[1]


def _explains(last: np.ndarray, small: np.ndarray, x: int, y: int) -> bool:
    """Whether a shift by whole px leaves far less difference than none, where both overlap."""
    height, width = small.shape
    if (x, y) == (0, 0) or abs(x) > _LARGEST_SHARE * width or abs(y) > _LARGEST_SHARE * height:
        return False
    rows, columns = slice(max(y, 0), height + min(y, 0)), slice(max(x, 0), width + min(x, 0))
    before = slice(max(-y, 0), height + min(-y, 0)), slice(max(-x, 0), width + min(-x, 0))
    moved = cv2.norm(small[rows, columns], last[before], cv2.NORM_L1)
    still = cv2.norm(small[rows, columns], last[rows, columns], cv2.NORM_L1)
    return moved < _MUCH_BETTER * still
