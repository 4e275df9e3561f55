"""The MatConvNet reader on files of both MAT versions, made here as MATLAB writes them."""

import h5py
import numpy as np
import pytest
import scipy.io
import torch
from matlab_names import FILTERS
from seeded import seeded_network

from mlss_core.checkpoint import load_network
from mlss_core.cli import main
from mlss_core.errors import CheckpointError
from mlss_core.matconvnet import load_matconvnet

EPS = 1e-5


@pytest.fixture(scope="module")
def network():
    return seeded_network()


@pytest.fixture
def params(network):
    """What MATLAB would hold: filters H x W x In x Out, singleton dimensions dropped."""
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    out = {}
    for module, name in FILTERS.items():
        filters = state[f"{module}.weight"].transpose(2, 3, 1, 0)
        while filters.ndim > 2 and filters.shape[-1] == 1:
            filters = filters[..., 0]
        out[name.format("f")] = filters
        out[name.format("b")] = state[f"{module}.bias"][:, None]
    for i in range(1, 5):
        norm = f"backbone.bn{i}"
        out[f"br_bn{i}m"] = state[f"{norm}.weight"][:, None]
        out[f"br_bn{i}b"] = state[f"{norm}.bias"][:, None]
        sigma = np.sqrt(state[f"{norm}.running_var"] + EPS)
        out[f"br_bn{i}x"] = np.stack([state[f"{norm}.running_mean"], sigma], axis=1)
    for k, (suffix, cells) in enumerate((("", 49), ("3", 53))):
        hann = np.hanning(cells)
        distance = np.minimum(np.arange(cells), cells - np.arange(cells))
        gauss = np.exp(-0.5 * (distance / 2.0) ** 2)
        out[f"join_window{suffix}"] = np.outer(hann, hann)
        out[f"join_cf_target{suffix}"] = np.outer(gauss, gauss)
        out[f"fin_adjust{suffix}f"] = state["ensemble.gain"][k].reshape(1, 1)
        out[f"fin_adjust{suffix}b"] = state["ensemble.bias"][k].reshape(1, 1)
    return {name: np.array(value, np.float32) for name, value in out.items()}


def write_v7(path, params, loss_layers=False):
    entries = np.zeros((1, len(params)), dtype=[("name", "O"), ("value", "O")])
    for i, (name, value) in enumerate(params.items()):
        entries[0, i] = (name, value)
    layer_names = ["br1_conv1"] + (["objective", "errdisp", "iou"] if loss_layers else [])
    layers = np.zeros((1, len(layer_names)), dtype=[("name", "O"), ("type", "O")])
    for i, name in enumerate(layer_names):
        layers[0, i] = (name, "dagnn.Loss" if i else "dagnn.Conv")
    content = {"net": {"params": entries, "layers": layers}}
    if loss_layers:
        content["state"] = {"momentum": np.zeros(3)}
        content["stats"] = {"objective": 0.5}
    scipy.io.savemat(path, content)


def write_v73(path, params):
    """HDF5 with a MATLAB user block; dimensions reversed, cells as references."""
    with h5py.File(path, "w", userblock_size=512) as file:
        refs = file.create_group("#refs#")
        group = file.create_group("net/params")
        shape = (len(params), 1)
        names = group.create_dataset("name", shape, dtype=h5py.ref_dtype)
        values = group.create_dataset("value", shape, dtype=h5py.ref_dtype)
        for i, (name, value) in enumerate(params.items()):
            text = np.array([[ord(c)] for c in name], dtype=np.uint16)
            names[i, 0] = refs.create_dataset(f"n{i}", data=text).ref
            values[i, 0] = refs.create_dataset(f"v{i}", data=value.T).ref
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


def assert_same(loaded, network):
    for name, value in network.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(loaded.state_dict()[name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loss_layers", [False, True])
def test_version_7_is_read_with_and_without_loss_layers(params, network, tmp_path, loss_layers):
    path = tmp_path / "net-epoch-26.mat"
    write_v7(path, params, loss_layers)
    assert_same(load_matconvnet(path), network)


def test_version_7_3_is_read(params, network, tmp_path):
    path = tmp_path / "net-epoch-26.mat"
    write_v73(path, params)
    assert_same(load_matconvnet(path), network)


def test_convert_writes_weights_that_load(params, network, tmp_path, capsys):
    write_v7(tmp_path / "net.mat", params)
    target = tmp_path / "net.safetensors"
    assert main(["convert", str(tmp_path / "net.mat"), str(target)]) == 0
    assert "2081793 learnt parameters" in capsys.readouterr().out
    assert_same(load_network(target), network)


def add_stray(params):
    params["stray"] = np.zeros((1, 1), np.float32)


def spoil_shape(params):
    params["br_conv2f"] = params["br_conv2f"][:, :, :, :9]


def spoil_nan(params):
    params["br_conv5b"][3] = np.nan


def spoil_sigma(params):
    params["br_bn2x"][0, 1] = 0.0


def spoil_window(params):
    params["join_window3"] = np.ones_like(params["join_window3"])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (add_stray, "unknown parameters stray"),
        (lambda p: p.pop("br_conv4b"), "no parameter br_conv4b"),
        (spoil_shape, r"br_conv2f of shape \(5, 5, 48, 9\)"),
        (spoil_nan, "br_conv5b with values that are not finite"),
        (spoil_sigma, "br_bn2x with a standard deviation that is not positive"),
        (spoil_window, "join_window3 other than the released constant"),
    ],
)
@pytest.mark.parametrize("write", [write_v7, write_v73])
def test_another_network_is_refused_with_the_reason(params, tmp_path, write, spoil, reason):
    spoil(params)
    path = tmp_path / "other.mat"
    write(path, params)
    with pytest.raises(CheckpointError, match=reason):
        load_matconvnet(path)


def test_files_that_are_no_checkpoint_are_refused(params, tmp_path, capsys):
    absent, text = tmp_path / "absent.mat", tmp_path / "text.mat"
    text.write_text("not a MAT file")
    bare = tmp_path / "bare.mat"
    scipy.io.savemat(bare, {"x": np.zeros(3)})
    number = tmp_path / "number.mat"
    scipy.io.savemat(number, {"net": np.zeros(3)})
    cut = tmp_path / "cut.mat"
    write_v7(cut, params)
    cut.write_bytes(cut.read_bytes()[:30_000])
    cut73 = tmp_path / "cut73.mat"
    write_v73(cut73, params)
    cut73.write_bytes(cut73.read_bytes()[:30_000])
    for path, reason in {
        absent: "no file at",
        text: "no MAT file of version 7 or 7.3",
        bare: "without the variable net",
        number: "net without params",
        cut: "damaged MAT file",
        cut73: "damaged MAT file",
    }.items():
        assert main(["convert", str(path), str(tmp_path / "out.safetensors")]) == 2
        message = capsys.readouterr().err
        assert message.startswith("mlss: error:")
        assert message.count("\n") == 1
        assert reason in message
    assert not (tmp_path / "out.safetensors").exists()
