"""The one box type of the project, and every conversion to and from other conventions."""

from __future__ import annotations

import math
from typing import NamedTuple

from mlss_core.errors import BoxError


class Box(NamedTuple):
    """Axis-aligned box in px of its frame: x right, y down, 0-based, integers at pixel centres."""

    cx: float  # centre
    cy: float
    w: float  # full size
    h: float

    @classmethod
    def from_ltwh(cls, x: float, y: float, w: float, h: float) -> Box:
        """Convert a 1-based top-left pixel and a size (OTB, PTB-TIR, LSOTB-TIR, VOT)."""
        return cls(x - 1 + (w - 1) / 2, y - 1 + (h - 1) / 2, w, h)

    def to_ltwh(self) -> tuple[float, float, float, float]:
        """Inverse of `from_ltwh`: 1-based x, y of the top-left pixel, width, height."""
        return self.cx + 1 - (self.w - 1) / 2, self.cy + 1 - (self.h - 1) / 2, self.w, self.h

    @classmethod
    def from_roi(cls, x_offset: float, y_offset: float, width: float, height: float) -> Box:
        """Convert a region of whole pixels (0-based first column and row, size in px)."""
        return cls(x_offset + (width - 1) / 2, y_offset + (height - 1) / 2, width, height)

    @classmethod
    def from_corners(cls, x0: float, y0: float, x1: float, y1: float) -> Box:
        """Span two opposite corner points, given in any order in pixel-centre coordinates."""
        return cls((x0 + x1) / 2, (y0 + y1) / 2, abs(x1 - x0), abs(y1 - y0))

    def corners(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom edge, in pixel-centre coordinates."""
        return (
            self.cx - self.w / 2,
            self.cy - self.h / 2,
            self.cx + self.w / 2,
            self.cy + self.h / 2,
        )

    def iou(self, other: Box) -> float:
        """Intersection over union in 0..1 of two continuous boxes; 0 when either has no area."""
        left, top, right, bottom = self.corners()
        o_left, o_top, o_right, o_bottom = other.corners()
        width = min(right, o_right) - max(left, o_left)
        height = min(bottom, o_bottom) - max(top, o_top)
        if not (width > 0 and height > 0):
            return 0.0
        inter = width * height
        return inter / (self.w * self.h + other.w * other.h - inter)


def check_box(box: Box, frame_hw: tuple[int, int], min_side_px: float = 3.0) -> Box:
    """Return `box` when a track can start on it in a frame of `frame_hw` (height, width) px.

    Raises:
        BoxError: a number is not finite, a side is shorter than `min_side_px` or longer than the
            frame by more than a factor of two, or the centre lies outside the frame.
    """
    if not all(math.isfinite(value) for value in box):
        raise BoxError(f"expected a box of four finite numbers, got {_text(box)}; draw it again")
    if box.w <= 0 or box.h <= 0:
        raise BoxError(f"expected a box of positive size, got {_text(box)}; draw it again")
    if min(box.w, box.h) < min_side_px:
        raise BoxError(
            f"expected box sides of at least {min_side_px:g} px, got {_text(box)}; "
            "draw a larger box"
        )
    height, width = frame_hw
    if not (-0.5 <= box.cx <= width - 0.5 and -0.5 <= box.cy <= height - 0.5):
        raise BoxError(
            f"expected a box centre inside the {width}x{height} px frame, got {_text(box)}; "
            "draw it on the picture"
        )
    if box.w > 2 * width or box.h > 2 * height:
        raise BoxError(
            f"expected a box no larger than twice the {width}x{height} px frame, "
            f"got {_text(box)}; draw a smaller box"
        )
    return box


def _text(box: Box) -> str:
    return f"centre ({box.cx:g}, {box.cy:g}), size {box.w:g} x {box.h:g} px"
