"""The training loop: batch -> the network's forward pass -> loss -> one step of SGD."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from mlss_core.checkpoint import save_checkpoint
from mlss_core.errors import CheckpointError, TrainingDivergedError
from mlss_core.model.backbone import Features
from mlss_core.model.network import MLSSNet
from mlss_core.train.labels import make_labels
from mlss_core.train.loss import peak_error_cells, response_loss
from mlss_core.train.pairs import Batch, CropLibrary, PairDataset
from mlss_core.train.params import TrainParams

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class StepTerms(NamedTuple):
    """What is logged of a step."""

    loss: float
    positive: float  # loss of the pairs as drawn
    swapped: float  # loss of the exchanged pairs
    hit: float  # share of positive pairs whose peak is within 2 cells


def learning_rate(step: int, params: TrainParams) -> float:
    """Geometric in stages, after a linear warm-up (released: 50 stages of one epoch, no warm-up)."""
    stages = params.stages or max(math.ceil(params.steps / params.stage_steps), 1)
    share = min(step // params.stage_steps, stages - 1) / max(stages - 1, 1)
    rate = params.learning_rate * (params.final_learning_rate / params.learning_rate) ** share
    return rate * min(1.0, (step + 1) / max(params.warmup_steps, 1))


def initialize(network: MLSSNet, kind: str, seed: int) -> None:
    """Draw the weights: N(0, 2 / (h w out)), biases 0; 'released' starts the attention at zero."""
    generator = torch.Generator().manual_seed(seed)
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            attention = "attention" in name
            height, width = module.kernel_size
            std = math.sqrt(2.0 / (height * width * module.out_channels))
            if kind == "released" and attention:
                std = 1e-8 / math.sqrt(module.in_channels)
            with torch.no_grad():
                module.weight.normal_(0.0, std, generator=generator)
                if module.bias is not None:
                    module.bias.zero_()


def training_pass(
    network: MLSSNet, batch: Batch, params: TrainParams
) -> tuple[Tensor, StepTerms]:
    """Loss of a batch: `network.forward`, its features used twice for the exchanged pairs."""
    device = batch.exemplar.device
    dtype = _DTYPES[params.precision]
    with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
        exemplar = network.features(batch.exemplar)
        instance = network.features(batch.instance)
    exemplar, instance = _in_float32(exemplar), _in_float32(instance)
    templates = network.templates_from(exemplar)
    score = network.respond_to(templates, instance).fused
    labels = make_labels(batch.shift_px, batch.positive, score.shape[-1])
    labels = type(labels)(*(part.to(device) for part in labels))
    positive = response_loss(score, labels)
    swapped = torch.zeros((), device=device)
    if params.swapped_negatives > 0:
        neighbour = torch.arange(len(score), device=device) ^ 1
        other = network.respond_to(templates, Features(*(part[neighbour] for part in instance)))
        none = make_labels(batch.shift_px, torch.zeros_like(batch.positive), score.shape[-1])
        none = type(none)(*(part.to(device) for part in none))
        swapped = response_loss(other.fused, none)
    loss = positive + params.swapped_negatives * swapped
    hit = (peak_error_cells(score, labels)[batch.positive] <= 2).float().mean()
    return loss, StepTerms(loss.item(), positive.item(), swapped.item(), hit.item())


def _in_float32(features: Features) -> Features:
    return Features(*(part.float() for part in features))


def parameter_groups(network: MLSSNet, params: TrainParams) -> list[dict]:
    """One group per parameter, with its factors of learning rate and weight decay.

    'released' multipliers (rate, decay): convolution filters (1, 1) and biases (2, 0), batch norm
    gains (2, 0) and biases (1, 0), the 1x1 reduction (1, 1) for both, attention filters (1, 10) and
    biases (2, 10), ensemble gains (1, 0) and biases (2, 0).
    """
    groups = []
    for name, value in network.named_parameters():
        rate, decay = 1.0, 1.0
        if params.multipliers == "released":
            bias = name.endswith("bias")
            if "reduce" in name:
                pass
            elif ".bn" in name:
                rate, decay = (1.0, 0.0) if bias else (2.0, 0.0)
            elif name.startswith("ensemble"):
                rate, decay = (2.0, 0.0) if bias else (1.0, 0.0)
            elif "attention" in name:
                rate, decay = (2.0, 10.0) if bias else (1.0, 10.0)
            elif bias:
                rate, decay = 2.0, 0.0
        groups.append(
            {
                "params": [value],
                "rate_factor": rate,
                "weight_decay": decay * params.weight_decay,
            }
        )
    return groups


class Run(NamedTuple):
    """All that changes during training."""

    network: MLSSNet
    optimizer: torch.optim.SGD
    step: int  # steps done
    best: float  # best validation figure so far


def start(params: TrainParams, device: torch.device) -> Run:
    """Make a network and its optimiser."""
    network = MLSSNet(params.network)
    initialize(network, params.initialization, params.seed)
    network.to(device)
    network.backbone.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        parameter_groups(network, params), lr=params.learning_rate, momentum=params.momentum
    )
    return Run(network, optimizer, 0, -math.inf)


def train_step(run: Run, batch: Batch, params: TrainParams) -> StepTerms:
    """One step of SGD.

    Raises:
        TrainingDivergedError: the loss is not finite; the weights are as they were.
    """
    for group in run.optimizer.param_groups:
        group["lr"] = learning_rate(run.step, params) * group["rate_factor"]
    run.optimizer.zero_grad()
    loss, terms = training_pass(run.network, batch, params)
    if not math.isfinite(terms.loss):
        raise TrainingDivergedError(
            f"expected a finite loss, got {terms.loss} at step {run.step}; "
            "resume with a lower learning rate"
        )
    loss.backward()
    if params.clip > 0:
        nn.utils.clip_grad_norm_(run.network.parameters(), params.clip)
    run.optimizer.step()
    return terms


def save_state(path: Path, run: Run, params: TrainParams) -> None:
    """Write all that a resumed run needs; the file appears whole or not at all."""
    tensors = {f"network.{name}": value for name, value in run.network.state_dict().items()}
    for name, value in run.network.named_parameters():
        momentum = run.optimizer.state.get(value, {}).get("momentum_buffer")
        if momentum is not None:
            tensors[f"momentum.{name}"] = momentum
    tensors = {name: value.detach().contiguous().cpu() for name, value in tensors.items()}
    header = {
        "step": str(run.step),
        "best": repr(run.best),
        "config": json.dumps(dataclasses.asdict(params)),
    }
    partial = path.with_name(path.name + ".part")
    try:
        partial.write_bytes(save(tensors, header))
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise CheckpointError(
            f"expected to write {path}, got: {error.strerror or error}; the older file is intact, "
            "free some space and resume"
        ) from error


def load_state(path: Path, params: TrainParams, device: torch.device) -> Run:
    """Read what `save_state` wrote."""
    run = start(params, device)
    with safe_open(path, framework="pt") as file:
        header = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    state = {
        name.removeprefix("network."): value
        for name, value in tensors.items()
        if name.startswith("network.")
    }
    run.network.load_state_dict(state, strict=True)
    for name, value in run.network.named_parameters():
        if f"momentum.{name}" in tensors:
            momentum = torch.empty_like(value).copy_(tensors[f"momentum.{name}"])
            run.optimizer.state[value]["momentum_buffer"] = momentum
    return run._replace(step=int(header["step"]), best=float(header["best"]))


def train(
    params: TrainParams, resume: bool = False, report: Callable[[str], None] = print
) -> Run:
    """Train to the end of `params.steps`."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    out = Path(params.out)
    out.mkdir(parents=True, exist_ok=True)
    state_path = out / "state.safetensors"
    run = load_state(state_path, params, device) if resume else start(params, device)
    library = CropLibrary(Path(params.crops))
    dataset = PairDataset(library, params.pairs, params.augment, params.batch, params.seed)
    loader = torch.utils.data.DataLoader(
        dataset,
        batch_size=None,
        sampler=range(run.step, params.steps),
        num_workers=params.loader_workers,
        prefetch_factor=4 if params.loader_workers else None,
    )
    run.network.train()
    log = _open_log(out / "log.csv", run.step)
    ready = time.perf_counter()
    for batch in loader:
        begun = time.perf_counter()
        terms = train_step(run, Batch(*(part.to(device) for part in batch)), params)
        done = time.perf_counter()
        row = (run.step, *terms, learning_rate(run.step, params), begun - ready, done - begun)
        log.write(",".join(f"{value:.6g}" for value in row) + "\n")
        run = run._replace(step=run.step + 1)
        if run.step % 20 == 0:
            report(" ".join(f"{value:.4g}" for value in row))
            log.flush()
        if run.step % params.checkpoint_every == 0 or run.step == params.steps:
            save_state(state_path, run, params)
            save_checkpoint(out / "last.safetensors", run.network, {"step": str(run.step)})
        ready = time.perf_counter()
    return run


def _open_log(path: Path, step: int):
    rows = []
    if path.is_file() and step > 0:
        with path.open() as file:
            rows = [row for row in csv.reader(file)][1:]
        rows = [row for row in rows if int(row[0]) < step]
    log = path.open("w")
    log.write("step,loss,positive,swapped,hit,learning_rate,wait_s,step_s\n")
    log.writelines(",".join(row) + "\n" for row in rows)
    return log
