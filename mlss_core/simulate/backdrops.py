"""Backdrops: pictures of temperature above the air, K, larger than a frame."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mlss_core.simulate import nature, town

_DRAW: dict[str, Callable[[np.random.Generator, tuple[int, int], float], np.ndarray]] = {
    "street": town.street,
    "field": nature.field,
    "sky": nature.open_sky,
    "aerial": town.aerial,
    "indoor": town.indoor,
}


def make_backdrop(
    name: str, rng: np.random.Generator, size_hw: tuple[int, int], horizon: float
) -> np.ndarray:
    """Draw a backdrop.

    Args:
        name: street, field, sky, aerial or indoor.
        rng: source of randomness.
        size_hw: height and width, px.
        horizon: row of the horizon, px; may lie outside the picture.

    Returns:
        (h, w) float32, K above the air.
    """
    return _DRAW[name](rng, size_hw, horizon)
