"""Drones: a quadrotor, a fixed wing, a helicopter."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mlss_core.simulate.solids import Point, Solid

SPEED_M_S = 3.0  # of a machine of 1 m


@dataclass(frozen=True)
class AircraftLook:
    """What tells one aircraft from another; warmth in units of its contrast."""

    model: str  # quadrotor, wing, helicopter
    body: float
    motor: float
    arm: float
    battery: float
    wing: float
    span: float  # of the fixed wing, against its length


def draw_aircraft(rng: np.random.Generator) -> AircraftLook:
    """Draw an aircraft."""
    return AircraftLook(
        str(rng.choice(["quadrotor", "wing", "helicopter"], p=[0.55, 0.25, 0.2])),
        body=float(rng.uniform(0.7, 1.2)),
        motor=float(rng.uniform(1.4, 2.6)),
        arm=float(rng.uniform(0.2, 0.7)),
        battery=float(rng.uniform(1.1, 1.8)),
        wing=float(rng.uniform(0.1, 0.6)),
        span=float(rng.uniform(0.9, 1.5)),
    )


def aircraft(look: AircraftLook, phase: float) -> Solid:
    """Pose an aircraft of 1 m; its rotors have turned by `phase` rad."""
    return {"quadrotor": _quadrotor, "wing": _wing, "helicopter": _helicopter}[look.model](
        look, phase
    )


def _quadrotor(look: AircraftLook, phase: float) -> Solid:
    solid = Solid()
    for k in range(4):
        angle = math.pi / 4 + k * math.pi / 2
        hub = (0.36 * math.cos(angle), 0.36 * math.sin(angle), 0.13)
        solid.limb((0.0, 0.0, 0.1), hub, 0.035, 0.022, look.arm)
        solid.limb((hub[0], hub[1], 0.1), (hub[0], hub[1], 0.17), 0.045, 0.04, look.motor)
        blade = 0.16 * math.cos(phase * 3 + k), 0.16 * math.sin(phase * 3 + k)
        one = (hub[0] - blade[0], hub[1] - blade[1], 0.19)
        other = (hub[0] + blade[0], hub[1] + blade[1], 0.19)
        solid.limb(one, other, 0.012, 0.012, look.arm * 0.5)
    for side in (-1, 1):
        solid.limb((0.0, side * 0.09, 0.06), (0.0, side * 0.16, -0.14), 0.018, 0.016, look.arm)
        solid.limb((-0.16, side * 0.16, -0.14), (0.16, side * 0.16, -0.14), 0.016, 0.016, look.arm)
    solid.limb((-0.14, 0.0, 0.1), (0.14, 0.0, 0.1), 0.1, 0.085, look.body)
    solid.limb((-0.1, 0.0, 0.15), (0.05, 0.0, 0.15), 0.055, 0.05, look.battery)
    solid.limb((0.13, 0.0, 0.0), (0.14, 0.0, 0.0), 0.05, 0.05, look.battery * 0.8)
    return solid


def _wing(look: AircraftLook, phase: float) -> Solid:
    solid = Solid()
    solid.limb((-0.45, 0.0, 0.02), (0.4, 0.0, 0.0), 0.03, 0.055, look.body)
    solid.limb((0.4, 0.0, 0.0), (0.48, 0.0, 0.0), 0.055, 0.025, look.body * 0.8)
    for side in (-1, 1):
        tip = side * look.span / 2
        solid.face([(0.17, 0.0, 0.03), (0.06, tip, 0.06), (-0.03, tip, 0.06), (-0.07, 0.0, 0.03)],
            look.wing)  # fmt: skip
        solid.face([(-0.36, 0.0, 0.04), (-0.42, side * 0.2, 0.05), (-0.48, side * 0.2, 0.05),
            (-0.47, 0.0, 0.04)], look.wing)  # fmt: skip
        solid.limb((0.02, side * 0.15, -0.02), (0.14, side * 0.15, -0.02), 0.035, 0.03, look.motor)
    solid.face([(-0.36, 0.0, 0.03), (-0.44, 0.0, 0.2), (-0.49, 0.0, 0.2), (-0.48, 0.0, 0.03)],
        look.wing)  # fmt: skip
    return solid


def _helicopter(look: AircraftLook, phase: float) -> Solid:
    solid = Solid()
    solid.limb((-0.1, 0.0, 0.0), (0.18, 0.0, -0.02), 0.11, 0.1, look.body)
    solid.limb((0.2, 0.0, 0.0), (0.27, 0.0, -0.04), 0.085, 0.05, look.body - 0.6)
    solid.limb((-0.15, 0.0, 0.04), (-0.5, 0.0, 0.07), 0.05, 0.02, look.body * 0.7)
    solid.face([(-0.44, 0.0, 0.05), (-0.5, 0.0, 0.2), (-0.55, 0.0, 0.2), (-0.53, 0.0, 0.05)],
        look.wing)  # fmt: skip
    solid.limb((-0.1, 0.0, 0.11), (0.04, 0.0, 0.12), 0.05, 0.045, look.motor)
    hub: Point = (0.0, 0.0, 0.2)
    for k in range(3):
        angle = phase * 2 + k * 2 * math.pi / 3
        solid.limb(
            hub, (0.5 * math.cos(angle), 0.5 * math.sin(angle), 0.2), 0.018, 0.012, look.arm
        )
    for side in (-0.1, 0.1):
        solid.limb((-0.12, side, -0.17), (0.2, side, -0.17), 0.014, 0.014, look.arm)
    return solid
