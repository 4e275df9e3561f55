"""Things made of rounded limbs and flat faces: projected to the picture, outlined, painted."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np

_ARC = 7  # vertices of a limb's half circle
_ANGLES = np.linspace(-math.pi / 2, math.pi / 2, _ARC)
_SHIFT = 4  # OpenCV draws with coordinates in 1/16 px
Point = tuple[float, float, float]


@dataclass
class Solid:
    """Parts of an object in its own frame: x forward, y left, z up, ground at z = 0.

    A part's temperature is in units of the object's contrast above the air.
    """

    limbs: list[tuple[Point, Point, float, float, float]] = field(default_factory=list)
    faces: list[tuple[np.ndarray, float]] = field(default_factory=list)

    def limb(self, start: Point, end: Point, r0: float, r1: float, warmth: float) -> None:
        """Add the hull of two spheres, of radius `r0` at `start` and `r1` at `end`."""
        self.limbs.append((start, end, r0, r1, warmth))

    def face(self, corners: list[Point] | np.ndarray, warmth: float) -> None:
        """Add a flat convex polygon."""
        self.faces.append((np.asarray(corners, dtype=np.float64), warmth))

    def box(
        self, low: Point, high: Point, warmth: float, top: float, front: float, back: float
    ) -> None:
        """Add the five visible faces of a block; `warmth` is that of its two long sides."""
        (x0, y0, z0), (x1, y1, z1) = low, high
        for y in (y0, y1):
            self.face([(x0, y, z0), (x1, y, z0), (x1, y, z1), (x0, y, z1)], warmth)
        self.face([(x0, y0, z1), (x1, y0, z1), (x1, y1, z1), (x0, y1, z1)], top)
        self.face([(x1, y0, z0), (x1, y1, z0), (x1, y1, z1), (x1, y0, z1)], front)
        self.face([(x0, y0, z0), (x0, y1, z0), (x0, y1, z1), (x0, y0, z1)], back)


class Pose(NamedTuple):
    """Where and how a solid is seen, by parallel projection."""

    x: float  # of its origin, px of the picture
    y: float
    scale: float  # px per unit of the solid
    yaw: float  # rad; 0: it heads to the right, pi / 2: away from the camera
    elevation: float  # rad; 0: seen from its own height, pi / 2: from above
    roll: float = 0.0  # rad, clockwise, of the picture


class Outline(NamedTuple):
    """A solid in the picture."""

    polygons: list[np.ndarray]  # (k, 2) px, convex, the farthest part first
    warmth: list[float]

    def bounds(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom edge, px in pixel-centre coordinates."""
        points = np.concatenate(self.polygons)
        left, top = points.min(axis=0)
        right, bottom = points.max(axis=0)
        return float(left), float(top), float(right), float(bottom)


def outline(solid: Solid, pose: Pose) -> Outline:
    """Project a solid; its parts come sorted from the farthest to the nearest."""
    sin_yaw, cos_yaw = math.sin(pose.yaw), math.cos(pose.yaw)
    sin_up, cos_up = math.sin(pose.elevation), math.cos(pose.elevation)
    sin_roll, cos_roll = math.sin(pose.roll), math.cos(pose.roll)
    right = np.array([cos_yaw, -sin_yaw, 0.0])
    away = np.array([sin_yaw, cos_yaw, 0.0])
    down = np.array([-sin_up * away[0], -sin_up * away[1], -cos_up])
    nearness = np.array([-cos_up * away[0], -cos_up * away[1], sin_up])
    axes = np.stack([right, down, nearness], axis=1)  # (3, 3)
    turn = np.array([[cos_roll, sin_roll], [-sin_roll, cos_roll]])
    polygons: list[np.ndarray] = []
    warmth: list[float] = []
    depth: list[float] = []
    if solid.limbs:
        table = np.array([(*p, *q, r0, r1, w) for p, q, r0, r1, w in solid.limbs])
        starts, ends = table[:, :3] @ axes, table[:, 3:6] @ axes  # (n, 3): right, down, near
        step = ends[:, :2] - starts[:, :2]
        heading = np.arctan2(step[:, 1], step[:, 0])[:, None]  # (n, 1)
        for points, angles, radius in (
            (starts, heading + math.pi + _ANGLES, table[:, 6:7]),
            (ends, heading + _ANGLES, table[:, 7:8]),
        ):
            arc = np.stack([np.cos(angles), np.sin(angles)], axis=2) * radius[:, :, None]
            polygons_here = points[:, None, :2] + arc  # (n, arc, 2)
            polygons.append(polygons_here)
        joined = np.concatenate(polygons, axis=1)
        polygons = list(joined)
        warmth = table[:, 8].tolist()
        depth = ((starts[:, 2] + ends[:, 2]) / 2).tolist()
    for corners, face_warmth in solid.faces:
        seen = corners @ axes
        polygons.append(seen[:, :2])
        warmth.append(face_warmth)
        depth.append(float(seen[:, 2].mean()))
    order = np.argsort(depth, kind="stable")
    place = np.array([pose.x, pose.y])
    return Outline(
        [polygons[i] @ turn * pose.scale + place for i in order], [warmth[i] for i in order]
    )


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
        gain_x = texture.shape[1] / max(bounds[2] - bounds[0], 1.0)
        gain_y = texture.shape[0] / max(bounds[3] - bounds[1], 1.0)
        to_texture = np.array(
            [
                [gain_x, 0.0, (window.x - bounds[0]) * gain_x],
                [0.0, gain_y, (window.y - bounds[1]) * gain_y],
            ]
        )
        grain = cv2.warpAffine(
            texture,
            to_texture,
            size,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT,
        )
        warm = warm + cover * grain * np.float32(texture_gain)
    return cover, warm


def visible_part(
    target: Outline, before: list[Outline], frame_hw: tuple[int, int], side_px: int = 96
) -> float:
    """Share of the target's silhouette that is in the frame and not hidden, 0..1.

    Args:
        target: the outline whose visible share is wanted.
        before: outlines in front of it.
        frame_hw: height and width of the frame, px.
        side_px: longer side of the grid that the silhouettes are compared on.
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
    factor = max(side_px / max(window.width, window.height), 1.0)
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
