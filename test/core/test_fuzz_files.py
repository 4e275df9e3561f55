"""Weights files of any content: a network, or a CheckpointError, within bounded memory."""

import io
import json
import os
import struct
import subprocess
import sys
import zlib

import h5py
import numpy as np
import pytest
import scipy.io
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from mlss_core.checkpoint import FORMAT, load_network, read_checkpoint, save_checkpoint
from mlss_core.errors import CheckpointError
from mlss_core.mat_limits import MAX_BYTES, LimitError, check_version_7
from mlss_core.matconvnet import load_matconvnet
from mlss_core.model.network import MLSSNet

fuzzed = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "60")), deadline=None, print_blob=True
)
MAT_HEAD = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
V73_HEAD = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"


def small_v7(compressed: bool = True) -> bytes:
    entries = np.zeros((1, 2), dtype=[("name", "O"), ("value", "O")])
    entries[0, 0] = ("br_conv1f", np.ones((3, 2), np.float32))
    entries[0, 1] = ("br_conv1b", np.zeros((2, 1), np.float32))
    content = {"net": {"params": entries, "layers": np.zeros((1, 2), object)}, "state": 1.0}
    file = io.BytesIO()
    scipy.io.savemat(file, content, do_compression=compressed)
    return file.getvalue()


def small_v73(spoil=lambda file: None) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w", userblock_size=512) as content:
        refs, group = content.create_group("#refs#"), content.create_group("net/params")
        for key, values in {
            "name": [np.array([[ord(c)] for c in "br_conv1f"], np.uint16)],
            "value": [np.ones((3, 2), np.float32)],
        }.items():
            dataset = group.create_dataset(key, (1, 1), dtype=h5py.ref_dtype)
            dataset[0, 0] = refs.create_dataset(key, data=values[0]).ref
        spoil(content)
    return V73_HEAD + file.getvalue()[len(V73_HEAD) :]


def small_safetensors() -> bytes:
    header = {"format": FORMAT, "network": json.dumps({"patch_px": 255})}
    return save({"backbone.conv1.weight": torch.ones(2, 3)}, header)


SEEDS = {
    "v7": small_v7(),
    "v7 plain": small_v7(compressed=False),
    "v7.3": small_v73(),
    "safetensors": small_safetensors(),
}


