"""Backdrops that people built: a street, a town from above, a room."""

from __future__ import annotations

import cv2
import numpy as np

from mlss_core.simulate.brush import Rng, block, disc, fractal, line, polygon
from mlss_core.simulate.nature import ground, sky, tree, tree_line


def street(rng: Rng, size_hw: tuple[int, int], horizon: float) -> np.ndarray:
    """Houses, a road with kerbs and covers, trees, parked cars, lamps."""
    height, width = size_hw
    picture = sky(rng, size_hw, horizon)
    earth = ground(rng, size_hw, horizon)
    level = int(min(max(horizon, 0), height - 1))
    foot = level + round(height * 0.03)
    if rng.random() < 0.5:
        tree_line(rng, picture, horizon, height * rng.uniform(0.1, 0.25))
    x = -int(rng.integers(0, 60))
    while x < width:
        wide = int(height * rng.uniform(0.2, 0.6))
        if rng.random() < 0.8:
            _facade(rng, picture, x, x + wide, level - int(height * rng.uniform(0.15, 0.5)), foot)
        x += wide + int(height * rng.choice([0.0, rng.uniform(0.05, 0.3)]))
    picture[foot:] = earth[foot:]
    for _ in range(int(rng.integers(2, 7))):
        tree(rng, picture, rng.uniform(0, width), foot + height * rng.uniform(0.0, 0.05),
            height * rng.uniform(0.15, 0.4))  # fmt: skip
    asphalt = float(rng.uniform(0.6, 2.2))
    top, bottom = foot + 0.04 * height, foot + height * rng.uniform(0.3, 0.6)
    rows = np.arange(height, dtype=np.float32)[:, None]
    road = ((rows > top) & (rows < bottom)).astype(np.float32)
    worn = 0.25 * fractal(rng, size_hw, 50, 4.0) + 0.1 * fractal(rng, size_hw, 4, 2.0)
    picture += road * (asphalt + worn - 0.6 * earth)
    for y in (top, bottom):
        line(picture, (0, y), (width, y), asphalt - 1.6, height / 200)
    dash = height * 0.12
    for mark in np.arange(0, width, 2 * dash):
        y = (top + bottom) / 2
        line(picture, (mark, y), (mark + dash, y), asphalt - 0.7, height / 170)
    for _ in range(int(rng.integers(1, 5))):
        spot = rng.uniform(0, width), rng.uniform(top, bottom)
        disc(picture, spot, height * rng.uniform(0.01, 0.06), asphalt + rng.uniform(-1.2, 2.0),
            height * rng.uniform(0.004, 0.015))  # fmt: skip
    for _ in range(int(rng.integers(0, 5))):
        long = height * rng.uniform(0.14, 0.22)
        _parked(rng, picture, rng.uniform(0, width), top + 0.01 * height, long)
    for _ in range(int(rng.integers(1, 5))):
        lamp, tall = rng.uniform(0, width), height * rng.uniform(0.25, 0.45)
        line(picture, (lamp, foot), (lamp, foot - tall), rng.uniform(-2, 0), height / 150)
        disc(picture, (lamp, foot - tall), height / 120, rng.uniform(1, 5))
    return picture


