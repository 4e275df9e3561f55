"""Frames in image files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import overload

import cv2
import numpy as np

from mlss_core.errors import SequenceError

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".pgm", ".webp"}


def image_files(folder: Path) -> list[Path]:
    """Image files of a folder by name; empty where it does not exist."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)


def read_image(path: Path) -> np.ndarray:
    """Read a picture at its own depth: (H, W), or (H, W, 3) uint8 BGR where it has colour.

    Raises:
        SequenceError: the file is no picture.
    """
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise SequenceError(f"expected a picture in {path}, got none that can be read; mend it")
    return without_equal_channels(picture)


def without_equal_channels(picture: np.ndarray) -> np.ndarray:
    """(H, W, 1..4) -> (H, W) where all colours are equal, else (H, W, 3)."""
    if picture.ndim == 2:
        return picture
    colour = picture[:, :, :3]
    first = colour[:, :, 0]
    if colour.shape[2] < 3 or (
        np.array_equal(first, colour[:, :, 1]) and np.array_equal(first, colour[:, :, 2])
    ):
        return np.ascontiguousarray(first)
    return np.ascontiguousarray(colour)


class ImageFrames(Sequence[np.ndarray]):
    """Pictures of files, read when indexed."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> ImageFrames: ...
    def __getitem__(self, index: int | slice) -> np.ndarray | ImageFrames:
        """Read one picture; a slice stays lazy.

        Raises:
            SequenceError: the file is no picture.
        """
        if isinstance(index, slice):
            return ImageFrames(self.files[index])
        return read_image(self.files[index])
