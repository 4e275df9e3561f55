import math
import subprocess
import sys

import cv2
import numpy as np
import pytest
from recordings import numbered_frame, write_huge_picture, write_images, write_video

from mlss_core.box import Box
from mlss_core.errors import SequenceError
from mlss_core.sequences import find_sequences, load_sequence
from mlss_core.sequences.labels import polygon_to_ltwh


@pytest.mark.parametrize("separator", [",", "\t", " ", ", "])
def test_otb_folder_reads_frames_and_boxes_with_every_separator(tmp_path, separator):
    write_images(tmp_path / "img", 2)
    rows = [separator.join(row) for row in (("1", "2", "3", "4"), ("5.5", "6", "7", "8"))]
    (tmp_path / "groundtruth_rect.txt").write_text("\n".join(rows) + "\n")
    sequence = load_sequence(tmp_path)
    assert len(sequence) == 2
    assert sequence.name == tmp_path.name
    np.testing.assert_array_equal(sequence.ground_truth, [[1, 2, 3, 4], [5.5, 6, 7, 8]])
    assert sequence.box(0) == Box(1.0, 2.5, 3, 4)
    np.testing.assert_array_equal(sequence.frames[1], numbered_frame(1))


@pytest.mark.parametrize("place", ["img", "ir", "color", "."])
def test_pictures_are_found_in_the_folders_of_the_benchmarks(tmp_path, place):
    write_images(tmp_path / place, 3, ".jpg")
    (tmp_path / "groundtruth.txt").write_text("1,1,5,5\n" * 3)
    assert len(load_sequence(tmp_path)) == 3


def test_thermal_pictures_win_over_colour_ones_of_a_pair(tmp_path):
    write_images(tmp_path / "color", 1)
    write_images(tmp_path / "ir", 2)
    assert len(load_sequence(tmp_path)) == 2


def test_frames_come_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 9, 100):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((4, 4), number, np.uint8))
    assert [int(f[0, 0]) for f in load_sequence(tmp_path).frames] == [9, 10, 100]


def test_unlabelled_rows_have_no_box(tmp_path):
    write_images(tmp_path / "img", 4)
    (tmp_path / "groundtruth_rect.txt").write_text("nan,nan,nan,nan\n1,1,0,0\nnan\n1,1,2,2")
    sequence = load_sequence(tmp_path)
    assert [sequence.box(i) for i in range(3)] == [None, None, None]
    assert np.isnan(sequence.ground_truth[:3]).all()
    assert sequence.box(3) == Box(0.5, 0.5, 2, 2)


def test_polygon_becomes_the_box_of_its_area_about_its_centre(tmp_path):
    angle = math.radians(30)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    half = np.array([[-30, -10], [30, -10], [30, 10], [-30, 10]])
    x, y, w, h = polygon_to_ltwh(half @ turn.T + [100, 80])
    assert (w - 1) * (h - 1) == pytest.approx(60 * 20)
    assert (x + (w - 1) / 2, y + (h - 1) / 2) == pytest.approx((100, 80))
    bounds = (
        60 * math.cos(angle) + 20 * math.sin(angle),
        60 * math.sin(angle) + 20 * math.cos(angle),
    )
    assert (w - 1) / (h - 1) == pytest.approx(bounds[0] / bounds[1])
    write_images(tmp_path / "color", 1)
    (tmp_path / "groundtruth.txt").write_text("11,21,20,21,20,40,11,40\n")
    assert load_sequence(tmp_path).box(0) == Box.from_ltwh(11, 21, 10, 20)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bit_pictures_stay_sixteen_bit(tmp_path, suffix):
    write_images(tmp_path, 2, suffix, np.uint16)
    frame = load_sequence(tmp_path).frames[1]
    assert frame.dtype == np.uint16
    assert frame[0, 0] == 2570


