"""Outlines to pixels: cover, warmth, and what of a target is not hidden."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

from mlss_core.simulate.solids import Outline

_SHIFT = 4  # OpenCV draws with coordinates in 1/16 px
_GRID_PX = 96  # longer side of the grid that silhouettes are compared on


class Window(NamedTuple):
    """Whole pixels of the picture: first column and row, size."""

    x: int
    y: int
    width: int
    height: int

    @property
    def rows(self) -> slice:
        """Rows of the picture."""
        return slice(self.y, self.y + self.height)

    @property
    def columns(self) -> slice:
        """Columns of the picture."""
        return slice(self.x, self.x + self.width)


def window_of(
    bounds: tuple[float, float, float, float], frame_hw: tuple[int, int]
) -> Window | None:
    """Pixels that `bounds` touches, cut to the frame; None when there is none."""
    left, top, right, bottom = bounds
    x0, y0 = max(math.floor(left + 0.5) - 1, 0), max(math.floor(top + 0.5) - 1, 0)
    x1 = min(math.ceil(right + 0.5) + 1, frame_hw[1])
    y1 = min(math.ceil(bottom + 0.5) + 1, frame_hw[0])
    return Window(x0, y0, x1 - x0, y1 - y0) if x1 > x0 and y1 > y0 else None


def oversampling(bounds: tuple[float, float, float, float]) -> int:
    """How much finer than the picture an object of that size is drawn."""
    side = max(bounds[2] - bounds[0], bounds[3] - bounds[1])
    return int(min(max(math.ceil(110 / max(side, 1.0)), 2), 6))


def fill(canvas: np.ndarray, shape: Outline, window: Window, factor: float, flat: bool) -> None:
    """Draw an outline on a canvas that shows `window`, `factor` times finer.

    Args:
        canvas: (h, w) uint8 when `flat`, where the outline becomes 1; else (h, w, 2) float32,
            where it becomes (warmth, 1).
        shape: the outline, px of the picture.
        window: pixels of the picture that the canvas shows.
        factor: canvas px per px of the picture.
        flat: whether only the silhouette is wanted.
    """
    origin = np.array([window.x, window.y]) - 0.5
    gain = factor * (1 << _SHIFT)
    for polygon, warmth in zip(shape.polygons, shape.warmth, strict=True):
        corners = ((polygon - origin) * gain - 0.5 * (1 << _SHIFT)).round().astype(np.int32)
        colour = 1 if flat else (float(warmth), 1.0)
        cv2.fillConvexPoly(canvas, corners, colour, cv2.LINE_8, _SHIFT)


def paint(
    shape: Outline,
    window: Window,
    texture: np.ndarray,
    texture_gain: float,
    softness_px: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw an outline with soft shades and a surface texture.

    Args:
        shape: the outline, px of the picture.
        window: pixels to draw.
        texture: (h, w) float32, zero mean, stretched over the whole outline.
        texture_gain: warmth per unit of texture.
        softness_px: width over which neighbouring parts blend, px of the picture.

    Returns:
        Cover in 0..1 and cover times warmth, both (window.height, window.width) float32.
    """
    bounds = shape.bounds()
    factor = oversampling(bounds)
    canvas = np.zeros((window.height * factor, window.width * factor, 2), np.float32)
    fill(canvas, shape, window, factor, flat=False)
    mask = np.ascontiguousarray(canvas[..., 1])
    values = np.ascontiguousarray(canvas[..., 0])
    radius = round(softness_px * factor)
    if radius >= 1:
        size = (2 * radius + 1, 2 * radius + 1)
        weight = cv2.blur(mask, size, borderType=cv2.BORDER_CONSTANT)
        values = mask * cv2.blur(values, size, borderType=cv2.BORDER_CONSTANT)
        values /= np.maximum(weight, 1e-3)
    size = (window.width, window.height)
    cover = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
    warm = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    if texture_gain:
        warm = warm + cover * _grain(texture, bounds, window) * np.float32(texture_gain)
    return cover, warm


def _grain(
    texture: np.ndarray, bounds: tuple[float, float, float, float], window: Window
) -> np.ndarray:
    """A texture stretched over `bounds`, as `window` shows it."""
    gain_x = texture.shape[1] / max(bounds[2] - bounds[0], 1.0)
    gain_y = texture.shape[0] / max(bounds[3] - bounds[1], 1.0)
    to_texture = np.array(
        [
            [gain_x, 0.0, (window.x - bounds[0]) * gain_x],
            [0.0, gain_y, (window.y - bounds[1]) * gain_y],
        ]
    )
    return cv2.warpAffine(
        texture,
        to_texture,
        (window.width, window.height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )


def visible_part(target: Outline, before: list[Outline], frame_hw: tuple[int, int]) -> float:
    """Share of the target's silhouette that is in the frame and not hidden, 0..1.

    Args:
        target: the outline whose visible share is wanted.
        before: outlines in front of it.
        frame_hw: height and width of the frame, px.
    """
    left, top, right, bottom = target.bounds()
    near = [
        shape
        for shape, (x0, y0, x1, y1) in ((shape, shape.bounds()) for shape in before)
        if x0 < right and x1 > left and y0 < bottom and y1 > top
    ]
    height, width = frame_hw
    inside = left >= -0.5 and top >= -0.5 and right <= width - 0.5 and bottom <= height - 0.5
    if inside and not near:
        return 1.0
    x, y = math.floor(left), math.floor(top)
    window = Window(x, y, math.ceil(right) - x + 1, math.ceil(bottom) - y + 1)
    factor = max(_GRID_PX / max(window.width, window.height), 1.0)
    canvas = np.zeros((round(window.height * factor), round(window.width * factor)), np.uint8)
    fill(canvas, target, window, factor, flat=True)
    whole = int(np.count_nonzero(canvas))
    hidden = np.zeros_like(canvas)
    for shape in near:
        fill(hidden, shape, window, factor, flat=True)
    canvas[hidden > 0] = 0
    rows = np.arange(canvas.shape[0]) / factor + y
    columns = np.arange(canvas.shape[1]) / factor + x
    canvas[(rows < -0.5) | (rows > height - 0.5)] = 0
    canvas[:, (columns < -0.5) | (columns > width - 0.5)] = 0
    return int(np.count_nonzero(canvas)) / max(whole, 1)
