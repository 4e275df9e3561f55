"""A run on disk: one safetensors file from which training goes on bit for bit."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import torch
from safetensors.torch import save

from mlss_core.checkpoint import read_tensors, write_whole
from mlss_core.errors import CheckpointError
from mlss_core.train.params import TrainParams
from mlss_core.train.step import Run, check_same_network, start_run

FORMAT = "mlssnet-training-2"


def save_state(path: Path, run: Run, params: TrainParams) -> None:
    """Write weights, moments, step and settings; the file appears whole or not at all.

    Raises:
        CheckpointError: it cannot be written; an older file is as it was.
    """
    tensors = {f"network.{name}": value for name, value in run.network.state_dict().items()}
    for name, value in run.network.named_parameters():
        for key, moment in run.optimizer.state[value].items():
            if isinstance(moment, torch.Tensor):
                tensors[f"optimizer.{key}.{name}"] = moment
    tensors = {name: value.detach().contiguous().cpu() for name, value in tensors.items()}
    header = {
        "format": FORMAT,
        "step": str(run.step),
        "best": repr(run.best),
        "scaler": json.dumps(run.scaler.state_dict()),
        "params": json.dumps(dataclasses.asdict(params), sort_keys=True),
    }
    write_whole(path, save(tensors, header))


def load_state(path: Path, params: TrainParams, device: torch.device) -> Run:
    """Read what `save_state` wrote.

    Raises:
        CheckpointError: the file is missing, damaged, foreign, or of another network.
    """
    if not path.is_file():
        raise CheckpointError(
            f"expected a run to resume, got no file at {path}; leave out --resume"
        )
    tensors, header = read_tensors(path, "training state", "start anew")
    if header.get("format") != FORMAT:
        raise CheckpointError(
            f"expected {path} to be of format {FORMAT}, got {header.get('format')!r}; "
            "resume from the state.safetensors of a run"
        )
    trained = json.loads(header["params"])
    if trained["trains"] != params.trains:
        raise CheckpointError(
            f"expected {path} to hold a run of {params.trains}, got one of {trained['trains']}; "
            "correct trains, or choose another out"
        )
    check_same_network(path, trained["network"], params.network)
    run = start_run(dataclasses.replace(params, initial_weights=""), device)
    state = _with_prefix(tensors, "network.")
    run.network.load_state_dict(state, strict=True)
    values = dict(run.network.named_parameters())
    for key_and_name, moment in _with_prefix(tensors, "optimizer.").items():
        key, _, name = key_and_name.partition(".")
        like = torch.empty_like(values[name]) if moment.ndim else torch.empty_like(moment)
        run.optimizer.state[values[name]][key] = like.copy_(moment)
    if scaler := json.loads(header["scaler"]):  # empty where the precision was not fp16
        run.scaler.load_state_dict(scaler)
    run.step, run.best = int(header["step"]), float(header["best"])
    return run


def _with_prefix(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
