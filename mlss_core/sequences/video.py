"""Frames of a video file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import cv2
import numpy as np

from mlss_core.errors import SequenceError
from mlss_core.sequences.images import without_equal_channels

VIDEO_SUFFIXES = {".mp4", ".avi", ".mkv", ".mov", ".m4v", ".webm"}
_GREY_TOLERANCE = 12  # levels by which chroma coding tints a grey video


class VideoFrames(Sequence[np.ndarray]):
    """Frames by number. In order, each is decoded once; a jump back decodes from the start."""

    def __init__(self, path: Path) -> None:
        self.path = path
        capture = self._open()
        self.fps: float | None = capture.get(cv2.CAP_PROP_FPS) or None
        self._count = _count_frames(capture)
        capture.release()
        if self._count == 0:
            raise SequenceError(f"expected frames in {path}, got none; check the video")
        self._capture: Any = None
        self._next = 0
        self._last: np.ndarray | None = None

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> list[np.ndarray]: ...
    def __getitem__(self, index: int | slice) -> np.ndarray | list[np.ndarray]:
        """Decode one frame, or a list of frames.

        Raises:
            SequenceError: the video ends early.
        """
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._count))]
        if not -self._count <= index < self._count:
            raise IndexError(f"frame {index} of {self._count}")
        index %= self._count
        if self._last is not None and index == self._next - 1:
            return self._last.copy()
        if self._capture is None or index < self._next:
            self._capture, self._next = self._open(), 0
        while self._next < index:
            self._capture.grab()
            self._next += 1
        good, picture = self._capture.read()
        if not good:
            raise SequenceError(
                f"expected {self._count} frames in {self.path}, got {index}; check the video"
            )
        self._next += 1
        self._last = _grey_if_grey(picture)
        return self._last.copy()

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the open decoder, for worker processes."""
        return {**self.__dict__, "_capture": None, "_next": 0, "_last": None}

    def _open(self) -> Any:
        capture = cv2.VideoCapture(str(self.path))
        if not capture.isOpened():
            raise SequenceError(
                f"expected a video in {self.path}, got nothing that can be decoded; check the file"
            )
        return capture


def _count_frames(capture: Any) -> int:
    """Decodable frames: containers announce a wrong number often enough."""
    count = 0
    while capture.grab():
        count += 1
    return count


def _grey_if_grey(picture: np.ndarray) -> np.ndarray:
    """Luminance of a video without colour, else the picture."""
    picture = without_equal_channels(picture)
    if picture.ndim == 2:
        return picture
    sample = picture[::4, ::4].astype(np.int16)
    if int((sample.max(axis=2) - sample.min(axis=2)).max()) <= _GREY_TOLERANCE:
        return cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    return picture
