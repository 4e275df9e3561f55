import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from seeded import seeded_box, seeded_frames, seeded_network, seeded_patches

from mlss_core.checkpoint import load_network
from mlss_core.errors import ConfigError, FrameError
from mlss_core.evaluate.metrics import overlaps, score_sequence
from mlss_core.int8 import Int8Conv2d, int8_computes
from mlss_core.network_params import NetworkParams, released_network_params
from mlss_core.params import PresenceParams, tracker_params
from mlss_core.runtime import (
    InferenceNetwork,
    choose_device,
    choose_precision,
    cpu_multiplies_int8,
)
from mlss_core.sequences import load_sequence
from mlss_core.tensor_cores import TensorCoreBackbone
from mlss_core.tracker import MLSSTracker

CPU = torch.device("cpu")
FRAMES = 60
INT8 = pytest.param(
    "int8", marks=pytest.mark.skipif(not cpu_multiplies_int8(), reason="no VNNI on this CPU")
)


@pytest.mark.parametrize("params", [NetworkParams(), released_network_params()])
def test_folded_network_computes_what_the_plain_one_does(params):
    network = seeded_network(params, seed=2)
    patches, _ = seeded_patches()
    plain = InferenceNetwork(network, CPU, "fp32", plain=True).features(patches)
    folded = InferenceNetwork(network, CPU, "fp32").features(patches)
    for a, b in zip(plain, folded, strict=True):
        assert torch.linalg.vector_norm(a - b) < 1e-5 * torch.linalg.vector_norm(a)


@pytest.mark.parametrize("params", [NetworkParams(), released_network_params()])
def test_a_backbone_for_tensor_cores_computes_the_same(params):
    patches, _ = seeded_patches()
    network = InferenceNetwork(seeded_network(params, seed=2), CPU, "fp32")
    expected = network.features(patches)
    centred = patches - network.params.grey_offset
    for a, b in zip(expected, TensorCoreBackbone(network.network.backbone)(centred), strict=True):
        assert torch.linalg.vector_norm(a - b) < 1e-5 * torch.linalg.vector_norm(a)


def test_nothing_of_a_backbone_for_tensor_cores_stays_behind_when_it_is_moved():
    network = InferenceNetwork(seeded_network(NetworkParams()), CPU, "fp32")
    backbone = TensorCoreBackbone(network.network.backbone)
    backbone.double()  # moves what a device would: a tensor that stays is of another type
    levels = backbone(torch.zeros(1, 1, 255, 255, dtype=torch.float64))
    assert {level.dtype for level in levels} == {torch.float64}


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_tensor_cores_compute_what_float32_does(precision):
    network, (patches, _) = load_network(), seeded_patches()
    exact = InferenceNetwork(network, CPU, "fp32").features(patches)
    fast = InferenceNetwork(network, torch.device("cuda"), precision)
    assert isinstance(fast.network.backbone, TensorCoreBackbone)
    for a, b in zip(exact, fast.features(patches), strict=True):
        error = torch.linalg.vector_norm(a - b.cpu()) / torch.linalg.vector_norm(a)
        assert 1e-5 < error < 0.02  # rounded, and no more than that


def test_preparing_a_network_leaves_the_given_one_alone():
    network = seeded_network(NetworkParams())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    InferenceNetwork(network, CPU, "bf16")
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name])


@pytest.mark.skipif(not cpu_multiplies_int8(), reason="no VNNI on this CPU")
def test_integers_compute_what_floats_do_and_each_patch_for_itself():
    network = seeded_network(NetworkParams(), seed=2)
    patches, _ = seeded_patches()
    floats = InferenceNetwork(network, CPU, "fp32").features(patches)
    integers = InferenceNetwork(network, CPU, "int8")
    together = integers.features(patches)
    for a, b in zip(floats, together, strict=True):
        error = torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(a)
        assert 1e-4 < error < 0.03  # rounded, and no more than that
    alone = [integers.features(patch) for patch in patches.split(1)]
    assert torch.equal(together.semantic, torch.cat([part.semantic for part in alone]))


@pytest.mark.skipif(not cpu_multiplies_int8(), reason="no VNNI on this CPU")
def test_integers_bear_a_patch_of_nothing():
    network = InferenceNetwork(seeded_network(NetworkParams()), CPU, "int8")
    level = float(network.params.grey_offset)
    assert torch.isfinite(network.features(torch.full((1, 1, 255, 255), level)).semantic).all()


@pytest.mark.parametrize(
    ("precision", "limit_px"),
    [("fp32", 1e-2), ("bf16", 1.5), pytest.param(*INT8.values, 1.5, marks=INT8.marks)],
)
def test_fast_paths_track_as_the_plain_one(precision, limit_px):
    network = seeded_network(NetworkParams(), seed=1)
    # a network that has learnt nothing is never sure, and doubt makes steps of small differences
    params = dataclasses.replace(tracker_params(), presence=PresenceParams(enabled=False))
    fast = MLSSTracker(network, params, device="cpu", precision=precision)
    plain = MLSSTracker(network, params, device="cpu", precision="fp32")
    plain._network = InferenceNetwork(network, CPU, "fp32", plain=True)
    frames = seeded_frames(8)
    for tracker in (fast, plain):
        tracker.initialize(frames[0], seeded_box())
    for frame in frames[1:]:
        (a,), (b,) = fast.update(frame), plain.update(frame)
        assert a.state == b.state
        if a.box is not None:
            assert max(abs(x - y) for x, y in zip(a.box, b.box, strict=True)) < limit_px


