"""Where the scene of one picture lies in another: shift, turn and zoom, by sparse optical flow.

Corners are followed there and back (Lucas and Kanade, pyramidal), and most of them must agree on
one motion (RANSAC), so that what moves by itself does not count.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

# Chosen on simulated scenes whose camera's motion is known.
_WIDTH_PX = 160  # of the pictures that are compared
_BLUR_PX = 1.0  # against pixel noise
_LOCAL_PX = 8.0  # around a pixel, whose mean and contrast are taken out: gain control changes both
_NOISE = 3.0  # grey levels of contrast that are noise
_CONTRAST = 32.0  # grey levels that the mean contrast becomes
_CORNERS, _APART_PX, _QUALITY = 60, 7, 0.02
_WINDOW = (11, 11)  # px that are followed of each corner
_LEVELS = 3  # of the pyramid, halved each time; near a guess a single one
_STOP = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 10, 0.03)
_RETURN_PX = 0.5  # off its place at most when followed back
_OFF_PX = 1.0  # off the common motion at most
_LEAST, _SHARE = 12, 0.5  # corners that have to agree: number, and share of those followed

STILL = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def moved(motion: np.ndarray, x: float, y: float) -> tuple[float, float]:
    """A point moved by a (2, 3) matrix."""
    (a, b, right), (c, d, down) = motion.tolist()
    return a * x + b * y + right, c * x + d * y + down


class Registrable:
    """A picture made ready for finding its scene in others."""

    def __init__(self, grey: np.ndarray) -> None:
        """Take (H, W) float32 grey levels."""
        self.frame_hw = grey.shape
        self.size = compared_size(grey)
        small = cv2.medianBlur(shrunk(grey, self.size), 3)  # without dead pixels
        self.small = cv2.GaussianBlur(small, (0, 0), _BLUR_PX)
        self.texture = _texture(self.small)


def registered(one: Registrable, other: Registrable) -> np.ndarray:
    """Where the scene of one picture lies in another one of the same camera.

    Args:
        one: a picture.
        other: another, seconds before or after.

    Returns:
        (2, 3) float64, takes (x, y, 1) in px of `one` to (x, y) in `other`. STILL where that does
        not show: pictures of another size, without texture, or with too little in common.
    """
    if one.frame_hw != other.frame_hw:
        return STILL
    corners = cv2.goodFeaturesToTrack(one.texture, _CORNERS, _QUALITY, _APART_PX)
    if corners is None or len(corners) < _LEAST:
        return STILL
    motion = _agreed(one.texture, other.texture, corners, None)
    if motion is None:  # too far to be found by the flow alone
        guess = corners + np.array(shift_of(one.small, other.small), np.float32)
        motion = _agreed(one.texture, other.texture, corners, guess)
    if motion is None:
        return STILL
    to_frame = np.divide(one.frame_hw[::-1], one.size)
    turned = motion[:, :2] * to_frame[:, None] / to_frame
    return np.column_stack([turned, to_frame * motion[:, 2]])


def compared_size(grey: np.ndarray) -> tuple[int, int]:
    """Width and height at which a picture is compared, px."""
    shrink = max(1.0, grey.shape[1] / _WIDTH_PX)
    return max(8, round(grey.shape[1] / shrink)), max(8, round(grey.shape[0] / shrink))


def shrunk(grey: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Means over areas, (H, W) -> `size` (width, height); halved where that changes nothing.

    Halving is so fast that 640x512 px take a third of the time.
    """
    while grey.shape[1] % (2 * size[0]) == 0 and grey.shape[0] % (2 * size[1]) == 0:
        grey = cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA)


def shift_of(small: np.ndarray, there: np.ndarray) -> tuple[float, float]:
    """Shift right and down from one small picture to another, px, by phase correlation."""
    height, width = small.shape
    means = small - small.mean(), there - there.mean()
    (x, y), _ = cv2.phaseCorrelate(*means, _hann(width, height))
    return x, y


@lru_cache(maxsize=4)
def _hann(width: int, height: int) -> np.ndarray:
    return cv2.createHanningWindow((width, height), cv2.CV_32F)


def _texture(small: np.ndarray) -> np.ndarray:
    """The picture without slow changes of level and contrast, uint8."""
    fine = small - cv2.GaussianBlur(small, (0, 0), _LOCAL_PX)
    contrast = cv2.GaussianBlur(np.abs(fine), (0, 0), _LOCAL_PX) + _NOISE
    return np.clip(fine / contrast * _CONTRAST + 128, 0, 255).astype(np.uint8)


def _agreed(
    texture: np.ndarray, there: np.ndarray, corners: np.ndarray, guess: np.ndarray | None
) -> np.ndarray | None:
    """Motion that most of the corners agree on, (2, 3) px; None: they do not.

    Args:
        texture: a picture, uint8.
        there: the other one.
        corners: (N, 1, 2) float32 px of the first.
        guess: about where they are in the other, if known.
    """
    found, ok = _followed(texture, there, corners, guess)
    back, ok_back = _followed(there, texture, found, corners)
    sure = ok & ok_back & (np.abs(back - corners).max(axis=(1, 2)) < _RETURN_PX)
    if sure.sum() < _LEAST:
        return None
    motion, agree = cv2.estimateAffinePartial2D(
        corners[sure], found[sure], ransacReprojThreshold=_OFF_PX, maxIters=100
    )
    return motion if motion is not None and agree.mean() >= _SHARE else None


def _followed(
    texture: np.ndarray, there: np.ndarray, corners: np.ndarray, guess: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Places of the corners in another picture, (N, 1, 2), and which were found, (N,) bool."""
    levels, flags = (_LEVELS, 0) if guess is None else (1, cv2.OPTFLOW_USE_INITIAL_FLOW)
    places = corners.copy() if guess is None else guess.copy()
    places, ok, _ = cv2.calcOpticalFlowPyrLK(
        texture, there, corners, places,
        winSize=_WINDOW, maxLevel=levels, criteria=_STOP, flags=flags,
    )  # fmt: skip
    return places, ok.ravel() == 1
