"""First weights, SGD with factors per parameter, and the learning rate."""

from __future__ import annotations

import math

import torch
from torch import nn

from mlss_core.model.network import MLSSNet
from mlss_core.train.params import TrainParams


def initialize(network: MLSSNet, kind: str, seed: int) -> None:
    """Draw all filters from N(0, 2 / (h w out)); biases are 0.

    Kind 'released' starts the attention's filters at randn / sqrt(in) / 1e8, so that both sigmoids
    start at 0.5 everywhere (released make_net_MLSSNet.m); 'he' draws them like the others.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, module in network.named_modules():
        if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            continue
        height, width = module.kernel_size
        std = math.sqrt(2.0 / (height * width * module.out_channels))
        if kind == "released" and "attention" in name:
            std = 1e-8 / math.sqrt(module.in_channels)
        nn.init.normal_(module.weight, 0.0, std, generator=generator)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def make_optimizer(network: MLSSNet, params: TrainParams) -> torch.optim.SGD:
    """SGD with momentum and one group for all of the same factors: a GPU updates it at once.

    `rate_factor` of a group scales its rate.
    """
    alike: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, value in network.named_parameters():
        factors = multipliers(name) if params.multipliers == "released" else (1.0, 1.0)
        alike.setdefault(factors, []).append(value)
    groups = [
        {"params": values, "rate_factor": rate, "weight_decay": decay * params.weight_decay}
        for (rate, decay), values in alike.items()
    ]
    return torch.optim.SGD(groups, lr=params.learning_rate, momentum=params.momentum)


def multipliers(name: str) -> tuple[float, float]:
    """Factors of learning rate and weight decay of a parameter (released make_net_MLSSNet.m)."""
    bias = name.endswith("bias")
    if "reduce" in name:
        return 1.0, 1.0
    if ".bn" in name:
        return (1.0, 0.0) if bias else (2.0, 0.0)
    if name.startswith("ensemble"):
        return (2.0, 0.0) if bias else (1.0, 0.0)
    if "attention" in name:
        return (2.0, 10.0) if bias else (1.0, 10.0)
    return (2.0, 0.0) if bias else (1.0, 1.0)


def learning_rate(step: int, params: TrainParams) -> float:
    """Rate of a step: geometric from first to last in stages, after a linear warm-up.

    The released schedule has 50 stages of one epoch each, no warm-up, and stays at the last rate.
    """
    stages = params.stages or max(math.ceil(params.steps / params.stage_steps), 1)
    share = min(step // params.stage_steps, stages - 1) / max(stages - 1, 1)
    rate = params.learning_rate * (params.final_learning_rate / params.learning_rate) ** share
    return rate * min(1.0, (step + 1) / max(params.warmup_steps, 1))
