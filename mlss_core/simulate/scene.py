"""A scene: backdrop, camera, cast and sensor, rendered frame by frame in any order."""

from __future__ import annotations

import math

import cv2
import numpy as np

from mlss_core.box import Box
from mlss_core.sequences import LazyFrames
from mlss_core.simulate.actors import KINDS
from mlss_core.simulate.backdrops import make_backdrop
from mlss_core.simulate.cast import BEFORE_ACTORS, Actor, Stage, make_distractors, make_target
from mlss_core.simulate.motion import Camera, follow
from mlss_core.simulate.obstacles import HIDES_ALL, make_obstacles
from mlss_core.simulate.painting import paint, visible_part, window_of
from mlss_core.simulate.params import SceneParams
from mlss_core.simulate.sensor import Sensor
from mlss_core.simulate.solids import Outline, Pose, outline

_SUITS = {
    "person": ("street", "street", "field", "indoor", "aerial"),
    "vehicle": ("street", "field", "aerial"),
    "drone": ("sky", "field", "street"),
    "animal": ("field", "field", "street", "aerial", "sky"),
}
_SOFTNESS = 0.014  # of an object's longer side: width over which its parts blend
_SHUTTER = -1  # shown instead of a frame's number


class Scene(LazyFrames):
    """The frames of a scene. Any frame may be asked for: none depends on those before it."""

    def __init__(self, params: SceneParams) -> None:
        self.params = params
        rng = np.random.default_rng([params.seed, 1])
        name = params.kind if params.kind != "mixed" else str(rng.choice(list(_SUITS)))
        suits = [
            s for s in _SUITS[name] if s != "aerial" or params.target_px < 0.3 * params.height
        ]
        backdrop = str(rng.choice(suits)) if params.backdrop == "auto" else params.backdrop
        airborne = name == "drone" or backdrop == "sky"
        kind = KINDS["bird" if name == "animal" and airborne else name]
        self._stage = _make_stage(rng, params, backdrop, airborne)
        room = tuple(
            max((side - 1.3 * params.target_px) / 2 / 1.1 - 0.02 * side, 0.04 * side)
            for side in (params.width, params.height)
        )
        reach = room[0] * (0.9 + 0.8 * params.camera_motion)
        flat = math.isinf(self._stage.horizon)
        reach_y = room[1] * 0.7 if flat else 0.1 * (self._stage.foot_y - self._stage.horizon)
        look_seed = [params.seed, 2]
        self._target = make_target(
            np.random.default_rng(look_seed), params, kind, self._stage, (reach, reach_y)
        )
        middle = self._target.path.shifted(0.0, 0.0 if airborne else -0.45 * params.target_px)
        self._camera = follow(rng, params, middle, (room[0], room[1]))
        others = make_distractors(
            rng, params, kind, self._stage, self._target, airborne, look_seed
        )
        obstacles = make_obstacles(rng, params, self._target, airborne)
        self._others: list[Actor] = [*others, *obstacles]
        self._hidden_whole = params.occlusion >= HIDES_ALL
        self._backdrop, self._origin = _make_world(rng, params, self._stage, self._camera)
        self._sensor = Sensor(params, self._stage.air_c)
        self._shown = _freeze(rng, params)

    def __len__(self) -> int:
        return self.params.frames

    def _read(self, index: int) -> np.ndarray:
        shown = int(self._shown[index])
        if shown == _SHUTTER:
            return self._sensor.shutter(index)
        return self._sensor.expose(self.temperature(shown), shown)

    def temperature(self, index: int) -> np.ndarray:
        """Render what is before the camera: (H, W) float32, K above the air, without noise."""
        params = self.params
        picture = self._view(index)
        cast = sorted([self._target, *self._others], key=lambda actor: self._order(actor, index))
        for actor in cast:
            if not self._in_view(actor, index):
                continue
            shape = self.outline_of(actor, index)
            bounds = shape.bounds()
            window = window_of(bounds, (params.height, params.width))
            if window is None:
                continue
            softness = _SOFTNESS * max(bounds[2] - bounds[0], bounds[3] - bounds[1])
            cover, warm = paint(shape, window, actor.texture, actor.texture_gain, softness)
            part = picture[window.rows, window.columns]
            part *= 1.0 - cover
            part += warm * np.float32(actor.warmth_k[index])
        return picture

    def truth(self) -> tuple[np.ndarray, np.ndarray]:
        """Compute the boxes and the visible parts of the target.

        Returns:
            (N, 4) float64 x, y, w, h in px, 1-based, of the whole target, hidden parts included;
            NaN where no part of it lies in the frame or the shutter is shown; and (N,) float64,
            the share of its silhouette that is in the frame and not hidden, 0..1.
        """
        params = self.params
        boxes = np.full((params.frames, 4), np.nan)
        visible = np.zeros(params.frames)
        for index, shown in enumerate(self._shown):
            if shown == _SHUTTER:
                continue
            if shown != index:  # a repeated picture
                boxes[index], visible[index] = boxes[shown], visible[shown]
                continue
            shape = self.outline_of(self._target, index)
            left, top, right, bottom = shape.bounds()
            if (
                right <= -0.5
                or bottom <= -0.5
                or left >= params.width - 0.5
                or top >= params.height - 0.5
            ):
                continue
            boxes[index] = Box.from_corners(left, top, right, bottom).to_ltwh()
            mine = self._order(self._target, index)
            before = [
                self.outline_of(actor, index)
                for actor in self._others
                if self._order(actor, index) >= mine and self._may_touch(actor, index)
            ]
            visible[index] = visible_part(shape, before, (params.height, params.width))
        return boxes, visible

    def outline_of(self, actor: Actor, index: int) -> Outline:
        """Project an actor to the picture of frame `index`."""
        x, y = self._place(actor, index)
        pose = Pose(
            x,
            y,
            float(actor.scale[index] * self._camera.zoom[index]),
            float(actor.yaw[index]),
            actor.elevation,
            float(self._camera.roll[index]),
        )
        return outline(actor.pose(float(actor.phase[index])), pose)

    def _order(self, actor: Actor, index: int) -> float:
        """Paint order; unless it may be hidden whole, the target comes before its likes."""
        if actor is self._target and not self._hidden_whole:
            return BEFORE_ACTORS
        return float(actor.order[index])

    def _place(self, actor: Actor, index: int) -> tuple[float, float]:
        """Origin of an actor, px of the picture."""
        camera = self._camera
        dx = float(actor.path.x[index] - camera.x[index]) * float(camera.zoom[index])
        dy = float(actor.path.y[index] - camera.y[index]) * float(camera.zoom[index])
        cosine, sine = math.cos(camera.roll[index]), math.sin(camera.roll[index])
        return (
            (self.params.width - 1) / 2 + cosine * dx - sine * dy,
            (self.params.height - 1) / 2 + sine * dx + cosine * dy,
        )

    def _reach_px(self, actor: Actor, index: int) -> float:
        return actor.reach * float(actor.scale[index] * self._camera.zoom[index])

    def _in_view(self, actor: Actor, index: int) -> bool:
        """Whether an actor may show in the picture; a cheap test."""
        x, y = self._place(actor, index)
        reach = self._reach_px(actor, index)
        return -reach < x < self.params.width + reach and -reach < y < self.params.height + reach

    def _may_touch(self, actor: Actor, index: int) -> bool:
        """Whether an actor may overlap the target; a cheap test."""
        distance = math.dist(self._place(actor, index), self._place(self._target, index))
        return distance < self._reach_px(actor, index) + self._reach_px(self._target, index)

    def _view(self, index: int) -> np.ndarray:
        """The part of the backdrop that the camera sees, (H, W) float32."""
        params, camera = self.params, self._camera
        cosine = math.cos(camera.roll[index]) / camera.zoom[index]
        sine = math.sin(camera.roll[index]) / camera.zoom[index]
        center_x, center_y = (params.width - 1) / 2, (params.height - 1) / 2
        to_world = np.array(
            [
                [
                    cosine,
                    sine,
                    camera.x[index] - self._origin[0] - cosine * center_x - sine * center_y,
                ],
                [
                    -sine,
                    cosine,
                    camera.y[index] - self._origin[1] + sine * center_x - cosine * center_y,
                ],
            ]
        )
        return cv2.warpAffine(
            self._backdrop,
            to_world,
            (params.width, params.height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT,
        )


def _make_stage(
    rng: np.random.Generator, params: SceneParams, backdrop: str, airborne: bool
) -> Stage:
    elevation = {
        "aerial": rng.uniform(45, 65),
        "sky": rng.uniform(-25, 10),
    }.get(backdrop, rng.uniform(3, 16))
    if airborne and backdrop != "sky":
        elevation = rng.uniform(-10, 15)
    air_c = 21.0 if backdrop == "indoor" else float(rng.uniform(-2, 27))
    height = params.height
    if airborne:
        foot = float(rng.uniform(-0.2, 0.0) * height)
    else:
        foot = float(rng.uniform(0.0, 0.08) * height + params.target_px / 2)
    horizon = -math.inf
    if not airborne and backdrop != "aerial":
        horizon = min(-rng.uniform(0.1, 0.25) * height, foot - 0.8 * params.target_px)
    return Stage(backdrop, math.radians(elevation), air_c, foot, float(horizon))


def _make_world(
    rng: np.random.Generator, params: SceneParams, stage: Stage, camera: Camera
) -> tuple[np.ndarray, tuple[float, float]]:
    """Draw a backdrop as large as all that the camera sees, and say where its first pixel is."""
    zoom = float(camera.zoom.min())
    tilt = float(np.abs(camera.roll).max())
    half_x = (params.width / 2 + params.height / 2 * math.sin(tilt)) / zoom + 3
    half_y = (params.height / 2 + params.width / 2 * math.sin(tilt)) / zoom + 3
    x0, y0 = math.floor(camera.x.min() - half_x), math.floor(camera.y.min() - half_y)
    width = math.ceil(camera.x.max() + half_x) - x0
    height = math.ceil(camera.y.max() + half_y) - y0
    line = stage.horizon if not math.isinf(stage.horizon) else 0.15 * params.height
    picture = make_backdrop(stage.backdrop, rng, (height, width), line - y0)
    return (picture * params.clutter).astype(np.float32), (float(x0), float(y0))


def _freeze(rng: np.random.Generator, params: SceneParams) -> np.ndarray:
    """Which frame is shown in the place of each, (N,) int; _SHUTTER for the shutter itself."""
    shown = np.arange(params.frames)
    length = max(round(params.freeze_s * params.fps), 1)
    for number in range(params.freezes):
        share = 0.15 + 0.8 * (number + rng.uniform(0.2, 0.6)) / params.freezes
        start = max(int(share * params.frames), 1)
        shown[start : start + length] = _SHUTTER if params.freeze_uniform else shown[start - 1]
    return shown
