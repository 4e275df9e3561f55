"""Videos as sequences: seeking, labels beside them, damage."""

import pickle

import cv2
import numpy as np
import pytest
from recordings import number_of, write_video

from mlss_core.box import Box
from mlss_core.errors import SequenceError
from mlss_core.sequences import load_sequence


@pytest.mark.parametrize("long_gop", [True, False])
def test_video_gives_the_same_frames_forwards_backwards_and_at_random(tmp_path, long_gop):
    path = tmp_path / ("clip.mp4" if long_gop else "clip.avi")
    write_video(path, 40, long_gop)
    sequence = load_sequence(path)
    assert len(sequence) == 40
    assert sequence.fps == pytest.approx(25.0)
    forwards = list(sequence.frames)
    assert [number_of(f) for f in forwards] == list(range(40))
    for i in (39, 20, 21, 3, 38, 0, 17, 16, 17):
        np.testing.assert_array_equal(sequence.frames[i], forwards[i])
    np.testing.assert_array_equal(load_sequence(path).frames[25], forwards[25])


def test_video_decodes_each_frame_once_when_read_forwards(tmp_path, monkeypatch):
    path = tmp_path / "clip.mp4"
    write_video(path, 30)
    frames = load_sequence(path).frames
    capture = frames._capture

    class Counting:
        grabs = 0

        def __getattr__(self, name):
            return getattr(capture, name)

        def grab(self):
            Counting.grabs += 1
            return capture.grab()

    monkeypatch.setattr(frames, "_capture", Counting())
    assert len(list(frames)) == 30
    assert Counting.grabs == 30


def test_video_takes_its_labels_from_the_text_file_beside_it(tmp_path):
    write_video(tmp_path / "clip.mp4", 3)
    (tmp_path / "clip.txt").write_text("1,2,3,4\nnan,nan,nan,nan\n1,2,3,5\n")
    sequence = load_sequence(tmp_path / "clip.mp4")
    assert sequence.box(0) == Box.from_ltwh(1, 2, 3, 4)
    assert sequence.box(1) is None


def test_a_broken_video_is_refused(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"no video" * 100)
    with pytest.raises(SequenceError, match=r"clip\.mp4: expected a video"):
        load_sequence(tmp_path / "clip.mp4")


def test_a_video_cut_short_counts_the_frames_that_are_there(tmp_path):
    path = tmp_path / "clip.avi"
    write_video(path, 30, gop_is_long=False)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    frames = load_sequence(path).frames
    assert 5 < len(frames) < 30
    assert [number_of(f) for f in frames] == list(range(len(frames)))


def test_a_tinted_grey_video_becomes_grey_and_colour_stays(tmp_path):
    writer = cv2.VideoWriter(
        str(tmp_path / "c.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (64, 48)
    )
    writer.write(np.full((48, 64, 3), (100, 103, 98), np.uint8))
    writer.write(np.full((48, 64, 3), (10, 90, 200), np.uint8))
    writer.release()
    frames = load_sequence(tmp_path / "c.avi").frames
    assert [frame.ndim for frame in frames] == [2, 3]


def test_a_video_goes_to_another_process(tmp_path):
    write_video(tmp_path / "clip.mp4", 5)
    sequence = load_sequence(tmp_path / "clip.mp4")
    again = pickle.loads(pickle.dumps(sequence))
    assert [number_of(f) for f in again.frames] == [0, 1, 2, 3, 4]


def test_a_sixteen_bit_video_keeps_its_counts(tmp_path):
    rng = np.random.default_rng(0)
    frames = [rng.integers(7000, 7500, (48, 64), dtype=np.uint16) for _ in range(5)]
    path, size = tmp_path / "deep.mkv", (64, 48)
    deep = [cv2.VIDEOWRITER_PROP_DEPTH, cv2.CV_16U, cv2.VIDEOWRITER_PROP_IS_COLOR, 0]
    codec = cv2.VideoWriter.fourcc(*"FFV1")
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, codec, 25.0, size, deep)
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no 16-bit video")
    for frame in frames:
        writer.write(frame)
    writer.release()
    read = load_sequence(path).frames
    for i in (0, 1, 2, 3, 4, 1, 0):
        assert read[i].dtype == np.uint16
        np.testing.assert_array_equal(read[i], frames[i])
