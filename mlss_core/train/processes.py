"""One run over many processes (`torchrun`): who is who, and what they share."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable

import torch
from torch import Tensor
from torch import distributed as dist

from mlss_core.errors import ConfigError

_PATIENCE = datetime.timedelta(days=1)  # while the first process validates; torchrun ends the lost


def join_processes() -> tuple[int, int, torch.device]:
    """Rank, number of processes and device of this one; joins the others under `torchrun`.

    Raises:
        ConfigError: there are fewer GPUs than processes on this machine.
    """
    cuda = torch.cuda.is_available()
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return 0, 1, torch.device("cuda" if cuda else "cpu")
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if cuda and local >= torch.cuda.device_count():
        raise ConfigError(
            f"expected one GPU per process, got {torch.cuda.device_count()} GPUs for process "
            f"{local} of this machine; start torchrun with a smaller --nproc-per-node"
        )
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if cuda else "gloo", timeout=_PATIENCE)
    return dist.get_rank(), world, device


def average(tensors: Iterable[Tensor], world: int) -> None:
    """Replace each tensor by its mean over the processes, in one exchange."""
    tensors = list(tensors)
    if world == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    flat /= world
    for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def leave_processes() -> None:
    """End the exchange that `join_processes` began."""
    if dist.is_initialized():
        dist.destroy_process_group()
