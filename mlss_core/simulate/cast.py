"""Who is in a scene: the target, those like it, and what passes in front."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mlss_core.simulate.actors import AIR_KINDS, GROUND_KINDS, KINDS, Kind
from mlss_core.simulate.brush import fractal
from mlss_core.simulate.motion import Path, covered, wander, yaw_of
from mlss_core.simulate.params import SceneParams
from mlss_core.simulate.solids import Pose, Solid, outline

Rng = np.random.Generator
BEFORE_ACTORS = 1e8  # paint order above that of anything that walks; an obstacle's is larger
_ALONE_S = 1.5  # nothing comes near the target for this long at the start
_TEXTURE_PX = (64, 64)
_TRIES = 12  # draws of a distractor's path that keeps off the target at the start


@dataclass(frozen=True)
class Stage:
    """Where a scene takes place."""

    backdrop: str
    elevation: float  # rad, of the camera above the horizontal
    air_c: float  # temperature of the air, degrees Celsius
    foot_y: float  # world row where the target stands in the first frame, px
    horizon: float  # world row of the horizon, px; -inf: none, sizes do not follow the row

    def nearness(self, y: np.ndarray) -> np.ndarray:
        """Size of things at world row `y` against those at `foot_y`."""
        if math.isinf(self.horizon):
            return np.ones_like(y)
        return np.clip((y - self.horizon) / (self.foot_y - self.horizon), 0.2, 3.0)


@dataclass(frozen=True)
class Actor:
    """One thing before the backdrop, with its state in every frame."""

    pose: Callable[[float], Solid]  # phase -> parts
    path: Path
    scale: np.ndarray  # (N,) px of the world per unit of the solid
    yaw: np.ndarray  # (N,) rad
    phase: np.ndarray  # (N,) rad
    elevation: float  # rad
    warmth_k: np.ndarray  # (N,) K per unit of warmth
    texture: np.ndarray  # (h, w) float32
    texture_gain: float  # units of warmth
    order: np.ndarray  # (N,) the larger, the nearer to the camera
    reach: float  # largest distance of a part from the origin, units of the solid


def make_target(
    rng: Rng, params: SceneParams, kind: Kind, stage: Stage, stray_px: tuple[float, float]
) -> Actor:
    """Cast the target, which strays that far in x and in y, px of the world."""
    look = kind.draw(rng)
    unit = Pose(0.0, 0.0, 1.0, 0.0, stage.elevation)
    left, top, right, bottom = outline(kind.pose(look, 0.8), unit).bounds()
    scale = params.target_px / max(right - left, bottom - top)
    path = _path(rng, params, kind, scale, *stray_px)
    path = path.shifted(0.0, stage.foot_y)
    sizes = _sizes(rng, params, stage, path)
    actor = _actor(rng, params, kind, look, stage, path, scale * sizes / sizes[0], 1.0)
    # the first frame, where a tracker gets its box, shows a pose of median width in its size
    first = Pose(0.0, 0.0, float(actor.scale[0]), float(actor.yaw[0]), stage.elevation)
    phases = np.linspace(0.0, 2 * math.pi, 12, endpoint=False)
    bounds = [outline(actor.pose(phase), first).bounds() for phase in phases]
    median = np.argsort([right - left for left, _, right, _ in bounds])[len(phases) // 2]
    left, top, right, bottom = bounds[median]
    return dataclasses.replace(
        actor,
        phase=actor.phase - actor.phase[0] + phases[median],
        scale=actor.scale * params.target_px / max(right - left, bottom - top),
    )


def make_distractors(
    rng: Rng,
    params: SceneParams,
    kind: Kind,
    stage: Stage,
    target: Actor,
    airborne: bool,
    seed: list[int],
) -> list[Actor]:
    """Cast others that meet the target; its doubles are drawn from `seed` as it was."""
    kinds = [KINDS[name] for name in (AIR_KINDS if airborne else GROUND_KINDS)]
    cast: list[Actor] = []
    scale = float(target.scale[0])
    width = params.target_px * 0.6
    wide = _largest_width(target)
    span = 0.25 * params.height
    for number in range(params.distractors):
        double = number < params.lookalikes
        other = kind
        if params.kind == "mixed" and not double:
            other = kinds[rng.integers(len(kinds))]
        look = other.draw(np.random.default_rng(seed) if double else rng)
        own = scale * float(rng.uniform(0.92, 1.08))
        for _ in range(_TRIES):
            if number == 1 and rng.random() < 0.4:  # a companion, side by side
                drift = wander(rng, params, 0.05 * width, 0.2 * width, 0.05 * width)
                side = rng.choice([-1, 1]) * rng.uniform(1.1, 2.0) * width
                path = Path(target.path.x + drift.x + side, target.path.y + drift.y)
                path = path.shifted(0.0, rng.uniform(-0.1, 0.1) * width)
            else:
                path = _path(
                    rng, params, other, own, params.width * rng.uniform(0.2, 0.8), 0.05 * span
                )
                meet = int(rng.uniform(0.2, 0.9) * params.frames)
                path = path.shifted(
                    target.path.x[meet] - path.x[meet] + rng.uniform(-0.6, 0.6) * width,
                    target.path.y[meet] - path.y[meet] + _row_offset(rng, stage, span),
                )
            path = _kept_apart(path, target.path, params.keep_apart * wide)
            start = slice(0, max(min(round(_ALONE_S * params.fps), params.frames // 5), 1))
            apart = np.hypot(path.x - target.path.x, 0.5 * (path.y - target.path.y))[start]
            if apart.min() > 2.5 * wide:
                break
        sizes = own * stage.nearness(path.y)
        warm = float(rng.uniform(0.97, 1.03) if double else rng.uniform(0.75, 1.25))
        actor = _actor(rng, params, other, look, stage, path, sizes, warm)
        if apart.min() < 0.55 * (wide + _largest_width(actor)):  # no path found that keeps off
            actor = dataclasses.replace(actor, order=actor.order - BEFORE_ACTORS)
        cast.append(actor)
    return cast


def _kept_apart(path: Path, target: Path, least_px: float) -> Path:
    """Bend a path so that it turns round before the target instead of passing it."""
    if not least_px:
        return path
    gap = path.x - target.x
    side = 1.0 if gap[0] >= 0 else -1.0
    return Path(target.x + side * np.hypot(gap, least_px), path.y)


def _largest_width(actor: Actor) -> float:
    """Width of an actor in the first frame from its broadest side, px of the world."""
    widths = []
    for yaw in (0.0, math.pi / 2):
        pose = Pose(0.0, 0.0, float(actor.scale[0]), yaw, actor.elevation)
        left, _, right, _ = outline(actor.pose(float(actor.phase[0])), pose).bounds()
        widths.append(right - left)
    return max(widths)


def _row_offset(rng: Rng, stage: Stage, span: float) -> float:
    if math.isinf(stage.horizon):
        return float(rng.uniform(-0.5, 0.5) * span)
    return float(rng.uniform(-0.12, 0.16) * (stage.foot_y - stage.horizon))


def _path(
    rng: Rng, params: SceneParams, kind: Kind, scale: float, reach_x: float, reach_y: float
) -> Path:
    speed = min(kind.speed * scale * params.speed * float(rng.uniform(0.85, 1.15)), params.width)
    return wander(rng, params, speed, reach_x, reach_y)


def _sizes(rng: Rng, params: SceneParams, stage: Stage, path: Path) -> np.ndarray:
    """How the target's size changes: by its row, or, without a horizon, by coming closer."""
    if not math.isinf(stage.horizon):
        return stage.nearness(path.y)
    t = np.arange(params.frames) / params.fps
    swell = 0.12 * np.sin(rng.uniform(0.2, 0.6) * t + rng.uniform(0, 2 * math.pi))
    return 1 + swell * min(params.speed, 1.0)


