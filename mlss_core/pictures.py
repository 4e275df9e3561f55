"""Pictures and films on disk, whole or refused: OpenCV says nothing when the disk is full."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mlss_core.errors import SequenceError


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write a picture, (H, W) or (H, W, 3) BGR, as a file of the kind that its suffix names.

    Raises:
        SequenceError: the file cannot be written.
    """
    try:
        path.write_bytes(cv2.imencode(path.suffix, picture)[1].tobytes())
    except OSError as error:
        raise SequenceError(
            f"expected to write {path}, got: {error.strerror}; check the folder and its free space"
        ) from error


def check_film(path: Path, frames: int) -> None:
    """Check that a film was written to its end.

    Raises:
        SequenceError: it cannot be read, or holds another number of frames.
    """
    capture = cv2.VideoCapture(str(path))
    held = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    capture.release()
    if held != frames:
        raise SequenceError(
            f"expected {frames} frames in {path}, got {held}; check the folder and its free space"
        )
