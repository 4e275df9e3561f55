"""A walking person of 1.75 m: limbs, clothes, what is carried."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mlss_core.simulate.solids import Point, Solid

STRIDE_M = 1.3  # two steps of an adult who strolls
SPEED_M_S = 1.35
_HIP_M, _THIGH_M, _SHIN_M = 0.92, 0.44, 0.42
_SHOULDER_M, _UPPER_ARM_M, _FOREARM_M = 1.44, 0.29, 0.25


@dataclass(frozen=True)
class PersonLook:
    """What tells one person from another. Warmth 1 is the mean of a clothed body."""

    girth: float  # width of limbs and trunk against an average build
    face: float
    hair: float
    jacket: float
    sleeves: float
    trousers: float
    shoes: float
    hands: float
    stripe: float  # a zip, a strap or a print on the front, against the jacket
    coat: bool  # reaching the knees
    hood: bool
    backpack: bool
    bag: bool
    swing: float  # of legs and arms, rad


def draw_person(rng: np.random.Generator) -> PersonLook:
    """Draw a person."""
    jacket = float(rng.uniform(0.5, 1.2))
    return PersonLook(
        girth=float(rng.uniform(0.9, 1.2)),
        face=float(rng.uniform(1.6, 2.3)),
        hair=float(rng.uniform(0.7, 1.2)),
        jacket=jacket,
        sleeves=jacket + float(rng.uniform(-0.25, 0.1)),
        trousers=float(rng.uniform(0.45, 1.1)),
        shoes=float(rng.uniform(0.1, 0.5)),
        hands=float(rng.uniform(0.6, 1.8)),
        stripe=float(rng.choice([-0.45, -0.3, 0.3, 0.5])),
        coat=bool(rng.random() < 0.2),
        hood=bool(rng.random() < 0.2),
        backpack=bool(rng.random() < 0.3),
        bag=bool(rng.random() < 0.25),
        swing=float(rng.uniform(0.27, 0.38)),
    )


def _reach(start: Point, angle: float, length: float) -> Point:
    """End of a limb that hangs down and swings forward by `angle`."""
    x, y, z = start
    return x + length * math.sin(angle), y, z - length * math.cos(angle)


def _leg(look: PersonLook, phase: float, side: int) -> tuple[Point, Point, Point, Point]:
    """Hip, knee, ankle and toe of one leg; the hip is at height 0."""
    angle = look.swing * math.sin(phase)
    bend = 0.1 + 0.85 * max(0.0, math.cos(phase)) ** 2
    hip = (0.0, side * 0.09, 0.0)
    knee = _reach(hip, angle + 0.4 * bend, _THIGH_M)
    ankle = _reach(knee, angle - 0.6 * bend, _SHIN_M)
    toe = (ankle[0] + 0.17, ankle[1], ankle[2] - 0.03 - 0.06 * bend)
    return hip, knee, ankle, toe


def person(look: PersonLook, phase: float) -> Solid:
    """Pose a person; a stride is 2 pi of `phase`. Unit: m; the lower foot is on the ground."""
    legs = [_leg(look, phase, 1), _leg(look, phase + math.pi, -1)]
    lift = -min(min(ankle[2] - 0.05, toe[2] - 0.035) for _, _, ankle, toe in legs)
    fat = look.girth
    solid = Solid()

    def limb(start: Point, end: Point, r0: float, r1: float, warmth: float, z: float) -> None:
        solid.limb(
            (start[0], start[1], start[2] + z), (end[0], end[1], end[2] + z), r0, r1, warmth
        )

    for hip, knee, ankle, toe in legs:
        limb(hip, knee, 0.088 * fat, 0.062 * fat, look.trousers, lift)
        limb(knee, ankle, 0.062 * fat, 0.045 * fat, look.trousers * 0.9, lift)
        limb(ankle, toe, 0.048, 0.036, look.shoes, lift)
    up = lift - _HIP_M  # the trunk rises and falls with the hips
    shoulder = _SHOULDER_M + up
    for side, offset in ((1, math.pi), (-1, 0.0)):
        swing = 0.85 * look.swing * math.sin(phase + offset)
        top = (0.0, side * 0.19 * fat, shoulder)
        elbow = _reach(top, swing - 0.05, _UPPER_ARM_M)
        wrist = _reach(elbow, swing + 0.35 + 0.2 * math.sin(phase + offset), _FOREARM_M)
        limb(top, elbow, 0.062 * fat, 0.048 * fat, look.sleeves, 0.0)
        limb(elbow, wrist, 0.048 * fat, 0.038, look.sleeves * 0.85, 0.0)
        limb(wrist, _reach(wrist, swing + 0.4, 0.09), 0.04, 0.035, look.hands, 0.0)
        if look.bag and side == 1:
            limb(_reach(wrist, 0.0, 0.18), _reach(wrist, 0.0, 0.34), 0.1, 0.12, 0.1, 0.0)
        flank = (0.0, side * 0.085 * fat, 1.36 + up)
        limb(
            (0.0, side * 0.07 * fat, 0.98 + up), flank, 0.115 * fat, 0.112 * fat, look.jacket, 0.0
        )
        if look.coat:
            limb((0.0, side * 0.07, 0.98 + up), (0.0, side * 0.1, 0.55 + up), 0.11, 0.14,
                look.jacket * 0.9, 0.0)  # fmt: skip
    front = 0.1 * fat
    limb((front, 0.0, 1.0 + up), (front, 0.0, 1.36 + up), 0.025, 0.025,
        look.jacket + look.stripe, 0.0)  # fmt: skip
    limb((front - 0.02, -0.09, 1.05 + up), (front - 0.02, 0.09, 1.05 + up), 0.022, 0.022,
        look.jacket - 0.2, 0.0)  # fmt: skip
    if look.backpack:
        limb((-0.17, 0.0, 1.08 + up), (-0.16, 0.0, 1.33 + up), 0.15, 0.14, 0.1, 0.0)
    limb((0.0, 0.0, shoulder), (0.02, 0.0, 1.54 + up), 0.06, 0.055, look.face * 0.95, 0.0)
    hair = look.jacket * 0.8 if look.hood else look.hair
    limb((-0.015, 0.0, 1.61 + up), (0.0, 0.0, 1.665 + up), 0.098, 0.092, hair, 0.0)
    limb((0.055, 0.0, 1.57 + up), (0.05, 0.0, 1.64 + up), 0.062, 0.07, look.face, 0.0)
    return solid
