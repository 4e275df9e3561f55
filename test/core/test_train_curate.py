"""Curation: which crops are kept, what is dropped and why."""

import json

import cv2
import numpy as np
import pytest
import torch
from training import SMALL_CROPS, write_otb, write_tracklets

from mlss_core.cli import main
from mlss_core.errors import ConfigError
from mlss_core.patch import search_side
from mlss_core.train.crops import CropLibrary
from mlss_core.train.curate import TARGET_PX, CurateParams, curate


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


def test_curation_leaves_the_threads_of_its_process_alone(tmp_path):
    source, before = write_tracklets(tmp_path / "tracklets"), torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        curate([source], tmp_path / "crops", SMALL_CROPS)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    "option", ["--every 0", "--every -3", "--crop-px 0", "--val-fraction 1.5", "--workers -1"]
)
def test_options_outside_their_range_are_one_line(tmp_path, capsys, option):
    write_otb(tmp_path / "data" / "walk")
    words = ["curate", str(tmp_path / "data"), "--out", str(tmp_path / "crops"), *option.split()]
    assert main(words) == 2
    assert "mlss: error: expected" in capsys.readouterr().err
    assert not (tmp_path / "crops").exists()


def test_two_sources_of_one_name_are_refused(tmp_path):
    sources = [write_otb(tmp_path / part / "train" / "walk").parent for part in "ab"]
    with pytest.raises(ConfigError, match="different names"):
        curate(sources, tmp_path / "crops", SMALL_CROPS)


def test_a_frame_that_cannot_be_used_drops_the_sequence_with_the_reason(tmp_path):
    write_otb(tmp_path / "data" / "good")
    bad = write_otb(tmp_path / "data" / "bad")
    cv2.imwrite(str(bad / "img" / "0007.png"), np.zeros((8, 8), np.uint8))
    report = curate([tmp_path / "data"], tmp_path / "crops", CurateParams(val_fraction=0.0))
    assert report["kept"] == 3 + 1
    assert sum("at least 16 px" in reason for reason in report) == 1


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
