"""Drawing a box with the mouse: window pixels to a box of the picture, without a window or ROS."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

import cv2
import numpy as np

from mlss_core.box import Box

LARGEST_VIEW_PX = (1280, 960)  # of the picture in the window: fits a laptop's screen
LARGEST_ZOOM = 8
SHORTEST_DRAG_PX = 3  # window px on one side at least; less is a click that slipped

T = TypeVar("T")


class View(NamedTuple):
    """How a picture is shown in the window: its size in px, and window px per picture px."""

    width: int
    height: int
    scale: float

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the shown picture in window px."""
        return max(1, round(self.width * self.scale)), max(1, round(self.height * self.scale))

    def shown(self, picture: np.ndarray) -> np.ndarray:
        """Bring the (H, W, 3) picture to the window's size: whole squares, or averages."""
        larger = self.scale >= 1
        how = cv2.INTER_NEAREST if larger else cv2.INTER_AREA
        return cv2.resize(picture, self.size, interpolation=how)

    def box(self, from_xy: tuple[int, int], to_xy: tuple[int, int]) -> Box:
        """Box over the window px of both corners and all between, in px of the picture.

        At scale 1 it covers whole pixels, as a RegionOfInterest of them does. Corners outside the
        picture are moved to its border.
        """
        edges = []
        for a, b, limit in zip(from_xy, to_xy, self.size, strict=True):
            low, high = (min(max(at, 0), limit - 1) for at in sorted((a, b)))
            edges.append((low / self.scale - 0.5, (high + 1) / self.scale - 0.5))
        (left, right), (top, bottom) = edges
        return Box((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)


def fitting_view(width: int, height: int) -> View:
    """Show a picture as large as the screen allows: whole zooms, or one over a whole number."""
    room = min(LARGEST_VIEW_PX[0] / width, LARGEST_VIEW_PX[1] / height)
    if room >= 1:
        return View(width, height, float(min(int(room), LARGEST_ZOOM)))
    return View(width, height, 1.0 / np.ceil(1.0 / room))


class Drag(Generic[T]):
    """A drag from one corner to the opposite one, on the picture that was shown at its start."""

    def __init__(self) -> None:
        self.picture: T | None = None  # held while the button is down
        self.from_xy = self.to_xy = (0, 0)  # window px

    def press(self, x: int, y: int, picture: T) -> None:
        """Begin at a window pixel of the picture that is shown."""
        self.picture, self.from_xy, self.to_xy = picture, (x, y), (x, y)

    def move(self, x: int, y: int) -> None:
        """Go on to a window pixel."""
        self.to_xy = (x, y)

    def release(self, x: int, y: int) -> T | None:
        """End; the picture that was drawn on, or None when that was no drag."""
        picture, self.picture = self.picture, None
        self.to_xy = (x, y)
        sides = [abs(a - b) + 1 for a, b in zip(self.from_xy, self.to_xy, strict=True)]
        return picture if max(sides) >= SHORTEST_DRAG_PX else None
