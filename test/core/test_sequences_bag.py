"""Image topics of rosbags as sequences."""

import pickle
import sys

import cv2
import numpy as np
import pytest
from bags import image_fields, write_bag

from mlss_core.errors import SequenceError
from mlss_core.sequences import find_sequences, load_sequence


def ramp(number: int, dtype) -> np.ndarray:
    return (np.arange(6 * 8).reshape(6, 8) * 5 + number).astype(dtype)


@pytest.mark.parametrize("storage", ["MCAP", "SQLITE3"])
def test_bag_gives_the_same_frames_forwards_and_at_random(tmp_path, storage):
    messages = [image_fields(ramp(i * 100, np.uint16), "mono16") for i in range(12)]
    write_bag(tmp_path / "bag", {"/image_raw": ("Image", messages)}, storage)
    sequence = load_sequence(tmp_path / "bag")
    assert len(sequence) == 12
    assert sequence.fps == pytest.approx(25.0)
    assert sequence.ground_truth is None
    for i in (*range(12), 3, 11, 0, 7, 7, 6):
        np.testing.assert_array_equal(sequence.frames[i], ramp(i * 100, np.uint16))
    again = pickle.loads(pickle.dumps(sequence))
    np.testing.assert_array_equal(again.frames[5], ramp(500, np.uint16))
    assert find_sequences(tmp_path) == [tmp_path / "bag"]


@pytest.mark.parametrize(
    ("encoding", "dtype", "padding", "big"),
    [
        ("mono8", np.uint8, 0, False),
        ("8UC1", np.uint8, 3, False),
        ("mono16", np.uint16, 4, True),
        ("16UC1", np.uint16, 0, False),
        ("32FC1", np.float32, 8, False),
    ],
)
def test_bag_reads_every_grey_encoding_with_its_step_and_byte_order(
    tmp_path, encoding, dtype, padding, big
):
    pixels = ramp(3, dtype)
    fields = image_fields(pixels, encoding, padding, big)
    write_bag(tmp_path / "bag", {"/thermal": ("Image", [fields])})
    frame = load_sequence(tmp_path / "bag").frames[0]
    assert frame.dtype == dtype
    np.testing.assert_array_equal(frame, pixels)


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8"])
def test_bag_reads_false_colour_as_bgr(tmp_path, encoding):
    bgr = np.random.default_rng(1).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    pixels = bgr[..., ::-1] if encoding.startswith("rgb") else bgr
    if "a8" in encoding:
        pixels = np.dstack([pixels, np.full((6, 8), 255, np.uint8)])
    write_bag(tmp_path / "bag", {"/thermal": ("Image", [image_fields(pixels, encoding)])})
    np.testing.assert_array_equal(load_sequence(tmp_path / "bag").frames[0], bgr)


def test_bag_reads_compressed_sixteen_bit_pictures(tmp_path):
    pixels = ramp(7, np.uint16)
    data = cv2.imencode(".png", pixels)[1].reshape(-1)
    fields = {"format": "mono16; png compressed ", "data": data}
    write_bag(tmp_path / "bag", {"/image_raw/compressed": ("CompressedImage", [fields])})
    np.testing.assert_array_equal(load_sequence(tmp_path / "bag").frames[0], pixels)


def test_bag_with_several_image_topics_asks_for_one(tmp_path):
    fields = [image_fields(ramp(1, np.uint8), "mono8")]
    write_bag(tmp_path / "bag", {"/a": ("Image", fields), "/b": ("Image", fields * 2)})
    with pytest.raises(SequenceError, match="expected one image topic, got /a, /b"):
        load_sequence(tmp_path / "bag")
    with pytest.raises(SequenceError, match="expected topic /c, got /a, /b"):
        load_sequence(tmp_path / "bag", topic="/c")
    assert len(load_sequence(tmp_path / "bag", topic="/b")) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoding": "yuv422"}, "expected an encoding of mono8"),
        ({"step": 4}, "expected 6 rows of 8 bytes, got step 4"),
        ({"height": 7}, "expected 7 rows of 8 bytes"),
        ({"height": 0}, "expected 0 rows"),
    ],
)
def test_bag_with_a_damaged_image_names_topic_and_frame(tmp_path, change, message):
    good = image_fields(ramp(1, np.uint8), "mono8")
    write_bag(tmp_path / "bag", {"/t": ("Image", [good, {**good, **change}])})
    frames = load_sequence(tmp_path / "bag").frames
    assert frames[0].shape == (6, 8)
    with pytest.raises(SequenceError, match=f"/t, frame 1: {message}"):
        frames[1]


def test_bag_with_an_empty_compressed_picture_names_topic_and_frame(tmp_path):
    empty = {"format": "png", "data": np.zeros(0, np.uint8)}
    write_bag(tmp_path / "bag", {"/t/compressed": ("CompressedImage", [empty])})
    frames = load_sequence(tmp_path / "bag").frames
    with pytest.raises(SequenceError, match="/t/compressed, frame 0: expected a compressed"):
        frames[0]


def test_bag_with_a_message_cut_short_names_topic_and_frame(tmp_path, monkeypatch):
    good = image_fields(ramp(1, np.uint8), "mono8")
    write_bag(tmp_path / "bag", {"/t": ("Image", [good])})
    frames = load_sequence(tmp_path / "bag").frames
    advance = frames._advance
    monkeypatch.setattr(frames, "_advance", lambda: (advance()[0], b"\0\1\0\0\1"))
    with pytest.raises(SequenceError, match="/t, frame 0: expected a message of sensor_msgs"):
        frames[0]


def test_a_broken_bag_is_refused(tmp_path):
    pytest.importorskip("rosbags.highlevel")
    (tmp_path / "run.mcap").write_bytes(b"no bag")
    with pytest.raises(SequenceError, match="expected a rosbag2"):
        load_sequence(tmp_path)


def test_a_bag_without_its_reader_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "bag.mcap").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "rosbags.highlevel", None)
    with pytest.raises(SequenceError, match="pip install rosbags"):
        load_sequence(tmp_path)
