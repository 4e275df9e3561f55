"""Label files: one box per line."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from mlss_core.errors import SequenceError

LABEL_FILES = ("groundtruth_rect.txt", "groundtruth.txt")  # OTB and its kin; VOT, GOT-10k


def read_boxes(path: Path) -> np.ndarray:
    """Read boxes x, y, w, h (1-based px) or polygons of four corners, one per line.

    Numbers are parted by commas, tabs or blanks; `nan` marks a frame without a label.

    Returns:
        (N, 4) float64; polygons as the upright box of the same area and centre.

    Raises:
        SequenceError: a line holds no 4 or 8 numbers; the message names file and line.
    """
    rows = []
    for number, line in enumerate(_lines(path), start=1):
        values = _numbers(path, number, line)
        if len(values) == 4:
            rows.append(values)
        elif len(values) == 8:
            rows.append(upright_box(values))
        else:
            raise SequenceError(
                f"expected 4 or 8 numbers in {path}:{number}, got {len(values)} in {line!r}; "
                "mend the line"
            )
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def read_numbers(path: Path, count: int) -> np.ndarray | None:
    """Read `count` numbers, one per line; None where the file does not exist.

    Raises:
        SequenceError: another count, or a line that is no number.
    """
    if not path.is_file():
        return None
    lines = _lines(path)
    values = [_numbers(path, number, line) for number, line in enumerate(lines, start=1)]
    if len(values) != count or any(len(value) != 1 for value in values):
        raise SequenceError(
            f"expected {count} lines of one number in {path}, got {len(values)} lines; "
            "mend the file or remove it"
        )
    return np.array(values, dtype=np.float64).reshape(-1)


def upright_box(polygon: list[float]) -> list[float]:
    """Upright box x, y, w, h with the centre and the area of a four-cornered polygon (VOT).

    The polygon's bounding box is shrunk about the polygon's centre by the square root of the
    ratio of the polygon's area (as a parallelogram) to the bounding box's, as the authors'
    get_axis_aligned_BB.m does.
    """
    if not all(math.isfinite(value) for value in polygon):
        return [math.nan] * 4
    points = np.array(polygon, dtype=np.float64).reshape(4, 2)
    center = points.mean(axis=0)
    extent = points.max(axis=0) - points.min(axis=0)
    sides = np.linalg.norm(points[0] - points[1]) * np.linalg.norm(points[1] - points[2])
    bounding = float(extent[0] * extent[1])
    shrink = math.sqrt(sides / bounding) if bounding > 0 else 0.0
    w, h = shrink * extent
    return [float(center[0] - w / 2), float(center[1] - h / 2), float(w), float(h)]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SequenceError(f"expected text in {path}, got: {error}; mend the file") from error


def _numbers(path: Path, number: int, line: str) -> list[float]:
    try:
        return [float(part) for part in re.split(r"[,\s]+", line.strip().rstrip(","))]
    except ValueError:
        raise SequenceError(
            f"expected numbers in {path}:{number}, got {line!r}; mend the line"
        ) from None