def test_equal_channels_become_one_and_colour_stays_bgr(tmp_path):
    gray = np.random.default_rng(0).integers(0, 255, (24, 32), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "1.jpg"), cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR))
    colour = np.zeros((24, 32, 3), np.uint8)
    colour[..., 2] = 200
    cv2.imwrite(str(tmp_path / "2.png"), colour)
    cv2.imwrite(str(tmp_path / "3.png"), np.dstack([colour, np.full((24, 32), 7, np.uint8)]))
    frames = load_sequence(tmp_path).frames
    assert frames[0].shape == (24, 32)
    np.testing.assert_array_equal(frames[1], colour)
    np.testing.assert_array_equal(frames[2], colour)


def test_frames_take_slices_and_negative_indices_like_any_sequence(tmp_path):
    write_images(tmp_path, 4)
    frames = load_sequence(tmp_path).frames
    assert frames[-1][0, 0] == 30
    assert [f[0, 0] for f in frames[1:3]] == [10, 20]
    with pytest.raises(IndexError, match="below 4, got 4"):
        frames[4]


def test_frames_without_labels_are_a_sequence_without_ground_truth(tmp_path):
    write_images(tmp_path, 2)
    sequence = load_sequence(tmp_path)
    assert sequence.ground_truth is None
    assert sequence.box(0) is None


def test_visibility_is_read_beside_the_boxes(tmp_path):
    write_images(tmp_path / "img", 2)
    (tmp_path / "visibility.txt").write_text("1.0\n0.25\n")
    np.testing.assert_array_equal(load_sequence(tmp_path).visibility, [1.0, 0.25])
    (tmp_path / "visibility.txt").write_text("1.0\n1.5\n")
    with pytest.raises(SequenceError, match=r"visibility.txt:2: expected one number in 0..1"):
        load_sequence(tmp_path)


def test_polygons_without_area_have_no_box(tmp_path):
    write_images(tmp_path, 3)
    rows = ["0,0,0,0,0,0,0,0", "5,5,9,5,9,5,5,5", ",".join(["nan"] * 8)]
    (tmp_path / "groundtruth.txt").write_text("\r\n".join(rows))
    assert np.isnan(load_sequence(tmp_path).ground_truth).all()


def test_labels_of_got10k_tell_what_is_visible(tmp_path):
    write_images(tmp_path, 4, ".jpg")
    (tmp_path / "groundtruth.txt").write_text("1.0000,1.0000,5.0000,5.0000\n" * 4)
    (tmp_path / "cover.label").write_text("8\n4\n8\n0\n")
    np.testing.assert_array_equal(load_sequence(tmp_path).visibility, [1, 0.5, 1, 0])
    (tmp_path / "absence.label").write_text("0\n0\n1\n0\n")
    np.testing.assert_array_equal(load_sequence(tmp_path).visibility, [1, 0.5, 0, 0])
    (tmp_path / "cover.label").unlink()
    np.testing.assert_array_equal(load_sequence(tmp_path).visibility, [1, 1, 0, 1])
    (tmp_path / "absence.label").write_text("0\n0\n2\n0\n")
    with pytest.raises(SequenceError, match=r"absence\.label:3: expected one number in 0\.\.1"):
        load_sequence(tmp_path)
    (tmp_path / "absence.label").write_text("0\n0\n")
    with pytest.raises(SequenceError, match=r"absence\.label: expected 4 rows"):
        load_sequence(tmp_path)


def test_find_lists_every_layout_once_in_natural_order(tmp_path):
    write_images(tmp_path / "otb" / "walk10" / "img", 1)
    write_images(tmp_path / "otb" / "walk9" / "img", 1)
    write_images(tmp_path / "vot" / "car" / "ir", 1)
    write_images(tmp_path / "vot" / "car" / "color", 1)
    write_images(tmp_path / "plain", 1)
    (tmp_path / "clips").mkdir()
    write_video(tmp_path / "clips" / "a.mp4", 2)
    (tmp_path / "clips" / "a.txt").write_text("1,1,2,2\n1,1,2,2\n")
    (tmp_path / "empty").mkdir()
    found = find_sequences(tmp_path)
    assert [str(p.relative_to(tmp_path)) for p in found] == [
        "clips/a.mp4",
        "otb/walk9",
        "otb/walk10",
        "plain",
        "vot/car",
    ]
    for path in found:
        assert len(load_sequence(path)) > 0
    assert find_sequences(tmp_path / "plain") == [tmp_path / "plain"]
    assert find_sequences(tmp_path / "clips" / "a.mp4") == [tmp_path / "clips" / "a.mp4"]


