"""Paths of targets and of the camera, computed for a whole sequence at once."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from mlss_core.simulate.params import SceneParams

Rng = np.random.Generator
_FOLLOW_S = 1.2  # how far a camera operator averages the target's path
_AWAY_S = 2.0  # how long the camera looks elsewhere


class Path(NamedTuple):
    """Positions in the world, px of the backdrop at zoom 1, the camera starting at 0, 0."""

    x: np.ndarray  # (N,)
    y: np.ndarray

    def shifted(self, dx: float, dy: float) -> Path:
        """Return the same path elsewhere."""
        return Path(self.x + dx, self.y + dy)


class Camera(NamedTuple):
    """What the camera does in every frame."""

    x: np.ndarray  # (N,) centre of the view in the world, px
    y: np.ndarray
    zoom: np.ndarray  # (N,) px of the frame per px of the world
    roll: np.ndarray  # (N,) rad, clockwise turn of the picture


def wander(
    rng: Rng, params: SceneParams, speed_px_s: float, reach_x: float, reach_y: float
) -> Path:
    """Draw a smooth path about 0, 0: sums of two oscillations in x and in y.

    Args:
        rng: source of randomness.
        params: gives length and frame rate.
        speed_px_s: typical speed.
        reach_x: largest distance from 0 in x, px.
        reach_y: the same in y.
    """
    t = np.arange(params.frames) / params.fps
    reach_x, reach_y = max(reach_x, 0.5), max(reach_y, 0.5)
    rate = math.sqrt(2) * speed_px_s / reach_x  # rad/s
    rate_y = min(rate * rng.uniform(0.4, 0.8), math.sqrt(2) * speed_px_s / reach_y)
    x = 0.85 * np.sin(rate * t + rng.uniform(-1.2, 1.2) + math.pi * rng.integers(2))
    x += 0.15 * np.sin(2.3 * rate * t + rng.uniform(0, 2 * math.pi))
    y = 0.8 * np.sin(rate_y * t + rng.uniform(0, 2 * math.pi))
    y += 0.2 * np.sin(1.9 * rate_y * t + rng.uniform(0, 2 * math.pi))
    return Path(reach_x * x, reach_y * y)


def yaw_of(path: Path, params: SceneParams, elevation: float) -> np.ndarray:
    """Heading that looks right for a path, (N,) rad, changing smoothly.

    Up in the picture is away from the camera, foreshortened by its elevation.
    """
    vx = np.gradient(path.x) if params.frames > 1 else np.ones(1)
    vy = np.gradient(path.y) if params.frames > 1 else np.zeros(1)
    away = -vy / max(math.sin(elevation), 0.3)
    window = max(round(0.4 * params.fps), 1)
    vx, away = _smooth(vx, window), _smooth(away, window)
    return np.unwrap(np.arctan2(away, vx + 1e-9))


def covered(path: Path, elevation: float) -> np.ndarray:
    """Distance covered along a path up to each frame, (N,) px, on the ground."""
    if len(path.x) == 1:
        return np.zeros(1)
    steps = np.hypot(np.diff(path.x), np.diff(path.y) / max(math.sin(elevation), 0.3))
    return np.concatenate([[0.0], np.cumsum(steps)])


def follow(rng: Rng, params: SceneParams, target: Path, room_px: tuple[float, float]) -> Camera:
    """Film the target: follow it loosely, shake, zoom and roll a little.

    Args:
        rng: source of randomness.
        params: scene.
        target: the path to follow.
        room_px: how far from the middle of the frame the target may get in x and in y.
    """
    t = np.arange(params.frames) / params.fps
    effort = params.camera_motion
    window = max(round(_FOLLOW_S * params.fps), 1)
    centers = []
    for values, room, side in (
        (target.x, room_px[0], params.width),
        (target.y, room_px[1], params.height),
    ):
        center = effort * _smooth(values, window)
        center += 0.05 * side * effort * np.sin(rng.uniform(0.2, 0.6) * t + rng.uniform(0, 6.3))
        if effort:
            center = values - room * np.tanh((values - center) / room)
        for _ in range(3):  # hands and wind, 1 to 6 Hz
            amplitude = 0.0008 * side * effort * rng.uniform(0.3, 1.0)
            center = center + amplitude * np.sin(
                2 * math.pi * rng.uniform(1, 6) * t + rng.uniform(0, 6.3)
            )
        centers.append(center)
    if params.leave_frame:
        length_s = params.frames / params.fps
        middle = rng.uniform(0.45, 0.6) * length_s
        half = min(_AWAY_S / 2 + 0.2, 0.2 * length_s)
        away = 1 / (1 + np.exp(np.clip((np.abs(t - middle) / half - 1) * 17, -60, 60)))
        centers[0] = centers[0] + rng.choice([-1, 1]) * 1.3 * params.width * away
    zoom = 1 + 0.1 * effort * np.sin(rng.uniform(0.2, 0.5) * t + rng.uniform(0, 6.3))
    roll = math.radians(1.2) * effort * np.sin(rng.uniform(0.3, 0.8) * t + rng.uniform(0, 6.3))
    return Camera(centers[0], centers[1], zoom / zoom[0], roll)


def _smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Average over `window` frames about each; the ends repeat."""
    padded = np.pad(values, (window // 2, window - 1 - window // 2), mode="edge")
    return np.convolve(padded, np.full(window, 1 / window), mode="valid")
