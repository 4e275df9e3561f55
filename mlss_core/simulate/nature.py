"""Sky, ground and trees; the open backdrops made of them."""

from __future__ import annotations

import math

import cv2
import numpy as np

from mlss_core.simulate.brush import Rng, disc, fractal, line, polygon


def sky(rng: Rng, size_hw: tuple[int, int], horizon: float) -> np.ndarray:
    """Cold zenith, warmer towards the horizon; clouds are warmer than clear sky."""
    height, width = size_hw
    depth = float(rng.uniform(3.0, 11.0))
    up = np.clip((horizon - np.arange(height, dtype=np.float32)) / height, 0.0, 1.0)[:, None]
    picture = np.repeat(-1.5 - depth * np.sqrt(up), width, axis=1)
    clouds = fractal(rng, size_hw, height / 2.5, 2.2) - np.float32(rng.uniform(-0.6, 1.2))
    picture += np.float32(rng.uniform(0.8, 3.0)) * np.clip(clouds, 0.0, 1.6) * (0.5 + 0.5 * up)
    picture += 0.12 * fractal(rng, size_hw, 40, 3.0)
    return picture.astype(np.float32)


def ground(rng: Rng, size_hw: tuple[int, int], horizon: float) -> np.ndarray:
    """Grass, soil or asphalt in perspective: its texture grows towards the camera."""
    height, _ = size_hw
    rows = np.arange(height, dtype=np.float32)[:, None]
    near = np.clip((rows - horizon) / max(height - horizon, 1.0), 0.0, 1.0)
    coarse = fractal(rng, size_hw, height / 4, 2.5)
    fine = fractal(rng, size_hw, height / 16, 5.0)
    slope = np.float32(rng.uniform(-1.5, 1.5))
    level = np.float32(rng.uniform(-1.0, 1.0))
    return level + slope * near + 0.55 * (coarse * near + fine * (1.0 - near))


def tree_line(rng: Rng, picture: np.ndarray, horizon: float, tallest: float) -> None:
    """Draw a wood on the horizon: ragged crowns, trunks between leaves."""
    height, width = picture.shape
    profile = 0.3 * fractal(rng, (3, width), width / 6)[1] + 0.14 * fractal(rng, (3, width), 22)[1]
    tops = horizon - tallest * np.clip(0.65 + profile, 0.15, 1.3)
    rows = np.arange(height)[:, None]
    wood = (rows > tops[None]) & (rows < horizon + 2)
    leaves = 0.6 * fractal(rng, picture.shape, 26, 0.5) + 0.35 * fractal(
        rng, picture.shape, 5, 0.4
    )
    trunks = fractal(rng, (4, width), 9)[1:2]
    deep = np.clip((rows - tops[None]) / max(tallest, 1.0), 0.0, 1.0)
    picture[wood] = (rng.uniform(-1.5, 1.5) + leaves - 0.5 * trunks * deep)[wood]


def tree(rng: Rng, picture: np.ndarray, x: float, foot: float, tall: float) -> None:
    """Draw a single tree: a trunk, and a ragged crown of leaves."""
    warmth = float(rng.uniform(-1.6, 0.8))
    half = max(tall * 0.03, 1.0)
    polygon(
        picture,
        [(x - half, foot), (x + half, foot), (x + half / 2, foot - 0.6 * tall),
         (x - half / 2, foot - 0.6 * tall)],
        warmth + 0.9,
    )  # fmt: skip
    for side in (-1, 1):
        line(picture, (x, foot - 0.35 * tall), (x + 0.15 * side * tall, foot - 0.6 * tall),
            warmth + 0.8, half * 0.7)  # fmt: skip
    left, top = round(x - 0.4 * tall), round(foot - 1.1 * tall)
    side = max(round(0.8 * tall), 3)
    crown = np.zeros((side, side), np.uint8)
    for _ in range(70):
        angle, reach = rng.uniform(0, 2 * math.pi), math.sqrt(rng.random())
        spot = 0.5 + 0.36 * reach * math.cos(angle), 0.5 + 0.4 * reach * math.sin(angle)
        size = side * rng.uniform(0.02, 0.1) * (1.2 - 0.6 * reach)
        disc(crown, (spot[0] * side, spot[1] * side), size, 1)
    leaves = 0.35 * fractal(rng, crown.shape, side / 5) + 0.3 * fractal(rng, crown.shape, 4)
    leaves += np.linspace(-0.4, 0.4, side, dtype=np.float32)[:, None] + warmth
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = min(top + side, picture.shape[0]), min(left + side, picture.shape[1])
    if y1 > y0 and x1 > x0:
        here = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
        part = picture[y0:y1, x0:x1]
        part[crown[here] > 0] = leaves[here][crown[here] > 0]


def field(rng: Rng, size_hw: tuple[int, int], horizon: float) -> np.ndarray:
    """Open country: a wood, grass, tracks, bushes, perhaps a fence, stones that kept the sun."""
    height, width = size_hw
    picture = sky(rng, size_hw, horizon)
    below = int(min(max(horizon, 0), height))
    depth = height - horizon
    earth = ground(rng, size_hw, horizon)
    rows = np.arange(height, dtype=np.float32)[:, None]
    earth += 0.5 * np.clip((rows - horizon) / height, 0.0, 1.0) * fractal(rng, size_hw, 7, 0.5)
    tree_line(rng, picture, horizon, height * rng.uniform(0.06, 0.3))
    picture[below:] = earth[below:]
    for _ in range(int(rng.integers(0, 3))):  # tracks
        y = rng.uniform(horizon, height)
        wave = y + np.cumsum(rng.normal(0, 0.006 * height, 16))
        points = np.stack([np.linspace(-5, width + 5, 16), wave], axis=1).round().astype(np.int32)
        thick = max(round(0.02 * (y - horizon)), 1)
        cv2.polylines(picture, [points], False, float(rng.uniform(-1.2, 1.6)), thick)
    for _ in range(int(rng.integers(2, 9))):  # bushes and trees
        foot = horizon + depth * rng.uniform(0.0, 0.25)
        tree(rng, picture, rng.uniform(0, width), foot, height * rng.uniform(0.05, 0.3))
    if rng.random() < 0.5:  # a fence
        foot, tall = horizon + depth * rng.uniform(0.05, 0.3), height * 0.05
        for x in np.arange(0, width, 2 * tall):
            line(picture, (x, foot), (x, foot - tall), float(rng.normal(0.8, 0.3)), 2)
        for rail in (foot - tall, foot - tall / 2):
            line(picture, (0, rail), (width, rail), 0.4)
    for _ in range(int(rng.integers(2, 12))):  # stones
        y = rng.uniform(horizon, height)
        size = 0.015 * (y - horizon)
        disc(picture, (rng.uniform(0, width), y), size, float(rng.uniform(0.5, 3.5)), size / 2)
    return picture


def open_sky(rng: Rng, size_hw: tuple[int, int], horizon: float) -> np.ndarray:
    """Sky with at most a strip of land; `horizon` is drawn anew, low in the picture."""
    height, _ = size_hw
    horizon = height * float(rng.uniform(0.8, 1.2))
    picture = sky(rng, size_hw, horizon)
    picture += 5.0  # K: such pictures are about the sky, which the target is compared with
    below = int(min(max(horizon, 0), height))
    if below < height:
        tree_line(rng, picture, horizon, height * rng.uniform(0.03, 0.15))
        picture[below:] = ground(rng, size_hw, horizon)[below:]
    return picture