def test_missing_paths_are_named(tmp_path):
    for call in (load_sequence, find_sequences):
        with pytest.raises(SequenceError, match="nowhere"):
            call(tmp_path / "nowhere")


def test_empty_folder_is_refused(tmp_path):
    with pytest.raises(SequenceError, match="expected pictures in it"):
        load_sequence(tmp_path)


def test_a_file_that_is_no_sequence_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(SequenceError, match=r"notes\.txt: expected a folder, a video"):
        load_sequence(tmp_path / "notes.txt")


@pytest.mark.parametrize("rows", [2, 4])
def test_a_count_that_does_not_fit_names_both_counts(tmp_path, rows):
    write_images(tmp_path / "img", 3)
    (tmp_path / "groundtruth_rect.txt").write_text("1,1,2,2\n" * rows)
    with pytest.raises(SequenceError, match=f"expected 3 rows.*got {rows}"):
        load_sequence(tmp_path)


@pytest.mark.parametrize("row", ["1,2,x,4", "1,2,3", "", "1,2,3,4,5,6"])
def test_a_bad_label_row_is_named_by_file_and_line(tmp_path, row):
    write_images(tmp_path / "img", 3)
    (tmp_path / "groundtruth_rect.txt").write_text(f"1,1,2,2\n{row}\n1,1,2,2\n")
    with pytest.raises(SequenceError, match=r"groundtruth_rect\.txt:2: expected"):
        load_sequence(tmp_path)


def test_an_unreadable_picture_is_named_when_it_is_reached(tmp_path):
    write_images(tmp_path, 2)
    (tmp_path / "0002.png").write_bytes(b"no picture")
    frames = load_sequence(tmp_path).frames
    assert frames[0].shape == (24, 32)
    with pytest.raises(SequenceError, match=r"0002\.png: expected a picture"):
        frames[1]


def test_a_picture_that_claims_to_be_huge_is_named(tmp_path):
    write_huge_picture(tmp_path / "1.png")
    with pytest.raises(SequenceError, match=r"1\.png: expected a picture"):
        load_sequence(tmp_path).frames[0]


def test_sixteen_bit_colour_is_refused(tmp_path):
    image = np.zeros((4, 4, 3), np.uint16)
    image[..., 1] = 300
    cv2.imwrite(str(tmp_path / "1.png"), image)
    with pytest.raises(SequenceError, match=r"expected grey pixels or 8-bit colour, got 3 chan"):
        load_sequence(tmp_path).frames[0]


def test_a_topic_for_anything_but_a_bag_is_refused(tmp_path):
    write_images(tmp_path, 1)
    with pytest.raises(SequenceError, match="expected a rosbag2"):
        load_sequence(tmp_path, topic="/image_raw")


def test_reading_pictures_needs_neither_ros_nor_a_bag_reader():
    probe = (
        "import sys, mlss_core.sequences; sys.exit(any(n in sys.modules for n in "
        "('rclpy', 'rosbags', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0


@pytest.mark.data
def test_shared_recordings_load_and_seek_exactly(shared_dir):
    clip = load_sequence(shared_dir / "data" / "ddd_ir" / "IR_BIRD_001.mp4")
    assert clip.ground_truth.shape == (310, 4)
    assert np.isnan(clip.ground_truth).any()
    forwards = list(clip.frames)
    assert forwards[0].shape == (256, 320)
    for i in (200, 77, 300, 5):
        np.testing.assert_array_equal(clip.frames[i], forwards[i])
    airplane = load_sequence(shared_dir / "data" / "airplane")
    assert len(airplane) == 380
    assert airplane.box(0) == Box.from_ltwh(420, 136, 53, 130)


def test_a_link_that_leads_nowhere_hides_no_sequence(tmp_path):
    write_images(tmp_path / "data" / "walk", 2)
    (tmp_path / "data" / "gone").symlink_to(tmp_path / "unplugged")
    assert find_sequences(tmp_path / "data") == [tmp_path / "data" / "walk"]
