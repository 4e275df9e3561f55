"""Cars, vans and trucks: a body, glass that mirrors the cold sky, warm engine, wheels, exhaust."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mlss_core.simulate.solids import Point, Solid

SPEED_M_S = 7.0
_WHEEL = [(math.cos(a), math.sin(a)) for a in np.linspace(0, 2 * math.pi, 14, endpoint=False)]


@dataclass(frozen=True)
class VehicleLook:
    """What tells one vehicle from another; lengths in m, warmth in units of its contrast."""

    model: str  # car, estate, van, truck
    length: float
    width: float
    height: float
    side: float
    roof: float
    hood: float
    glass: float
    tyre: float
    hub: float
    grille: float
    exhaust: float
    stripe: float


def draw_vehicle(rng: np.random.Generator) -> VehicleLook:
    """Draw a vehicle."""
    model = str(rng.choice(["car", "estate", "van", "truck"], p=[0.4, 0.2, 0.25, 0.15]))
    length, width, height = {
        "car": (4.4, 1.8, 1.45),
        "estate": (4.6, 1.85, 1.65),
        "van": (5.2, 2.0, 2.2),
        "truck": (7.5, 2.4, 3.2),
    }[model]
    return VehicleLook(
        model,
        length * float(rng.uniform(0.92, 1.08)),
        width,
        height * float(rng.uniform(0.95, 1.05)),
        side=float(rng.uniform(0.3, 0.9)),
        roof=float(rng.uniform(-0.5, 0.5)),
        hood=float(rng.uniform(0.7, 2.0)),
        glass=float(rng.uniform(-0.9, 0.0)),
        tyre=float(rng.uniform(0.8, 1.6)),
        hub=float(rng.uniform(1.2, 2.6)),
        grille=float(rng.uniform(1.2, 2.6)),
        exhaust=float(rng.uniform(2.0, 3.5)),
        stripe=float(rng.choice([-0.5, -0.25, 0.25, 0.4])),
    )


def vehicle(look: VehicleLook, phase: float) -> Solid:
    """Pose a vehicle; its wheels have turned by `phase` rad. Unit: m."""
    half, side_y = look.length / 2, look.width / 2
    waist = 0.95 if look.model in ("car", "estate") else 1.15
    solid = Solid()
    solid.box(
        (-half, -side_y, 0.3), (half, side_y, waist), look.side, look.hood, look.hood, look.side
    )
    _cabin(solid, look, waist)
    for y in (-side_y, side_y):
        out = 0.01 if y > 0 else -0.01
        solid.face(
            [(-half, y + out, 0.3), (half, y + out, 0.3), (half, y + out, 0.42),
             (-half, y + out, 0.42)],
            look.side + 0.4,
        )  # warm sill above the road  # fmt: skip
        for x in (-0.3 * look.length, 0.32 * look.length):
            rim = [(x + 0.36 * c, y + 2 * out, 0.36 + 0.36 * s) for c, s in _WHEEL]
            solid.face(rim, look.tyre)
            solid.face([(x + 0.2 * c, y + 4 * out, 0.36 + 0.2 * s) for c, s in _WHEEL], look.hub)
            cosine, sine = 0.17 * math.cos(phase), 0.17 * math.sin(phase)
            spoke = [(-cosine, -sine), (0.3 * sine, -0.3 * cosine), (cosine, sine)]
            solid.face([(x + a, y + 5 * out, 0.36 + b) for a, b in spoke], look.tyre)
    front = half + 0.01
    solid.face(
        [(front, -0.6, 0.45), (front, 0.6, 0.45), (front, 0.6, 0.75), (front, -0.6, 0.75)],
        look.grille,
    )
    solid.limb((-half, 0.5, 0.3), (-half - 0.08, 0.5, 0.3), 0.09, 0.07, look.exhaust)
    return solid


def _cabin(solid: Solid, look: VehicleLook, waist: float) -> None:
    """What is above the waist line, with its glass."""
    half, y, top = look.length / 2, look.width / 2 * 0.92, look.height
    if look.model == "truck":
        cab = half - 1.9
        solid.box((-half, -y, waist), (cab - 0.1, y, top), look.side - 0.5, look.roof, 0.0, -0.1)
        for side in (-y - 0.01, y + 0.01):
            solid.face(
                [(-half + 0.5, side, 1.7), (cab - 0.6, side, 1.7), (cab - 0.6, side, 2.2),
                 (-half + 0.5, side, 2.2)],
                look.side - 0.5 + look.stripe,
            )  # fmt: skip
        low_back, low_front, high_back, high_front, top = cab, half, cab, half - 0.25, top * 0.85
    elif look.model == "van":
        low_back, low_front, high_back, high_front = -half, half - 0.7, -half + 0.05, half - 1.4
    else:
        high_back = -half + 0.2 if look.model == "estate" else -half + 1.1
        low_back, low_front, high_front = -half + 0.15, half - 1.1, half - 1.9
    roof_y = y * 0.85

    def wall(a: Point, b: Point, c: Point, d: Point, warmth: float, glass: float) -> None:
        """A face and, lying on it, its window."""
        corners = np.array([a, b, c, d])
        solid.face(corners, warmth)
        middle = corners.mean(axis=0)
        outwards = np.array([middle[0] * 0.01, middle[1] * 0.02, 0.01])
        solid.face(middle + glass * (corners - middle) + outwards, look.glass)

    for sign in (-1, 1):
        a, b = (low_back, sign * y, waist), (low_front, sign * y, waist)
        c, d = (high_front, sign * roof_y, top), (high_back, sign * roof_y, top)
        wall(a, b, c, d, look.side, 0.3 if look.model == "van" else 0.78)
    wall((low_front, -y, waist), (low_front, y, waist), (high_front, roof_y, top),
        (high_front, -roof_y, top), look.side, 0.85)  # fmt: skip
    wall((low_back, -y, waist), (low_back, y, waist), (high_back, roof_y, top),
        (high_back, -roof_y, top), look.side, 0.7)  # fmt: skip
    solid.face(
        [(high_back, -roof_y, top), (high_front, -roof_y, top), (high_front, roof_y, top),
         (high_back, roof_y, top)],
        look.roof,
    )  # fmt: skip
