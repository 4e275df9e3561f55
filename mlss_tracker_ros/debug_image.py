"""Draws the results on the picture: `~/debug_image` and the demo's film."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from mlss_core.draw import (
    STATE_COLOURS,
    display_picture,
    draw_box,
    draw_text,
)
from mlss_core.presence import TrackState

if TYPE_CHECKING:  # importing it loads torch, which camera and demo do without
    from mlss_core.tracker import TrackResult


def debug_picture(frame: np.ndarray, results: Iterable[TrackResult]) -> np.ndarray:
    """Picture of a raw frame with every target's box, id, score and, unless tracking, state.

    Args:
        frame: as the camera gave it, (H, W) of any depth or (H, W, 3) BGR.
        results: of every target; those without a box are written in the corner.

    Returns:
        (H, W, 3) uint8 BGR.
    """
    picture = display_picture(frame)
    for line, result in enumerate(results):
        colour = STATE_COLOURS[result.state]
        label = f"{result.target_id} {result.score:.2f}"
        if result.state is not TrackState.TRACKING:
            label += f" {result.state.value}"
        if result.box is not None:
            draw_box(picture, result.box, colour, label)
        else:
            draw_text(picture, label, (6, picture.shape[0] - 8 - 16 * line), colour)
    return picture
