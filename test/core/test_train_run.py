"""What surrounds the steps: logs, settings that change on the way, clips, processes."""

import datetime
from pathlib import Path

import cv2
import pytest
import torch
from torch.nn.functional import softplus
from torch.utils._python_dispatch import TorchDispatchMode
from training import small_crops, small_params, write_otb

from mlss_core.errors import CheckpointError
from mlss_core.model.backbone import Features
from mlss_core.model.network import Templates
from mlss_core.train import loop, processes
from mlss_core.train.crops import CropLibrary
from mlss_core.train.labels import make_labels
from mlss_core.train.log import RunLog, read_table
from mlss_core.train.loop import STATE, train
from mlss_core.train.loss import response_loss
from mlss_core.train.optimizer import make_optimizer, multipliers
from mlss_core.train.pairs import PairDataset
from mlss_core.train.state import load_state, save_state
from mlss_core.train.step import hardest_foreign, start_run, train_step, training_loss

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    return small_crops(tmp_path_factory.mktemp("run"))


@pytest.mark.parametrize(("before", "after"), [("bf16", "fp16"), ("fp16", "bf16")])
def test_a_run_goes_on_in_another_precision(crops, tmp_path, before, after):
    params = small_params(crops, tmp_path, precision=before)
    save_state(tmp_path / STATE, start_run(params, CPU), params)
    changed = small_params(crops, tmp_path, precision=after)
    assert load_state(tmp_path / STATE, changed, CPU).scaler.is_enabled() == (after == "fp16")


def test_without_a_held_out_clip_the_loss_decides_which_weights_are_best(crops, tmp_path):
    (tmp_path / "held_out.txt").write_text("")
    params = small_params(
        crops, tmp_path / "run", steps=1, batch=2, clips=(str(tmp_path / "held_out.txt"),)
    )
    run = train(params)
    (row,) = read_table(tmp_path / "run" / "validation.csv")
    assert "success_auc" not in row
    assert run.best == pytest.approx(-row["loss"], rel=1e-4)


def test_a_pair_of_one_track_is_no_swapped_negative(crops):
    params = small_params(crops, crops)
    network = start_run(params, CPU).network
    batch = PairDataset(CropLibrary(crops), params)[0]
    all_of_them, none, two = (
        training_loss(network, batch._replace(tracks=torch.tensor([own, own]).T), params)
        for own in ([0, 1, 2, 3], [0, 0, 0, 0], [0, 1, 2, 2])
    )
    assert none.swapped == 0
    assert none.loss == none.drawn
    assert 0 < two.swapped < all_of_them.swapped


def test_swapped_negatives_hold_each_exemplar_against_its_neighbours_instance(crops):
    params = small_params(crops, crops)
    network = start_run(params, CPU).network
    batch = PairDataset(CropLibrary(crops), params)[0]
    batch = batch._replace(tracks=torch.arange(4)[:, None].expand(4, 2))
    score = network(batch.exemplar, batch.instance[[1, 0, 3, 2]]).fused
    labels = make_labels(batch.shift_px, torch.zeros(4, dtype=torch.bool), score.shape[-1])
    swapped = training_loss(network, batch, params).swapped
    torch.testing.assert_close(swapped, response_loss(score, labels))


def test_of_a_group_the_foreign_instance_that_responds_most_is_the_negative(crops):
    params = small_params(crops, crops, swapped_group=4)
    network = start_run(params, CPU).network
    batch = PairDataset(CropLibrary(crops), params)[0]
    tracks = torch.tensor([[0, 0], [1, 1], [0, 0], [3, 3]])  # 0 and 2 are of one track
    exemplar, instance = network.features(batch.exemplar), network.features(batch.instance)
    templates = network.templates_from(exemplar)
    found = hardest_foreign(network, templates, instance, tracks, 4)
    for n, other in enumerate(found.tolist()):
        own = Templates(*(level[n : n + 1].expand(4, -1, -1, -1) for level in templates))
        wrong = softplus(network.respond_to(own, instance).fused).mean(dim=(1, 2, 3))
        foreign = [k for k in range(4) if tracks[k, 1] != tracks[n, 0]]
        assert other == max(foreign, key=lambda k: wrong[k])
    hard = training_loss(network, batch._replace(tracks=tracks), params).swapped
    score = network.respond_to(templates, Features(*(level[found] for level in instance))).fused
    labels = make_labels(batch.shift_px, torch.zeros(4, dtype=torch.bool), score.shape[-1])
    torch.testing.assert_close(hard, response_loss(score, labels))


