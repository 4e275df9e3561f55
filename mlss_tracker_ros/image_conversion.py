"""sensor_msgs Image to the raw picture the tracker takes, and back.

Pictures are (H, W) uint8, uint16 or float32, or (H, W, 3) uint8 in BGR order. A plain Image is
viewed, not copied, wherever its bytes already are such a picture; the view keeps the message's
data alive. Nothing is allocated by a size that a message claims before its data matches it.
"""

from __future__ import annotations

import array
import importlib.util
import math
import re
import sys
import types
from typing import Any, NamedTuple

import cv2
import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from mlss_core.errors import FrameError
from mlss_tracker_ros.texts import short

MAX_FRAME_PIXELS = 4 << 20
"""Most pixels accepted, 2048 x 2048; thermal cameras end at 1920 x 1536. Normalising a picture
takes up to 20 bytes a pixel for a moment, and a hostile one may not cost 100 MB."""


class _Layout(NamedTuple):
    dtype: np.dtype
    channels: int
    to_bgr: int | None  # OpenCV colour conversion of the channels, None where none is needed


_LAYOUTS = {
    "mono8": _Layout(np.dtype("u1"), 1, None),
    "8UC1": _Layout(np.dtype("u1"), 1, None),
    "mono16": _Layout(np.dtype("u2"), 1, None),
    "16UC1": _Layout(np.dtype("u2"), 1, None),
    "32FC1": _Layout(np.dtype("f4"), 1, None),
    "bgr8": _Layout(np.dtype("u1"), 3, None),
    "8UC3": _Layout(np.dtype("u1"), 3, None),
    "rgb8": _Layout(np.dtype("u1"), 3, cv2.COLOR_RGB2BGR),
    "bgra8": _Layout(np.dtype("u1"), 4, cv2.COLOR_BGRA2BGR),
    "rgba8": _Layout(np.dtype("u1"), 4, cv2.COLOR_RGBA2BGR),
}
DIRECT_ENCODINGS = tuple(_LAYOUTS)
"""Encodings read without cv_bridge."""

_ENCODING = {  # of a picture's type and what follows height and width in its shape
    (np.dtype("u1"), ()): "mono8",
    (np.dtype("u2"), ()): "mono16",
    (np.dtype("f4"), ()): "32FC1",
    (np.dtype("u1"), (3,)): "bgr8",
}


def frame_from_image(message: Image) -> np.ndarray:
    """Picture of an Image: (H, W) uint8, uint16, float32 or (H, W, 3) uint8 BGR.

    Raises:
        FrameError: no pixels, a step or data length that does not fit, more than
            MAX_FRAME_PIXELS, or an encoding that neither this module nor cv_bridge reads.
    """
    layout = _LAYOUTS.get(message.encoding)
    row_bytes = message.width * (layout.channels * layout.dtype.itemsize if layout else 1)
    _check_size(message, row_bytes)
    if layout is None:
        return _frame_from_other_encoding(message)
    shape: tuple[int, ...] = (message.height, message.width)
    strides: tuple[int, ...] = (message.step, layout.dtype.itemsize * layout.channels)
    if layout.channels > 1:
        shape, strides = (*shape, layout.channels), (*strides, layout.dtype.itemsize)
    stored = layout.dtype.newbyteorder(">" if message.is_bigendian else "<")
    frame = np.ndarray(shape, stored, memoryview(message.data), strides=strides)
    if layout.to_bgr is not None:
        return cv2.cvtColor(frame, layout.to_bgr)
    aligned = message.step % layout.dtype.itemsize == 0
    native = frame.dtype == layout.dtype
    return frame if aligned and native else np.ascontiguousarray(frame, layout.dtype)


