"""The loop: it learns, resumes bit for bit, survives kills and full disks, and shares a batch."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from training import SMALL_NETWORK, small_crops, small_params, write_otb

from mlss_core.checkpoint import load_network, read_checkpoint
from mlss_core.cli import main
from mlss_core.errors import CheckpointError, ConfigError, SequenceError, TrainingDivergedError
from mlss_core.network_params import NetworkParams
from mlss_core.sequences import load_sequence
from mlss_core.train import loop, state, validate
from mlss_core.train.log import RunLog, read_table
from mlss_core.train.loop import train
from mlss_core.train.params import AugmentParams, PairParams
from mlss_core.train.state import load_state
from mlss_core.train.step import start_run

CPU = torch.device("cpu")
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    return small_crops(tmp_path_factory.mktemp("loop"))


@pytest.fixture(scope="module")
def finished(crops, tmp_path_factory):
    """An uninterrupted run of four steps."""
    params = small_params(crops, tmp_path_factory.mktemp("finished") / "run")
    return params, train(params)


def weights(params):
    return read_checkpoint(Path(params.out) / loop.LAST)[0]


def assert_same_tensors(first, second):
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def write_config(path, params):
    values = asdict(params)
    values["clips"] = list(values["clips"])
    path.write_text(yaml.safe_dump(values))
    return path


def start_training(config, *arguments, processes=1):
    launcher = ["-m", "torch.distributed.run", f"--nproc-per-node={processes}", "--standalone"]
    command = [sys.executable, *(launcher if processes > 1 else [])]
    command += ["-m", "mlss_core.cli", "train", str(config), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_loss_falls(crops, tmp_path):
    still = AugmentParams(**dict.fromkeys(AugmentParams.__dataclass_fields__, 0.0))
    params = small_params(
        crops,
        tmp_path / "run",
        steps=16,
        checkpoint_every=16,
        learning_rate=3e-2,
        final_learning_rate=3e-2,
        augment=still,
        pairs=PairParams(mix={"tracklets": 1.0}, shift_px=4.0, tightness=0.0, hard_negative=0.0),
    )
    train(params)
    losses = [row["loss"] for row in read_table(tmp_path / "run" / "log.csv")]
    assert sum(losses[-3:]) < 0.85 * sum(losses[:3])


def test_weights_load_into_the_tracker_and_hold_the_settings(finished):
    params, run = finished
    network = load_network(Path(params.out) / loop.LAST)
    assert network.params == SMALL_NETWORK
    torch.testing.assert_close(network.state_dict(), run.network.state_dict())
    header = read_checkpoint(Path(params.out) / loop.LAST)[1]
    assert header["step"] == "4"
    assert json.loads(header["train"])["batch"] == params.batch


def test_log_has_a_row_per_step_and_tensorboard_events(finished):
    params, _ = finished
    rows = read_table(Path(params.out) / "log.csv")
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert {"loss", "drawn", "swapped", "hit", "learning_rate", "wait_s", "step_s"} < set(rows[0])
    assert list((Path(params.out) / "tensorboard").glob("events.*"))


def test_interrupted_run_continues_bit_for_bit(finished, crops, tmp_path):
    whole, _ = finished
    params = small_params(crops, tmp_path / "run")

    def stop_after_two(step, figures):
        if step == 3:  # its checkpoint is not yet written
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(params, on_step=stop_after_two)
    assert load_state(tmp_path / "run" / loop.STATE, params, CPU).step == 2
    train(params, resume=True)
    assert_same_tensors(weights(whole), weights(params))
    tables = [read_table(Path(p.out) / "log.csv") for p in (whole, params)]
    assert [row["loss"] for row in tables[0]] == [row["loss"] for row in tables[1]]


@pytest.mark.slow
def test_killed_process_continues_bit_for_bit(crops, tmp_path):
    whole = small_params(crops, tmp_path / "whole", steps=8, loader_workers=1)
    killed = small_params(crops, tmp_path / "killed", steps=8, loader_workers=1)
    assert start_training(write_config(tmp_path / "whole.yaml", whole)).wait(timeout=240) == 0
    config = write_config(tmp_path / "killed.yaml", killed)
    process = start_training(config)
    while len(read_table(tmp_path / "killed" / "log.csv")) < 3:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    assert start_training(config, "--resume").wait(timeout=240) == 0
    assert_same_tensors(weights(whole), weights(killed))
    assert len(read_table(tmp_path / "killed" / "log.csv")) == 8


@pytest.mark.slow
def test_two_processes_give_the_weights_of_one(crops, tmp_path):
    one = small_params(crops, tmp_path / "one", steps=2)
    two = small_params(crops, tmp_path / "two", steps=2)
    assert start_training(write_config(tmp_path / "one.yaml", one)).wait(timeout=240) == 0
    pair = start_training(write_config(tmp_path / "two.yaml", two), processes=2)
    assert pair.wait(timeout=240) == 0
    begun = start_run(one, CPU).network.state_dict()
    round_off = {"backbone.conv1.bias", "backbone.conv2.bias", "backbone.conv4.bias"}
    for name, value in weights(one).items():
        if name in round_off or not value.is_floating_point():
            continue
        step = (value - begun[name]).norm()
        assert step > 0, name
        assert (weights(two)[name] - value).norm() < 1e-2 * step, name
    losses = [read_table(tmp_path / name / "log.csv") for name in ("one", "two")]
    for row, other in zip(*losses, strict=True):
        assert row["loss"] == pytest.approx(other["loss"], rel=1e-4)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full (Linux)")
def test_full_disk_leaves_the_older_checkpoint_intact(finished):
    params, run = finished
    path = Path(params.out) / loop.STATE
    before = path.read_bytes()
    path.with_name(path.name + ".part").symlink_to("/dev/full")  # every write fails: ENOSPC
    with pytest.raises(CheckpointError, match="No space left on device"):
        state.save_state(path, run, params)
    assert path.read_bytes() == before
    assert not list(path.parent.glob("*.part"))
    assert load_state(path, params, CPU).step == 4


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full (Linux)")
def test_full_disk_ends_a_run_with_a_clear_error(crops, tmp_path):
    params = small_params(crops, tmp_path / "run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "log.csv.part").symlink_to("/dev/full")
    with pytest.raises(CheckpointError, match=r"log\.csv.*No space left on device.*resume"):
        train(params)


def test_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(
    crops, tmp_path, monkeypatch
):
    params = small_params(crops, tmp_path / "run")
    original = loop.train_step

    def poison_third(run, batch, *rest):
        if run.step == 2:
            batch.instance.fill_(float("nan"))
        return original(run, batch, *rest)

    monkeypatch.setattr(loop, "train_step", poison_third)
    with pytest.raises(TrainingDivergedError, match="step 2"):
        train(params)
    kept = load_state(tmp_path / "run" / loop.STATE, params, CPU)
    assert kept.step == 2
    assert all(torch.isfinite(value).all() for value in kept.network.state_dict().values())


def test_state_of_another_geometry_is_refused(finished):
    params, _ = finished
    other = replace(params, network=NetworkParams(patch_px=151, template_margin=6))
    with pytest.raises(CheckpointError, match="patch_px 151.*patch_px 135"):
        load_state(Path(params.out) / loop.STATE, other, CPU)


def test_state_of_the_other_kind_of_run_is_refused(finished):
    params, _ = finished
    other = replace(params, trains="box_head")
    with pytest.raises(CheckpointError, match="a run of box_head, got one of network"):
        load_state(Path(params.out) / loop.STATE, other, CPU)


def test_a_resumed_run_with_other_clips_keeps_its_columns_apart(tmp_path):
    with RunLog(tmp_path, 0) as log:
        log.write("validation", 1, {"loss": 0.5, "success_auc/walk": 0.25})
    with RunLog(tmp_path, 1) as log:
        log.write("validation", 2, {"loss": 0.4, "success_auc/run": 0.75, "success_auc": 0.75})
    first, second = read_table(tmp_path / "validation.csv")
    assert (first["loss"], second["loss"]) == (0.5, 0.4)
    assert math.isnan(first["success_auc/run"])
    assert second["success_auc/run"] == 0.75


def test_run_starts_from_given_weights_of_the_same_network(finished, crops, tmp_path):
    given = str(Path(finished[0].out) / loop.LAST)
    calibrated = replace(SMALL_NETWORK, score_constant=-3.0)
    params = small_params(crops, tmp_path / "run", initial_weights=given, network=calibrated)
    assert_same_tensors(start_run(params, CPU).network.state_dict(), weights(finished[0]))
    other = replace(params, network=NetworkParams(patch_px=151, template_margin=6))
    with pytest.raises(CheckpointError, match="patch_px 151.*patch_px 135"):
        start_run(other, CPU)


def test_damaged_and_missing_states_are_refused(finished, tmp_path):
    params, _ = finished
    content = (Path(params.out) / loop.STATE).read_bytes()
    (tmp_path / "half.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="whole training state"):
        load_state(tmp_path / "half.safetensors", params, CPU)
    with pytest.raises(CheckpointError, match="leave out --resume"):
        load_state(tmp_path / "nothing.safetensors", params, CPU)
    with pytest.raises(CheckpointError, match="format"):
        load_state(Path(params.out) / loop.LAST, params, CPU)


def test_second_run_in_the_same_folder_is_refused(finished):
    with pytest.raises(ConfigError, match="--resume"):
        train(finished[0])


def test_missing_crops_are_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(SequenceError, match="mlss curate"):
        train(small_params(tmp_path / "nowhere", tmp_path / "run"))


def test_odd_batch_is_refused(crops, tmp_path):
    with pytest.raises(ConfigError, match="whole groups of 2"):
        train(small_params(crops, tmp_path / "run", batch=3))


def test_validation_runs_the_tracker_and_keeps_the_best_weights(crops, tmp_path):
    clip = write_otb(tmp_path / "clips" / "walk")
    params = small_params(
        crops, tmp_path / "run", steps=2, validate_every=1, clips=(str(clip),), clip_frames=4
    )
    run = train(params)
    rows = read_table(tmp_path / "run" / "validation.csv")
    assert [row["step"] for row in rows] == [1, 2]
    assert all(0 < row["success_auc"] <= 1 for row in rows)
    assert rows[0]["success_auc/walk"] == rows[0]["success_auc"]
    assert run.best == pytest.approx(max(row["success_auc"] for row in rows), rel=1e-4)
    assert load_network(tmp_path / "run" / loop.BEST).params == SMALL_NETWORK


def test_validation_starts_at_the_first_labelled_frame(tmp_path):
    clip = load_sequence(write_otb(tmp_path / "walk", hidden=(0, 1, 2)))
    part, truth = validate.shortened(clip, 4)
    assert np.array_equal(truth, clip.ground_truth[3:7])
    assert np.array_equal(part.frames[0], clip.frames[3])
    assert len(part) == 4


@pytest.mark.parametrize("name", ["nowhere", "unlabelled"])
def test_clips_that_cannot_be_validated_on_are_found_before_training(crops, tmp_path, name):
    unlabelled = write_otb(tmp_path / "unlabelled")
    (unlabelled / "groundtruth_rect.txt").unlink()
    params = small_params(crops, tmp_path / "run", clips=(str(tmp_path / name),))
    with pytest.raises(SequenceError, match=name):
        train(params)
    assert not (tmp_path / "run").exists()


def test_clips_whose_box_cannot_be_followed_are_found_before_training(crops, tmp_path):
    clip = write_otb(tmp_path / "walk")
    rows = ["900,41,20,14"] * 13
    (clip / "groundtruth_rect.txt").write_text("\n".join(rows))
    with pytest.raises(SequenceError, match="walk: expected a box centre inside"):
        train(small_params(crops, tmp_path / "run", clips=(str(clip),)))
    assert not (tmp_path / "run").exists()


def test_report_is_a_picture_of_the_run(finished, tmp_path, capsys):
    config = write_config(tmp_path / "run.yaml", finished[0])
    assert main(["train", str(config), "--report"]) == 0
    picture = Path(capsys.readouterr().out.strip())
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_report_without_a_run_is_an_error(crops, tmp_path, capsys):
    config = write_config(tmp_path / "run.yaml", small_params(crops, tmp_path / "run"))
    assert main(["train", str(config), "--report"]) == 2
    assert "log.csv" in capsys.readouterr().err
