"""Kinds of things that move: how each is drawn at random, posed, and how fast it goes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlss_core.simulate import aircraft, animals, people, vehicles
from mlss_core.simulate.solids import Solid


@dataclass(frozen=True)
class Kind:
    """One kind of actor, in its own unit of length."""

    draw: Callable[[np.random.Generator], Any]  # a look
    pose: Callable[[Any, float], Solid]  # look, phase -> parts
    speed: float  # units of length per second
    phase_per_length: float  # rad per unit of length covered
    phase_per_second: float  # rad; rotors and wings turn without covering ground
    texture: float  # warmth of the surface's texture, standard deviation


KINDS: dict[str, Kind] = {
    "person": Kind(
        people.draw_person,
        people.person,
        people.SPEED_M_S,
        2 * math.pi / people.STRIDE_M,
        0.0,
        0.12,
    ),
    "vehicle": Kind(
        vehicles.draw_vehicle, vehicles.vehicle, vehicles.SPEED_M_S, 1 / 0.36, 0.0, 0.1
    ),
    "drone": Kind(aircraft.draw_aircraft, aircraft.aircraft, aircraft.SPEED_M_S, 0.0, 14.0, 0.05),
    "animal": Kind(
        animals.draw_animal,
        animals.quadruped,
        animals.SPEED_BODY_LENGTHS_S,
        2 * math.pi / animals.STRIDE_BODY_LENGTHS,
        0.0,
        0.18,
    ),
    "bird": Kind(
        animals.draw_animal,
        animals.bird,
        animals.BIRD_SPEED_BODY_LENGTHS_S,
        0.0,
        animals.WING_BEAT_RAD_S,
        0.1,
    ),
}
GROUND_KINDS = ("person", "vehicle", "animal")
AIR_KINDS = ("drone", "bird")
