"""Drawing on pictures of temperature: smooth noise and plain shapes at fractional places."""

from __future__ import annotations

import math
from collections.abc import Iterable

import cv2
import numpy as np

Rng = np.random.Generator
Spot = tuple[float, float]  # x, y in px


def fractal(
    rng: Rng, size_hw: tuple[int, int], cell_px: float, stretch: float = 1.0
) -> np.ndarray:
    """Smooth noise of several scales, (h, w) float32 of zero mean and unit deviation.

    Args:
        rng: source of randomness.
        size_hw: height and width, px.
        cell_px: size of the coarsest features; each finer octave has half the size and 0.6 times
            the amplitude, down to 1.5 px.
        stretch: how much wider than high the features are.
    """
    height, width = size_hw
    total = np.zeros((height, width), np.float32)
    gain = 1.0
    while True:
        rows = max(math.ceil(height / cell_px) + 2, 3)
        columns = max(math.ceil(width / (cell_px * stretch)) + 2, 3)
        coarse = rng.standard_normal((rows, columns), dtype=np.float32)
        total += gain * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        cell_px, gain = cell_px / 2, gain * 0.6
        if cell_px < 1.5:
            break
    total -= total.mean()
    return total / max(float(total.std()), 1e-6)


def polygon(picture: np.ndarray, corners: Iterable[Spot] | np.ndarray, value: float) -> None:
    """Fill a polygon."""
    points = np.array([*corners], dtype=np.float64).round().astype(np.int32)
    cv2.fillPoly(picture, [points], value)


def line(picture: np.ndarray, a: Spot, b: Spot, value: float, px: float = 1) -> None:
    """Draw a straight line `px` wide."""
    ends = (round(a[0]), round(a[1])), (round(b[0]), round(b[1]))
    cv2.line(picture, *ends, value, max(round(px), 1))


def block(picture: np.ndarray, a: Spot, b: Spot, value: float, px: float = -1) -> None:
    """Fill a rectangle between two corners, or draw its edge `px` wide."""
    corners = (round(a[0]), round(a[1])), (round(b[0]), round(b[1]))
    cv2.rectangle(picture, *corners, value, round(px))


def disc(picture: np.ndarray, center: Spot, rx: float, value: float, ry: float = 0) -> None:
    """Fill a circle of radius `rx`, or an ellipse of radii `rx` and `ry`."""
    axes = max(round(rx), 1), max(round(ry or rx), 1)
    cv2.ellipse(picture, (round(center[0]), round(center[1])), axes, 0, 0, 360, value, -1)
