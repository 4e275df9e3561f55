"""Recordings of every usual layout as one type: frames that load when asked for, and boxes."""

from __future__ import annotations

from collections.abc import Sequence as Frames
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlss_core.box import Box
from mlss_core.errors import SequenceError
from mlss_core.sequences.bag import BagFrames, is_bag
from mlss_core.sequences.images import ImageFrames, image_files
from mlss_core.sequences.labels import LABEL_FILES, read_boxes, read_numbers
from mlss_core.sequences.video import VIDEO_SUFFIXES, VideoFrames

__all__ = ["Sequence", "find_sequences", "load_sequence"]

_IMAGE_FOLDERS = ("img", "color", "ir", "infrared", ".")  # OTB, VOT, VOT-RGBT, LasHeR, GOT-10k


@dataclass(frozen=True)
class Sequence:
    """A recording and, where it is labelled, its target."""

    name: str
    frames: Frames[np.ndarray]  # (H, W) uint8, uint16 or float32, or (H, W, 3) uint8 BGR
    ground_truth: np.ndarray | None  # (N, 4) x, y, w, h as in the file: 1-based px; NaN: no label
    fps: float | None = None
    visibility: np.ndarray | None = None  # (N,) visible share of the target, where it is known

    def __len__(self) -> int:
        return len(self.frames)

    def box(self, index: int) -> Box | None:
        """Labelled box of a frame; None where there is none, or no positive size."""
        if self.ground_truth is None:
            return None
        x, y, w, h = (float(value) for value in self.ground_truth[index])
        return Box.from_ltwh(x, y, w, h) if w > 0 and h > 0 and np.isfinite(x + y) else None


def load_sequence(path: str | Path, topic: str | None = None) -> Sequence:
    """Open a sequence without reading its frames.

    Args:
        path: a folder of images (plain, OTB, PTB-TIR, LSOTB-TIR, VOT, GOT-10k), a video, alone or
            with a .txt of boxes beside it, or a rosbag2 (folder, .mcap or .db3).
        topic: image topic of a bag; not needed where it holds only one.

    Raises:
        SequenceError: nothing of that kind is there, or labels and frames do not fit.
    """
    path = Path(path)
    if not path.exists():
        raise SequenceError(f"expected a sequence at {path}, got nothing there; check the path")
    if is_bag(path):
        bag = BagFrames(path, topic)
        return Sequence(path.stem, bag, None, bag.fps)
    if path.is_file():
        return _load_video(path)
    return _load_folder(path)


def find_sequences(root: str | Path) -> list[Path]:
    """Every sequence below `root`, or `root` itself: labelled folders and videos, sorted.

    Image folders without labels count only when `root` is one itself.

    Raises:
        SequenceError: there is none.
    """
    root = Path(root)
    if root.is_file() or is_bag(root):
        return [root]
    folders = {path.parent for name in LABEL_FILES for path in root.rglob(name)}
    videos = {path for path in root.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES}
    videos = {path for path in videos if path.parent not in folders}
    found = sorted(folders | videos)
    if not found and root.is_dir() and _images_of(root):
        found = [root]
    if not found:
        raise SequenceError(
            f"expected labelled image folders or videos below {root}, got none; check the path"
        )
    return found


def _load_video(path: Path) -> Sequence:
    frames = VideoFrames(path)
    labels = path.with_suffix(".txt")
    boxes = read_boxes(labels) if labels.is_file() else None
    _check_count(path, len(frames), boxes)
    return Sequence(path.stem, frames, boxes, frames.fps)


def _load_folder(path: Path) -> Sequence:
    files = _images_of(path)
    if not files:
        raise SequenceError(
            f"expected images in {path} or its folder img, got none; check the path"
        )
    labels = next((path / name for name in LABEL_FILES if (path / name).is_file()), None)
    boxes = read_boxes(labels) if labels is not None else None
    _check_count(path, len(files), boxes)
    visibility = read_numbers(path / "visibility.txt", len(files))
    return Sequence(path.name, ImageFrames(files), boxes, None, visibility)


def _images_of(path: Path) -> list[Path]:
    for name in _IMAGE_FOLDERS:
        files = image_files(path / name)
        if files:
            return files
    return []


def _check_count(path: Path, frames: int, boxes: np.ndarray | None) -> None:
    if boxes is not None and len(boxes) != frames:
        raise SequenceError(
            f"expected one box per frame in {path}, got {frames} frames and {len(boxes)} boxes; "
            "mend the label file or remove it"
        )
