"""Curation: which crops are kept, where they lie, what is dropped and why."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from training import SMALL_CROPS, write_cutouts, write_otb, write_tracklets

from mlss_core.cli import main
from mlss_core.errors import ConfigError, SequenceError
from mlss_core.patch import search_side
from mlss_core.train import curate as curate_module
from mlss_core.train.crops import CropLibrary
from mlss_core.train.curate import TARGET_PX, CurateParams, curate
from mlss_core.train.tracks import TRAIN, VALIDATION, split_by_blocks


def test_target_is_in_the_middle_at_the_declared_size(tmp_path):
    source = write_otb(tmp_path / "data" / "walk")
    report = curate([source.parent], tmp_path / "crops", CurateParams(val_fraction=0.0))
    library = CropLibrary(tmp_path / "crops")
    assert report == {"kept": 3}  # frames 0, 6 and 12
    assert library.frame.tolist() == [0, 6, 12]
    zoom = TARGET_PX / search_side(20, 14)
    np.testing.assert_allclose(library.size, np.tile([20 * zoom, 14 * zoom], (3, 1)), rtol=1e-6)
    for item in range(3):
        crop = library.crop(item).astype(int)
        rows, columns = np.nonzero(crop > 150)
        assert abs(rows.mean() - 175.5) < 1
        assert abs(columns.mean() - 175.5) < 1
        assert abs(np.ptp(columns) + 1 - 20 * zoom) < 4


def test_frames_without_a_usable_box_are_dropped_with_the_reason(tmp_path):
    source = write_otb(tmp_path / "data" / "walk", hidden=(6,))
    report = curate([source.parent], tmp_path / "crops", CurateParams(val_fraction=0.0))
    assert report["kept"] == 2
    assert report["unlabelled frame"] == 1


def test_frames_with_a_hidden_target_are_dropped_with_the_reason(tmp_path):
    source = write_otb(tmp_path / "data" / "walk")
    (source / "visibility.txt").write_text("\n".join(["1"] * 6 + ["0.2"] * 7))
    report = curate([source.parent], tmp_path / "crops", CurateParams(val_fraction=0.0))
    assert report == {"kept": 1, "hidden target": 2}


def test_boxes_that_are_too_small_are_dropped_with_the_reason(tmp_path):
    source = write_tracklets(tmp_path / "tracklets")
    entries = json.loads((source / "tracklets.json").read_text())
    entries[0]["box"][1] = [10, 10, 12, 12]
    (source / "tracklets.json").write_text(json.dumps(entries))
    report = curate([source], tmp_path / "crops", SMALL_CROPS)
    assert report == {"kept": 23, "expected box sides of at least 3 px": 1}


def test_label_file_of_another_length_drops_the_sequence_with_the_reason(tmp_path):
    write_otb(tmp_path / "data" / "good")
    bad = write_otb(tmp_path / "data" / "bad")
    (bad / "groundtruth_rect.txt").write_text("1,1,20,14\n")
    report = curate([tmp_path / "data"], tmp_path / "crops", CurateParams(val_fraction=0.0))
    assert report.pop("kept") == 3
    (reason,) = report
    assert reason.startswith("unreadable sequence")
    assert "bad" in reason


def test_corrupt_video_drops_the_sequence_with_the_reason(tmp_path):
    write_otb(tmp_path / "data" / "good")
    (tmp_path / "data" / "clip.mp4").write_bytes(b"no video")
    (tmp_path / "data" / "clip.txt").write_text("1,1,20,14\n")
    report = curate([tmp_path / "data"], tmp_path / "crops", CurateParams(val_fraction=0.0))
    assert report.pop("kept") == 3
    (reason,) = report
    assert "clip.mp4" in reason


def test_missing_folder_is_an_error_that_names_it(tmp_path):
    with pytest.raises(SequenceError, match="nowhere"):
        curate([tmp_path / "nowhere"], tmp_path / "crops", SMALL_CROPS)


def test_folder_with_other_settings_is_refused(tmp_path):
    source = write_tracklets(tmp_path / "tracklets")
    curate([source], tmp_path / "crops", SMALL_CROPS)
    with pytest.raises(ConfigError, match="other settings"):
        curate([source], tmp_path / "crops", CurateParams(crop_px=200))


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


@pytest.mark.parametrize(
    "option", ["--every 0", "--every -3", "--crop-px 0", "--val-fraction 1.5", "--workers -1"]
)
def test_options_outside_their_range_are_one_line(tmp_path, capsys, option):
    write_otb(tmp_path / "data" / "walk")
    words = ["curate", str(tmp_path / "data"), "--out", str(tmp_path / "crops"), *option.split()]
    assert main(words) == 2
    assert "mlss: error: expected" in capsys.readouterr().err
    assert not (tmp_path / "crops").exists()


def test_a_dot_in_the_name_of_a_source_keeps_its_shards_apart(tmp_path):
    source = write_tracklets(tmp_path / "walks.v1", count=20)
    report = curate([source], tmp_path / "crops", SMALL_CROPS, tracks_per_shard=1)
    library = CropLibrary(tmp_path / "crops")
    assert report["kept"] == 20 * 3
    assert library.crop(library.tracks[-1][-1]).shape == (176, 176)


def test_two_sources_of_one_name_are_refused(tmp_path):
    sources = [write_otb(tmp_path / part / "train" / "walk").parent for part in "ab"]
    with pytest.raises(ConfigError, match="different names"):
        curate(sources, tmp_path / "crops", SMALL_CROPS)


def test_new_sequences_of_a_source_are_curated_too(tmp_path):
    data, params = tmp_path / "data", CurateParams(val_fraction=0.5)
    for number in (1, 2):
        write_otb(data / f"walk_{number}")
    curate([data], tmp_path / "crops", params)
    for number in (3, 4):
        write_otb(data / f"walk_{number}")
    assert curate([data], tmp_path / "crops", params)["kept"] == 4 * 3
    index = np.load(tmp_path / "crops" / "index.npz")
    assert index["names"].tolist() == [f"data/walk_{number}" for number in (1, 2, 3, 4)]
    assert index["split"].tolist() == [0] * 6 + [1] * 6  # as held_out.txt says


def test_a_frame_that_cannot_be_used_drops_the_sequence_with_the_reason(tmp_path):
    write_otb(tmp_path / "data" / "good")
    bad = write_otb(tmp_path / "data" / "bad")
    cv2.imwrite(str(bad / "img" / "0007.png"), np.zeros((8, 8), np.uint8))
    report = curate([tmp_path / "data"], tmp_path / "crops", CurateParams(val_fraction=0.0))
    assert report["kept"] == 3 + 1
    assert sum("at least 16 px" in reason for reason in report) == 1


def test_curation_goes_on_where_it_stopped(tmp_path, monkeypatch):
    source = write_tracklets(tmp_path / "tracklets", count=40)
    whole = curate([source], tmp_path / "whole", SMALL_CROPS, tracks_per_shard=1)
    written = []
    original = curate_module.write_shard

    def write_and_break(stem, tracks, params):
        if len(written) == 1:
            raise KeyboardInterrupt
        written.append(stem)
        original(stem, tracks, params)

    monkeypatch.setattr(curate_module, "write_shard", write_and_break)
    with pytest.raises(KeyboardInterrupt):
        curate([source], tmp_path / "broken", SMALL_CROPS, tracks_per_shard=1)
    stamp = written[0].with_suffix(".npy").stat().st_mtime_ns
    monkeypatch.setattr(curate_module, "write_shard", original)
    assert curate([source], tmp_path / "broken", SMALL_CROPS, tracks_per_shard=1) == whole
    assert (tmp_path / "broken" / written[0].name).with_suffix(".npy").stat().st_mtime_ns == stamp
    first, second = CropLibrary(tmp_path / "whole"), CropLibrary(tmp_path / "broken")
    assert np.array_equal(first.crop(50), second.crop(50))


def test_processes_make_the_same_folder_as_one(tmp_path):
    source = write_tracklets(tmp_path / "tracklets", count=20)
    alone = curate([source], tmp_path / "alone", SMALL_CROPS, workers=0, tracks_per_shard=1)
    shared = curate([source], tmp_path / "shared", SMALL_CROPS, workers=2, tracks_per_shard=1)
    assert alone == shared
    names = sorted(path.name for path in (tmp_path / "alone").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "shared").iterdir())
    for name in names:
        if name.endswith(".npy"):
            alone_bytes = (tmp_path / "alone" / name).read_bytes()
            assert alone_bytes == (tmp_path / "shared" / name).read_bytes()


def test_a_shard_that_cannot_be_written_ends_the_run_and_not_only_itself(tmp_path):
    for number in range(40):
        write_otb(tmp_path / "data" / f"walk_{number}")
    (tmp_path / "crops" / "data_0000.npy.part").mkdir(parents=True)
    with pytest.raises(SequenceError, match="run the same command again"):
        curate([tmp_path / "data"], tmp_path / "crops", CurateParams(every=1), 1, 1)
    assert len(list((tmp_path / "crops").glob("data_*.json"))) < 20  # finished ones are kept


def test_last_numbers_of_every_series_are_held_out(tmp_path):
    names = [f"IR_BIRD_{n:03d}.mp4" for n in range(1, 21)] + [f"DRONE_{n}.mp4" for n in range(10)]
    held_out = split_by_blocks([tmp_path / name for name in names], 0.1)
    assert {path.name for path in held_out} == {
        "IR_BIRD_019.mp4",
        "IR_BIRD_020.mp4",
        "DRONE_9.mp4",
    }


def test_masks_of_cutouts_cover_the_outline(tmp_path):
    curate([write_cutouts(tmp_path / "cutouts")], tmp_path / "crops", SMALL_CROPS)
    library = CropLibrary(tmp_path / "crops")
    mask = library.mask(0)
    width, height = library.size[0]
    rows, columns = np.nonzero(mask > 128)
    assert abs(len(rows) - width * height) < 0.1 * width * height
    assert abs(rows.mean() - 87.5) < 2
    assert abs(columns.mean() - 87.5) < 2


def test_library_of_a_folder_without_crops_is_an_error(tmp_path):
    with pytest.raises(SequenceError, match="mlss curate"):
        CropLibrary(tmp_path)


def test_library_without_held_out_crops_says_what_to_do(tmp_path):
    write_otb(tmp_path / "data" / "walk")
    curate([tmp_path / "data"], tmp_path / "crops", CurateParams())
    with pytest.raises(SequenceError, match="held-out crops .*--val-fraction"):
        CropLibrary(tmp_path / "crops", VALIDATION)
    curate([tmp_path / "data"], tmp_path / "other", CurateParams(val_fraction=1.0))
    with pytest.raises(SequenceError, match="training crops .*--val-fraction"):
        CropLibrary(tmp_path / "other", TRAIN)


def test_command_tells_what_was_kept_and_dropped(tmp_path, capsys):
    source = write_otb(tmp_path / "data" / "walk", hidden=(6,))
    out = tmp_path / "crops"
    code = main(["curate", str(source.parent), "--out", str(out), "--workers", "1"])
    assert code == 0
    printed = capsys.readouterr().out
    assert f"2 crops in {out}" in printed
    assert "dropped 1: unlabelled frame" in printed


def test_command_names_a_missing_folder(tmp_path, capsys):
    assert main(["curate", str(tmp_path / "nowhere"), "--out", str(tmp_path / "crops")]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_held_out_sequences_are_listed(tmp_path):
    for number in range(1, 5):
        write_otb(tmp_path / "data" / f"walk_{number}")
    curate([tmp_path / "data"], tmp_path / "crops", CurateParams(val_fraction=0.25))
    listed = (tmp_path / "crops" / "held_out.txt").read_text().split()
    assert listed == [str(tmp_path / "data" / "walk_4")]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full (Linux)")
def test_full_disk_is_a_clear_error_and_keeps_finished_crops(tmp_path):
    source = write_tracklets(tmp_path / "tracklets", count=40)
    (tmp_path / "crops").mkdir()
    (tmp_path / "crops" / "tracklets_0001.npy.part").symlink_to("/dev/full")
    with pytest.raises(SequenceError, match="No space left on device.*same command again"):
        curate([source], tmp_path / "crops", SMALL_CROPS, tracks_per_shard=1)
    stamp = (tmp_path / "crops" / "tracklets_0000.npy").stat().st_mtime_ns
    (tmp_path / "crops" / "tracklets_0001.npy.part").unlink()
    assert curate([source], tmp_path / "crops", SMALL_CROPS, tracks_per_shard=1)["kept"] == 120
    assert (tmp_path / "crops" / "tracklets_0000.npy").stat().st_mtime_ns == stamp
