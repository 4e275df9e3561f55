"""Foreground objects that hide the target for a while: walls, trees, poles, trucks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mlss_core.simulate.brush import fractal
from mlss_core.simulate.cast import BEFORE_ACTORS, Actor
from mlss_core.simulate.motion import Path
from mlss_core.simulate.painting import fill, window_of
from mlss_core.simulate.params import SceneParams
from mlss_core.simulate.solids import Outline, Pose, Solid, outline

Rng = np.random.Generator
HIDES_ALL = 0.95  # from this part on an obstacle hides the whole target
_CLEAR_S = 0.5  # the target is in the open for this long at the start


class _Region(NamedTuple):
    """Sides of a region: world px, of the world or relative to an actor's origin."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top


def make_obstacles(rng: Rng, params: SceneParams, target: Actor, airborne: bool) -> list[Actor]:
    """Cast the obstacles: one a moment, the moments spread over the sequence."""
    if not params.occlusion:
        return []
    moments = [_moment(rng, params, number) for number in range(params.occlusions)]
    cast = [_obstacle(rng, params, target, moment, airborne) for moment in moments]
    return [obstacle for obstacle in cast if not _hides_at_start(obstacle, target)]


def _hides_at_start(obstacle: Actor, target: Actor) -> bool:
    """Whether an obstacle had too little time to come into the way, and stands there at once."""
    near = _extent(obstacle, 0)
    size = _extent(target, 0)
    offset = float(obstacle.path.x[0] - target.path.x[0])
    return near.left + offset < size.right and near.right + offset > size.left


def _moment(rng: Rng, params: SceneParams, number: int) -> int:
    """Frame in the middle of occlusion `number`; none in the first fifth."""
    share = 0.2 + 0.8 * (number + rng.uniform(0.35, 0.65)) / params.occlusions
    return min(int(share * params.frames), params.frames - 1)


def _obstacle(rng: Rng, params: SceneParams, target: Actor, moment: int, airborne: bool) -> Actor:
    size = _extent(target, moment)
    slim = params.occlusion < HIDES_ALL and rng.random() < 0.5
    left, top, right, bottom = _region_to_cover(rng, params, target, moment, slim)
    if airborne:
        bottom += 2 * params.height
    x = target.path.x
    early = slice(0, max(round(_CLEAR_S * params.fps), 1))
    near_start = (x[early] + size.right + 0.2 * size.width > left) & (
        x[early] + size.left - 0.2 * size.width < right
    )
    moves = bool(near_start.any()) or (not airborne and rng.random() < 0.35)
    if moves:
        passing = _passing_speed(params, size, moment)
        if not slim:
            wide = size.width * 1.15 + passing * params.occlusion_s
            middle = x[moment] + (size.left + size.right) / 2
            left, right = middle - wide / 2, middle + wide / 2
        t = (np.arange(params.frames) - moment) / params.fps
        path_x = (left + right) / 2 - x[moment] + x + rng.choice([-1, 1]) * passing * t
    else:
        path_x = np.full(params.frames, (left + right) / 2)
    solid = _build(rng, right - left, bottom - top, slim, moves)
    frames = np.ones(params.frames)
    return Actor(
        pose=lambda phase: solid,
        path=Path(path_x, np.full(params.frames, bottom)),
        scale=frames,
        yaw=0 * frames,
        phase=0 * frames,
        elevation=0.0,
        warmth_k=frames,
        texture=fractal(rng, (96, 96), 24),
        texture_gain=0.3 * params.clutter,
        order=np.full(params.frames, 2 * BEFORE_ACTORS),
        reach=float(np.hypot(right - left, bottom - top)),
    )


def _region_to_cover(
    rng: Rng, params: SceneParams, target: Actor, moment: int, slim: bool
) -> _Region:
    """Region of the world that hides the part asked for, for as long as asked for."""
    half = max(round(params.occlusion_s * params.fps / 2), 1)
    during = slice(max(moment - half, 0), moment + half + 1)
    size, x, y = _extent(target, moment), target.path.x[during], target.path.y[during]
    left, right = x.min() + size.left, x.max() + size.right
    top, bottom = y.min() + size.top, y.max() + size.bottom
    if slim:
        middle, wide = (left + right) / 2, _width_that_hides(target, moment, params)
        left, right = middle - wide / 2, middle + wide / 2
        top -= 0.12 * size.height + rng.uniform(0.0, 1.0) * size.height
    else:
        margin = 0.06 * size.width
        left, right = left - margin, right + margin
        if params.occlusion >= HIDES_ALL:
            top -= 0.12 * size.height
        else:
            top = y.mean() + size.bottom - _height_that_hides(target, moment, params)
    return _Region(left, top, right, bottom + 0.15 * size.height)