def _facade(rng: Rng, picture: np.ndarray, x0: int, x1: int, top: int, foot: int) -> None:
    """A house front: floors of windows, some lit by a warm room, most mirroring the cold sky."""
    warmth = float(rng.uniform(-0.8, 2.2))
    height = max(foot - top, 1)
    block(picture, (x0, top), (x1, foot), warmth)
    front = picture[max(top, 0) : max(foot, 0), max(x0, 0) : max(x1, 0)]
    if not front.size:
        return
    front += np.linspace(-0.5, 0.5, front.shape[0], dtype=np.float32)[:, None]
    front += 0.16 * fractal(rng, front.shape, 30)
    storey = max(round(height / int(rng.integers(2, 6))), 8)
    bay = max(round(storey * rng.uniform(0.6, 1.3)), 6)
    room = float(rng.uniform(1.5, 3.5))
    for y in range(top + storey // 4, foot - storey // 2, storey):
        line(picture, (x0, y - storey / 4), (x1, y - storey / 4), warmth + 0.5)
        for x in range(x0 + bay // 3, x1 - bay // 2, bay):
            warm = rng.random() < 0.3
            glass = warmth + (room * rng.uniform(0.5, 1.0) if warm else -rng.uniform(0.8, 2.2))
            corner = x + bay // 2, y + storey // 2
            block(picture, (x, y), corner, glass)
            block(picture, (x, y), corner, warmth + 0.7, 1)
            if bay > 14:
                middle = (x + corner[0]) // 2
                line(picture, (middle, y), (middle, corner[1]), warmth + 0.4)
    door = x0 + round((x1 - x0) * rng.uniform(0.2, 0.7))
    block(picture, (door, foot - storey // 2), (door + bay // 2, foot), warmth - 0.9)


def _parked(rng: Rng, picture: np.ndarray, x: float, foot: float, long: float) -> None:
    """A parked car, side on: cold glass, a body near the air, perhaps a warm engine."""
    body = float(rng.uniform(-0.8, 0.8))
    tall = long * 0.3

    def shape(points: list[tuple[float, float]], warmth: float) -> None:
        polygon(picture, [(x + a * long, foot - b * tall) for a, b in points], warmth)

    shape([(0, 0.15), (1, 0.15), (1, 0.55), (0.97, 0.62), (0, 0.62)], body)
    shape([(0.12, 0.6), (0.26, 1.0), (0.62, 1.0), (0.78, 0.6)], body - 0.1)
    shape([(0.17, 0.63), (0.28, 0.94), (0.43, 0.94), (0.43, 0.63)], body - 1.6)
    shape([(0.46, 0.63), (0.46, 0.94), (0.6, 0.94), (0.72, 0.63)], body - 1.6)
    if rng.random() < 0.35:
        shape([(0.76, 0.5), (0.98, 0.45), (0.98, 0.6), (0.76, 0.62)], body + 2.5)
    for wheel in (0.2, 0.8):
        disc(picture, (x + wheel * long, foot - 0.18 * tall), 0.2 * tall, body - 0.6)


def aerial(rng: Rng, size_hw: tuple[int, int], horizon: float) -> np.ndarray:
    """A town from above: lots and lawns, roads, roofs, crowns of trees; no horizon."""
    height, width = size_hw
    picture = 0.7 * fractal(rng, size_hw, height / 3) + 0.25 * fractal(rng, size_hw, 6)
    for _ in range(int(rng.integers(3, 7))):
        lot = _rectangle(rng, size_hw, (0.2, 0.6), float(rng.uniform(-40, 40)))
        mask = np.zeros(size_hw, np.float32)
        polygon(mask, lot, 1.0)
        picture += mask * (np.float32(rng.uniform(-1.6, 1.6)) - 0.5 * picture)
        edge = [lot.round().astype(np.int32)]
        cv2.polylines(picture, edge, True, float(rng.uniform(-1, 1)), 2)
    tilt = float(rng.uniform(-0.6, 0.6))
    for _ in range(int(rng.integers(1, 3))):
        y = rng.uniform(0, height)
        a, b = np.array([-10.0, y]), np.array([width + 10.0, y + tilt * width])
        wide, asphalt = height * rng.uniform(0.1, 0.2), float(rng.uniform(0.8, 2.2))
        line(picture, tuple(a), tuple(b), asphalt - 1.0, wide + height / 60)
        line(picture, tuple(a), tuple(b), asphalt, wide)
        steps = np.linspace(0, 1, round(width / (height * 0.06)))
        for start, stop in zip(steps[::2], steps[1::2], strict=False):
            line(picture, tuple(a + start * (b - a)), tuple(a + stop * (b - a)), asphalt - 0.6,
                height / 170)  # fmt: skip
    for _ in range(int(rng.integers(1, 5))):
        _roof(rng, picture, _rectangle(rng, size_hw, (0.15, 0.4), float(np.degrees(tilt))))
    for _ in range(int(rng.integers(8, 30))):
        reach = height * rng.uniform(0.015, 0.06)
        tree(rng, picture, rng.uniform(0, width), rng.uniform(0, height) + reach, 2.5 * reach)
    return picture


def _rectangle(
    rng: Rng, size_hw: tuple[int, int], sides: tuple[float, float], degrees: float
) -> np.ndarray:
    """Corners of a turned rectangle somewhere in the picture, (4, 2) px."""
    center = rng.uniform([0, 0], [size_hw[1], size_hw[0]])
    size = rng.uniform(*sides, 2) * size_hw[0]
    return cv2.boxPoints((tuple(center.tolist()), tuple(size.tolist()), degrees))


def _roof(rng: Rng, picture: np.ndarray, corners: np.ndarray) -> None:
    """A gable roof: its shadow, two slopes, a ridge, warm vents."""
    warmth = float(rng.uniform(-3.0, 2.0))
    polygon(picture, corners + 0.02 * picture.shape[0], -1.5)
    polygon(picture, corners, warmth)
    ridge = (corners[0] + corners[1]) / 2, (corners[2] + corners[3]) / 2
    polygon(picture, [corners[0], *ridge, corners[3]], warmth + 0.7)
    line(picture, tuple(ridge[0]), tuple(ridge[1]), warmth + 1.2)
    for _ in range(int(rng.integers(0, 4))):
        spot = corners.mean(axis=0) + 0.04 * picture.shape[0] * rng.standard_normal(2)
        disc(picture, (spot[0], spot[1]), picture.shape[0] / 120, warmth + 3.0)


def indoor(rng: Rng, size_hw: tuple[int, int], horizon: float) -> np.ndarray:
    """A hall: wall panels, doors, radiators, shelves, pipes, a floor that mirrors warm walls."""
    height, width = size_hw
    picture = 0.3 * fractal(rng, size_hw, height / 2) + 0.08 * fractal(rng, size_hw, 5)
    floor = int(min(max(horizon + 0.1 * height, 0.2 * height), 0.9 * height))
    x = 0
    while x < width:
        wide = int(height * rng.uniform(0.15, 0.5))
        picture[:floor, x : x + wide] += np.float32(rng.uniform(-0.6, 0.6))
        line(picture, (x, 0), (x, floor), rng.uniform(-0.8, 0.8), 2)
        what = rng.random()
        if what < 0.25:
            block(picture, (x + wide / 4, floor - height / 3), (x + wide * 3 / 4, floor),
                rng.uniform(-1.2, 0.8))  # fmt: skip
        elif what < 0.4:
            for rib in np.arange(x + wide / 5, x + wide * 4 / 5, max(height / 40, 3)):
                line(picture, (rib, floor - height / 6), (rib, floor - height / 40),
                    rng.uniform(1.5, 4.0), height / 90)  # fmt: skip
        elif what < 0.7:
            _shelves(rng, picture, x, x + wide, floor)
        x += wide
    picture += np.linspace(0.8, -0.4, height, dtype=np.float32)[:, None]
    for _ in range(int(rng.integers(1, 4))):
        y = height * rng.uniform(0.02, 0.15)
        line(picture, (0, y), (width, y), rng.uniform(-1.0, 3.0), height / 80)
    picture[floor:] = 0.5 * ground(rng, size_hw, floor)[floor:] + 0.2
    return picture


def _shelves(rng: Rng, picture: np.ndarray, x0: int, x1: int, floor: int) -> None:
    height = picture.shape[0]
    for y in np.arange(floor - height / 2, floor, max(height / 12, 6)):
        line(picture, (x0, y), (x1, y), -0.5, 2)
        for x in np.arange(x0 + 4, x1 - 10, max(height / 25, 8)):
            if rng.random() < 0.6:
                top = y - height * rng.uniform(0.02, 0.06)
                block(picture, (x, top), (x + max(height / 30, 5), y - 2), rng.uniform(-0.8, 1.2))
