"""Messages that lie, by seed: for the fuzz at a live node and for the soak.

Every one can be told from honest input: none of them may start, stop or drop a target named
KEPT_ID, and every picture among them has to be refused.
"""

from __future__ import annotations

import array
import random
import struct
import zlib
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from geometry_msgs.msg import Point
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, ObjectHypothesisWithPose

from mlss_tracker_ros.image_conversion import DIRECT_ENCODINGS

KEPT_ID = "kept"
LONG = 1 << 20  # characters of an absurd string
_OTHER_ENCODINGS = ("", "bayer_rggb8", "bayer_grbg16", "yuv422", "64FC1", "16UC3", "32SC1", "8UC4")
_BAD_NUMBERS = (float("nan"), float("inf"), -float("inf"), 1.8e308, -1e308, 5e-324, -0.0, 2.0**63)
_BAD_SIZES = (0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1)
_PNG = b"\x89PNG\r\n\x1a\n"


def hostile_image(rng: random.Random) -> Image | bytes:
    """An Image whose fields contradict each other, whose pixels are no numbers, or raw bytes."""
    width, height = rng.randint(1, 64), rng.randint(1, 64)
    encoding = rng.choice(DIRECT_ENCODINGS)
    message = Image(header=_header(rng), encoding=encoding, width=width, height=height)
    message.is_bigendian = rng.choice((0, 1, 255))
    message.step = width * 16  # at least what any encoding needs
    message.data = _noise(rng, message.step * height)
    kind = rng.randrange(9)
    if kind == 0:
        message.width, message.height = rng.choice(_BAD_SIZES), rng.choice(_BAD_SIZES[2:])
        message.step, message.data = rng.choice(_BAD_SIZES), array.array("B")
    elif kind == 1:
        message.step = rng.choice((0, 1, message.step - 1, message.step + 1, 2**32 - 1))
        if message.step == 0:
            message.data = array.array("B")
    elif kind == 2:
        del message.data[rng.randrange(len(message.data)) :]
    elif kind == 3:
        message.data.extend(_noise(rng, rng.randint(1, 5000)))
    elif kind == 4:
        message.encoding = _text(rng)
    elif kind == 5:
        message.encoding = rng.choice(_OTHER_ENCODINGS)
        message.step = rng.randint(0, 9)
    elif kind == 6:
        message.encoding, message.step, message.is_bigendian = "32FC1", 4 * width, 0
        message.data = array.array("B", struct.pack("<f", float("nan")) * (width * height))
    elif kind == 7:  # under the smallest side
        message.encoding, message.width, message.height, message.step = "mono8", 15, 15, 15
        message.data = _noise(rng, 225)
    else:
        return _broken_bytes(rng, message)
    return message


def hostile_compressed(rng: random.Random) -> CompressedImage | bytes:
    """A CompressedImage that is cut off, damaged, a decompression bomb, foreign, or raw bytes."""
    message = CompressedImage(header=_header(rng), format=rng.choice(("png", "jpeg", _text(rng))))
    suffix = rng.choice((".png", ".jpg"))
    picture = np.frombuffer(_noise(rng, 48 * 64), np.uint8).reshape(48, 64)
    whole = cv2.imencode(suffix, picture)[1].tobytes()
    kind = rng.randrange(7)
    if kind == 0:
        data = whole[: rng.randrange(len(whole) - 2)]
    elif kind == 1:
        data = bytearray(whole)
        start = 8 if suffix == ".png" else 2
        for _ in range(rng.randint(1, 40)):
            at = rng.randrange(start, min(len(data), 200))
            data[at] ^= rng.randint(1, 255)
        data = bytes(data[:-2])  # a flipped bit alone may leave a jpeg whole
    elif kind == 2:
        data = png_bomb(rng.choice((2**31 - 1, 100_000, 30_000, 6_000)), rng.choice((0, 2, 3, 6)))
    elif kind == 3:
        data = _jpeg_of_size(rng.choice((65535, 60_000, 30_000)))
    elif kind == 4:
        data = bytes(_noise(rng, rng.randint(0, 3000)))
    elif kind == 5:  # other formats that OpenCV would read
        data = rng.choice((b"BM", b"II*\x00", b"P5 99999 99999 255\n", b"GIF89a", b"#?RADIANCE\n"))
        data += bytes(_noise(rng, 200))
    else:
        message.data = array.array("B", whole)
        return _broken_bytes(rng, message)
    message.data = array.array("B", data)
    return message


