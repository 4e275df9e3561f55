"""Recognise a sequence on disk by its layout and open it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from mlss_core.errors import SequenceError
from mlss_core.sequences.frames import ImageFrames, VideoFrames
from mlss_core.sequences.labels import read_boxes, read_visibility
from mlss_core.sequences.sequence import Sequence

IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".tif", ".tiff", ".webp"}
VIDEO_SUFFIXES = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm"}
BAG_SUFFIXES = {".db3", ".mcap"}
# Where the pictures lie: OTB, PTB-TIR, LSOTB-TIR; VOT-TIR and VOT-RGBT (thermal first); the folder
# itself for GOT-10k, early VOT and plain folders.
_IMAGE_FOLDERS = ("img", "ir", "infrared", "color", ".")
_LABEL_FILES = ("groundtruth_rect.txt", "groundtruth.txt")
_VISIBILITY_FILE = "visibility.txt"
_COVER_FILE, _COVER_WHOLE = "cover.label", 8.0  # GOT-10k: eighths of the target that are visible
_ABSENCE_FILE = "absence.label"  # GOT-10k: 1 where the target is not in the picture


def load_sequence(path: str | Path, topic: str | None = None) -> Sequence:
    """Open a sequence; labels are read now, frames when they are asked for.

    Args:
        path: an OTB, PTB-TIR, LSOTB-TIR, VOT or GOT-10k folder, a plain folder of pictures, a
            video (with the labels of a text file of the same name beside it), or a rosbag2.
        topic: image topic of a rosbag2; needed when it holds several.

    Raises:
        SequenceError: nothing usable there, or labels that do not fit the frames.
    """
    path = Path(path)
    if not path.exists():
        raise SequenceError(
            f"{path}: expected a sequence folder, video or rosbag2, got nothing; check the path"
        )
    if _is_bag(path):
        from mlss_core.sequences.rosbag import BagFrames  # optional dependency

        bag = BagFrames(path, topic)
        return Sequence(sequence_name(path), bag, None, bag.fps)
    if topic is not None:
        raise SequenceError(f"{path}: expected a rosbag2 with topic {topic}, got none; drop topic")
    if path.is_dir():
        return _load_folder(path)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        video = VideoFrames(path)
        labels = path.with_suffix(".txt")
        boxes = _fitting(read_boxes(labels), labels, len(video)) if labels.is_file() else None
        return Sequence(sequence_name(path), video, boxes, video.fps)
    raise SequenceError(
        f"{path}: expected a folder, a video ({' '.join(sorted(VIDEO_SUFFIXES))}) or a rosbag2 "
        f"({' '.join(sorted(BAG_SUFFIXES))}), got {path.suffix or 'a file without suffix'}"
    )


def sequence_name(path: Path) -> str:
    """Name of the sequence at a path: of a file without its ending, of a folder the whole."""
    recording = path.suffix.lower() in VIDEO_SUFFIXES | BAG_SUFFIXES
    return path.stem if recording and not path.is_dir() else path.name


def find_sequences(root: str | Path) -> list[Path]:
    """List every sequence at or below `root`, labelled or not, in natural order.

    A folder that is a sequence is not searched further. Frames and labels are not read here.

    Raises:
        SequenceError: `root` does not exist.
    """
    root = Path(root)
    if not root.exists():
        raise SequenceError(f"{root}: expected a folder of sequences, got nothing; check the path")
    if root.is_file():
        return [root] if root.suffix.lower() in VIDEO_SUFFIXES | BAG_SUFFIXES else []
    if _is_bag(root) or _find_images(root):
        return [root]
    found: list[Path] = []
    for child in sorted(root.iterdir(), key=_natural):
        if not child.name.startswith(".") and child.exists():  # a link may lead nowhere
            found.extend(find_sequences(child))
    return found


def expect_sequences(root: Path) -> list[Path]:
    """As `find_sequences`.

    Raises:
        SequenceError: `root` does not exist, or holds none.
    """
    paths = find_sequences(root)
    if not paths:
        raise SequenceError(
            f"expected sequences below {root}, got none; give a folder that holds "
            "NAME/img + NAME/groundtruth_rect.txt, or NAME.mp4 + NAME.txt"
        )
    return paths


def _load_folder(folder: Path) -> Sequence:
    images = _find_images(folder)
    if not images:
        raise SequenceError(
            f"{folder}: expected pictures in it or in one of {', '.join(_IMAGE_FOLDERS[:-1])}, "
            "got none; name one sequence, not a folder of sequences"
        )
    labels = next((folder / name for name in _LABEL_FILES if (folder / name).is_file()), None)
    boxes = _fitting(read_boxes(labels), labels, len(images)) if labels else None
    visibility = _visibility(folder, len(images))
    return Sequence(folder.resolve().name, ImageFrames(images), boxes, None, visibility)


def _visibility(folder: Path, frames: int) -> np.ndarray | None:
    """Visible part of the target, (frames,) in 0..1; None where no file tells it."""
    visibility = None
    for name, whole in ((_VISIBILITY_FILE, 1.0), (_COVER_FILE, _COVER_WHOLE)):
        if visibility is None and (folder / name).is_file():
            visibility = _fitting(read_visibility(folder / name, whole), folder / name, frames)
    absence = folder / _ABSENCE_FILE
    if not absence.is_file():
        return visibility
    absent = _fitting(read_visibility(absence), absence, frames) == 1
    return np.where(absent, 0.0, 1.0 if visibility is None else visibility)


def _find_images(folder: Path) -> list[Path]:
    for name in _IMAGE_FOLDERS:
        place = folder / name
        if place.is_dir():
            images = [
                path
                for path in place.iterdir()
                if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
            ]
            if images:
                return sorted(images, key=_natural)
    return []


def _is_bag(path: Path) -> bool:
    if path.is_dir():
        return any(child.suffix in BAG_SUFFIXES for child in path.iterdir())
    return path.suffix in BAG_SUFFIXES


def _fitting(rows: np.ndarray, labels: Path, frames: int) -> np.ndarray:
    if len(rows) != frames:
        raise SequenceError(
            f"{labels}: expected {frames} rows, one for each of the {frames} frames, "
            f"got {len(rows)}; add nan rows or remove frames"
        )
    return rows


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """Sort key under which 2.png comes before 10.png."""
    parts = re.findall(r"\d+|\D+", path.name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