class _Calls(TorchDispatchMode):
    """Notes the names of the operations that are called."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.add(function.overloadpacket.__name__)
        return function(*args, **(kwargs or {}))


def test_a_step_never_reads_a_single_number(crops):
    """On a GPU each one makes the host wait for all the work before it."""
    params = small_params(crops, crops)
    batch, run = PairDataset(CropLibrary(crops), params)[0], start_run(params, CPU)
    with _Calls() as calls:
        figures = train_step(run, batch, params)
    assert "native_batch_norm_backward" in calls.names
    assert calls.names.isdisjoint({"_local_scalar_dense", "is_nonzero", "nonzero"})
    assert list(figures) == ["loss", "drawn", "swapped", "hit"]
    assert figures["loss"] == pytest.approx(figures["drawn"] + 0.5 * figures["swapped"])


@pytest.mark.parametrize(("kind", "groups"), [("uniform", 1), ("released", 5)])
def test_parameters_of_equal_factors_are_updated_together(crops, kind, groups):
    params = small_params(crops, crops, multipliers=kind)
    network = start_run(params, CPU).network
    optimizer = make_optimizer(network, params)
    names = {value: name for name, value in network.named_parameters()}
    grouped = [names[value] for group in optimizer.param_groups for value in group["params"]]
    assert sorted(grouped) == sorted(names.values())
    assert len(optimizer.param_groups) == groups
    for group in optimizer.param_groups:
        for value in group["params"]:
            rate, decay = multipliers(names[value]) if kind == "released" else (1, 1)
            assert group["rate_factor"] == rate
            assert group["weight_decay"] == decay * params.weight_decay


class _Threads(torch.utils.data.Dataset):
    def __getitem__(self, step):
        return [cv2.getNumThreads(), torch.get_num_threads()]


def test_a_process_that_makes_batches_uses_one_thread(crops):
    params = small_params(crops, crops, steps=1, loader_workers=1)
    assert list(loop._loader(_Threads(), 0, params, CPU)) == [[1, 1]]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full (Linux)")
def test_a_disk_that_fills_up_under_the_log_says_so(tmp_path):
    def fill_up():
        with RunLog(tmp_path, 0) as log:
            log.write("log", 1, {"loss": 1.0})
            log._tables["log"].close()
            log._tables["log"] = open("/dev/full", "a")  # noqa: PTH123, SIM115
            log.write("log", 2, {"loss": 1.0})

    with pytest.raises(CheckpointError, match=r"log\.csv.*No space left.*resume"):
        fill_up()


def test_names_of_clips_may_hold_commas_and_quotes(tmp_path):
    figures = {'success_auc/walk, "day" 2': 0.5, "success_auc": 0.5}
    with RunLog(tmp_path, 0) as log:
        log.write("validation", 1, figures)
    with RunLog(tmp_path, 1) as log:
        log.write("validation", 2, figures)
    assert read_table(tmp_path / "validation.csv") == [{"step": n, **figures} for n in (1, 2)]


def test_other_processes_wait_as_long_as_a_validation_takes(monkeypatch):
    """NCCL's own patience is ten minutes, Gloo's thirty."""
    asked = {}
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(
        processes.dist, "init_process_group", lambda backend, **options: asked.update(options)
    )
    monkeypatch.setattr(processes.dist, "get_rank", lambda: 1)
    assert processes.join_processes() == (1, 2, CPU)
    assert asked["timeout"] >= datetime.timedelta(hours=12)


def test_clips_of_one_name_count_each(crops, tmp_path):
    clips = [write_otb(tmp_path / part / "walk", count=4) for part in "ab"]
    params = small_params(
        crops, tmp_path / "run", steps=1, batch=2, clips=tuple(map(str, clips)), clip_frames=3,
        validation_batches=0,
    )  # fmt: skip
    train(params)
    (row,) = read_table(tmp_path / "run" / "validation.csv")
    assert set(row) == {"step", "success_auc", "success_auc/walk", "success_auc/b/walk"}
