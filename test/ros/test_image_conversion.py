"""Image messages to pictures and back: every encoding, padding, byte order and lie."""

import array
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from mlss_core.errors import FrameError
from mlss_tracker_ros.image_conversion import (
    DIRECT_ENCODINGS,
    MAX_FRAME_PIXELS,
    frame_from_image,
    image_from_frame,
)

# encoding -> bytes of a channel, struct letter, positions of blue, green, red (None: grey)
WIRE = {
    "mono8": (1, "B", None),
    "8UC1": (1, "B", None),
    "mono16": (2, "H", None),
    "16UC1": (2, "H", None),
    "32FC1": (4, "f", None),
    "bgr8": (1, "B", (0, 1, 2)),
    "8UC3": (1, "B", (0, 1, 2)),
    "rgb8": (1, "B", (2, 1, 0)),
    "bgra8": (1, "B", (0, 1, 2)),
    "rgba8": (1, "B", (2, 1, 0)),
}
CHANNELS = {"bgr8": 3, "8UC3": 3, "rgb8": 3, "bgra8": 4, "rgba8": 4}


def pixel_by_pixel(message: Image) -> np.ndarray:
    """Slow reading of an image straight from the words of sensor_msgs/Image."""
    size, letter, colours = WIRE[message.encoding]
    order = ">" if message.is_bigendian else "<"
    channels = CHANNELS.get(message.encoding, 1)
    data = bytes(message.data)
    rows = []
    for y in range(message.height):
        row = []
        for x in range(message.width):
            at = y * message.step + x * channels * size
            values = struct.unpack_from(f"{order}{channels}{letter}", data, at)
            row.append([values[c] for c in colours] if colours else values[0])
        rows.append(row)
    return np.array(rows)


@st.composite
def image_messages(draw):
    encoding = draw(st.sampled_from(DIRECT_ENCODINGS))
    size, letter, _ = WIRE[encoding]
    width, height = draw(st.integers(1, 9)), draw(st.integers(1, 6))
    padding = draw(st.integers(0, 5))
    message = Image(width=width, height=height, encoding=encoding)
    message.is_bigendian = draw(st.integers(0, 1))
    message.step = width * size * CHANNELS.get(encoding, 1) + padding
    if letter == "f":  # padded rows of ordinary numbers
        numbers = draw(
            st.lists(
                st.floats(-1e3, 1e3, width=32), min_size=width * height, max_size=width * height
            )
        )
        order = ">" if message.is_bigendian else "<"
        rows = [
            struct.pack(f"{order}{width}f", *numbers[y * width : (y + 1) * width])
            + b"\xff" * padding
            for y in range(height)
        ]
        message.data = array.array("B", b"".join(rows))
    else:
        length = message.step * height
        message.data = array.array("B", draw(st.binary(min_size=length, max_size=length)))
    return message


@settings(max_examples=150, deadline=None)
@given(image_messages())
def test_every_encoding_step_and_byte_order_reads_as_the_message_definition_says(message):
    frame = frame_from_image(message)
    np.testing.assert_array_equal(frame, pixel_by_pixel(message))
    assert frame.dtype.isnative
    assert frame.dtype in (np.uint8, np.uint16, np.float32)


@pytest.mark.parametrize("encoding", ["mono8", "8UC1", "mono16", "16UC1", "32FC1", "bgr8"])
def test_matching_images_are_viewed_not_copied(encoding):
    size, channels = WIRE[encoding][0], CHANNELS.get(encoding, 1)
    message = Image(width=8, height=4, encoding=encoding, step=8 * size * channels)
    message.data = array.array("B", bytes(message.step * 4))
    frame = frame_from_image(message)
    message.data[0] = 7
    assert frame.view(np.uint8).reshape(-1)[0] == 7


@pytest.mark.parametrize(
    ("dtype", "encoding"), [("u1", "mono8"), ("u2", "mono16"), ("f4", "32FC1")]
)
def test_a_picture_survives_the_way_there_and_back(dtype, encoding):
    frame = (np.arange(35).reshape(5, 7) * 7).astype(dtype)
    header = Header(frame_id="thermal")
    message = image_from_frame(frame, header)
    assert (message.encoding, message.height, message.width) == (encoding, 5, 7)
    assert message.header == header
    np.testing.assert_array_equal(frame_from_image(message), frame)


