"""Backdrops: pictures of temperature above the air, K, larger than a frame."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

Rng = np.random.Generator


def fractal(
    rng: Rng, size_hw: tuple[int, int], cell_px: float, stretch: float = 1.0
) -> np.ndarray:
    """Smooth noise of several scales, (h, w) float32 of zero mean and unit deviation.

    Args:
        rng: source of randomness.
        size_hw: height and width, px.
        cell_px: size of the coarsest features; each finer octave has half the size and 0.6 times
            the amplitude, down to 1.5 px.
        stretch: how much wider than high the features are.
    """
    height, width = size_hw
    total = np.zeros((height, width), np.float32)
    gain = 1.0
    while True:
        rows = max(math.ceil(height / cell_px) + 2, 3)
        columns = max(math.ceil(width / (cell_px * stretch)) + 2, 3)
        coarse = rng.standard_normal((rows, columns), dtype=np.float32)
        total += gain * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        cell_px, gain = cell_px / 2, gain * 0.6
        if cell_px < 1.5:
            break
    total -= total.mean()
    return total / max(float(total.std()), 1e-6)


def make_backdrop(name: str, rng: Rng, size_hw: tuple[int, int], horizon: float) -> np.ndarray:
    """Draw a backdrop.

    Args:
        name: street, field, sky, aerial or indoor.
        rng: source of randomness.
        size_hw: height and width, px.
        horizon: row of the horizon, px; may lie outside the picture.

    Returns:
        (h, w) float32, K above the air.
    """
    return _BACKDROPS[name](rng, size_hw, horizon)


def _sky(rng: Rng, size_hw: tuple[int, int], horizon: float) -> np.ndarray:
    """Cold zenith, warmer towards the horizon; clouds are warmer than clear sky."""
    height, width = size_hw
    depth = float(rng.uniform(4.0, 14.0))
    up = np.clip((horizon - np.arange(height, dtype=np.float32)) / height, 0.0, 1.0)
    sky = np.repeat((-1.5 - depth * np.sqrt(up))[:, None], width, axis=1)
    clouds = fractal(rng, size_hw, height / 2.5, 2.2) - rng.uniform(-0.6, 1.2)
    sky += float(rng.uniform(0.8, 3.0)) * np.clip(clouds, 0.0, 1.6) * (0.5 + 0.5 * up[:, None])
    return sky + 0.12 * fractal(rng, size_hw, 40, 3.0)


def _ground(rng: Rng, size_hw: tuple[int, int], horizon: float) -> np.ndarray:
    """Grass, soil or asphalt in perspective: texture grows towards the camera."""
    height, width = size_hw
    below = np.clip((np.arange(height) - horizon) / max(height - horizon, 1.0), 0.0, 1.0)
    near = fractal(rng, size_hw, height / 4, 2.5)
    far = fractal(rng, size_hw, height / 16, 5.0)
    weight = below[:, None].astype(np.float32)
    texture = near * weight + far * (1.0 - weight)
    slope = float(rng.uniform(-1.5, 1.5))
    return (rng.uniform(-1.0, 1.0) + slope * weight + 0.55 * texture).astype(np.float32)


def _tree_line(rng: Rng, picture: np.ndarray, horizon: float, tallest: float) -> None:
    """A wood on the horizon: ragged crowns, dark trunks between bright leaves."""
    height, width = picture.shape
    profile = fractal(rng, (3, width), width / 6)[1] * 0.3 + fractal(rng, (3, width), 22)[1] * 0.14
    tops = horizon - tallest * np.clip(0.65 + profile, 0.15, 1.3)
    rows = np.arange(height)[:, None]
    wood = (rows > tops[None]) & (rows < horizon + 2)
    texture = 0.6 * fractal(rng, picture.shape, 26, 0.5) + 0.35 * fractal(
        rng, picture.shape, 5, 0.4
    )
    warmth = float(rng.uniform(-1.5, 1.5))
    trunks = np.repeat(fractal(rng, (4, width), 9)[1:2], height, axis=0)
    deep = np.clip((rows - tops[None]) / max(tallest, 1.0), 0.0, 1.0)
    picture[wood] = (warmth + texture - 0.5 * trunks * deep)[wood]


def _tree(rng: Rng, picture: np.ndarray, x: float, foot: float, tall: float) -> None:
    """A single tree: trunk, and a crown of many tufts."""
    warmth = float(rng.uniform(-1.8, 0.8))
    half = max(tall * 0.03, 1.0)
    trunk = [(x - half, foot), (x + half, foot), (x + half * 0.6, foot - tall * 0.6),
        (x - half * 0.6, foot - tall * 0.6)]  # fmt: skip
    cv2.fillPoly(picture, [np.round(trunk).astype(np.int32)], warmth + 0.9)
    for _ in range(int(rng.integers(35, 70))):
        angle, reach = rng.uniform(0, 2 * math.pi), math.sqrt(rng.random())
        center = (
            round(x + 0.24 * tall * reach * math.cos(angle)),
            round(foot - 0.68 * tall + 0.28 * tall * reach * math.sin(angle)),
        )
        shade = warmth + float(rng.normal(0.0, 0.45)) - 0.4 * reach * math.sin(angle)
        cv2.circle(picture, center, max(round(tall * rng.uniform(0.03, 0.09)), 1), shade, -1)


def _facade(rng: Rng, picture: np.ndarray, x0: int, x1: int, top: int, foot: int) -> None:
    """A house front: floors of windows, some lit by a warm room, most mirroring the cold sky."""
    warmth = float(rng.uniform(-0.8, 2.2))
    height = max(foot - top, 1)
    cv2.rectangle(picture, (x0, top), (x1, foot), warmth, -1)
    band = picture[max(top, 0) : max(foot, 0), max(x0, 0) : max(x1, 0)]
    if not band.size:
        return
    band += np.linspace(-0.5, 0.5, band.shape[0], dtype=np.float32)[:, None]
    band += 0.16 * fractal(rng, band.shape, 30)
    floor_px = max(round(height / max(int(rng.integers(2, 6)), 1)), 8)
    bay_px = max(round(floor_px * rng.uniform(0.6, 1.3)), 6)
    room = float(rng.uniform(1.5, 4.0))
    for y in range(top + floor_px // 4, foot - floor_px // 2, floor_px):
        cv2.line(picture, (x0, y - floor_px // 4), (x1, y - floor_px // 4), warmth + 0.5, 1)
        for x in range(x0 + bay_px // 3, x1 - bay_px // 2, bay_px):
            warm = rng.random() < 0.3
            glass = warmth + (room * rng.uniform(0.5, 1.0) if warm else -rng.uniform(0.8, 2.2))
            right, low = x + bay_px // 2, y + floor_px // 2
            cv2.rectangle(picture, (x, y), (right, low), float(glass), -1)
            cv2.rectangle(picture, (x, y), (right, low), warmth + 0.7, 1)
            if bay_px > 14:
                middle = (x + right) // 2
                cv2.line(picture, (middle, y), (middle, low), warmth + 0.4, 1)
    door = x0 + round((x1 - x0) * rng.uniform(0.2, 0.7))
    cv2.rectangle(
        picture, (door, foot - floor_px // 2), (door + bay_px // 2, foot), warmth - 0.9, -1
    )


def _parked(rng: Rng, picture: np.ndarray, x: float, foot: float, long: float) -> None:
    """A parked car, side on: cold glass, a body near the air, perhaps a warm engine."""
    body = float(rng.uniform(-0.8, 0.8))
    tall = long * 0.3

    def shape(points: list[tuple[float, float]], warmth: float) -> None:
        corners = [(x + a * long, foot - b * tall) for a, b in points]
        cv2.fillPoly(picture, [np.round(corners).astype(np.int32)], warmth)

    shape([(0, 0.15), (1, 0.15), (1, 0.55), (0.97, 0.62), (0, 0.62)], body)
    shape([(0.12, 0.6), (0.26, 1.0), (0.62, 1.0), (0.78, 0.6)], body - 0.1)
    shape([(0.17, 0.63), (0.28, 0.94), (0.43, 0.94), (0.43, 0.63)], body - 1.6)
    shape([(0.46, 0.63), (0.46, 0.94), (0.6, 0.94), (0.72, 0.63)], body - 1.6)
    if rng.random() < 0.35:
        shape([(0.76, 0.5), (0.98, 0.45), (0.98, 0.6), (0.76, 0.62)], body + 2.5)
    for a in (0.2, 0.8):
        center = (round(x + a * long), round(foot - 0.18 * tall))
        cv2.circle(picture, center, max(round(0.2 * tall), 1), body - 0.6, -1)


def _street(rng: Rng, size_hw: tuple[int, int], horizon: float) -> np.ndarray:
    height, width = size_hw
    picture = _sky(rng, size_hw, horizon)
    ground = _ground(rng, size_hw, horizon)
    line = int(min(max(horizon, 0), height - 1))
    foot = line + round(height * 0.03)
    if rng.random() < 0.5:
        _tree_line(rng, picture, horizon, height * rng.uniform(0.1, 0.25))
    x = -int(rng.integers(0, 60))
    while x < width:
        wide = int(height * rng.uniform(0.2, 0.6))
        if rng.random() < 0.8:
            _facade(rng, picture, x, x + wide, line - int(height * rng.uniform(0.15, 0.5)), foot)
        x += wide + int(height * rng.choice([0.0, rng.uniform(0.05, 0.3)]))
    picture[foot:] = ground[foot:]
    for _ in range(int(rng.integers(2, 7))):
        _tree(rng, picture, rng.uniform(0, width), foot + height * rng.uniform(0.0, 0.05),
            height * rng.uniform(0.15, 0.4))  # fmt: skip
    asphalt = float(rng.uniform(0.6, 2.2))
    top, bottom = foot + 0.04 * height, foot + height * rng.uniform(0.3, 0.6)
    rows = np.arange(height)[:, None]
    road = ((rows > top) & (rows < bottom)).astype(np.float32)
    smooth = 0.25 * fractal(rng, size_hw, 50, 4.0) + 0.1 * fractal(rng, size_hw, 4, 2.0)
    picture += road * (asphalt + smooth - 0.6 * ground)
    for y in (top, bottom):  # kerbs
        cv2.line(picture, (0, round(y)), (width, round(y)), asphalt - 1.6, max(height // 200, 1))
    dash = round(height * 0.12)
    for x in range(0, width, 2 * dash):
        y = round((top + bottom) / 2)
        cv2.line(picture, (x, y), (x + dash, y), asphalt - 0.7, max(height // 170, 1))
    for _ in range(int(rng.integers(1, 5))):  # patches and covers
        spot = (int(rng.integers(0, width)), round(rng.uniform(top, bottom)))
        axes = (round(height * rng.uniform(0.01, 0.06)), round(height * rng.uniform(0.004, 0.015)))
        cv2.ellipse(picture, spot, axes, 0, 0, 360, asphalt + float(rng.uniform(-1.2, 2.0)), -1)
    for _ in range(int(rng.integers(0, 5))):
        _parked(
            rng,
            picture,
            rng.uniform(0, width),
            top + 0.01 * height,
            height * rng.uniform(0.14, 0.22),
        )
    for _ in range(int(rng.integers(1, 5))):  # lamp posts
        x, tall = round(rng.uniform(0, width)), height * rng.uniform(0.25, 0.45)
        cv2.line(
            picture,
            (x, foot),
            (x, round(foot - tall)),
            float(rng.uniform(-2, 0)),
            max(height // 150, 1),
        )
        cv2.circle(
            picture, (x, round(foot - tall)), max(height // 120, 2), float(rng.uniform(1, 6)), -1
        )
    return picture


def _field(rng: Rng, size_hw: tuple[int, int], horizon: float) -> np.ndarray:
    height, width = size_hw
    picture = _sky(rng, size_hw, horizon)
    line = int(min(max(horizon, 0), height))
    ground = _ground(rng, size_hw, horizon)
    grass = np.clip((np.arange(height) - horizon) / height, 0.0, 1.0).astype(np.float32)[:, None]
    ground += 0.5 * grass * fractal(rng, size_hw, 7, 0.5)
    _tree_line(rng, picture, horizon, height * rng.uniform(0.06, 0.3))
    picture[line:] = ground[line:]
    for _ in range(int(rng.integers(0, 3))):  # tracks
        y = rng.uniform(horizon, height)
        wave = y + np.cumsum(rng.normal(0, 0.006 * height, 16))
        points = np.stack([np.linspace(-5, width + 5, 16), wave], axis=1)
        thick = max(round(0.02 * (y - horizon)), 1)
        cv2.polylines(
            picture, [points.round().astype(np.int32)], False, float(rng.uniform(-1.5, 2.0)), thick
        )
    for _ in range(int(rng.integers(2, 9))):  # bushes and trees
        foot = horizon + (height - horizon) * rng.uniform(0.0, 0.25)
        _tree(rng, picture, rng.uniform(0, width), foot, height * rng.uniform(0.05, 0.3))
    if rng.random() < 0.5:  # a fence
        foot = round(horizon + (height - horizon) * rng.uniform(0.05, 0.3))
        tall = round(height * 0.05)
        for x in range(0, width, tall * 2):
            cv2.line(picture, (x, foot), (x, foot - tall), float(rng.normal(0.8, 0.3)), 2)
        for y in (foot - tall, foot - tall // 2):
            cv2.line(picture, (0, y), (width, y), 0.4, 1)
    for _ in range(int(rng.integers(2, 12))):  # stones that kept the sun
        spot = (int(rng.integers(0, width)), round(rng.uniform(horizon, height)))
        long = max(round(0.02 * (spot[1] - horizon)), 1)
        cv2.ellipse(
            picture, spot, (long, max(long // 2, 1)), 0, 0, 360, float(rng.uniform(0.5, 4.0)), -1
        )
    return picture


def _open_sky(rng: Rng, size_hw: tuple[int, int], horizon: float) -> np.ndarray:
    height, width = size_hw
    horizon = height * float(rng.uniform(0.8, 1.2))
    picture = _sky(rng, size_hw, horizon) + 5.0  # a camera on the sky sets its range there
    line = int(min(max(horizon, 0), height))
    if line < height:
        _tree_line(rng, picture, horizon, height * rng.uniform(0.03, 0.15))
        picture[line:] = _ground(rng, size_hw, horizon)[line:]
    return picture


def _aerial(rng: Rng, size_hw: tuple[int, int], horizon: float) -> np.ndarray:
    height, width = size_hw
    picture = 0.7 * fractal(rng, size_hw, height / 3) + 0.25 * fractal(rng, size_hw, 6)
    for _ in range(int(rng.integers(3, 7))):  # lots and lawns
        corner = rng.uniform([0, 0], [width, height])
        sides = rng.uniform(0.2, 0.6, 2) * height
        turned = cv2.boxPoints((tuple(corner), tuple(sides), float(rng.uniform(-40, 40))))
        lot = np.zeros(size_hw, np.float32)
        cv2.fillPoly(lot, [turned.round().astype(np.int32)], 1.0)
        picture += lot * (rng.uniform(-1.6, 1.6) - 0.5 * picture)
        cv2.polylines(
            picture, [turned.round().astype(np.int32)], True, float(rng.uniform(-1, 1)), 2
        )
    tilt = float(rng.uniform(-0.6, 0.6))
    for _ in range(int(rng.integers(1, 3))):  # roads with their lines
        y = rng.uniform(0, height)
        ends = [(-10, round(y)), (width + 10, round(y + tilt * width))]
        wide, asphalt = round(height * rng.uniform(0.1, 0.2)), float(rng.uniform(0.8, 2.2))
        cv2.line(picture, *ends, asphalt - 1.0, wide + max(height // 60, 2))
        cv2.line(picture, *ends, asphalt, wide)
        steps = np.linspace(0, 1, round(width / (height * 0.06)))
        for a, b in zip(steps[::2], steps[1::2], strict=False):
            points = [
                tuple(
                    np.round(np.array(ends[0]) * (1 - s) + np.array(ends[1]) * s)
                    .astype(int)
                    .tolist()
                )
                for s in (a, b)
            ]
            cv2.line(picture, *points, asphalt - 0.6, max(height // 170, 1))
    for _ in range(int(rng.integers(1, 5))):  # roofs
        corner = rng.uniform([0, 0], [width, height])
        sides = rng.uniform(0.15, 0.4, 2) * height
        roof = cv2.boxPoints((tuple(corner), tuple(sides), float(np.degrees(tilt))))
        warmth = float(rng.uniform(-3.5, 2.0))
        shadow = (roof + height * 0.02).round().astype(np.int32)
        cv2.fillPoly(picture, [shadow], -1.5)
        cv2.fillPoly(picture, [roof.round().astype(np.int32)], warmth)
        ridge = [
            tuple(p.round().astype(int).tolist())
            for p in ((roof[0] + roof[1]) / 2, (roof[2] + roof[3]) / 2)
        ]
        half = np.array([roof[0], (roof[0] + roof[1]) / 2, (roof[2] + roof[3]) / 2, roof[3]])
        cv2.fillPoly(picture, [half.round().astype(np.int32)], warmth + 0.7)
        cv2.line(picture, *ridge, warmth + 1.2, 1)
        for _ in range(int(rng.integers(0, 4))):
            vent = tuple(roof.mean(axis=0).round().astype(int) + rng.integers(-20, 20, 2))
            cv2.circle(
                picture, (int(vent[0]), int(vent[1])), max(height // 120, 2), warmth + 3.0, -1
            )
    for _ in range(int(rng.integers(8, 30))):  # crowns from above
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        reach, warmth = height * rng.uniform(0.015, 0.06), float(rng.uniform(-2.0, 0.6))
        cv2.circle(
            picture, (round(x + reach / 3), round(y + reach / 3)), round(reach), warmth - 0.8, -1
        )
        for _ in range(16):
            dx, dy = rng.normal(0, reach * 0.5, 2)
            cv2.circle(picture, (round(x + dx), round(y + dy)), max(round(reach * 0.35), 1),
                warmth + float(rng.normal(0, 0.4)), -1)  # fmt: skip
    return picture


def _indoor(rng: Rng, size_hw: tuple[int, int], horizon: float) -> np.ndarray:
    height, width = size_hw
    picture = 0.3 * fractal(rng, size_hw, height / 2) + 0.08 * fractal(rng, size_hw, 5)
    floor = int(min(max(horizon + 0.1 * height, 0.2 * height), 0.9 * height))
    picture += np.linspace(0.8, -0.4, height, dtype=np.float32)[:, None]
    x = 0
    while x < width:  # wall panels, doors, shelves
        wide = int(height * rng.uniform(0.15, 0.5))
        cv2.rectangle(picture, (x, -1), (x + wide, floor), float(rng.uniform(-0.6, 0.6)), -1)
        cv2.line(picture, (x, 0), (x, floor), float(rng.uniform(-0.8, 0.8)), 2)
        what = rng.random()
        if what < 0.25:
            cv2.rectangle(picture, (x + wide // 4, floor - height // 3), (x + wide * 3 // 4, floor),
                float(rng.uniform(-1.2, 0.8)), -1)  # fmt: skip
        elif what < 0.45:  # a radiator
            for k in range(x + wide // 5, x + wide * 4 // 5, max(height // 40, 3)):
                cv2.line(picture, (k, floor - height // 6), (k, floor - height // 40),
                    float(rng.uniform(1.5, 4.0)), max(height // 90, 2))  # fmt: skip
        elif what < 0.65:  # shelves
            for y in range(floor - height // 2, floor, max(height // 12, 6)):
                cv2.line(picture, (x, y), (x + wide, y), -0.5, 2)
                for k in range(x + 4, x + wide - 10, max(height // 25, 8)):
                    if rng.random() < 0.6:
                        cv2.rectangle(picture, (k, y - int(height * rng.uniform(0.02, 0.06))),
                            (k + max(height // 30, 5), y - 2), float(rng.uniform(-0.8, 1.2)), -1)  # fmt: skip
        x += wide
    for _ in range(int(rng.integers(1, 4))):  # pipes and lamps under the ceiling
        y = round(height * rng.uniform(0.02, 0.15))
        cv2.line(picture, (0, y), (width, y), float(rng.uniform(-1.0, 3.0)), max(height // 80, 2))
    ground = _ground(rng, size_hw, floor) * 0.5
    picture[floor:] = ground[floor:] + 0.2
    return picture


_BACKDROPS: dict[str, Callable[[Rng, tuple[int, int], float], np.ndarray]] = {
    "street": _street,
    "field": _field,
    "sky": _open_sky,
    "aerial": _aerial,
    "indoor": _indoor,
}
