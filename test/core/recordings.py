"""Small recordings, every frame of which tells its number."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np


def numbered_frame(number: int, dtype=np.uint8) -> np.ndarray:
    """A frame that tells its number: 24x32 px of one grey level."""
    scale = 257 if dtype == np.uint16 else 1
    return np.full((24, 32), number * 10 * scale, dtype)


def write_images(folder: Path, count: int, suffix: str = ".png", dtype=np.uint8) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        cv2.imwrite(str(folder / f"{i + 1:04d}{suffix}"), numbered_frame(i, dtype))


def write_video(path: Path, count: int, gop_is_long: bool = True) -> None:
    codec = "mp4v" if gop_is_long else "MJPG"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 25.0, (64, 48))
    rng = np.random.default_rng(0)
    background = cv2.blur(rng.integers(0, 100, (48, 64), dtype=np.uint8), (5, 5))
    for i in range(count):
        frame = background.copy()
        frame[:, : i + 1] = 250  # the frame number is the width of the bright bar
        writer.write(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR))
    writer.release()


def number_of(frame: np.ndarray) -> int:
    gray = frame if frame.ndim == 2 else frame[..., 0]
    return int((gray[24] > 175).sum()) - 1


def write_huge_picture(path: Path) -> None:
    """A PNG of a few bytes that claims a size which OpenCV refuses."""
    header = struct.pack(">IIBBBBB", 1 << 17, 1 << 17, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(9))), (b"IEND", b""))
    parts = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