def image_from_frame(frame: np.ndarray, header: Header) -> Image:
    """Image of a picture in the encoding of its type, with `header` as it is.

    Args:
        frame: (H, W) uint8 (mono8), uint16 (mono16) or float32 (32FC1), or (H, W, 3) uint8 BGR
            (bgr8).
        header: stamp and frame id of the message.

    Raises:
        FrameError: another shape or type.
    """
    encoding = _ENCODING.get((frame.dtype, frame.shape[2:]))
    if encoding is None or frame.ndim < 2:
        raise FrameError(
            "expected a grey picture of uint8, uint16 or float32 or a BGR one of uint8, got "
            f"{frame.dtype} of shape {frame.shape}; convert it first"
        )
    message = Image(header=header, encoding=encoding)
    message.height, message.width = frame.shape[:2]
    message.step = frame.itemsize * math.prod(frame.shape[1:])
    message.is_bigendian = int(sys.byteorder == "big")
    message.data = byte_array(frame)
    return message


def byte_array(values: np.ndarray) -> array.array[int]:
    """Bytes of an array as the type that messages take as it is.

    rclpy checks anything else element by element: 39 ms for 640x512 px of 16 bit.
    """
    data = array.array("B")
    data.frombytes(values.tobytes())
    return data


def _check_size(message: Image, row_bytes: int) -> None:
    described = f"{short(message.encoding)!r} image of {message.width}x{message.height} px"
    if message.width == 0 or message.height == 0:
        raise FrameError(
            f"expected an image with pixels, got an {described}; check the camera driver"
        )
    if message.step < row_bytes:
        raise FrameError(
            f"expected a step of at least {row_bytes} bytes, got {message.step} for an "
            f"{described}; check the camera driver"
        )
    if len(message.data) != message.step * message.height:
        raise FrameError(
            f"expected {message.step * message.height} bytes (step x height), got "
            f"{len(message.data)} for an {described}; check the camera driver"
        )
    if message.width * message.height > MAX_FRAME_PIXELS:
        raise FrameError(
            f"expected at most {MAX_FRAME_PIXELS} pixels, got an {described}; "
            "scale it down before the tracker"
        )


def _frame_from_other_encoding(message: Image) -> np.ndarray:
    """Bayer, YUV and the like through cv_bridge, or rosbags-image where that is what there is."""
    wanted = "mono16" if "16" in message.encoding else "bgr8"
    if re.fullmatch(r"(8|16|32|64)[USF](C\d{1,3})?", message.encoding):  # no colours
        raise FrameError(
            f"expected encoding {', '.join(DIRECT_ENCODINGS)}, or a colour, got "
            f"{message.encoding!r}, whose numbers have no meaning here; publish them as 32FC1"
        )
    try:
        if importlib.util.find_spec("cv_bridge"):
            from cv_bridge import CvBridge

            frame = CvBridge().imgmsg_to_cv2(message, wanted)
        elif importlib.util.find_spec("rosbags") and importlib.util.find_spec("rosbags.image"):
            from rosbags.image import image_to_cvimage

            plain: Any = types.SimpleNamespace(
                width=message.width,
                height=message.height,
                step=message.step,
                encoding=message.encoding,
                is_bigendian=message.is_bigendian,
                data=np.frombuffer(message.data, np.uint8),
            )
            if image_to_cvimage(plain).nbytes != len(message.data):  # it ignores the step
                raise FrameError(
                    f"expected {short(message.encoding)!r} rows without padding, got step "
                    f"{message.step}; install cv_bridge or pack the rows"
                )
            frame = image_to_cvimage(plain, wanted)
        else:
            raise FrameError(
                f"expected encoding {', '.join(DIRECT_ENCODINGS)}, got "
                f"{short(message.encoding)!r}; install "
                "cv_bridge or set the camera to one of these"
            )
    except FrameError:
        raise
    except Exception as error:  # foreign code: each version raises its own types
        raise FrameError(
            f"expected encoding {', '.join(DIRECT_ENCODINGS)} or one that cv_bridge converts, "
            f"got {short(message.encoding)!r} ({' '.join(str(error).split())[:200]}); "
            "set the camera to one"
        ) from error
    return np.ascontiguousarray(frame)