def tracked(sequence, frames, precision, plain=False):
    """Boxes (N, 4) that the shipped weights give over the first frames of a sequence."""
    tracker = MLSSTracker(device="cpu", precision=precision)
    if plain:
        tracker._network = InferenceNetwork(load_network(), CPU, "fp32", plain=True)
    tracker.initialize(sequence.frames[0], sequence.box(0))
    found = [sequence.box(0)]
    for number in range(1, frames):
        (result,) = tracker.update(sequence.frames[number])
        found.append(result.box)
    return np.array([box.to_ltwh() for box in found])


@pytest.mark.data
def test_folded_float32_tracks_100_frames_as_the_plain_network(shared_dir):
    sequence = load_sequence(shared_dir / "data" / "airplane")
    folded, plain = (tracked(sequence, 100, "fp32", plain) for plain in (False, True))
    assert abs(folded - plain).max() < 1e-2
    assert overlaps(plain, sequence.ground_truth[:100]).mean() > 0.6  # of a track worth comparing


@pytest.fixture(scope="module", params=["IR_DRONE_119", "IR_BIRD_063"])
def held_out(request, shared_dir):
    """A held-out clip, and its boxes in float32."""
    sequence = load_sequence(shared_dir / "data" / "ddd_ir" / f"{request.param}.mp4")
    return sequence, tracked(sequence, FRAMES, "fp32")


@pytest.mark.data
@pytest.mark.parametrize("precision", ["bf16", INT8])
def test_fewer_bits_track_held_out_clips_as_float32_does(held_out, precision):
    sequence, floats = held_out
    boxes = tracked(sequence, FRAMES, precision)
    assert overlaps(boxes, floats).mean() >= 0.95
    labels = sequence.ground_truth[:FRAMES]
    success = [score_sequence(rows, labels, "plain").success_auc for rows in (boxes, floats)]
    assert abs(success[0] - success[1]) <= 0.01


def test_auto_device_is_one_that_is_there():
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert choose_device("auto").type == expected


@pytest.mark.parametrize(
    ("flags", "computes", "expected"),
    [
        (set(), True, "fp32"),
        ({"avx2"}, True, "fp32"),
        ({"avx512_bf16"}, True, "bf16"),
        ({"avx512_bf16", "avx512_vnni"}, True, "int8"),
        ({"avx_vnni"}, True, "int8"),
        ({"avx_vnni"}, False, "fp32"),
        ({"avx512_bf16", "avx512_vnni"}, False, "bf16"),
        ({"amx_bf16", "avx512_bf16", "avx512_vnni"}, True, "bf16"),
    ],
)
def test_auto_precision_is_what_the_cpu_multiplies_fast(monkeypatch, flags, computes, expected):
    monkeypatch.setattr("mlss_core.runtime._cpu_flags", lambda: frozenset(flags))
    monkeypatch.setattr("mlss_core.runtime.int8_computes", lambda: computes)
    assert choose_precision("auto", CPU) == expected
    if "vnni" not in str(flags) or not computes:
        with pytest.raises(ConfigError, match="CPU with VNNI"):
            choose_precision("int8", CPU)


def test_integers_are_not_used_where_pytorch_lacks_them_or_computes_something_else(monkeypatch):
    int8_computes.cache_clear()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(Int8Conv2d, "forward", lambda self, x: x.new_zeros(1, 8, 7, 7))
            assert not int8_computes()
        int8_computes.cache_clear()
        with monkeypatch.context() as patch:
            patch.setattr("mlss_core.int8.Int8Conv2d", lambda conv, signed: torch.ops.onednn.gone)
            assert not int8_computes()
    finally:
        int8_computes.cache_clear()


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is there")
def test_cuda_is_refused_where_there_is_none():
    with pytest.raises(ConfigError, match="got none; use device cpu"):
        choose_device("cuda")


@pytest.mark.parametrize("device", ["cuda:2", "cuda:x", "cudart"])
def test_a_cuda_device_that_is_not_there_is_refused_with_those_that_are(monkeypatch, device):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with pytest.raises(ConfigError, match=f"for '{device}', got cuda, cuda:0, cuda:1; use"):
        choose_device(device)
    assert choose_device("cuda:1") == torch.device("cuda:1")


def test_patches_of_another_shape_are_refused():
    with pytest.raises(FrameError, match="cut grey patches"):
        InferenceNetwork(seeded_network(), CPU, "fp32").features(torch.zeros(1, 3, 255, 255))


def test_large_batches_are_computed_in_parts_of_few_sizes(monkeypatch):
    network = InferenceNetwork(seeded_network(NetworkParams()), torch.device("cpu"), "fp32")
    sizes = []
    backbone = network.network.backbone
    forward = backbone.forward
    monkeypatch.setattr(backbone, "forward", lambda x: sizes.append(len(x)) or forward(x))
    patches = torch.rand(6, 1, 255, 255) * 255
    together = network.features(patches)
    assert sizes == [4, 2]
    alone = network.features(patches[5:])
    torch.testing.assert_close(together.semantic[5:], alone.semantic, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("given", "policy", "spins"),
    [({}, "PASSIVE", "10000"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE", "30000000000")],
)
def test_waiting_threads_leave_the_cores_to_others_unless_told_otherwise(given, policy, spins):
    unset = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    environment = {k: v for k, v in os.environ.items() if k not in unset}
    shown = subprocess.run(
        [sys.executable, "-c", "from mlss_core.tracker import MLSSTracker"],
        env={**environment, **given, "OMP_DISPLAY_ENV": "VERBOSE"},
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    if "OMP_WAIT_POLICY" not in shown:
        pytest.skip("this PyTorch has no OpenMP that shows its settings")
    assert f"OMP_WAIT_POLICY = '{policy}'" in shown
    assert "GOMP_SPINCOUNT" not in shown or f"GOMP_SPINCOUNT = '{spins}'" in shown