def _passing_speed(params: SceneParams, size: _Region, moment: int) -> float:
    """How fast it must pass the target, px/s, to be clear of it at the start."""
    lead = max(moment / params.fps - _CLEAR_S, 0.2)
    return max(
        1.4 * size.width / max(lead - 0.5 * params.occlusion_s, 0.1), 0.4 * params.target_px
    )


def _shape(target: Actor, frame: int) -> Outline:
    """Outline of the target about its own origin, px of the world."""
    pose = Pose(0.0, 0.0, float(target.scale[frame]), float(target.yaw[frame]), target.elevation)
    return outline(target.pose(float(target.phase[frame])), pose)


def _extent(target: Actor, frame: int) -> _Region:
    return _Region(*_shape(target, frame).bounds())


def _silhouette(target: Actor, frame: int) -> np.ndarray:
    """Silhouette of the target, uint8, with a free margin of about 1 px; world px."""
    shape = _shape(target, frame)
    corner = np.array(shape.bounds()[:2]) - 1.0
    shape = Outline([polygon - corner for polygon in shape.polygons], shape.warmth)
    window = window_of(shape.bounds(), (1 << 20, 1 << 20))
    assert window is not None  # the outline begins inside of the quadrant
    canvas = np.zeros((window.height, window.width), np.uint8)
    fill(canvas, shape, window, 1.0, flat=True)
    return canvas


def _width_that_hides(target: Actor, moment: int, params: SceneParams) -> float:
    """Width of an upright pole that never hides more than the part asked for, px.

    The target's own movement counts: legs that close behind a pole are hidden by it.
    """
    second = round(params.fps)
    frames = range(max(moment - second, 0), min(moment + second + 1, params.frames), 3)
    widths = []
    for frame in frames:
        columns = _silhouette(target, frame).sum(axis=0, dtype=np.int64)
        mass = np.concatenate([[0], np.cumsum(columns)])
        limit = params.occlusion * mass[-1]
        fitting = (w for w in range(len(columns), 0, -1) if (mass[w:] - mass[:-w]).max() <= limit)
        widths.append(next(fitting, 1))
    return float(min(widths))


def _height_that_hides(target: Actor, moment: int, params: SceneParams) -> float:
    """Height of a wall before the target's feet that hides the part asked for, px."""
    rows = _silhouette(target, moment).sum(axis=1, dtype=np.int64)[::-1]
    return float(np.searchsorted(np.cumsum(rows), params.occlusion * rows.sum()))


def _build(rng: Rng, width: float, height: float, slim: bool, moves: bool) -> Solid:
    """Draw a thing of that size, its foot at 0, 0; warmth in K above the air."""
    solid = Solid()
    base = float(rng.uniform(-2.5, 2.5))
    half = width / 2

    def slab(x0: float, x1: float, z0: float, z1: float, warmth: float, near: float) -> None:
        solid.face([(x0, -near, z0), (x1, -near, z0), (x1, -near, z1), (x0, -near, z1)], warmth)

    slab(-half, half, 0.0, height, base, 0.0)
    if slim:  # a pole or a trunk: its edges turn away
        slab(-half, -0.6 * half, 0.0, height, base - 0.5, 1.0)
        slab(0.5 * half, half, 0.0, height, base - 0.4, 1.0)
        return solid
    if moves:  # the side of a truck
        slab(-half, half, 0.45 * height, 0.6 * height, base + float(rng.uniform(-1, 1)), 1.0)
        slab(-half, half, 0.0, 0.12 * height, base + 1.0, 1.0)
        for x in np.linspace(-0.8, 0.8, 4) * half:
            solid.limb((x, -2.0, 0.08 * height), (x, -2.0, 0.08 * height), 0.1 * height,
                0.1 * height, base + 1.8)  # fmt: skip
        return solid
    if rng.random() < 0.5:  # a wall with courses and a coping
        step = max(height / 9, 3.0)
        for z in np.arange(step, height, step):
            slab(-half, half, z - 0.12 * step, z, base - 0.35, 1.0)
        slab(-half, half, height * 0.94, height, base + 0.6, 2.0)
        return solid
    tuft = 0.16 * min(width, height)  # leaves
    for _ in range(60):
        x, z = rng.uniform(-half, half), height * float(rng.uniform(0.0, 1.0))
        solid.limb((x, -1.0 - rng.random(), z), (x, -1.5, z), tuft, tuft * rng.uniform(0.4, 0.9),
            base + float(rng.normal(0.0, 0.6)))  # fmt: skip
    return solid
