"""Things made of rounded limbs and flat faces, and their outline in the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

_ARC = 7  # vertices of a limb's half circle
_ANGLES = np.linspace(-math.pi / 2, math.pi / 2, _ARC)
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
