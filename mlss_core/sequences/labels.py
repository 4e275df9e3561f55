"""Label files: one line a frame, numbers between commas, tabs or blanks."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from mlss_core.errors import SequenceError

_SEPARATOR = re.compile(r"\s*[,;]\s*|\s+")
_UNLABELLED = [math.nan] * 4


def read_boxes(path: Path) -> np.ndarray:
    """Read boxes as (N, 4) float64 x, y, w, h in px, 1-based top-left pixel.

    A row holds a rectangle x, y, w, h or a polygon of four corners x1, y1 ... x4, y4 (VOT).
    `nan`, sizes that are not positive and polygons without area mean "not labelled" and give a
    row of NaN.

    Raises:
        SequenceError: the file cannot be read or a row is something else.
    """
    rows = []
    for place, values in _numbers(path):
        if len(values) == 8:
            corners = np.array(values).reshape(4, 2)
            values = list(polygon_to_ltwh(corners)) if np.ptp(corners, 0).all() else _UNLABELLED
        elif len(values) == 1 and math.isnan(values[0]):
            values = _UNLABELLED
        elif len(values) != 4:
            raise SequenceError(
                f"{place}: expected 4 numbers (x, y, w, h) or 8 (corners), "
                f"got {len(values)}; mend the row"
            )
        labelled = all(math.isfinite(v) for v in values) and values[2] > 0 and values[3] > 0
        rows.append(values if labelled else _UNLABELLED)
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def read_visibility(path: Path, whole: float = 1.0) -> np.ndarray:
    """Read the visible part of the target, (N,) float64 in 0..1.

    Args:
        path: one number a row, 0 for a hidden target and
        whole: that of one in full view.

    Raises:
        SequenceError: the file cannot be read or a row is not one number in 0..whole.
    """
    rows = []
    for place, values in _numbers(path):
        if len(values) != 1 or not 0.0 <= values[0] <= whole:
            raise SequenceError(
                f"{place}: expected one number in 0..{whole:g}, got {values}; mend the row"
            )
        rows.append(values[0] / whole)
    return np.array(rows, dtype=np.float64)


def polygon_to_ltwh(corners: np.ndarray) -> tuple[float, float, float, float]:
    """Turn a polygon into the axis-aligned box of its area, centred on the mean of its corners.

    The bounding box is shrunk about the centre, keeping its aspect, until its area is the
    polygon's. Corners are pixel centres, hence the + 1 of the size, as the SiamFC family of
    trackers reads VOT's rotated boxes.

    Args:
        corners: (4, 2) x, y of the corners in order, px, 1-based.
    """
    center = corners.mean(axis=0)
    extent = corners.max(axis=0) - corners.min(axis=0)
    following = np.roll(corners, -1, axis=0)
    area = abs((corners[:, 0] * following[:, 1] - corners[:, 1] * following[:, 0]).sum()) / 2
    shrink = math.sqrt(area / extent.prod()) if extent.prod() > 0 else 1.0
    size = shrink * extent + 1
    x, y = center - (size - 1) / 2
    return float(x), float(y), float(size[0]), float(size[1])


def _numbers(path: Path) -> list[tuple[str, list[float]]]:
    """Rows of numbers, each with its place `file:line` for messages; trailing blanks dropped."""
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SequenceError(
            f"{path}: expected a text file of labels, got {error}; check it"
        ) from error
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            values = [float(word) for word in _SEPARATOR.split(line.strip())]
        except ValueError:
            raise SequenceError(
                f"{path}:{number}: expected numbers, got {line.strip()[:60]!r}; mend the row"
            ) from None
        rows.append((f"{path}:{number}", values))
    return rows
