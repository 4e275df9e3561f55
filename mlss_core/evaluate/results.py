"""Runs on disk: one `SEQUENCE.txt` of x,y,w,h rows per tracker and sequence, which any tool reads.

Beside our own rows lies `SEQUENCE.json`: how the run was made (`key`, compared on resuming), its
scores per frame, its speed, or why it failed. It is written last, so a run without it is not
finished. Folders of other tools hold the text files alone.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mlss_core.errors import SequenceError
from mlss_core.evaluate.metrics import Array


@dataclass(frozen=True)
class RunInfo:
    """The side file of one run."""

    key: dict[str, str]  # what the result depends on; another key: run again
    status: str  # "done" or "failed"
    error: str = ""  # one line, when failed
    fps: float | None = None  # frames per second of update() alone, decoding left out
    scores: tuple[float, ...] = ()  # confidence per row of the text file


@dataclass(frozen=True)
class Run:
    """One tracker on one sequence, frame by frame of the whole sequence."""

    boxes: Array  # (N, 4) x, y, w, h, 1-based; NaN rows before the start and without a box
    scores: Array | None  # (N,) 0..1, None from other tools
    fps: float | None


def save_boxes(path: Path, boxes: Array) -> None:
    """Write (N, 4) rows `x,y,w,h` with 1e-3 px, `nan,nan,nan,nan` where there is no box."""
    lines = (",".join(f"{value:.3f}" for value in row) for row in boxes)
    _write(path, "\n".join(lines) + "\n")


def load_boxes(path: Path) -> Array:
    """Read rows of four numbers separated by commas, blanks or tabs -> (N, 4).

    Raises:
        SequenceError: it is no text, or a row does not hold four numbers.
    """
    rows = []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise SequenceError(
            f"expected rows x,y,w,h in {path}, got a file that is no text; export the results as "
            "text"
        ) from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        fields = line.replace(",", " ").replace(";", " ").split()
        try:
            row = [float(field) for field in fields]
        except ValueError:
            row = []
        if len(row) != 4:
            raise SequenceError(
                f"expected four numbers x,y,w,h in {path} line {number}, got {line.strip()!r}; "
                "export the results as text"
            )
        rows.append(row)
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def save_run(folder: Path, sequence: str, boxes: Array | None, info: RunInfo) -> None:
    """Write the rows (if any) and then the side file, each in one atomic step."""
    folder.mkdir(parents=True, exist_ok=True)
    if boxes is not None:
        save_boxes(folder / f"{sequence}.txt", boxes)
    _write(folder / f"{sequence}.json", json.dumps(asdict(info), indent=1) + "\n")


def load_info(folder: Path, sequence: str) -> RunInfo | None:
    """Read the side file; None when there is none or it cannot be read as one."""
    try:
        return RunInfo(**json.loads((folder / f"{sequence}.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def load_run(folder: Path, sequence: str, frames: int, start: int) -> Run:
    """Load the run of `sequence` and line it up with its frames.

    Args:
        folder: results of one tracker, ours or another tool's.
        sequence: name of the text file without its ending.
        frames: frames of the sequence.
        start: first labelled frame; a file may hold the rows from there on alone.

    Raises:
        SequenceError: there is no file, or its count of rows fits neither.
    """
    path = folder / f"{sequence}.txt"
    if not path.is_file():
        raise SequenceError(f"expected a results file {path}, got none; run that tracker on it")
    boxes = load_boxes(path)
    if len(boxes) == frames - start and start > 0:
        boxes = np.vstack([np.full((start, 4), np.nan), boxes])
    if len(boxes) != frames:
        raise SequenceError(
            f"expected {frames} rows in {path}, one per frame, got {len(boxes)}; "
            "export one row per frame"
        )
    info = load_info(folder, sequence)
    if info is None:
        return Run(boxes, None, None)
    scores = np.asarray(info.scores, dtype=np.float64)
    return Run(boxes, scores if len(scores) == frames else None, info.fps)


def digest(content: bytes) -> str:
    """Short fingerprint of what a result depends on."""
    return hashlib.sha256(content).hexdigest()[:16]


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text)
    partial.replace(path)
