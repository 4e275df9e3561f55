"""Lazy frames of picture files and of videos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mlss_core.errors import SequenceError
from mlss_core.sequences.sequence import LazyFrames

_DTYPES = (np.uint8, np.uint16, np.float32)
_GREY_16_BIT = int.from_bytes(b"Y1\x00\x10", "little")  # AV_PIX_FMT_GRAY16LE of FFmpeg
_TINT_OF_GREY = 12  # grey levels by which lossy chroma coding tints a grey video


class ImageFrames(LazyFrames):
    """One picture file a frame."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def _read(self, index: int) -> np.ndarray:
        path = self._paths[index]
        try:
            image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        except cv2.error:  # of a size that OpenCV refuses
            image = None
        if image is None:
            raise SequenceError(f"{path}: expected a picture, got a file that cannot be decoded")
        return raw_frame(image, str(path))


class VideoFrames(LazyFrames):
    """Frames of a video file.

    Going forwards decodes each frame once. Going back seeks; as seeking is not exact for every
    container, the time stamp of the frame it lands on is compared with the one met on the way
    forwards, and where they differ the video is decoded from its start.
    """

    def __init__(self, path: Path) -> None:
        """Open the video and count its frames.

        Raises:
            SequenceError: nothing in it can be decoded.
        """
        self._path = path
        self._times_ms: list[float] = []  # time stamp of every frame met so far
        self._next = 0  # index of the frame that the decoder yields next
        self._capture: cv2.VideoCapture = self._open()
        self._count = self._count_frames()
        if not self._count:
            raise SequenceError(f"{path}: expected a video, got a file without a decodable frame")
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = float(rate) if 0 < rate < 1000 else None  # 1000 and more: the container's clock

    def __len__(self) -> int:
        return self._count

    def __getstate__(self) -> dict[str, Any]:
        """Pickle for worker processes: the path, not the open decoder."""
        return {"path": self._path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(self._path))
        if not capture.isOpened():
            raise SequenceError(f"{self._path}: expected a video, got nothing that can be decoded")
        if int(capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT)) == _GREY_16_BIT:
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)  # else OpenCV keeps the upper 8 bits alone
        self._next = 0
        return capture

    def _count_frames(self) -> int:
        """Take the container's count when its last frame is there, else count by decoding."""
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if count > 0:
            self._capture.set(cv2.CAP_PROP_POS_FRAMES, count - 1)
            last_is_there = self._capture.grab() and not self._capture.grab()
            self._capture = self._open()
            if last_is_there:
                return count
        while self._grab():
            pass
        count = self._next
        self._capture = self._open()
        return count

    def _grab(self) -> bool:
        if not self._capture.grab():
            return False
        if self._next == len(self._times_ms):
            self._times_ms.append(self._capture.get(cv2.CAP_PROP_POS_MSEC))
        self._next += 1
        return True

    def _seek_back(self, index: int) -> bool:
        """Stand right behind frame `index`; False when the decoder cannot prove that it does."""
        if index == 0 or self._times_ms[index] <= self._times_ms[index - 1]:
            return False
        self._capture.set(cv2.CAP_PROP_POS_FRAMES, index)
        if not self._capture.grab():
            return False
        self._next = index + 1
        return self._capture.get(cv2.CAP_PROP_POS_MSEC) == self._times_ms[index]

    def _read(self, index: int) -> np.ndarray:
        if index < self._next - 1 and not self._seek_back(index):
            self._capture = self._open()
        while self._next <= index:
            if not self._grab():
                raise SequenceError(
                    f"{self._path}: expected {self._count} frames, got an end or a broken "
                    f"picture at frame {self._next}; repair or shorten the video"
                )
        decoded, image = self._capture.retrieve()
        if not decoded:
            raise SequenceError(f"{self._path}: frame {index} cannot be decoded")
        frame = raw_frame(image, f"{self._path}, frame {index}")
        if frame.ndim == 3 and _tint(frame) <= _TINT_OF_GREY:
            return cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
        return frame


def _tint(frame: np.ndarray) -> int:
    """Largest difference between the channels, in grey levels, of every fourth pixel."""
    sample = frame[::4, ::4].astype(np.int16)
    return int((sample.max(axis=2) - sample.min(axis=2)).max())


def raw_frame(image: np.ndarray, source: str) -> np.ndarray:
    """Drop what carries nothing: an alpha channel, and colour whose channels are all equal.

    Args:
        image: (H, W), (H, W, 1), (H, W, 3) BGR or (H, W, 4) BGRA as OpenCV decodes it.
        source: where the picture comes from, for the message.

    Returns:
        (H, W) uint8, uint16 or float32, or (H, W, 3) uint8 BGR.

    Raises:
        SequenceError: another type, or colour of more than 8 bits.
    """
    if image.dtype == np.float64:
        image = image.astype(np.float32)
    if image.dtype not in _DTYPES:
        raise SequenceError(
            f"{source}: expected 8-bit, 16-bit or float32 pixels, got {image.dtype}; convert it"
        )
    if image.ndim == 2:
        return image
    blue = image[..., 0]
    colours = image.shape[2] if image.shape[2] != 4 else 3
    if all(np.array_equal(blue, image[..., k]) for k in range(1, colours)):
        return np.ascontiguousarray(blue)
    if colours != 3 or image.dtype != np.uint8:
        raise SequenceError(
            f"{source}: expected grey pixels or 8-bit colour, got {image.shape[2]} channels of "
            f"{image.dtype}; convert it"
        )
    return np.ascontiguousarray(image[..., :3])
