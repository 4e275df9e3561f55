"""One optimiser step: a batch through the network, its loss, its gradient."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mlss_core.checkpoint import load_box_head, load_network
from mlss_core.errors import CheckpointError, TrainingDivergedError
from mlss_core.model.backbone import Features
from mlss_core.model.batch_norm import BatchNorm
from mlss_core.model.box_head import BoxHead
from mlss_core.model.network import MLSSNet, Templates
from mlss_core.network_params import NetworkParams
from mlss_core.train.boxes import BoxBatch, BoxTerms, box_loss
from mlss_core.train.labels import make_labels
from mlss_core.train.loss import hit_share, response_loss
from mlss_core.train.optimizer import initialize, learning_rate, make_optimizer
from mlss_core.train.pairs import Batch
from mlss_core.train.params import TrainParams
from mlss_core.train.processes import average

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass
class Run:
    """All that changes while training."""

    network: MLSSNet | BoxHead
    optimizer: torch.optim.Optimizer  # SGD; AdamW for the box head
    scaler: torch.amp.GradScaler  # of fp16; passes everything through otherwise
    step: int = 0  # steps done
    best: float = -math.inf  # best validation figure so far


class Terms(NamedTuple):
    """Loss of a batch and its parts, as scalars."""

    loss: Tensor
    drawn: Tensor  # of the pairs as drawn
    swapped: Tensor  # of every exemplar against its neighbour's instance, unweighted
    hit: Tensor  # share of positive pairs whose peak lies within 2 cells of the target


def start_run(params: TrainParams, device: torch.device) -> Run:
    """First weights and an optimiser without momentum.

    Raises:
        CheckpointError: `params.initial_weights` cannot be read, or belong to another network.
    """
    if params.trains == "box_head":
        return _start_box_run(params, device)
    network = MLSSNet(params.network)
    if params.initial_weights:
        _take_weights(network, params.initial_weights)
    else:
        initialize(network, params.initialization, params.seed)
    network.semantic_attention.released_gradient = params.max_pool_gradient == "released"
    network.to(device).train()
    network.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    scaler = torch.amp.GradScaler(device.type, enabled=params.precision == "fp16")
    return Run(network, make_optimizer(network, params), scaler)


def _start_box_run(params: TrainParams, device: torch.device) -> Run:
    torch.manual_seed(params.seed)
    head = load_box_head(params.initial_weights) if params.initial_weights else BoxHead()
    head.requires_grad_().to(device).train()
    optimizer = torch.optim.AdamW(
        head.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay
    )
    optimizer.param_groups[0]["rate_factor"] = 1.0
    return Run(head, optimizer, torch.amp.GradScaler(device.type, enabled=False))


def _take_weights(network: MLSSNet, path: str) -> None:
    trained = load_network(path)
    check_same_network(path, dataclasses.asdict(trained.params), network.params)
    network.load_state_dict(trained.state_dict())


def check_same_network(path: str | Path, trained: dict[str, Any], wanted: NetworkParams) -> None:
    """Refuse weights of another network; the score's calibration may differ.

    Raises:
        CheckpointError: with what differs.
    """
    expected = dataclasses.asdict(wanted)
    names = [
        name
        for name, value in expected.items()
        if trained.get(name) != value and not name.startswith("score_")
    ]
    if names:
        raise CheckpointError(
            f"expected {path} to hold a network with "
            f"{', '.join(f'{name} {expected[name]}' for name in names)}, got "
            f"{', '.join(f'{name} {trained.get(name)}' for name in names)}; give the run the "
            "network settings of those weights"
        )


def training_loss(network: MLSSNet, batch: Batch, params: TrainParams) -> Terms:
    """Loss of a batch: `network.forward`, with the backbone in `params.precision`.

    The features serve twice: each exemplar is also held against the instance of another pair,
    which gives a negative pair for every pair at the price of a correlation; not where both show
    the same track.
    """
    device = batch.exemplar.device
    dtype = _DTYPES[params.precision]
    with torch.autocast(device.type, dtype=dtype, enabled=params.precision != "fp32"):
        exemplar = network.features(batch.exemplar)
        instance = network.features(batch.instance)
    instance = Features(*(part.float() for part in instance))
    templates = network.templates_from(Features(*(part.float() for part in exemplar)))
    score = network.respond_to(templates, instance).fused
    labels = make_labels(batch.shift_px, batch.positive, score.shape[-1])
    drawn = response_loss(score, labels)
    swapped = torch.zeros_like(drawn)
    if params.swapped_negatives > 0:
        other = hardest_foreign(network, templates, instance, batch.tracks, params.swapped_group)
        others = Features(*(part[other] for part in instance))
        other_score = network.respond_to(templates, others).fused
        nowhere = torch.zeros_like(batch.positive)
        absent = make_labels(batch.shift_px, nowhere, score.shape[-1])
        foreign = batch.tracks[:, 0] != batch.tracks[other, 1]
        weight = absent.weight * foreign.view(-1, 1, 1, 1)
        swapped = response_loss(other_score, absent._replace(weight=weight))
    loss = drawn + params.swapped_negatives * swapped
    return Terms(loss, drawn.detach(), swapped.detach(), hit_share(score, labels))


@torch.no_grad()
def hardest_foreign(
    network: MLSSNet, templates: Templates, instance: Features, tracks: Tensor, group: int
) -> Tensor:
    """Find for each exemplar the instance of its group to which it responds most wrongly.

    Args:
        network: for its response.
        templates: of B exemplars.
        instance: features of B instances.
        tracks: (B, 2) of exemplar and instance; those of one track are no choice.
        group: so many pairs in a row are a group.

    Returns:
        (B,) indices; in a group of two that of the neighbour, whatever it shows.
    """
    place = torch.arange(len(tracks), device=tracks.device)
    first, own = place - place % group, place % group
    candidates = [first + (own + step) % group for step in range(1, group)]
    if group == 2:
        return candidates[0]
    wrongs = []
    for other in candidates:
        score = network.respond_to(templates, Features(*(part[other] for part in instance))).fused
        wrong = nn.functional.softplus(score).mean(dim=(1, 2, 3))  # as the loss counts it
        wrongs.append(wrong.masked_fill(tracks[:, 0] == tracks[other, 1], -1.0))
    return torch.stack(candidates)[torch.stack(wrongs).argmax(dim=0), place]


def batch_loss(
    network: MLSSNet | BoxHead, batch: Batch | BoxBatch, params: TrainParams
) -> Terms | BoxTerms:
    """Loss of a batch of whatever is trained."""
    if isinstance(network, BoxHead):
        assert isinstance(batch, BoxBatch)
        dtype = _DTYPES[params.precision]
        with torch.autocast(batch.patch.device.type, dtype, params.precision != "fp32"):
            return box_loss(network, batch)
    assert isinstance(batch, Batch)
    return training_loss(network, batch, params)


def train_step(
    run: Run, batch: Batch | BoxBatch, params: TrainParams, world: int = 1
) -> dict[str, float]:
    """One step of the optimiser on the batch that all processes share.

    Returns:
        Loss and its parts, means over the processes.

    Raises:
        TrainingDivergedError: the loss is not finite; weights and moments are as they were.
    """
    for group in run.optimizer.param_groups:
        group["lr"] = learning_rate(run.step, params) * group["rate_factor"]
    run.optimizer.zero_grad()
    terms = batch_loss(run.network, batch, params)
    values = torch.stack(terms).detach()
    average([values], world)
    read = _send_to_host(values)
    run.scaler.scale(terms.loss).backward()
    figures = dict(zip(terms._fields, read(), strict=True))
    if not math.isfinite(figures["loss"]):
        raise TrainingDivergedError(
            f"expected a finite loss, got {figures['loss']} at step {run.step}; resume from the "
            "last checkpoint with a lower learning_rate or clip"
        )
    parameters = [value for value in run.network.parameters() if value.grad is not None]
    average([value.grad for value in parameters if value.grad is not None], world)
    run.scaler.unscale_(run.optimizer)
    if params.clip > 0:
        nn.utils.clip_grad_norm_(parameters, params.clip)
    run.scaler.step(run.optimizer)
    run.scaler.update()
    for module in run.network.modules():
        if isinstance(module, BatchNorm):
            module.absorb_moments(params.moment_rate, params.moments == "deviation")
    run.step += 1
    return figures


def _send_to_host(values: Tensor) -> Callable[[], list[float]]:
    """Send the only values of a step that the host looks at, once, without waiting for them.

    Returns:
        Waits for them alone, not for what a GPU was given to do since: it never runs idle.
    """
    if values.device.type != "cuda":
        return values.tolist
    sent = values.to("cpu", non_blocking=True)
    arrival = torch.cuda.current_stream(values.device).record_event()

    def read() -> list[float]:
        arrival.synchronize()
        return sent.tolist()

    return read