def test_a_colour_picture_becomes_bgr8_even_from_a_strided_view():
    frame = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)[::-1, :, ::-1]
    message = image_from_frame(frame, Header())
    assert message.encoding == "bgr8"
    np.testing.assert_array_equal(frame_from_image(message), frame)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((4, 4), "f8"), ((4, 4), ">u2"), ((4, 4, 2), "u1"), ((4, 4, 3), "u2"), ((4,), "u1")],
)
def test_a_picture_that_no_encoding_fits_is_refused(shape, dtype):
    with pytest.raises(FrameError, match="expected a grey picture"):
        image_from_frame(np.zeros(shape, dtype), Header())


def lying_image(**changes) -> Image:
    message = Image(width=16, height=8, encoding="mono16", step=32)
    message.data = array.array("B", bytes(32 * 8))
    for name, value in changes.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"width": 0}, "with pixels"),
        ({"height": 0, "data": array.array("B")}, "with pixels"),
        ({"data": array.array("B")}, r"expected 256 bytes .* got 0"),
        ({"data": array.array("B", bytes(255))}, r"expected 256 bytes .* got 255"),
        ({"data": array.array("B", bytes(300))}, r"expected 256 bytes .* got 300"),
        ({"step": 0}, "step of at least 32"),
        ({"step": 31}, "step of at least 32"),
        ({"step": 33}, "expected 264 bytes"),
        ({"encoding": "mono8", "step": 16}, "expected 128 bytes"),
        ({"encoding": "thermal14"}, "expected encoding mono8.*got 'thermal14'"),
        ({"encoding": ""}, "expected encoding"),
        ({"encoding": "x" * 10_000}, "expected encoding"),
        ({"encoding": "64FC1", "step": 128, "data": array.array("B", bytes(1024))}, "encoding"),
    ],
)
def test_an_image_that_lies_is_refused_with_the_reason(changes, reason):
    with pytest.raises(FrameError, match=reason):
        frame_from_image(lying_image(**changes))


@pytest.mark.parametrize("encoding", ["mono8", "32FC1", "bayer_rggb8", "yuv422"])
def test_absurd_sizes_are_refused_without_allocating(encoding, memory_within):
    huge = Image(width=2**31, height=2**31, step=2**32 - 1, encoding=encoding)
    with memory_within(20_000):
        for height in (2**31, 2**32 - 1, 1):
            huge.height = height
            with pytest.raises(FrameError):
                frame_from_image(huge)


def test_a_frame_over_the_limit_is_refused():
    width, height = 8192, MAX_FRAME_PIXELS // 8192 + 1
    message = Image(width=width, height=height, step=width, encoding="mono8")
    message.data = array.array("B", bytes(message.step * message.height))
    with pytest.raises(FrameError, match="at most 4194304 pixels"):
        frame_from_image(message)


@pytest.mark.parametrize(("encoding", "pixel_bytes"), [("16SC1", 2), ("32FC3", 12)])
def test_numbers_that_a_converter_would_wrap_around_are_refused(encoding, pixel_bytes):
    step = 16 * pixel_bytes
    message = Image(width=16, height=8, encoding=encoding, step=step)
    message.data = array.array("B", b"\xff" * (8 * step))  # -1 is not the hottest of all
    with pytest.raises(FrameError, match=f"got '{encoding}'.*32FC1"):
        frame_from_image(message)


def test_yuv_is_converted_to_colour_where_a_converter_is_installed():
    pytest.importorskip("rosbags.image")
    message = Image(width=16, height=8, encoding="yuv422", step=32)
    message.data = array.array("B", bytes([128, 200]) * (16 * 8))  # grey: u = v = 128
    frame = frame_from_image(message)
    assert frame.shape == (8, 16, 3)
    assert np.ptp(frame) == 0
