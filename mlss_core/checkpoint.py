"""Weights as safetensors with the network's parameters in the header; loaded strictly."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mlss_core.errors import CheckpointError, ConfigError
from mlss_core.model.box_head import BoxHead
from mlss_core.model.network import MLSSNet
from mlss_core.network_params import NetworkParams

Network = TypeVar("Network", MLSSNet, BoxHead)

FORMAT = "mlssnet-1"
BOX_HEAD_FORMAT = "mlss-box-head-2"
DEFAULT_WEIGHTS = Path(__file__).parent / "weights" / "mlssnet_thermal.safetensors"
DEFAULT_BOX_HEAD = Path(__file__).parent / "weights" / "box_head.safetensors"


def save_checkpoint(
    path: str | Path, network: MLSSNet | BoxHead, metadata: dict[str, str] | None = None
) -> None:
    """Write `network` with its parameters; the file appears whole or not at all.

    Raises:
        CheckpointError: the file cannot be written.
    """
    path = Path(path)
    header = dict(metadata or {})
    if isinstance(network, BoxHead):
        header["format"] = BOX_HEAD_FORMAT
    else:
        header["format"] = FORMAT
        header["network"] = json.dumps(dataclasses.asdict(network.params), sort_keys=True)
    state = {
        name: value.detach().contiguous().cpu() for name, value in network.state_dict().items()
    }
    write_whole(path, save(state, header))


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all; an older one stays until then.

    Raises:
        CheckpointError: it cannot be written.
    """
    partial = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise CheckpointError(
            f"expected to write {path}, got: {error.strerror or error}; an older file is intact, "
            "check the folder and its free space"
        ) from error


def load_network(path: str | Path | None = None) -> MLSSNet:
    """Build the network that a checkpoint describes, on the CPU, in evaluation mode.

    Args:
        path: a file that `save_checkpoint` wrote; None for the shipped weights.

    Raises:
        CheckpointError: the file is missing, truncated, foreign, or does not fit its own header.
    """
    path = Path(path) if path is not None else DEFAULT_WEIGHTS
    state, header = read_checkpoint(path)
    return _filled(lambda: MLSSNet(NetworkParams(**json.loads(header["network"]))), state, path)


def load_box_head(path: str | Path | None = None) -> BoxHead:
    """Read a box head, on the CPU, in evaluation mode.

    Args:
        path: a file that `save_checkpoint` wrote; None for the shipped one.

    Raises:
        CheckpointError: the file is missing, truncated, foreign, or holds something else.
    """
    path = Path(path) if path is not None else DEFAULT_BOX_HEAD
    state, _ = read_checkpoint(path, BOX_HEAD_FORMAT)
    return _filled(BoxHead, state, path)


def _filled(make: Callable[[], Network], state: dict[str, Tensor], path: Path) -> Network:
    try:
        network = make()
        network.load_state_dict(state, strict=True)
        for name, value in network.state_dict().items():
            if not bool(value.isfinite().all()):
                raise ValueError(f"{name} with values that are not finite")
    except (KeyError, TypeError, ValueError, ConfigError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(
            f"expected {path} to describe the network it holds, got: {reason}; "
            "use a checkpoint of this project's version"
        ) from error
    return network.eval().requires_grad_(requires_grad=False)


def read_checkpoint(
    path: str | Path, expected_format: str = FORMAT
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and header of a checkpoint, unchecked against any network.

    Raises:
        CheckpointError: the file is missing, truncated, or not one of ours.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"expected a weights file, got no file at {path}; check the path")
    state, header = read_tensors(
        path,
        "safetensors file",
        "download or convert it again (mlss convert reads the authors' .mat)",
    )
    if header.get("format") != expected_format:
        raise CheckpointError(
            f"expected {path} to hold an {expected_format} checkpoint, got format "
            f"{header.get('format')!r}; use weights of this project"
        )
    return state, header


def read_tensors(path: Path, kind: str, remedy: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Every tensor of a safetensors file by name, and its header.

    Args:
        path: of a file that is there.
        kind: what it should be a whole one of, for the error.
        remedy: what to do when it is not, for the error.

    Raises:
        CheckpointError: the file is truncated or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"expected {path} to be a whole {kind}, got: {error}; {remedy}"
        ) from error
