"""What the demo leaves behind: figures, a table of every frame, a film and a sheet."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from mlss_core.box import Box
from mlss_core.draw import (
    GROUND_TRUTH_COLOUR,
    STATE_COLOURS,
    display_picture,
    draw_box,
    draw_text,
)
from mlss_core.errors import SequenceError
from mlss_core.evaluate.metrics import score_sequence
from mlss_core.pictures import check_film, write_picture
from mlss_core.presence import TrackState

TILES, COLUMNS = 12, 4
TILE_PX = 340  # width
GOOD = STATE_COLOURS[TrackState.TRACKING]
TEXT = (235, 235, 235)
PAPER = (28, 28, 28)


class Row(NamedTuple):
    """One image of the run."""

    number: int  # in the recording
    stamp_ns: int
    truth: Box | None
    visible: float  # part of the target that can be seen, 0..1
    processed: bool
    box: Box | None
    score: float
    latency_s: float

    @property
    def iou(self) -> float:
        """Overlap with the truth; 0 without a box, NaN where there is nothing to compare."""
        if not self.processed or self.truth is None:
            return math.nan
        return self.box.iou(self.truth) if self.box is not None else 0.0


def since_first_box(rows: Sequence[Row]) -> Sequence[Row]:
    """The rows from the tracker's first box on; all of them where it never had one."""
    first = next((n for n, row in enumerate(rows) if row.box is not None), 0)
    return rows[first:]


def figures(rows: Sequence[Row]) -> dict[str, Any]:
    """Accuracy and latency over the images processed since the tracker had its first box."""
    first = next((n for n, row in enumerate(rows) if row.box is not None), len(rows))
    seen = [row for row in rows[first:] if row.processed]
    judged = [row for row in seen if row.truth is not None]
    result: dict[str, Any] = {
        "detections": sum(row.box is not None for row in seen),
        "processed": len(seen),
        "mean_iou": 0.0,
        "success_auc": 0.0,
        "precision_20px": 0.0,
        "latency_ms": {"p50": None, "p95": None},
    }
    if judged:
        curves = score_sequence(
            _table([row.box for row in judged]), _table([row.truth for row in judged]), "plain"
        )
        result["mean_iou"] = float(np.mean([row.iou for row in judged]))
        result["success_auc"] = curves.success_auc
        result["precision_20px"] = curves.precision_20px
    if seen:
        p50, p95 = np.percentile([row.latency_s * 1e3 for row in seen], (50, 95))
        result["latency_ms"] = {"p50": float(p50), "p95": float(p95)}
    return result


def write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    """Write summary.json, numbers rounded to what they are worth."""

    def rounded(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: rounded(item) for key, item in value.items()}
        return round(value, 4) if isinstance(value, float) else value

    path.write_text(json.dumps(rounded(summary), indent=2) + "\n")


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Write detections.csv: one line per image, centre and size in px."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        sides = ("cx", "cy", "w", "h")
        writer.writerow(
            ["index", "stamp_ns", "processed", *sides, "score"]
            + [f"truth_{side}" for side in sides]
            + ["visible", "iou", "latency_ms"]
        )
        for row in rows:
            writer.writerow(
                [row.number, row.stamp_ns, int(row.processed), *_cells(row.box)]
                + [f"{row.score:.3f}" if row.processed else "", *_cells(row.truth)]
                + [f"{row.visible:.2f}", "" if math.isnan(row.iou) else f"{row.iou:.4f}"]
                + [f"{row.latency_s * 1e3:.2f}" if row.processed else ""]
            )


def write_film(path: Path, frames: Sequence[np.ndarray], rows: Sequence[Row], fps: float) -> None:
    """Write overlay.mp4: every image processed since the first box, with truth (white) and track.

    Raises:
        SequenceError: the film cannot be written.
    """
    writer: cv2.VideoWriter | None = None
    shown = [row for row in since_first_box(rows) if row.processed]
    for row in shown:
        picture = overlay(frames[row.number], row)
        if writer is None:
            size = (picture.shape[1], picture.shape[0])
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
            if not writer.isOpened():
                raise SequenceError(
                    f"expected to write {path}, got no video writer; check the folder"
                )
        writer.write(picture)
    if writer is not None:
        writer.release()
        check_film(path, len(shown))