@st.composite
def damaged_files(draw):
    """A small file with bytes changed, words made extreme, parts cut out, doubled or appended."""
    kind = draw(st.sampled_from(sorted(SEEDS)))
    content = bytearray(SEEDS[kind])
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        how = draw(st.sampled_from(["byte", "word", "cut", "double", "insert", "end"]))
        if how == "byte":
            content[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
        elif how == "word":
            word = draw(st.sampled_from([0, 1, 14, 15, 2**16 + 4, 2**31 - 1, 2**31, 2**32 - 1]))
            content[at - at % 4 : at - at % 4 + 4] = struct.pack("<I", word)
        elif how == "cut":
            del content[at : at + draw(st.integers(1, 64))]
        elif how == "double":
            content[at:at] = content[at : at + 64]
        elif how == "insert":
            content[at:at] = draw(st.binary(max_size=16))
        else:
            del content[at:]
    return kind, bytes(content)


@settings(parent=fuzzed, max_examples=3 * fuzzed.max_examples)
@given(damaged_files())
def test_a_damaged_file_is_refused_in_one_line(tmp_path_factory, damaged):
    kind, content = damaged
    path = tmp_path_factory.getbasetemp() / f"damaged.{'mat' if kind[0] == 'v' else 'safetensors'}"
    path.write_bytes(content)
    load = load_matconvnet if kind[0] == "v" else load_network
    with pytest.raises(CheckpointError) as refusal:  # the whole ones hold no network either
        load(path)
    assert "\n" not in str(refusal.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**70) | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
NETWORK_FIELDS = [
    "patch_px",
    "template_margin",
    "input_channels",
    "filter_sigma",
    "score_constant",
]


@fuzzed
@given(st.dictionaries(st.sampled_from(NETWORK_FIELDS), json_values) | json_values)
def test_a_header_that_describes_nothing_sensible_is_refused(tmp_path_factory, network):
    path = tmp_path_factory.getbasetemp() / "header.safetensors"
    header = {"format": FORMAT, "network": json.dumps(network)}
    path.write_bytes(save({"weight": torch.ones(2)}, header))
    with pytest.raises(CheckpointError):
        load_network(path)


@pytest.mark.parametrize(
    "network", ["[" * 100_000, "", "nothing", "{}x"], ids=["deep", "empty", "word", "more"]
)
def test_a_header_that_is_no_json_is_refused(tmp_path, network):
    path = tmp_path / "header.safetensors"
    path.write_bytes(save({"weight": torch.ones(2)}, {"format": FORMAT, "network": network}))
    assert read_checkpoint(path)[1]["network"] == network
    with pytest.raises(CheckpointError):
        load_network(path)


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    network = MLSSNet()
    network.state_dict()["backbone.conv2.bias"][3] = float("nan")
    save_checkpoint(tmp_path / "nan.safetensors", network)
    with pytest.raises(CheckpointError, match="backbone.conv2.bias with values that are not fin"):
        load_network(tmp_path / "nan.safetensors")


def element(kind: int, body: bytes) -> bytes:
    return struct.pack("<II", kind, len(body)) + body + bytes(-len(body) % 8)


def matrix(kind: int, dimensions: tuple[int, ...], body: bytes, name: bytes = b"net") -> bytes:
    flags, sizes = struct.pack("<II", kind, 0), struct.pack(f"<{len(dimensions)}i", *dimensions)
    return element(14, element(6, flags) + element(5, sizes) + element(1, name) + body)


def nested(depth: int) -> bytes:
    inner = matrix(6, (1, 1), element(9, bytes(8)), b"")
    for _ in range(depth):
        inner = matrix(1, (1, 1), inner, b"")
    return matrix(1, (1, 1), inner)


def zip_bomb() -> bytes:
    packed = zlib.compress(bytes(MAX_BYTES + 64), 9)
    return struct.pack("<II", 15, len(packed)) + packed


FIELD_NAMES = element(5, struct.pack("<i", 32)) + element(1, b"params".ljust(32, b"\0"))
LIARS = {
    "structs": MAT_HEAD + matrix(2, (30_000, 30_000), FIELD_NAMES),
    "cells": MAT_HEAD + matrix(1, (30_000, 20_000), b""),
    "characters": MAT_HEAD + matrix(4, (30_000, 30_000), element(4, b"")),
    "numbers": MAT_HEAD + matrix(7, (30_000, 30_000), element(7, bytes(8))),
    "negative": MAT_HEAD + matrix(7, (-2, -2), element(7, bytes(8))),
    "length": MAT_HEAD + struct.pack("<II", 14, 2**31 - 1) + bytes(64),
    "type": MAT_HEAD + matrix(7, (1, 1), element(40, bytes(8))),  # scipy ended in a fault
    "class": MAT_HEAD + matrix(200, (1, 1), element(7, bytes(8))),
    "nested": MAT_HEAD + nested(20_000),
    "unpacked": MAT_HEAD + zip_bomb(),
}


@pytest.mark.parametrize("name", sorted(LIARS))
def test_a_mat_file_that_claims_more_than_it_holds_is_recognised(name):
    with pytest.raises(LimitError):
        check_version_7(LIARS[name])


def test_mat_files_that_claim_too_much_take_no_memory(tmp_path):
    for name, content in LIARS.items():
        (tmp_path / f"{name}.mat").write_bytes(content)
    probe = (
        "import pathlib, sys; import scipy.io\n"
        "from mlss_core.matconvnet import CheckpointError, load_matconvnet\n"
        "for path in pathlib.Path(sys.argv[1]).iterdir():\n"
        "    try: load_matconvnet(path)\n"
        "    except CheckpointError as error: print('damaged MAT file' in str(error))\n"
        # not getrusage's maximum, which a process inherits from the one that started it
        "status = pathlib.Path('/proc/self/status').read_text()\n"
        "print(status.split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe, tmp_path], capture_output=True, text=True, check=True
    )
    *refused, peak_kb = done.stdout.split()
    assert refused == ["True"] * len(LIARS)
    assert int(peak_kb) < 1 << 20


def huge_dataset(file) -> None:
    dataset = file["#refs#"].create_dataset("huge", (1 << 16, 1 << 16), "f4", chunks=(64, 64))
    file["net/params/value"][0, 0] = dataset.ref


def huge_table(file) -> None:
    del file["net/params/value"]
    file["net/params"].create_dataset("value", (1 << 16, 1 << 16), "f8", chunks=(64, 64))


def group_for_value(file) -> None:
    file["net/params/value"][0, 0] = file["net"].ref


def other_file(file) -> None:
    external = [("/etc/hostname", 0, 8)]
    dataset = file["#refs#"].create_dataset("secret", (8,), "u1", external=external)
    file["net/params/value"][0, 0] = dataset.ref


@pytest.mark.parametrize("spoil", [huge_dataset, huge_table, group_for_value, other_file])
def test_a_version_7_3_file_that_claims_too_much_or_reaches_out_is_refused(
    spoil, tmp_path, memory_within
):
    path = tmp_path / "liar.mat"
    path.write_bytes(small_v73(spoil))
    reason = "belong" if spoil is not other_file else "another file"
    with memory_within(200_000), pytest.raises(CheckpointError, match=reason):
        load_matconvnet(path)


def test_a_weights_file_with_code_in_it_is_not_run(tmp_path):
    """A pickle in place of the weights: what torch.load used to execute."""
    import pickle

    class Payload:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "executed"),))

    for name in ("net.safetensors", "net.mat"):
        (tmp_path / name).write_bytes(pickle.dumps(Payload()))
        with pytest.raises(CheckpointError):
            (load_network if name.endswith("s") else load_matconvnet)(tmp_path / name)
    assert not (tmp_path / "executed").exists()
