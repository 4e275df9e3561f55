import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from seeded import seeded_box, seeded_frames, seeded_network, seeded_patches

from mlss_core.checkpoint import save_checkpoint
from mlss_core.cli import main
from mlss_core.errors import CheckpointError, ConfigError
from mlss_core.export import MatrixCorrelation, MatrixFilter, export_onnx
from mlss_core.model.correlation import CorrelationFilter, cross_correlate
from mlss_core.network_params import NetworkParams
from mlss_core.onnx_network import OnnxNetwork
from mlss_core.params import PresenceParams, TrackerParams
from mlss_core.tracker import MLSSTracker


@pytest.fixture(scope="module")
def network():
    return seeded_network(NetworkParams(), seed=1)


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnx")
    save_checkpoint(folder / "net.safetensors", network)
    arguments = ["--weights", str(folder / "net.safetensors")]
    assert main(["export", str(folder / "net.onnx"), *arguments]) == 0
    return folder / "net"


def test_filter_by_matrices_equals_the_fourier_one():
    exemplar = torch.randn(2, 5, 49, 49, generator=torch.Generator().manual_seed(0))
    module = CorrelationFilter(49, 16, 2.0, 10.0)
    torch.testing.assert_close(MatrixFilter(module)(exemplar), module(exemplar), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("targets", "shared"), [(1, 1), (2, 3)])
def test_correlation_by_matrices_equals_the_fourier_one(targets, shared):
    generator = torch.Generator().manual_seed(0)
    template = torch.randn(targets, 5, 17, 17, generator=generator)
    instance = torch.randn(targets * shared, 5, 49, 49, generator=generator)
    got = MatrixCorrelation(49, 33)(template, instance)
    torch.testing.assert_close(got, cross_correlate(template, instance), atol=1e-3, rtol=1e-4)


def test_graphs_give_the_networks_templates_and_responses(network, exported):
    exemplar, instances = seeded_patches()
    graphs = OnnxNetwork(exported)
    templates = graphs.templates_from(graphs.features(exemplar))
    expected = network.make_templates(exemplar)
    for got, want in zip(templates, expected, strict=True):
        assert torch.linalg.vector_norm(got - want) < 1e-4 * torch.linalg.vector_norm(want)
    spelt_out = graphs.exemplar_features(graphs.features(exemplar))
    for got, want in zip(spelt_out, network.features(exemplar), strict=True):
        assert torch.linalg.vector_norm(got - want) < 1e-4 * torch.linalg.vector_norm(want)
    assert graphs.ensemble == network.ensemble.summed()
    fused = graphs.respond_to(expected, graphs.features(instances)).fused
    torch.testing.assert_close(
        fused, network.respond(expected, instances).fused, atol=1e-4, rtol=1e-3
    )


def test_onnx_runtime_gives_the_same_boxes(network, exported):
    params = TrackerParams(presence=PresenceParams(enabled=False))
    torch_tracker = MLSSTracker(network, params, device="cpu", precision="fp32")
    onnx_tracker = MLSSTracker(OnnxNetwork(exported), params)
    frames = seeded_frames(6)
    for tracker in (torch_tracker, onnx_tracker):
        tracker.initialize(frames[0], seeded_box())
    for frame in frames[1:]:
        (a,), (b,) = torch_tracker.update(frame), onnx_tracker.update(frame)
        np.testing.assert_allclose(a.box, b.box, rtol=0, atol=1e-2)


def test_a_dot_in_the_name_stays_and_a_missing_folder_is_made(network, tmp_path):
    paths = export_onnx(network, tmp_path / "new" / "net.v2.onnx")
    assert [path.name for path in paths] == ["net.v2.exemplar.onnx", "net.v2.instance.onnx"]
    assert OnnxNetwork(tmp_path / "new" / "net.v2").params == network.params


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full (Linux)")
def test_a_full_disk_leaves_the_older_graphs_alone(network, exported, tmp_path):
    for branch in ("exemplar", "instance"):
        shutil.copy(f"{exported}.{branch}.onnx", tmp_path / f"net.{branch}.onnx")
    (tmp_path / "net.exemplar.onnx.part").symlink_to("/dev/full")
    other = seeded_network(NetworkParams(), seed=2)
    with pytest.raises(CheckpointError, match="No space left"):
        export_onnx(other, tmp_path / "net.onnx")
    exemplar, _ = seeded_patches()
    graphs = OnnxNetwork(tmp_path / "net")
    semantic = graphs.templates_from(graphs.features(exemplar)).semantic
    torch.testing.assert_close(
        semantic, network.make_templates(exemplar).semantic, atol=1e-3, rtol=1e-3
    )


def test_graphs_of_two_exports_are_refused(exported, tmp_path):
    export_onnx(seeded_network(NetworkParams(), seed=2), tmp_path / "net.onnx")
    shutil.copy(f"{exported}.instance.onnx", tmp_path / "net.instance.onnx")
    with pytest.raises(
        CheckpointError, match=r"net\.instance\.onnx .*the same weights.*copy both"
    ):
        OnnxNetwork(tmp_path / "net")


@pytest.mark.parametrize("provider", ["NopeExecutionProvider", ("NopeExecutionProvider", {})])
def test_a_provider_that_is_not_there_is_named_instead_of_the_cpu_taken(exported, provider):
    with pytest.raises(ConfigError, match="with NopeExecutionProvider, got .*CPUExecutionProv"):
        OnnxNetwork(exported, providers=[provider, "CPUExecutionProvider"])


def test_a_folder_is_no_name_for_graphs(network, tmp_path):
    with pytest.raises(ConfigError, match="expected a file name"):
        export_onnx(network, tmp_path)
    assert not list(tmp_path.parent.glob("*.onnx"))


def test_missing_or_foreign_graphs_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"no file; write it with mlss export"):
        OnnxNetwork(tmp_path / "absent")
    (tmp_path / "bad.exemplar.onnx").write_bytes(b"not a graph")
    with pytest.raises(CheckpointError, match=r"bad\.exemplar\.onnx to be a graph of mlss export"):
        OnnxNetwork(tmp_path / "bad")
