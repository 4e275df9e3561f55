"""Four-legged animals, from a dog to a horse, and birds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mlss_core.simulate.solids import Solid

SPEED_BODY_LENGTHS_S = 1.1
BIRD_SPEED_BODY_LENGTHS_S = 4.0
WING_BEAT_RAD_S = 16.0
STRIDE_BODY_LENGTHS = 0.95


@dataclass(frozen=True)
class AnimalLook:
    """What tells one animal from another; lengths in body lengths, warmth in contrast units."""

    leg: float
    girth: float
    neck: float
    neck_up: float  # rad above the horizontal
    head: float
    ears: float
    tail: float
    body: float
    flank: float  # a patch of thin or wet fur
    legs: float
    face: float
    swing: float


def draw_animal(rng: np.random.Generator) -> AnimalLook:
    """Draw a four-legged animal or a bird."""
    tall = rng.random()  # 0: a dachshund, 1: a horse
    return AnimalLook(
        leg=0.32 + 0.4 * float(tall),
        girth=float(rng.uniform(0.15, 0.24)),
        neck=0.18 + 0.35 * float(tall) * float(rng.uniform(0.6, 1.0)),
        neck_up=float(rng.uniform(0.3, 1.1)),
        head=float(rng.uniform(0.17, 0.27)),
        ears=float(rng.uniform(0.03, 0.12)),
        tail=float(rng.uniform(0.05, 0.5)),
        body=float(rng.uniform(0.7, 1.1)),
        flank=float(rng.uniform(-0.4, 0.5)),
        legs=float(rng.uniform(0.6, 1.3)),
        face=float(rng.uniform(1.2, 2.0)),
        swing=float(rng.uniform(0.35, 0.6)),
    )


def quadruped(look: AnimalLook, phase: float) -> Solid:
    """Pose a four-legged animal of body length 1; a stride is 2 pi of `phase`."""
    solid = Solid()
    back = look.leg + look.girth * 0.7 + 0.02 * math.sin(2 * phase)
    half, thick = 0.5 - look.girth * 0.6, look.girth
    for x, side, offset in (
        (half, 1, 0.0),
        (half, -1, math.pi),
        (-half, 1, math.pi),
        (-half, -1, 0.0),
    ):
        swing = look.swing * math.sin(phase + offset)
        bend = 0.8 * max(0.0, math.cos(phase + offset)) ** 2
        turn = 1.0 if x > 0 else -1.0  # elbows fold backwards, hocks forwards
        hip = (x, side * thick * 0.45, back - thick * 0.3)
        length = hip[2] * 0.5
        first, second = swing + 0.5 * turn * bend, swing - 0.5 * turn * bend
        knee = (hip[0] + length * math.sin(first), hip[1], hip[2] - length * math.cos(first))
        foot = (knee[0] + length * math.sin(second), hip[1], knee[2] - length * math.cos(second))
        solid.limb(hip, knee, thick * 0.42, thick * 0.22, look.legs)
        solid.limb(knee, foot, thick * 0.2, thick * 0.15, look.legs * 0.8)
    solid.limb((-half, 0.0, back), (half, 0.0, back), thick * 0.95, thick, look.body)
    for side in (-1, 1):
        solid.limb((-0.12, side * thick * 0.8, back), (0.12, side * thick * 0.8, back - 0.02),
            thick * 0.45, thick * 0.35, look.body + look.flank)  # fmt: skip
    chest = (half + thick * 0.4, 0.0, back + thick * 0.35)
    nod = look.neck_up + 0.06 * math.sin(2 * phase)
    crown = (
        chest[0] + look.neck * math.cos(nod),
        0.0,
        chest[2] + look.neck * math.sin(nod),
    )
    solid.limb(chest, crown, thick * 0.7, thick * 0.42, look.body * 1.05)
    nose = (crown[0] + look.head, 0.0, crown[2] - look.head * 0.45)
    solid.limb(crown, nose, thick * 0.45, thick * 0.24, look.face)
    solid.limb(nose, (nose[0] + 0.01, 0.0, nose[2]), thick * 0.16, thick * 0.14, look.face - 1.0)
    for side in (-1, 1):
        ear = (crown[0] - 0.03, side * thick * 0.35, crown[2] + thick * 0.3 + look.ears)
        solid.limb((crown[0], side * thick * 0.3, crown[2] + thick * 0.2), ear, 0.03, 0.012,
            look.face * 0.8)  # fmt: skip
    rump = (-half - thick * 0.85, 0.0, back + thick * 0.3)
    wag = 0.12 * math.sin(phase)
    solid.limb(rump, (rump[0] - look.tail * 0.5, wag * look.tail, rump[2] - look.tail * 0.8),
        0.03, 0.02, look.body * 0.4)  # fmt: skip
    return solid


def bird(look: AnimalLook, phase: float) -> Solid:
    """Pose a bird of body length 1; a beat of its wings is 2 pi of `phase`."""
    solid = Solid()
    solid.limb((-0.2, 0.0, 0.0), (0.16, 0.0, 0.02), 0.07, 0.09, look.body)
    solid.limb((0.25, 0.0, 0.06), (0.29, 0.0, 0.06), 0.06, 0.05, look.face)
    solid.limb((0.32, 0.0, 0.05), (0.4, 0.0, 0.04), 0.02, 0.008, look.legs * 0.4)
    solid.face([(-0.2, 0.0, 0.02), (-0.45, 0.1, 0.02), (-0.45, -0.1, 0.02)], look.legs * 0.4)
    beat = 0.75 * math.sin(phase)
    for side in (-1, 1):
        elbow_y, elbow_z = 0.3 * math.cos(beat), 0.3 * math.sin(beat)
        fold = beat - 0.5 * math.cos(phase) - 0.2
        tip_y, tip_z = elbow_y + 0.35 * math.cos(fold), elbow_z + 0.35 * math.sin(fold)
        elbow_front, elbow_back = (0.14, side * elbow_y, elbow_z), (-0.12, side * elbow_y, elbow_z)
        solid.face([(0.12, 0.0, 0.04), elbow_front, elbow_back, (-0.12, 0.0, 0.04)],
            look.legs * 0.7)  # fmt: skip
        solid.face([elbow_front, (0.0, side * tip_y, tip_z), elbow_back], look.legs * 0.4)
    return solid
