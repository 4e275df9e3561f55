"""Pictures of tracks for people: overlays and contact sheets."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mlss_core.box import Box
from mlss_core.presence import TrackState

# blue, green, red
STATE_COLOURS = {
    TrackState.TRACKING: (80, 220, 80),
    TrackState.UNCERTAIN: (60, 200, 255),
    TrackState.LOST: (60, 60, 255),
    TrackState.FROZEN: (255, 180, 80),
}
GROUND_TRUTH_COLOUR = (255, 255, 255)
_SHEET_COLUMNS, _SHEET_TILE_PX = 4, 320  # tiles in a row, width of one


def display_picture(raw: np.ndarray) -> np.ndarray:
    """Raw frame of any depth -> (H, W, 3) uint8 for the eye, stretched by percentiles if deep."""
    if raw.ndim == 3:
        return raw.copy()
    if raw.dtype != np.uint8:
        counts = raw.astype(np.float32)
        sample = counts[::2, ::2]
        sample = sample[np.isfinite(sample)]
        low, high = np.percentile(sample, (0.5, 99.5)) if sample.size else (0.0, 1.0)
        finite = np.nan_to_num(counts, nan=low, posinf=high, neginf=low)
        stretched = (finite - low) * (255.0 / max(high - low, 1e-6))
        raw = np.clip(stretched, 0, 255).astype(np.uint8)
    return cv2.cvtColor(raw, cv2.COLOR_GRAY2BGR)


def draw_box(picture: np.ndarray, box: Box, colour: tuple[int, int, int], label: str = "") -> None:
    """Draw a box and a label into a (H, W, 3) uint8 picture, in place."""
    left, top, right, bottom = (round(edge) for edge in box.corners())
    cv2.rectangle(picture, (left, top), (right, bottom), (0, 0, 0), 3)
    cv2.rectangle(picture, (left, top), (right, bottom), colour, 1)
    if label:
        draw_text(picture, label, (left, max(top - 5, 12)), colour)


def draw_text(
    picture: np.ndarray, text: str, at_xy: tuple[int, int], colour: tuple[int, int, int]
) -> None:
    """Write text with a dark rim into an (H, W, 3) uint8 picture; its lower left is `at_xy`."""
    for shade, thickness in (((0, 0, 0), 3), (colour, 1)):
        cv2.putText(
            picture, text, at_xy, cv2.FONT_HERSHEY_SIMPLEX, 0.45, shade, thickness, cv2.LINE_AA
        )


def contact_sheet(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Tile pictures of one size in rows of four, each 320 px wide; (H, W, 3) uint8."""
    height_px = round(pictures[0].shape[0] * _SHEET_TILE_PX / pictures[0].shape[1])
    tiles = [
        cv2.resize(picture, (_SHEET_TILE_PX, height_px), interpolation=cv2.INTER_AREA)
        for picture in pictures
    ]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % _SHEET_COLUMNS)
    rows = [np.hstack(tiles[i : i + _SHEET_COLUMNS]) for i in range(0, len(tiles), _SHEET_COLUMNS)]
    return np.vstack(rows)