def hostile_box(rng: random.Random) -> Detection2D | bytes:
    """A Detection2D that no box can be read from."""
    message = Detection2D(header=_header(rng), id=f"box {rng.randrange(10)}")
    message.results = [ObjectHypothesisWithPose() for _ in range(rng.choice((0, 1, 200)))]
    center = message.bbox.center
    center.position.x, center.position.y = 40.0, 30.0
    message.bbox.size_x = message.bbox.size_y = 20.0
    kind = rng.randrange(6)
    if kind == 0:
        center.position.x, center.position.y = (rng.choice(_BAD_NUMBERS[:5]) for _ in range(2))
    elif kind == 1:
        message.bbox.size_x = rng.choice(_BAD_NUMBERS[:5])
        message.bbox.size_y = rng.choice(_BAD_NUMBERS)
    elif kind == 2:
        sizes = rng.choice(((0.0, 5.0), (-4.0, 4.0), (1e9, 9.0)))
        message.bbox.size_x, message.bbox.size_y = sizes
    elif kind == 3:
        center.theta = rng.choice((*_BAD_NUMBERS[:5], 1.0))
    elif kind == 4:
        message.id = _text(rng) + "x" * 65
    else:
        return _broken_bytes(rng, message)
    return message


def hostile_roi(rng: random.Random) -> RegionOfInterest | bytes:
    """A RegionOfInterest outside of every picture, or without area."""
    message = RegionOfInterest(x_offset=2**31, y_offset=rng.choice(_BAD_SIZES))
    message.width, message.height = rng.choice(_BAD_SIZES), rng.choice(_BAD_SIZES)
    return message if rng.random() < 0.8 else _broken_bytes(rng, message)


def hostile_point(rng: random.Random) -> Point | bytes:
    """A clicked corner that is nowhere."""
    x, y, z = (rng.choice(_BAD_NUMBERS[:5]) for _ in range(3))
    message = Point(x=x, y=y, z=z)
    return message if rng.random() < 0.8 else _broken_bytes(rng, message)


MAKERS: dict[type, Callable[[random.Random], Any]] = {
    Image: hostile_image,
    CompressedImage: hostile_compressed,
    Detection2D: hostile_box,
    RegionOfInterest: hostile_roi,
    Point: hostile_point,
}


def png_bomb(side: int, colour: int = 0) -> bytes:
    """A png whose header is right, and whose data unpacks to far more than it takes."""
    header = struct.pack(">IIBBBBB", side, side, 8, colour, 0, 0, 0)
    zeros = zlib.compress(bytes(1 << 20), 9)
    chunks = [(b"IHDR", header)]
    if colour == 3:
        chunks.append((b"PLTE", bytes(3)))
    chunks += [(b"zTXt", b"t\0\0" + zlib.compress(bytes(8 << 20), 9)), (b"IDAT", zeros)]
    return _PNG + b"".join(_png_chunk(*chunk) for chunk in [*chunks, (b"IEND", b"")])


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def _jpeg_of_size(side: int) -> bytes:
    """A small jpeg whose frame header claims `side` x `side` px."""
    whole = bytearray(cv2.imencode(".jpg", np.zeros((16, 16), np.uint8))[1].tobytes())
    at = whole.index(b"\xff\xc0")
    whole[at + 5 : at + 9] = struct.pack(">HH", side, side)
    return bytes(whole)


def _broken_bytes(rng: random.Random, message: object) -> bytes:
    """The serialised message cut off, with a lying length, or with wild bytes in it."""
    whole = bytearray(serialize_message(message))
    kind = rng.randrange(4)
    if kind == 0:
        return bytes(whole[: rng.randrange(4, max(5, min(len(whole), 120)))])
    if kind == 1:  # every length before the data: frame id, encoding, sequence
        for at in range(12, min(len(whole) - 4, 80), 4):
            if rng.random() < 0.3:
                whole[at : at + 4] = struct.pack("<I", rng.choice(_BAD_SIZES))
        return bytes(whole[: max(16, len(whole) // 2)])
    if kind == 2:
        for at in range(4, min(len(whole), 60)):
            if rng.random() < 0.5:
                whole[at] = rng.randrange(128, 256)  # no UTF-8 either
        return bytes(whole[: max(16, len(whole) - 9)])
    return bytes(whole[:4]) + bytes(_noise(rng, rng.randint(0, len(whole) - 4)))


def _header(rng: random.Random) -> Header:
    header = Header(frame_id=_text(rng) if rng.random() < 0.2 else "thermal")
    header.stamp.sec = rng.choice((0, 1, -1, -(2**31), 2**31 - 1, rng.randrange(2**31)))
    header.stamp.nanosec = rng.choice((0, 1, 999_999_999, 10**9, 2**32 - 1))
    return header


def _text(rng: random.Random) -> str:
    wild = ("\x1b[2J\x07", "a\nb: error", "%s%n{0}", "\u202e\U0001f525" * 40, "../../etc")
    return rng.choice(("", "x" * LONG, *wild))


def _noise(rng: random.Random, length: int) -> array.array[int]:
    return array.array("B", rng.randbytes(length))