def overlay(frame: np.ndarray, row: Row) -> np.ndarray:
    """Picture of one image: truth in white, box coloured from green to red by its overlap."""
    picture = display_picture(frame)
    if row.truth is not None:
        draw_box(picture, row.truth, GROUND_TRUTH_COLOUR)
    if row.box is not None:
        draw_box(picture, row.box, _grade(row.iou))
    text = f"{row.number}"
    if not math.isnan(row.iou):
        text += f"  IoU {row.iou:.2f}  score {row.score:.2f}" if row.box else "  lost"
    draw_text(picture, text, (6, 16), TEXT)
    return picture


def sheet_titles(summary: dict[str, Any]) -> list[str]:
    """Heading of the sheet."""
    p50 = summary["latency_ms"]["p50"] or float("nan")
    return [
        f"MLSSNet on ROS 2: mean IoU {summary['mean_iou']:.3f}, success AUC "
        f"{summary['success_auc']:.3f}, precision at 20 px {summary['precision_20px']:.3f}",
        f"{summary['source']}: {summary['frames_published']} images, {summary['processed']} "
        f"processed at {summary['fps']:.1f} a second ({summary['mode']}), {p50:.0f} ms from image "
        f"to detection on {summary['device']} {summary['precision']}; white: ground truth",
    ]


def write_sheet(
    path: Path,
    frames: Sequence[np.ndarray],
    rows: Sequence[Row],
    title: Sequence[str],
) -> None:
    """Write sheet.png: title lines, tiles with a close-up each, and the overlap over time."""
    shown = [row for row in since_first_box(rows) if row.processed and (row.box or row.truth)]
    picks = np.unique(np.linspace(0, max(len(shown) - 1, 0), TILES).round().astype(int))
    tiles = [_tile(frames[shown[n].number], shown[n]) for n in picks] if shown else []
    width = COLUMNS * TILE_PX + (COLUMNS + 1) * 6
    parts = [_title(title, width)]
    for at in range(0, len(tiles), COLUMNS):
        line = tiles[at : at + COLUMNS]
        strip = np.full((line[0].shape[0] + 6, width, 3), PAPER, np.uint8)
        for n, tile in enumerate(line):
            left = 6 + n * (TILE_PX + 6)
            strip[: tile.shape[0], left : left + TILE_PX] = tile
        parts.append(strip)
    parts.append(_timeline(rows, width))
    write_picture(path, np.vstack(parts))


def _tile(frame: np.ndarray, row: Row) -> np.ndarray:
    """Whole picture, with the target enlarged in the corner that is farthest from it."""
    picture = display_picture(frame)
    scale = TILE_PX / picture.shape[1]
    tile = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    tile = tile[:, :TILE_PX]
    around: Box = row.truth or row.box  # type: ignore[assignment]
    inset_px = int(0.42 * min(tile.shape[:2]))
    close = _close_up(picture, row, around, inset_px)
    for box, colour in ((row.truth, GROUND_TRUTH_COLOUR), (row.box, _grade(row.iou))):
        if box is not None:
            _outline(tile, _scaled(box, scale, 0.0, 0.0), colour)
    left = around.cx * scale > tile.shape[1] / 2
    top = around.cy * scale > tile.shape[0] / 2
    x = 4 if left else tile.shape[1] - inset_px - 4
    y = 22 if top else tile.shape[0] - inset_px - 4
    tile[y : y + inset_px, x : x + inset_px] = close
    cv2.rectangle(tile, (x - 1, y - 1), (x + inset_px, y + inset_px), TEXT, 1)
    text = f"{row.number}" if math.isnan(row.iou) else f"{row.number}   IoU {row.iou:.2f}"
    draw_text(tile, text, (6, 15), TEXT)
    return tile


