"""The authors' MatConvNet checkpoints (`net-epoch-N.mat`) -> a network of this project.

A checkpoint is a DagNN saved as a struct `net` with `params(name, value, ...)`; MATLAB stores
filters as height x width x in x out and drops trailing singleton dimensions. Version 7 files are
read by scipy, version 7.3 (HDF5, dimensions reversed) by h5py. Loss layers and solver state, where
present, carry no parameters of the network and are ignored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlss_core.errors import CheckpointError
from mlss_core.mat_limits import (
    MAX_BYTES,
    MAX_ENTRIES,
    MAX_NAME,
    LimitError,
    check_dataset,
    check_version_7,
)
from mlss_core.model.correlation import gaussian_target, hann_window
from mlss_core.model.network import MLSSNet
from mlss_core.network_params import released_network_params

_BATCH_NORM_EPS = 1e-5  # dagnn.BatchNorm; already inside the stored standard deviation

# parameter of the authors' graph -> module of MLSSNet: filters end in f, biases in b
_CONVOLUTIONS = {
    **{f"br_conv{i}": f"backbone.conv{i}" for i in range(1, 6)},
    "join_br_conv3{}_dimred": "backbone.reduce",
    "join_br1_conv51_": "semantic_attention.squeeze",
    "join_br1_conv52_": "semantic_attention.expand",
    "join_br1_conv11_": "structural_attention.conv1",
    "join_br1_conv12_": "structural_attention.conv2",
    "join_deconv3_": "structural_attention.deconv1",
    "join_b_deconv3_": "structural_attention.deconv2",
}


def load_matconvnet(path: str | Path) -> MLSSNet:
    """Read an authors' checkpoint into MLSSNet with released parameters, in evaluation mode.

    Raises:
        CheckpointError: no such file, no MAT file, another network, or a value of another shape.
    """
    path = Path(path)
    params = _read_params(path)
    network = MLSSNet(released_network_params())
    state = network.state_dict()
    for source, target in _CONVOLUTIONS.items():
        name = source if "{}" in source else source + "{}"
        weight, bias = state[f"{target}.weight"], state[f"{target}.bias"]
        filters = _take(params, name.format("f"), _matlab_shape(weight), path)
        weight.copy_(torch.from_numpy(filters.transpose(3, 2, 0, 1).copy()))
        bias.copy_(torch.from_numpy(_take(params, name.format("b"), (len(bias), 1), path)[:, 0]))
    for i in range(1, 5):
        _batch_norm(params, i, state, path)
    for k, suffix in enumerate(("", "3")):  # semantic, structural
        gain = _take(params, f"fin_adjust{suffix}f", (1, 1, 1, 1), path)
        state["ensemble.gain"][k] = float(gain.item())
        state["ensemble.bias"][k] = float(
            _take(params, f"fin_adjust{suffix}b", (1, 1), path).item()
        )
    _check_constants(params, network, path)
    if params:
        raise _foreign(path, f"unknown parameters {', '.join(sorted(params)[:5])}")
    network.load_state_dict(state)
    return network.eval().requires_grad_(requires_grad=False)


def _batch_norm(
    params: dict[str, np.ndarray], i: int, state: dict[str, Tensor], path: Path
) -> None:
    channels = len(state[f"backbone.bn{i}.weight"])
    moments = _take(params, f"br_bn{i}x", (channels, 2), path)  # mean, standard deviation
    variance = moments[:, 1].astype(np.float64) ** 2 - _BATCH_NORM_EPS
    if not (variance > -_BATCH_NORM_EPS).all():
        raise _foreign(path, f"br_bn{i}x with a standard deviation that is not positive")
    values = {
        "weight": _take(params, f"br_bn{i}m", (channels, 1), path)[:, 0],
        "bias": _take(params, f"br_bn{i}b", (channels, 1), path)[:, 0],
        "running_mean": moments[:, 0],
        "running_var": variance,
    }
    for name, value in values.items():
        state[f"backbone.bn{i}.{name}"].copy_(torch.from_numpy(np.ascontiguousarray(value)))


def _check_constants(params: dict[str, np.ndarray], network: MLSSNet, path: Path) -> None:
    """Refuse a checkpoint whose windows or filter targets are not the released ones."""
    for suffix, correlation_filter in (
        ("", network.semantic_filter),
        ("3", network.structural_filter),
    ):
        cells = correlation_filter.window.shape[-1]
        expected = {
            f"join_window{suffix}": hann_window(cells),
            f"join_cf_target{suffix}": gaussian_target(cells, network.params.filter_sigma),
        }
        for name, constant in expected.items():
            value = _take(params, name, (cells, cells), path)
            if not np.allclose(value, constant.numpy(), atol=1e-5):
                raise _foreign(path, f"{name} other than the released constant")


def _matlab_shape(weight: Tensor) -> tuple[int, ...]:
    """(out, in, h, w), or (in, out, h, w) of a transposed convolution, in MATLAB's order."""
    return (*weight.shape[2:], weight.shape[1], weight.shape[0])


