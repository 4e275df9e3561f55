"""sensor_msgs CompressedImage to the raw picture the tracker takes.

Size and wholeness are read from the data before anything is decoded.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage

from mlss_core.errors import FrameError
from mlss_tracker_ros.image_conversion import MAX_FRAME_PIXELS
from mlss_tracker_ros.texts import short

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def frame_from_compressed(message: CompressedImage) -> np.ndarray:
    """Picture of a CompressedImage: png (8 or 16 bit) or jpeg.

    Raises:
        FrameError: empty, truncated or damaged data, another format, or a picture that would take
            more than MAX_FRAME_PIXELS.
    """
    data = memoryview(message.data).cast("B")
    if data[:8] == _PNG_SIGNATURE:
        size = _check_png(data)
    elif data[:2] == b"\xff\xd8":
        size = _check_jpeg(data)
    elif "compressedDepth" in message.format:
        raise FrameError(
            f"expected png or jpeg data, got {short(message.format)!r}: image_transport's packing "
            "of distances, with a header before the picture; use the camera's topic that ends in "
            "/compressed (its format png), or the raw one"
        )
    else:
        raise FrameError(
            f"expected png or jpeg data, got {len(data)} bytes starting {bytes(data[:4]).hex()!r} "
            f"with format {short(message.format)!r}; set the publisher's compressed format to png"
        )
    _check_decoded_size(size)
    frame = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if frame is None:
        raise FrameError(
            f"expected a {size.width}x{size.height} px picture, got data that does not decode; "
            "check the publisher"
        )
    if frame.ndim == 3 and frame.dtype != np.uint8:
        raise FrameError(
            f"expected colour of 8 bits, got {frame.dtype}; publish 16-bit pictures in grey"
        )
    return frame if frame.ndim == 2 else np.ascontiguousarray(frame[..., :3])


def loses_thermal_depth(compressed_format: str) -> bool:
    """Tell whether `format` says that 16-bit grey went through jpeg, which keeps 8 bits at most.

    image_transport scales by 255/65535 then, so a 14-bit scene ends in a handful of grey levels.
    """
    original, _, codec = compressed_format.partition(";")
    return "16" in original and "jpeg" in codec


class _EncodedSize(NamedTuple):
    width: int
    height: int


def _check_decoded_size(size: _EncodedSize) -> None:
    if size.width < 1 or size.height < 1:
        raise FrameError(
            f"expected a picture with pixels, got {size.width}x{size.height} px; "
            "check the publisher"
        )
    if size.width * size.height > MAX_FRAME_PIXELS:
        raise FrameError(
            f"expected at most {MAX_FRAME_PIXELS} pixels once decoded, got {size.width}x"
            f"{size.height} px; scale it down before the tracker"
        )


def _check_png(data: memoryview) -> _EncodedSize:
    """Walk the chunks: OpenCV returns part of a damaged png as if it were the picture."""
    size = None
    at = 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        kind, end = bytes(data[at + 4 : at + 8]), at + 12 + length
        if end > len(data):
            break
        if zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise FrameError(
                "expected a whole png, got one with damaged data; check the publisher"
            )
        if kind == b"IHDR" and length == 13 and size is None:
            width, height = (int.from_bytes(data[at + o : at + o + 4], "big") for o in (8, 12))
            size = _EncodedSize(width, height)
        if kind == b"IEND" and size is not None:
            return size
        at = end
    raise FrameError(
        f"expected a whole png, got {len(data)} bytes that end too early; check the publisher"
    )


def _check_jpeg(data: memoryview) -> _EncodedSize:
    """Walk the segments up to the scan, and look for the end marker."""
    size = None
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and at + 10 <= len(data):
            height, width = (int.from_bytes(data[at + o : at + o + 2], "big") for o in (5, 7))
            size = _EncodedSize(width, height)
        if marker == 0xDA:
            break
        at += 2 + length
    if size is None or b"\xff\xd9" not in bytes(data[-64:]):  # some encoders pad after the end
        raise FrameError(
            f"expected a whole jpeg, got {len(data)} bytes without header or end; "
            "check the publisher"
        )
    return size
