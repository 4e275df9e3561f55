"""CUDA graphs: the kernels of a forward pass recorded once, then launched all at once.

A GPU computes few patches faster than the host launches their kernels one by one. Whether PyTorch,
driver and device can record them shows only when it is tried, so `recorded` compares what is
replayed with the forward pass itself before anything relies on it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from mlss_core.model.backbone import Features

LONGEST = 8  # patches of four targets; more keep the device busy, and each length costs memory
_WARM_UP = 3  # passes in which the libraries choose their kernels, as PyTorch's manual has it
_CLOSE = 0.02  # of a norm: other kernels may round bf16 otherwise

_log = logging.getLogger(__name__)
Forward = Callable[[Tensor], Features]


def record_graphs(forward: Forward, batches: list[Tensor]) -> list[Forward]:
    """Record a graph for each batch, in memory that they share: they never run side by side.

    Args:
        forward: patches (N, 1, P, P) -> Features; waits for nothing on the host.
        batches: patches on one CUDA device; their memory becomes the graphs' input.

    Returns:
        A replay for each batch; its results are the caller's own.

    Raises:
        RuntimeError: a kernel cannot be recorded, or memory is short.
    """
    with torch.cuda.device(batches[0].device):
        pool, stream = torch.cuda.graph_pool_handle(), torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # left even where an error does not leave the recording's
            replays = [_record(forward, batch, pool, stream) for batch in batches]
        torch.cuda.current_stream().wait_stream(stream)
    return replays


def _record(
    forward: Forward, batch: Tensor, pool: torch.cuda._POOL_HANDLE, stream: torch.cuda.Stream
) -> Forward:
    for _ in range(_WARM_UP):
        forward(batch)
    graph = torch.cuda.CUDAGraph()
    alone = "thread_local"  # what other threads do on the device meanwhile is no error
    with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode=alone):
        features = forward(batch)

    def replay(patches: Tensor) -> Features:
        batch.copy_(patches)
        graph.replay()
        return Features(*(level.clone() for level in features))  # the next replay writes there

    return replay


@torch.no_grad()
def recorded(
    forward: Forward,
    patch_px: int,
    device: torch.device,
    record: Callable[[Forward, list[Tensor]], list[Forward]] = record_graphs,
) -> Forward:
    """The forward pass, replayed for batches of up to LONGEST patches.

    Where that fails or computes something else: one warning, and `forward` as it is.

    Args:
        forward: as for `record_graphs`.
        patch_px: side of the patches; those of another size go through `forward`.
        device: of the patches.
        record: makes a replay for each batch.
    """
    fixed = torch.Generator().manual_seed(0)
    try:
        patches = 255 * torch.rand(LONGEST, 1, patch_px, patch_px, generator=fixed).to(device)
        trials = [patches[:n] for n in range(LONGEST, 0, -1)]  # the first one's memory serves all
        empty = [torch.zeros_like(trial) for trial in trials]
        replays = record(forward, empty)
        for replay, trial in zip(replays, trials, strict=True):
            expected, found = forward(trial), replay(trial)
            replay(255 - trial)  # leaves what was found before alone
            for a, b in zip(found, expected, strict=True):
                if not (a - b).norm() <= _CLOSE * b.norm():
                    raise RuntimeError(f"a replay of {len(trial)} patches gives other values")
    except Exception as error:  # whatever it is, the tracker can do without
        reason = " ".join(str(error).split())
        _log.warning("CUDA graphs stay unused, boxes are the same: %s", reason)
        return forward
    chosen = {trial.shape: replay for trial, replay in zip(trials, replays, strict=True)}
    return lambda patches: chosen.get(patches.shape, forward)(patches)