def _close_up(picture: np.ndarray, row: Row, around: Box, side_px: int) -> np.ndarray:
    span = 2.2 * max(around.w, around.h, 12.0)
    scale = side_px / span
    shift_x, shift_y = around.cx - span / 2, around.cy - span / 2
    matrix = np.array([[scale, 0, -shift_x * scale], [0, scale, -shift_y * scale]])
    close = cv2.warpAffine(picture, matrix, (side_px, side_px), flags=cv2.INTER_CUBIC)
    for box, colour in ((row.truth, GROUND_TRUTH_COLOUR), (row.box, _grade(row.iou))):
        if box is not None:
            _outline(close, _scaled(box, scale, shift_x, shift_y), colour)
    return close


def _outline(picture: np.ndarray, box: Box, colour: tuple[int, int, int]) -> None:
    """Thin sub-pixel outline: what is inside a small box stays visible."""
    left, top, right, bottom = (round(16 * edge) for edge in box.corners())
    cv2.rectangle(picture, (left, top), (right, bottom), colour, 1, cv2.LINE_AA, shift=4)


def _scaled(box: Box, scale: float, shift_x: float, shift_y: float) -> Box:
    return Box(
        (box.cx - shift_x) * scale, (box.cy - shift_y) * scale, box.w * scale, box.h * scale
    )


def _title(lines: Sequence[str], width: int) -> np.ndarray:
    strip = np.full((14 + 24 * len(lines), width, 3), PAPER, np.uint8)
    for n, line in enumerate(lines):
        size = 0.62 if n == 0 else 0.48
        at = (10, 24 + 24 * n)
        cv2.putText(strip, line, at, cv2.FONT_HERSHEY_SIMPLEX, size, TEXT, 1, cv2.LINE_AA)
    return strip


def _timeline(rows: Sequence[Row], width: int) -> np.ndarray:
    """Overlap of every processed image over its number; grey where the target is hidden."""
    height, left, right, top, bottom = 150, 44, 12, 26, 22
    plot = np.full((height, width, 3), PAPER, np.uint8)
    last = max((row.number for row in rows), default=1) or 1

    def x_of(index: int) -> int:
        return round(left + (width - left - right) * index / last)

    def y_of(iou: float) -> int:
        return round(height - bottom - (height - top - bottom) * iou)

    for row in rows:
        if row.truth is not None and row.visible < 0.75:
            shade = round(60 + 60 * (0.75 - row.visible))
            edges = (x_of(row.number), y_of(1.0)), (x_of(row.number + 1), y_of(0.0))
            cv2.rectangle(plot, *edges, (shade, shade, shade), -1)
    for level in (0.0, 0.5, 1.0):
        y = y_of(level)
        cv2.line(plot, (left, y), (width - right, y), (90, 90, 90), 1)
        cv2.putText(
            plot, f"{level:g}", (10, y + 5), cv2.FONT_HERSHEY_SIMPLEX, 0.45, TEXT, 1, cv2.LINE_AA
        )
    judged = [row for row in since_first_box(rows) if not math.isnan(row.iou)]
    for before, after in zip(judged, judged[1:], strict=False):
        start, end = (x_of(before.number), y_of(before.iou)), (x_of(after.number), y_of(after.iou))
        cv2.line(plot, start, end, _grade(after.iou), 2, cv2.LINE_AA)
    text = "overlap (IoU) of every processed image; grey: the target is partly hidden"
    cv2.putText(plot, text, (left, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, TEXT, 1, cv2.LINE_AA)
    return plot


def _grade(iou: float) -> tuple[int, int, int]:
    """Green from an overlap of 0.6 up, red at 0 (BGR); green where there is none to judge."""
    share = 1.0 if math.isnan(iou) else min(iou / 0.6, 1.0)
    bad = STATE_COLOURS[TrackState.LOST]
    blue, green, red = (round(share * g + (1 - share) * b) for g, b in zip(GOOD, bad, strict=True))
    return blue, green, red


def _cells(box: Box | None) -> list[str]:
    return [f"{value:.3f}" for value in box] if box is not None else [""] * 4


def _table(boxes: Sequence[Box | None]) -> np.ndarray:
    return np.array([box.to_ltwh() if box is not None else (math.nan,) * 4 for box in boxes])
