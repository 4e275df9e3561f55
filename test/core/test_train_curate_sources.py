"""Curation: what is read of a data folder, how it is split, and what is refused."""

import json

import cv2
import numpy as np
import pytest
from recordings import write_huge_picture
from training import SMALL_CROPS, write_cutouts, write_otb, write_tracklets

from mlss_core.cli import main
from mlss_core.errors import SequenceError
from mlss_core.train.crops import CropLibrary
from mlss_core.train.curate import CurateParams, curate
from mlss_core.train.tracks import split_by_blocks


def test_missing_folder_is_an_error_that_names_it(tmp_path):
    with pytest.raises(SequenceError, match="nowhere"):
        curate([tmp_path / "nowhere"], tmp_path / "crops", SMALL_CROPS)


def test_a_folder_without_sequences_is_one_line(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["curate", str(tmp_path / "empty"), "--out", str(tmp_path / "crops")]) == 2
    assert "expected sequences below" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["tracklets.json", "polygons.json"])
@pytest.mark.parametrize("text", ["no json", "[1]", '{"a": 3}', "[]"])
def test_a_list_of_objects_that_is_none_is_one_line(tmp_path, capsys, name, text):
    (tmp_path / "data" / "img").mkdir(parents=True)
    (tmp_path / "data" / name).write_text(text)
    words = ["curate", str(tmp_path / "data"), "--out", str(tmp_path / "crops"), "--workers", "0"]
    assert main(words) == 2
    assert "mlss: error: expected" in (message := capsys.readouterr().err)
    assert name in message


def add_image(entry):
    entry["im"].append("00_0")


def shorten_box(entry):
    entry["box"][0].pop()


def name_a_number(entry):
    entry["box"][0][2] = "wide"


def leave_a_number_out(entry):
    entry["box"][0][2] = None


@pytest.mark.parametrize("spoil", [add_image, shorten_box, name_a_number, leave_a_number_out])
def test_a_tracklet_whose_boxes_are_none_is_one_line(tmp_path, capsys, spoil):
    source = write_tracklets(tmp_path / "tracklets")
    entries = json.loads((source / "tracklets.json").read_text())
    spoil(entries[0])
    (source / "tracklets.json").write_text(json.dumps(entries))
    assert main(["curate", str(source), "--out", str(tmp_path / "crops"), "--workers", "0"]) == 2
    assert "tracklets.json" in (message := capsys.readouterr().err)
    assert message.count("\n") == 1


@pytest.mark.parametrize("polygon", [[0.2, 0.2, 0.5], [], [0.1] * 7, ["a", 0.2] * 4, 3])
def test_a_polygon_that_is_none_is_one_line(tmp_path, capsys, polygon):
    source = write_cutouts(tmp_path / "cutouts")
    (source / "polygons.json").write_text(json.dumps({"first": [polygon]}))
    assert main(["curate", str(source), "--out", str(tmp_path / "crops"), "--workers", "0"]) == 2
    assert "polygons.json" in (message := capsys.readouterr().err)
    assert message.count("\n") == 1


def test_a_picture_of_a_tracklet_that_cannot_be_read_is_dropped_with_the_reason(tmp_path):
    source = write_tracklets(tmp_path / "tracklets")
    write_huge_picture(source / "img" / "00_1.png")
    report = curate([source], tmp_path / "crops", SMALL_CROPS)
    assert report == {"kept": 23, "unreadable image": 1}


def test_pictures_of_tracklets_are_told_from_what_lies_beside_them(tmp_path):
    source = write_tracklets(tmp_path / "tracklets")
    for picture in list((source / "img").iterdir()):
        for suffix in (".xml", ".PNG.txt", ".json"):
            picture.with_suffix(suffix).write_text("no picture")
    assert curate([source], tmp_path / "crops", SMALL_CROPS) == {"kept": 24}


def test_a_folder_of_tracklets_without_pictures_is_named(tmp_path):
    source = write_tracklets(tmp_path / "tracklets")
    (source / "img").rename(source / "images")
    with pytest.raises(SequenceError, match="pictures of .*tracklets"):
        curate([source], tmp_path / "crops", SMALL_CROPS)


def test_deep_pictures_of_tracklets_are_normalised_as_the_tracker_does(tmp_path):
    source = write_tracklets(tmp_path / "tracklets")
    for picture in (source / "img").iterdir():
        counts = 7000 + 4 * cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE).astype(np.uint16)
        cv2.imwrite(str(picture), counts)
    curate([source], tmp_path / "crops", SMALL_CROPS)
    crop = CropLibrary(tmp_path / "crops").crop(0)
    assert np.ptp(crop) > 150  # as many grey levels as the 8-bit picture of the same scene


def test_targets_that_got10k_calls_absent_or_covered_are_dropped(tmp_path):
    source = write_otb(tmp_path / "train" / "GOT-10k_Train_000001", count=19)
    for picture in list((source / "img").iterdir()):
        picture.rename(source / f"0000{picture.name}")
    (source / "groundtruth_rect.txt").rename(source / "groundtruth.txt")
    (source / "absence.label").write_text("0\n" * 6 + "1\n" * 6 + "0\n" * 7)
    (source / "cover.label").write_text("8\n" * 12 + "3\n" * 6 + "7\n")
    (source / "cut_by_image.label").write_text("0\n" * 19)
    report = curate([tmp_path / "train"], tmp_path / "crops", CurateParams(val_fraction=0.0))
    assert report == {"kept": 2, "hidden target": 2}


def test_last_numbers_of_every_series_are_held_out(tmp_path):
    names = [f"IR_BIRD_{n:03d}.mp4" for n in range(1, 21)] + [f"DRONE_{n}.mp4" for n in range(10)]
    held_out = split_by_blocks([tmp_path / name for name in names], 0.1)
    assert {path.name for path in held_out} == {
        "IR_BIRD_019.mp4",
        "IR_BIRD_020.mp4",
        "DRONE_9.mp4",
    }


def test_of_names_without_long_series_the_last_are_held_out(tmp_path):
    names = ["biker", "bird_1", "bird_2", "campus", "car_1", "car_2", "dog", "hog", "walk.v2"]
    paths = [tmp_path / name for name in names]
    assert {path.name for path in split_by_blocks(paths, 0.15)} == {"walk.v2"}
    assert {path.name for path in split_by_blocks(paths[:-3], 0.2)} == {"car_1", "car_2"}
    assert split_by_blocks(paths, 0.0) == set()


def test_masks_of_cutouts_cover_the_outline(tmp_path):
    curate([write_cutouts(tmp_path / "cutouts")], tmp_path / "crops", SMALL_CROPS)
    library = CropLibrary(tmp_path / "crops")
    mask = library.mask(0)
    width, height = library.size[0]
    rows, columns = np.nonzero(mask > 128)
    assert abs(len(rows) - width * height) < 0.1 * width * height
    assert abs(rows.mean() - 87.5) < 2
    assert abs(columns.mean() - 87.5) < 2