def _take(
    params: dict[str, np.ndarray], name: str, shape: tuple[int, ...], path: Path
) -> np.ndarray:
    if name not in params:
        raise _foreign(path, f"no parameter {name}")
    value = params.pop(name)
    padded = value.shape + (1,) * (len(shape) - value.ndim)
    if padded != shape:
        raise _foreign(path, f"{name} of shape {value.shape} where {shape} belongs")
    if not np.isfinite(value).all():
        raise _foreign(path, f"{name} with values that are not finite")
    return value.astype(np.float32).reshape(shape)


def _foreign(path: Path, what: str) -> CheckpointError:
    return CheckpointError(
        f"expected {path} to be an MLSSNet checkpoint of the authors' code, got {what}; "
        "give a net-epoch-N.mat of make_net_MLSSNet"
    )


def _read_params(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise CheckpointError(f"expected a .mat checkpoint, got no file at {path}; check the path")
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise LimitError(f"{size} bytes where a checkpoint has at most {MAX_BYTES}")
        content = path.read_bytes()
        head = content[:128]
        if head.startswith(b"MATLAB 7.3") or head.startswith(b"\x89HDF"):
            return _read_v73(path)
        if head.startswith(b"MATLAB 5.0"):
            check_version_7(content)
            return _read_v7(path)
    except CheckpointError:
        raise
    except Exception as error:  # scipy and h5py raise many types on damaged files
        raise _foreign(
            path, f"a damaged MAT file ({' '.join(str(error).split())[:200]})"
        ) from error
    raise _foreign(path, "a file that is no MAT file of version 7 or 7.3")


def _read_v7(path: Path) -> dict[str, np.ndarray]:
    import scipy.io

    content = scipy.io.loadmat(str(path), variable_names=["net"], squeeze_me=False)
    if "net" not in content:
        raise _foreign(path, "a MAT file without the variable net")
    net = content["net"]
    if net.dtype.names is None or "params" not in net.dtype.names:
        raise _foreign(path, "a variable net without params")
    entries = net["params"][0, 0].reshape(-1)
    return {str(entry["name"].item()): _numeric(entry["value"], path) for entry in entries}


def _read_v73(path: Path) -> dict[str, np.ndarray]:
    import h5py

    with h5py.File(path, "r") as file:
        if "net" not in file:
            raise _foreign(path, "a MAT file without the variable net")
        if not isinstance(file["net"], h5py.Group) or "params" not in file["net"]:
            raise _foreign(path, "a variable net without params")
        params = file["net/params"]
        left = MAX_BYTES

        def read(dataset: Any, most: int) -> np.ndarray:
            check_dataset(dataset, file.filename, most)
            return np.asarray(dataset)

        names = read(params["name"], MAX_ENTRIES * 16).reshape(-1)
        values = read(params["value"], MAX_ENTRIES * 16).reshape(-1)
        result = {}
        for name_ref, value_ref in zip(names, values, strict=True):
            codes = read(file[name_ref], MAX_NAME * 8).reshape(-1)
            value = read(file[value_ref], left)
            left -= value.nbytes
            result["".join(chr(code) for code in codes)] = _numeric(value.T, path)
        return result


def _numeric(value: Any, path: Path) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise _foreign(path, f"a parameter of type {array.dtype}")
    return array