def _actor(
    rng: Rng,
    params: SceneParams,
    kind: Kind,
    look: object,
    stage: Stage,
    path: Path,
    scale: np.ndarray,
    warm: float,
) -> Actor:
    t = np.arange(params.frames) / params.fps
    length = covered(path, stage.elevation) / scale.mean()
    phase = (
        kind.phase_per_length * length + kind.phase_per_second * t + rng.uniform(0, 2 * math.pi)
    )
    day = 0.5 - 0.5 * np.cos(2 * math.pi * np.arange(params.frames) / params.frames)
    parts = kind.pose(look, 0.0)
    distances = [max(math.hypot(*p) + a, math.hypot(*q) + b) for p, q, a, b, _ in parts.limbs]
    distances += [float(np.linalg.norm(corners, axis=1).max()) for corners, _ in parts.faces]
    return Actor(
        pose=lambda angle: kind.pose(look, angle),
        path=path,
        scale=np.broadcast_to(scale, (params.frames,)),
        yaw=yaw_of(path, params, stage.elevation),
        phase=phase,
        elevation=stage.elevation,
        warmth_k=warm * params.contrast_k * (1 - 1.6 * params.crossover * day),
        texture=fractal(rng, _TEXTURE_PX, 14),
        texture_gain=kind.texture,
        order=path.y,
        reach=1.2 * float(max(distances)),
    )
