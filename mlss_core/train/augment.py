"""What a thermal camera and a moving scene do to a picture, drawn at random.

Geometry acts on whole crops before patches are cut; everything else acts on the patches. What both
patches of a pair share (polarity, contrast, blur) is drawn once, what changes from frame to frame
(gain drift, noise) once per patch.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from mlss_core.train.params import AugmentParams

_NODES = 6  # of the grid that bends a crop, along each side: two of them on the target's 127 px
_BEND_PX = 8.0  # standard deviation of the moves there; the target's side is 127 px
_SHADE = 0.25  # of the logarithm of the light there
_THINNEST_PX = 8  # of a bent object, across and along; of what is less its box says nothing


class Look(NamedTuple):
    """What both patches of a pair share."""

    invert: bool
    contrast: float
    brightness: float
    coarseness: float  # patch px per sensor px


def draw_look(rng: np.random.Generator, params: AugmentParams) -> Look:
    """Draw the look of a pair."""
    coarse = rng.random() < params.blur
    return Look(
        bool(rng.random() < params.invert),
        float(np.exp(rng.uniform(-params.contrast, 0.6 * params.contrast))),
        float(rng.uniform(-params.brightness, params.brightness)),
        float(np.exp(rng.uniform(0.0, 1.6))) if coarse else 1.0,
    )


def apply_look(
    patch: np.ndarray, look: Look, rng: np.random.Generator, params: AugmentParams
) -> np.ndarray:
    """Change the look of one patch (P, P) float32 in 0..255; returns a new one."""
    side = patch.shape[0]
    out: np.ndarray = patch
    if look.coarseness > 1.0:
        small = max(16, round(side / look.coarseness))
        out = cv2.resize(out, (small, small), interpolation=cv2.INTER_AREA)
    mean = float(out.mean())
    gain = look.contrast * np.exp(rng.uniform(-params.drift, params.drift))
    offset = mean + look.brightness + rng.uniform(-80, 80) * params.drift
    out = (out - mean) * np.float32(gain) + np.float32(offset)
    if look.invert:
        out = 255.0 - out
    sigma = rng.uniform(0, params.noise) * (rng.random() < 0.6)
    if sigma > 0:
        out += rng.standard_normal(out.shape, dtype=np.float32) * np.float32(sigma)
    sigma = rng.uniform(0, params.stripes) * (rng.random() < 0.3)
    if sigma > 0:
        axis = int(rng.integers(2))
        shape = (1, out.shape[1]) if axis else (out.shape[0], 1)
        out += rng.standard_normal(shape, dtype=np.float32) * np.float32(sigma)
    if rng.random() < params.dead_pixels:
        for _ in range(int(rng.integers(1, 6))):
            row, column = rng.integers(out.shape[0]), rng.integers(out.shape[1])
            out[row, column] = rng.choice((0.0, 255.0))
    if look.coarseness > 1.0:
        out = cv2.resize(out, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.clip(out, 0.0, 255.0, dtype=np.float32)


def deform(
    image: np.ndarray,
    mirror: bool,
    turn_deg: float,
    aspect: float,
    zoom: float = 1.0,
    move_xy: tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:
    """Mirror, turn, stretch a crop (P, P) about its middle, then move it; mirrored borders."""
    if not (mirror or turn_deg or aspect != 1.0 or zoom != 1.0 or any(move_xy)):
        return image
    middle = (image.shape[0] - 1) / 2
    turn = np.deg2rad(turn_deg)
    stretch = np.diag([zoom * np.sqrt(aspect), zoom / np.sqrt(aspect)])
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = rotation @ stretch @ np.diag([-1.0 if mirror else 1.0, 1.0])
    matrix = np.column_stack([linear, middle - linear @ (middle, middle) + move_xy])
    return cv2.warpAffine(
        image, matrix, image.shape[1::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )


class Bent(NamedTuple):
    """A cut-out whose parts have moved against each other."""

    image: np.ndarray  # (P, P) float32
    alpha: np.ndarray  # (P, P) in 0..1, how much of a pixel is object
    size: tuple[float, float]  # w, h of its box, px; the box is in the middle


def bend(image: np.ndarray, alpha: np.ndarray, rng: np.random.Generator) -> Bent | None:
    """Bend a cut-out smoothly and change the light on its parts.

    Args:
        image: (P, P) float32.
        alpha: (P, P) in 0..1, how much of a pixel is object.
        rng: draws how.

    Returns:
        None where hardly anything of the object is left.
    """
    side = image.shape[0]
    y, x = np.mgrid[:side, :side].astype(np.float32)
    x += _smooth(rng, side, _BEND_PX)
    y += _smooth(rng, side, _BEND_PX)
    light = np.exp(_smooth(rng, side, _SHADE))
    alpha = cv2.remap(alpha, x, y, cv2.INTER_LINEAR)
    columns, rows = (np.flatnonzero((alpha > 0.5).any(axis=axis)) for axis in (0, 1))
    if len(columns) < _THINNEST_PX or len(rows) < _THINNEST_PX:
        return None
    middle = (side - 1) / 2
    aside = (columns[0] + columns[-1]) / 2 - middle, (rows[0] + rows[-1]) / 2 - middle
    back = np.array([[1, 0, -aside[0]], [0, 1, -aside[1]]])
    image = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    image, alpha, light = (
        cv2.warpAffine(one, back, (side, side), borderMode=cv2.BORDER_REFLECT)
        for one in (image, alpha, light)
    )
    size = float(columns[-1] - columns[0] + 1), float(rows[-1] - rows[0] + 1)
    return Bent(image * light, alpha, size)


def _smooth(rng: np.random.Generator, side: int, sigma: float) -> np.ndarray:
    """A random field (side, side) float32 that is smooth between the nodes of a coarse grid."""
    nodes = rng.normal(0, sigma, (_NODES, _NODES)).astype(np.float32)
    return cv2.resize(nodes, (side, side), interpolation=cv2.INTER_CUBIC)


def paste(
    scene: np.ndarray, patch: np.ndarray, alpha: np.ndarray, center_xy: tuple[float, float]
) -> np.ndarray:
    """Blend `patch` (h, w) by `alpha` (h, w) in 0..1 into a copy of `scene` (P, P) float32."""
    height, width = patch.shape
    left = round(center_xy[0] - (width - 1) / 2)
    top = round(center_xy[1] - (height - 1) / 2)
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + width, scene.shape[1]), min(top + height, scene.shape[0])
    out = scene.copy()
    if x1 <= x0 or y1 <= y0:
        return out
    inner = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
    region = out[y0:y1, x0:x1]
    region += (patch[inner] - region) * alpha[inner]
    return out


def soft_ellipse(height: int, width: int) -> np.ndarray:
    """Alpha of an ellipse that fills (height, width), soft at its rim; float32 in 0..1."""
    y = (np.arange(height, dtype=np.float32) - (height - 1) / 2) / (height / 2)
    x = (np.arange(width, dtype=np.float32) - (width - 1) / 2) / (width / 2)
    radius = np.sqrt(y[:, None] ** 2 + x[None, :] ** 2)
    return np.clip((1.0 - radius) * 4.0, 0.0, 1.0)


def soft_rectangle(height: int, width: int) -> np.ndarray:
    """Alpha of a rectangle (height, width), soft at its rim; float32 in 0..1."""
    y = (np.arange(height, dtype=np.float32) - (height - 1) / 2) / (height / 2)
    x = (np.arange(width, dtype=np.float32) - (width - 1) / 2) / (width / 2)
    rims = [np.clip((1.0 - np.abs(way)) * 8.0, 0.0, 1.0) for way in (y, x)]
    return rims[0][:, None] * rims[1][None, :]
