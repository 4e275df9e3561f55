"""Raw camera frames of any depth -> grey levels that mean the same from frame to frame."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from mlss_core.errors import FrameError
from mlss_core.params import ThermalParams

_MIN_SIDE_PX = 16
_STANDS_OUT_GREY = 20.0  # grey levels beyond every neighbour: noise does not get there twice
DEAD_AFTER_FRAMES = 5
# Percent of the pixels that may be cut off at either end: dead ones, not a target of a few pixels.
_TAIL = 0.02
_NO_SHOULDER = 1e-9  # spans; narrower ones are none
_NEIGHBOURS = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.uint8)
_OFFSETS = np.array([(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1)])


def check_frame(raw: np.ndarray) -> None:
    """Refuse what is no picture of a thermal camera, without converting it.

    Args:
        raw: (H, W) uint8, uint16 or float, or (H, W, 3) uint8 blue-green-red false colour.

    Raises:
        FrameError: another shape or type, smaller than 16 px, or no finite pixel.
    """
    if not isinstance(raw, np.ndarray) or raw.ndim not in (2, 3):
        shape = getattr(raw, "shape", type(raw).__name__)
        raise FrameError(f"expected a frame (H, W) or (H, W, 3), got {shape}; pass one picture")
    if raw.ndim == 3 and (raw.shape[2] != 3 or raw.dtype != np.uint8):
        raise FrameError(
            f"expected a colour frame (H, W, 3) uint8, got {raw.shape} {raw.dtype}; "
            "convert it to grey"
        )
    if min(raw.shape[:2]) < _MIN_SIDE_PX:
        raise FrameError(
            f"expected a frame of at least {_MIN_SIDE_PX} px a side, got "
            f"{raw.shape[1]}x{raw.shape[0]}; check the camera"
        )
    if raw.dtype.kind not in "fiu":
        raise FrameError(f"expected numbers, got pixels of type {raw.dtype}; check the encoding")
    if raw.dtype.kind == "f" and not np.isfinite(raw).any():
        raise FrameError("expected at least one finite pixel, got none; check the camera")


def grey_counts(raw: np.ndarray) -> np.ndarray:
    """Check a raw frame and reduce colour to luminance.

    Args:
        raw: see `check_frame`.

    Returns:
        (H, W) uint8, uint16 or float32. Pixels that are not finite get the lowest finite count.

    Raises:
        FrameError: see `check_frame`.
    """
    check_frame(raw)
    if raw.ndim == 3:
        raw = raw[:, :, 0] if _is_grey(raw) else cv2.cvtColor(raw, cv2.COLOR_BGR2GRAY)
    if raw.dtype in (np.uint8, np.uint16):
        return np.ascontiguousarray(raw)
    counts = raw.astype(np.float32)
    finite = np.isfinite(counts)
    if not finite.all():
        if not finite.any():  # beyond float32
            raise FrameError("expected at least one finite pixel, got none; check the camera")
        counts = np.where(finite, counts, counts[finite].min())
    return counts


class ThermalNormalizer:
    """Raw frames -> (H, W) float32 grey levels 0..255, with limits that move slowly.

    A camera's counts are stretched between two percentiles; those beyond are compressed. A small
    target is often all that is so hot or so cold: cut off, it would be a white or black patch like
    everything else out there. The limits follow the scene by `limit_rate` per frame, so that
    template and search region see the same temperatures as the same grey even while something hot
    passes through the picture.
    """

    def __init__(self, params: ThermalParams) -> None:
        self.params = params
        self._limits: _Limits | None = None
        self._previous: np.ndarray | None = None
        self._dead = DeadPixels()
        self.frozen = False
        self.found_dead = np.zeros((0, 2), np.intp)

    def __call__(self, raw: np.ndarray) -> np.ndarray:
        """Normalise the next frame of the stream.

        Sets `frozen` for a repeated or uniform one, and `found_dead`, (N, 2) row and column of the
        pixels that it proves dead.

        Args:
            raw: see `grey_counts`.

        Returns:
            (H, W) float32 in 0..255, telemetry rows cut.

        Raises:
            FrameError: see `grey_counts`, or fewer than 16 rows are left between telemetry rows.
        """
        counts = self._without_telemetry(grey_counts(raw))
        self.frozen = self.params.freeze and is_frozen(counts, self._previous)
        self._previous = counts
        if self._limits is None or not self.frozen:  # a shutter's picture teaches nothing
            self._limits = self._next_limits(counts)
        grey = self._stretch(counts, self._limits)
        if not self.params.dead_pixels:
            return grey
        self.found_dead = self.found_dead[:0] if self.frozen else self._dead.learn(grey)
        return self._dead.mend(grey)

    def mend(self, grey: np.ndarray) -> np.ndarray:
        """Copy of an earlier picture (H, W) without the pixels that have proved dead since."""
        return self._dead.mend(grey.copy())

    def peek(self, raw: np.ndarray) -> np.ndarray:
        """Normalise a frame out of turn: as `__call__`, but the stream's state stays as it is.

        Only a stream that has not begun takes its first limits from this frame.
        """
        counts = self._without_telemetry(grey_counts(raw))
        self._limits = self._limits or self._next_limits(counts)
        grey = self._stretch(counts, self._limits)
        return self._dead.mend(grey) if self.params.dead_pixels else grey

    def _without_telemetry(self, counts: np.ndarray) -> np.ndarray:
        stop = counts.shape[0] - self.params.crop_bottom
        if stop - self.params.crop_top < _MIN_SIDE_PX:
            raise FrameError(
                f"expected {_MIN_SIDE_PX} rows between crop_top={self.params.crop_top} and "
                f"crop_bottom={self.params.crop_bottom}, got a frame of {counts.shape[0]} rows; "
                "crop less"
            )
        return counts[self.params.crop_top : stop]

    def _next_limits(self, counts: np.ndarray) -> _Limits:
        """What is stretched to the grey levels, after this frame."""
        mode = self.params.normalization
        if mode == "none" or (mode == "auto" and counts.dtype == np.uint8):
            return _Limits(0.0, 0.0, 255.0, 255.0)
        if mode == "fixed":
            low, high = self.params.fixed_min, self.params.fixed_max
            return _Limits(low, low, high, high)
        even = self.params.percentile_low, self.params.percentile_high
        fresh = _Limits(*_percentiles(counts[::2, ::2], (_TAIL, *even, 100 - _TAIL)))
        if self._limits is None:
            return fresh
        rate = self.params.limit_rate
        pairs = zip(self._limits, fresh, strict=True)
        return _Limits(*((1 - rate) * old + rate * new for old, new in pairs))

    def _stretch(self, counts: np.ndarray, limits: _Limits) -> np.ndarray:
        least, low, high, most = limits
        missing = max(self.params.min_span - (high - low), 0.0)
        low, high = low - missing / 2, high + missing / 2
        grey = counts.astype(np.float32)  # the one array as large as the picture
        if counts.dtype == np.uint8 and (low, high) == (0.0, 255.0):
            return grey  # as it is
        span = (high - low) or 1.0  # no span at all: one level, black
        shoulder = self.params.shoulder
        tails = np.maximum((low - least, most - high), 0.0) / span
        below, above = _compressed(tails, shoulder).tolist()
        even = 255.0 / (below + 1 + above)  # grey levels of the span
        grey -= low
        grey *= even / span
        if below or above:
            flat = grey.reshape(-1)  # the same memory
            under, over = np.flatnonzero(flat < 0), np.flatnonzero(flat > even)
            flat[under] = -_compressed(-flat[under], shoulder * even)
            flat[over] = even + _compressed(flat[over] - even, shoulder * even)
            grey += below * even
        return np.clip(grey, 0, 255, out=grey)


class _Limits(NamedTuple):
    """Counts, rising."""

    least: float  # of those that are told apart at all
    low: float  # between these two, evenly
    high: float
    most: float


def _compressed(beyond: np.ndarray, shoulder: float) -> np.ndarray:
    """What distances `beyond` a limit become: the same at first, half as steep at `shoulder`."""
    if shoulder <= _NO_SHOULDER:
        return 0.0 * beyond
    return shoulder * np.log1p(beyond / shoulder)


class DeadPixels:
    """Pixels that stand out of all their eight neighbours in every frame.

    A tracker whose target passes such a pixel may stay behind with it: it never moves or fades.
    What the optics blur over more than a pixel is never taken for one.
    """

    def __init__(self) -> None:
        self._streak: np.ndarray = np.zeros((0, 0), np.uint8)  # frames in a row, of each pixel
        self._dead = np.zeros((0, 2), np.intp)  # row, column

    def learn(self, grey: np.ndarray) -> np.ndarray:
        """Take the next picture (H, W) float32 into account.

        Returns:
            (N, 2) row and column of the pixels that it proves dead.
        """
        if self._streak.shape != grey.shape:
            self._streak = np.zeros(grey.shape, np.uint8)
        levels = cv2.convertScaleAbs(grey)  # whole grey levels are enough, and far faster
        above = cv2.subtract(levels, cv2.dilate(levels, _NEIGHBOURS))
        below = cv2.subtract(cv2.erode(levels, _NEIGHBOURS), levels)
        contrast = cv2.max(above, below)
        _, stands_out = cv2.threshold(contrast, _STANDS_OUT_GREY, 1, cv2.THRESH_BINARY)
        self._streak = cv2.add(self._streak, stands_out) * stands_out  # stays at 255
        dead = np.flatnonzero(self._streak >= DEAD_AFTER_FRAMES)
        self._dead = np.stack(np.unravel_index(dead, grey.shape), axis=1)
        return self._dead[self._streak.flat[dead] == DEAD_AFTER_FRAMES]

    def mend(self, grey: np.ndarray) -> np.ndarray:
        """Put the median of 3x3 px in the place of each dead one, in the picture (H, W) itself."""
        if len(self._dead) == 0 or self._streak.shape != grey.shape:
            return grey
        last = np.array(grey.shape) - 1
        around = np.clip(self._dead[:, None] + _OFFSETS, 0, last)  # (dead, 9, 2)
        medians = np.median(grey[around[..., 0], around[..., 1]], axis=1)
        grey[self._dead[:, 0], self._dead[:, 1]] = medians
        return grey


def is_frozen(counts: np.ndarray, previous: np.ndarray | None) -> bool:
    """Whether a frame repeats the one before, or shows the same count everywhere (a shutter)."""
    if counts.min() == counts.max():
        return True
    return previous is not None and np.array_equal(counts, previous)


def _percentiles(counts: np.ndarray, percentiles: tuple[float, ...]) -> list[float]:
    """As `np.percentile`; counts (H, W) of 8 or 16 bit are binned, several times as fast."""
    if counts.dtype.kind == "f":
        return np.percentile(counts, percentiles).tolist()
    ranks = np.array(percentiles) / 100 * (counts.size - 1)
    up_to = np.bincount(counts.ravel()).cumsum()  # how many pixels have this count or less
    whole = np.array((np.floor(ranks), np.ceil(ranks)), np.intp)
    below, above = np.searchsorted(up_to, whole, side="right")
    return (below + (above - below) * (ranks - whole[0])).tolist()


def _is_grey(colour: np.ndarray) -> bool:
    blue, green, red = cv2.split(colour)
    return bool((blue == green).all() and (green == red).all())
