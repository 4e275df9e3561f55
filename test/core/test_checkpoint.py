import errno
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mlss_core.checkpoint import (
    BOX_HEAD_FORMAT,
    DEFAULT_BOX_HEAD,
    DEFAULT_WEIGHTS,
    FORMAT,
    load_network,
    read_checkpoint,
    save_checkpoint,
)
from mlss_core.errors import CheckpointError
from mlss_core.model import MLSSNet
from mlss_core.network_params import NetworkParams


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    torch.manual_seed(0)
    network = MLSSNet(NetworkParams(grey_offset=100.0)).eval()
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    save_checkpoint(path, network, {"epoch": "3"})
    return path, network


def test_checkpoint_rebuilds_the_same_network(saved):
    path, network = saved
    loaded = load_network(path)
    assert loaded.params == network.params
    assert not loaded.training
    for name, value in network.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"no file at .*absent\.safetensors"):
        load_network(tmp_path / "absent.safetensors")


def test_truncated_file_is_refused(saved, tmp_path):
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(saved[0].read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"cut\.safetensors to be a whole safetensors file"):
        load_network(cut)


def test_foreign_bytes_are_refused_and_never_unpickled(tmp_path):
    foreign = tmp_path / "pickle.pth"
    torch.save({"model": torch.zeros(3)}, foreign)
    with pytest.raises(CheckpointError, match="whole safetensors file"):
        load_network(foreign)


def test_safetensors_of_another_project_are_refused(tmp_path):
    other = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, other)
    with pytest.raises(CheckpointError, match="mlssnet-1 checkpoint, got format None"):
        load_network(other)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        ({"patch_px": 255, "unknown_option": 1}, "unknown_option"),
        ({"input_channels": 9}, "input_channels between 1 and 3"),
        ({"input_channels": 3}, "size mismatch"),
    ],
)
def test_header_that_does_not_fit_is_refused_with_the_reason(tmp_path, network, reason):
    path = tmp_path / "net.safetensors"
    header = {"format": "mlssnet-1", "network": json.dumps(network)}
    save_file(MLSSNet().state_dict(), path, header)
    with pytest.raises(CheckpointError, match=reason):
        load_network(path)


def test_full_disk_leaves_the_older_checkpoint_whole(saved, monkeypatch):
    path, network = saved
    before = path.read_bytes()

    def disk_full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", disk_full)
    with pytest.raises(CheckpointError, match="No space left"):
        save_checkpoint(path, network)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("path", "kind"), [(DEFAULT_WEIGHTS, FORMAT), (DEFAULT_BOX_HEAD, BOX_HEAD_FORMAT)]
)
def test_shipped_weights_name_no_folder_of_the_machine_that_trained_them(path, kind):
    _, header = read_checkpoint(path, kind)
    assert '"/' not in json.dumps(header).replace("\\", "")
    assert header["trained"]
