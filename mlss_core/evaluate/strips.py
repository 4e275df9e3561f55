"""A strip of frames per sequence: ground truth and every tracker, whole picture and close up."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from mlss_core.draw import display_picture, draw_text
from mlss_core.evaluate.metrics import Array, first_valid_row, valid_rows
from mlss_core.sequences import Sequence

WHITE = (255, 255, 255)
_TILES = 6
_TILE_PX = 230  # width of one picture of the strip
_TIGHT_SHARE = 0.25  # side of the target in the close-up


def frame_strip(
    sequence: Sequence, boxes: Mapping[str, Array], colours: Mapping[str, str]
) -> bytes:
    """Draw six frames from the first labelled one to the end, as one JPEG picture.

    Above each is the whole picture, below it a close-up of the target.

    Args:
        sequence: with ground truth, drawn in white.
        boxes: per tracker (N, 4) x, y, w, h, 1-based, NaN where it gave none.
        colours: `#rrggbb` per tracker.
    """
    labels = sequence.ground_truth
    assert labels is not None
    start = first_valid_row(labels)
    picks = np.unique(np.linspace(start, len(labels) - 1, _TILES).round().astype(int))
    valid = valid_rows(labels)
    columns = []
    for i in picks:
        picture = display_picture(sequence.frames[int(i)])
        drawn = [(rows[i], _bgr(colours[label])) for label, rows in boxes.items()]
        drawn.append((labels[i] if valid[i] else np.full(4, np.nan), WHITE))
        seen = np.flatnonzero(valid[: i + 1])[-1]  # the last place where the target was labelled
        x, y, w, h = labels[seen]
        whole = _tile(picture, drawn, (0, 0, picture.shape[1], picture.shape[0]))
        side = max(np.sqrt(w * h) / _TIGHT_SHARE, 1.4 * max(w, h), 32)
        close = _tile(
            picture, drawn, (x - 1 + w / 2 - side / 2, y - 1 + h / 2 - side / 2, side, side)
        )
        draw_text(whole, f"{i}", (6, 16), WHITE)
        columns.append(np.vstack([whole, np.full((4, _TILE_PX, 3), 255, np.uint8), close]))
    gap = np.full((columns[0].shape[0], 4, 3), 255, np.uint8)
    strip = np.hstack([part for column in columns for part in (column, gap)][:-1])
    return cv2.imencode(".jpg", strip, [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes()


def _tile(
    picture: np.ndarray,
    drawn: list[tuple[Array, tuple[int, int, int]]],
    window: tuple[float, float, float, float],
) -> np.ndarray:
    """Cut left, top, width, height (0-based px) out, scale it, and draw boxes on top, unscaled."""
    left, top, width, height = window
    scale = _TILE_PX / width
    size = (_TILE_PX, round(height * scale))
    shift = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
    shift[:, 2] += (scale - 1) / 2  # pixel centres onto pixel centres
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    if scale < 1 and (left, top) == (0, 0):
        tile = cv2.resize(picture, size, interpolation=smooth)  # warpAffine does not average
    else:
        tile = cv2.warpAffine(picture, shift, size, flags=cv2.INTER_LINEAR, borderValue=(90,) * 3)
    for row, colour in drawn:
        if not np.isfinite(row).all():
            continue
        x, y, w, h = row
        corner = (round((x - 1 - left) * scale), round((y - 1 - top) * scale))
        opposite = (round((x - 1 + w - left) * scale), round((y - 1 + h - top) * scale))
        line = 1 if scale < 1 or colour == WHITE else 2
        cv2.rectangle(tile, corner, opposite, (0, 0, 0), line + 1)
        cv2.rectangle(tile, corner, opposite, colour, line)
    return tile


def _bgr(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return blue, green, red
