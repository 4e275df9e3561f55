import json
from types import SimpleNamespace

import pytest
import torch
from seeded import seeded_network, seeded_patches

from mlss_core.bench import STAGES, patch_macs, with_three_channels
from mlss_core.checkpoint import save_checkpoint
from mlss_core.cli import main
from mlss_core.network_params import NetworkParams


def test_arithmetic_of_a_patch_is_about_six_giga_multiply_accumulates():
    convolutions = 527 + 998 + 2486 + 1726 + 266 + 69  # millions, from the layer table
    correlations = 64 * 33**2 * (17**2 + 21**2) / 1e6
    assert patch_macs(3) / 1e6 == pytest.approx(convolutions + correlations, rel=0.01)
    assert patch_macs(3) - patch_macs(1) == 2 * 121 * 96 * 123**2


def test_three_channel_network_computes_the_same():
    network = seeded_network(NetworkParams())
    patch, _ = seeded_patches()
    narrow, wide = network.features(patch), with_three_channels(network).features(patch)
    torch.testing.assert_close(wide.semantic, narrow.semantic, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("--frames 0", "frames"),
        ("--targets 1 0", "targets"),
        ("--json absent/bench.json", "absent"),
        ("--plot absent/bench.png", "absent"),
        ("--plot bench.nope", "bench.nope"),
        ("--plot bench", "bench"),
        ("--json .", "a file"),
    ],
)
def test_bench_refuses_before_it_measures(monkeypatch, capsys, option, reason):
    monkeypatch.setattr("mlss_core.commands.bench.measure_peak_flops", pytest.fail)
    assert main(["bench", "--device", "cpu", *option.split()]) == 2
    assert (message := capsys.readouterr().err).startswith("mlss: error: expected")
    assert reason in message


def test_bench_misses_opencv_contrib_before_it_measures(monkeypatch, capsys):
    monkeypatch.setattr("mlss_core.commands.bench.measure_peak_flops", pytest.fail)
    monkeypatch.setattr("mlss_core.evaluate.peers.cv2", SimpleNamespace(__version__="4.0"))
    assert main(["bench", "--device", "cpu"]) == 2
    assert "install opencv-contrib-python-headless" in capsys.readouterr().err


@pytest.mark.slow
def test_bench_writes_every_stage_beside_the_plain_path_and_opencv(tmp_path, capsys):
    weights, out = tmp_path / "net.safetensors", tmp_path / "bench.json"
    save_checkpoint(weights, seeded_network(NetworkParams()))
    plot = tmp_path / "bench.png"
    arguments = ["--weights", str(weights), "--device", "cpu", "--targets", "1", "--frames", "1"]
    assert main(["bench", *arguments, "--json", str(out), "--plot", str(plot)]) == 0
    rows = {row["name"]: row for row in json.loads(out.read_text())["rows"]}
    plain = rows["plain fp32, 1 target(s), 8 bit"]
    assert set(plain["stages"]) == set(STAGES)
    assert plain["floor"] > 0
    assert "OpenCV CSRT, 1 target(s), 8 bit" in rows
    assert {"fp32", "bf16"} <= {name.split()[1].rstrip(",") for name in rows if "robust" in name}
    assert "speed-up" in capsys.readouterr().out
    assert plot.stat().st_size > 0
