"""Curation on disk: it goes on where it stopped, and damage is named and mended."""

import resource
from pathlib import Path

import numpy as np
import pytest
from training import SMALL_CROPS, write_otb, write_tracklets

from mlss_core.errors import CheckpointError, ConfigError, SequenceError
from mlss_core.train import curate as curate_module
from mlss_core.train.crops import CropLibrary
from mlss_core.train.curate import CurateParams, curate
from mlss_core.train.tracks import TRAIN, VALIDATION


def test_folder_with_other_settings_is_refused(tmp_path):
    source = write_tracklets(tmp_path / "tracklets")
    curate([source], tmp_path / "crops", SMALL_CROPS)
    with pytest.raises(ConfigError, match="other settings"):
        curate([source], tmp_path / "crops", CurateParams(crop_px=200))


def test_a_mended_label_file_is_read_when_the_command_is_run_again(tmp_path):
    labels = write_otb(tmp_path / "data" / "walk") / "groundtruth_rect.txt"
    rows, params = labels.read_text(), CurateParams(val_fraction=0.0)
    labels.write_text("1,1,20,14\n")
    assert curate([tmp_path / "data"], tmp_path / "crops", params)["kept"] == 0
    labels.write_text(rows)
    assert curate([tmp_path / "data"], tmp_path / "crops", params) == {"kept": 3}


def test_crops_that_are_gone_or_cut_off_are_named_and_made_again(tmp_path):
    source = write_tracklets(tmp_path / "tracklets")
    curate([source], tmp_path / "crops", SMALL_CROPS)
    shard = tmp_path / "crops" / "tracklets_0000.npy"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SequenceError, match=r"tracklets_0000\.npy.*curate again"):
        CropLibrary(tmp_path / "crops")
    curate([source], tmp_path / "crops", SMALL_CROPS)
    assert shard.read_bytes() == whole
    shard.unlink()
    with pytest.raises(SequenceError, match=r"tracklets_0000\.npy.*curate again"):
        CropLibrary(tmp_path / "crops")
    curate([source], tmp_path / "crops", SMALL_CROPS)
    assert shard.read_bytes() == whole


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_a_damaged_index_is_named(tmp_path, content):
    curate([write_tracklets(tmp_path / "tracklets")], tmp_path / "crops", SMALL_CROPS)
    index = tmp_path / "crops" / "index.npz"
    index.write_bytes(index.read_bytes()[:400] if content is None else content)
    with pytest.raises(SequenceError, match=r"index\.npz.*curate again"):
        CropLibrary(tmp_path / "crops")


def test_an_index_never_outlives_the_crops_it_lists(tmp_path, monkeypatch):
    data, params = tmp_path / "data", CurateParams(val_fraction=0.0)
    write_otb(data / "walk_2")
    curate([data], tmp_path / "crops", params)
    write_otb(data / "walk_1")  # takes the first place

    def break_off(path, *rest):
        raise KeyboardInterrupt

    monkeypatch.setattr(curate_module, "_write_index", break_off)
    with pytest.raises(KeyboardInterrupt):
        curate([data], tmp_path / "crops", params)
    with pytest.raises(SequenceError, match="run mlss curate"):
        CropLibrary(tmp_path / "crops")


def test_more_shards_than_a_process_may_open_files(tmp_path):
    count, soft = 400, 300  # 1024 open files are usual
    for shard in range(count):
        np.save(tmp_path / f"s{shard}.npy", np.full((1, 4, 4), shard % 256, np.uint8))
    each, zero = np.arange(count), np.zeros(count, int)
    np.savez(
        tmp_path / "index.npz", shards=[f"s{n}" for n in each], names=[f"s/{n}" for n in each],
        shard=each, row=zero, track=each, frame=zero, size=np.ones((count, 2)), split=zero,
    )  # fmt: skip
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
    try:
        library = CropLibrary(tmp_path)
        assert [int(library.crop(item)[0, 0]) for item in each] == (each % 256).tolist()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_dot_in_the_name_of_a_source_keeps_its_shards_apart(tmp_path):
    source = write_tracklets(tmp_path / "walks.v1", count=20)
    report = curate([source], tmp_path / "crops", SMALL_CROPS, tracks_per_shard=1)
    library = CropLibrary(tmp_path / "crops")
    assert report["kept"] == 20 * 3
    assert library.crop(library.tracks[-1][-1]).shape == (176, 176)


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


def test_a_shard_that_cannot_be_written_ends_the_run_and_not_only_itself(tmp_path):
    for number in range(40):
        write_otb(tmp_path / "data" / f"walk_{number}")
    (tmp_path / "crops" / "data_0000.npy.part").mkdir(parents=True)
    with pytest.raises(SequenceError, match="run the same command again"):
        curate([tmp_path / "data"], tmp_path / "crops", CurateParams(every=1), 1, 1)
    assert len(list((tmp_path / "crops").glob("data_*.json"))) < 20  # finished ones are kept


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


def test_held_out_sequences_are_listed(tmp_path):
    for number in range(1, 5):
        write_otb(tmp_path / "data" / f"walk_{number}")
    curate([tmp_path / "data"], tmp_path / "crops", CurateParams(val_fraction=0.25))
    listed = (tmp_path / "crops" / "held_out.txt").read_text().split()
    assert listed == [str(tmp_path / "data" / "walk_4")]


def test_held_out_sequences_without_crops_are_not_listed(tmp_path):
    for number in range(1, 5):
        write_otb(tmp_path / "data" / f"walk_{number}")
    (tmp_path / "data" / "walk_4" / "groundtruth_rect.txt").unlink()
    curate([tmp_path / "data"], tmp_path / "crops", CurateParams(val_fraction=0.5))
    listed = (tmp_path / "crops" / "held_out.txt").read_text().split()
    assert listed == [str(tmp_path / "data" / "walk_3")]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full (Linux)")
@pytest.mark.parametrize("name", ["curate.json", "held_out.txt", "index.npz"])
def test_a_disk_full_at_any_file_leaves_a_folder_to_go_on_with(tmp_path, name):
    source, crops, params = tmp_path / "data", tmp_path / "crops", CurateParams(val_fraction=0.5)
    for number in (1, 2):
        write_otb(source / f"walk_{number}")
    crops.mkdir()
    (crops / f"{name}.part").symlink_to("/dev/full")
    with pytest.raises(CheckpointError, match="No space left on device"):
        curate([source], crops, params)
    (crops / f"{name}.part").unlink(missing_ok=True)
    assert curate([source], crops, params)["kept"] == 6


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
