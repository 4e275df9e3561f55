"""Compressed images to pictures: whole, damaged, cut short, too large and of other kinds."""

import array
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import CompressedImage

from mlss_core.errors import FrameError
from mlss_tracker_ros.compressed_images import frame_from_compressed, loses_thermal_depth


def png_of(frame: np.ndarray) -> CompressedImage:
    message = CompressedImage(format="mono16; png compressed ")
    message.data = array.array("B", cv2.imencode(".png", frame)[1].tobytes())
    return message


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_keeps_every_bit(dtype):
    rng = np.random.default_rng(0)
    frame = rng.integers(0, np.iinfo(dtype).max, (40, 50), dtype)
    decoded = frame_from_compressed(png_of(frame))
    assert decoded.dtype == dtype
    np.testing.assert_array_equal(decoded, frame)


def test_png_with_alpha_loses_the_alpha_and_jpeg_is_read():
    colour = np.random.default_rng(0).integers(0, 255, (24, 32, 4), np.uint8)
    np.testing.assert_array_equal(frame_from_compressed(png_of(colour)), colour[..., :3])
    grey = np.full((24, 32), 90, np.uint8)
    message = CompressedImage(format="mono8; jpeg compressed mono8")
    message.data = array.array("B", cv2.imencode(".jpg", grey)[1].tobytes())
    assert abs(int(frame_from_compressed(message)[5, 5]) - 90) <= 2


@pytest.mark.parametrize("extension", [".png", ".jpg"])
def test_every_truncation_of_a_compressed_picture_is_refused(extension):
    frame = np.random.default_rng(0).integers(0, 255, (20, 20), np.uint8)
    whole = cv2.imencode(extension, frame)[1].tobytes()
    for length in range(len(whole) - 1):
        message = CompressedImage(format="mono8; png compressed ")
        message.data = array.array("B", whole[:length])
        with pytest.raises(FrameError):
            frame_from_compressed(message)


def test_a_flipped_bit_in_a_png_is_noticed():
    data = bytearray(cv2.imencode(".png", np.arange(4096, dtype=np.uint16).reshape(64, 64))[1])
    data[len(data) // 2] ^= 1
    message = CompressedImage(format="png", data=array.array("B", data))
    with pytest.raises(FrameError, match="damaged"):
        frame_from_compressed(message)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_a_decompression_bomb_is_refused_by_its_header(memory_within):
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 16, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    bomb += chunk(b"IDAT", zlib.compress(bytes(10_000_000), 9)) + chunk(b"IEND", b"")
    message = CompressedImage(format="png", data=array.array("B", bomb))
    with memory_within(20_000), pytest.raises(FrameError, match="at most 4194304 pixels once"):
        frame_from_compressed(message)


@pytest.mark.parametrize("data", [b"", b"\x00" * 40, b"GIF89a" + bytes(40), b"\xff\xd8\xff\xd9"])
def test_other_data_than_png_or_jpeg_is_refused(data):
    message = CompressedImage(format="mono16; png compressed ", data=array.array("B", data))
    with pytest.raises(FrameError, match="expected"):
        frame_from_compressed(message)


def test_depth_packing_is_named_together_with_the_topic_to_use():
    png = bytes(png_of(np.full((40, 50), 3000, np.uint16)).data)
    data = array.array("B", bytes(12) + png)  # as compressed_depth_image_transport sends it
    with pytest.raises(FrameError, match="compressedDepth png.*distances.*/compressed") as refusal:
        frame_from_compressed(CompressedImage(format="16UC1; compressedDepth png", data=data))
    assert "set the publisher's" not in str(refusal.value)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b""]))
def test_random_bytes_are_refused_and_nothing_else_is_raised(noise, start):
    message = CompressedImage(format="jpeg", data=array.array("B", start + noise))
    with pytest.raises(FrameError):
        frame_from_compressed(message)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mono16; jpeg compressed mono8", True),
        ("16UC1; jpeg compressed ", True),
        ("mono16; png compressed ", False),
        ("bgr8; jpeg compressed bgr8", False),
        ("jpeg", False),
    ],
)
def test_16_bit_grey_squeezed_through_jpeg_is_recognised(text, expected):
    assert loses_thermal_depth(text) is expected
