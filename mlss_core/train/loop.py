"""The training loop: pairs -> step -> log, checkpoints and validation."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import torch
from torch import distributed as dist

from mlss_core.checkpoint import save_checkpoint
from mlss_core.errors import ConfigError
from mlss_core.train.boxes import BoxBatch, BoxPairs
from mlss_core.train.crops import CropLibrary
from mlss_core.train.log import RunLog
from mlss_core.train.optimizer import learning_rate
from mlss_core.train.pairs import Batch, PairDataset
from mlss_core.train.params import TrainParams
from mlss_core.train.processes import join_processes, leave_processes
from mlss_core.train.state import load_state, save_state
from mlss_core.train.step import Run, start_run, train_step
from mlss_core.train.tracks import TRAIN, VALIDATION
from mlss_core.train.validate import check_clips, clip_success, held_out_terms

STATE = "state.safetensors"  # everything, to resume
LAST = "last.safetensors"  # weights alone, for the tracker
BEST = "best.safetensors"


def train(
    params: TrainParams,
    resume: bool = False,
    on_step: Callable[[int, dict[str, float]], None] = lambda step, figures: None,
) -> Run:
    """Train to the end of `params.steps`; under `torchrun`, on every process together.

    Args:
        params: The settings.
        resume: Go on from the state in `params.out`.
        on_step: Called after each step with its number and what is logged.

    Returns:
        The finished run.

    Raises:
        ConfigError: settings do not fit each other, or the folder holds another run.
        SequenceError: the crops are missing.
        CheckpointError: the state to resume is missing, damaged or of another network, or a
            checkpoint cannot be written.
        TrainingDivergedError: the loss is not finite.
    """
    _check(params, resume)
    rank, world, device = join_processes()
    try:
        return _train(params, resume, on_step, rank, world, device)
    finally:
        leave_processes()


def _train(
    params: TrainParams,
    resume: bool,
    on_step: Callable[[int, dict[str, float]], None],
    rank: int,
    world: int,
    device: torch.device,
) -> Run:
    if params.batch % (params.swapped_group * world):
        raise ConfigError(
            f"expected a batch of whole groups of {params.swapped_group} pairs (swapped_group) "
            f"per process, got {params.batch} pairs for {world} processes; change batch"
        )
    out = Path(params.out)
    pairs = _pairs_for(params)(CropLibrary(Path(params.crops), TRAIN), params, rank, world)
    held_out = _held_out_pairs(params)
    check_clips(params)
    out.mkdir(parents=True, exist_ok=True)
    torch.backends.cudnn.benchmark = True  # shapes recur: a GPU tries every kernel once
    run = load_state(out / STATE, params, device) if resume else start_run(params, device)
    loader = _loader(pairs, run.step, params, device)
    if rank > 0:
        for batch in loader:
            train_step(run, _to(batch, device), params, world)
            if _due(run.step, params.validate_every, params):
                dist.barrier()
        return run
    with RunLog(out, run.step) as log:
        ready = time.perf_counter()
        for batch in loader:
            begun = time.perf_counter()
            figures = train_step(run, _to(batch, device), params, world)
            figures["learning_rate"] = learning_rate(run.step - 1, params)
            now = time.perf_counter()
            figures |= {"wait_s": begun - ready, "step_s": now - begun}
            log.write("log", run.step, figures)
            on_step(run.step, figures)
            if _due(run.step, params.validate_every, params):
                _validate(run, params, held_out, device, log)
                if world > 1:
                    dist.barrier()
            if _due(run.step, params.checkpoint_every, params):
                save_state(out / STATE, run, params)
                save_checkpoint(out / LAST, run.network, _about(run, params))
            ready = time.perf_counter()
    return run


def _loader(
    pairs: PairDataset, first_step: int, params: TrainParams, device: torch.device
) -> torch.utils.data.DataLoader:
    return torch.utils.data.DataLoader(
        pairs,
        batch_size=None,  # an item is a batch
        sampler=range(first_step, params.steps),
        num_workers=params.loader_workers,
        prefetch_factor=4 if params.loader_workers else None,
        pin_memory=device.type == "cuda",
        worker_init_fn=_use_one_thread,
    )


def _use_one_thread(worker: int) -> None:
    """Keep OpenCV to one thread too, as the loader does PyTorch: workers share the cores."""
    cv2.setNumThreads(0)  # in the thread that calls


def _check(params: TrainParams, resume: bool) -> None:
    out = Path(params.out)
    if not resume and (out / STATE).is_file():
        raise ConfigError(
            f"expected a folder without a run, got one with {STATE} in {out}; add --resume to go "
            "on with it, or choose another out"
        )


def _to(batch: Batch | BoxBatch, device: torch.device) -> Batch | BoxBatch:
    return type(batch)(*(part.to(device, non_blocking=True) for part in batch))


def _due(step: int, every: int, params: TrainParams) -> bool:
    return step % every == 0 or step == params.steps


def _about(run: Run, params: TrainParams) -> dict[str, str]:
    settings = json.dumps(dataclasses.asdict(params), sort_keys=True)
    return {"step": str(run.step), "best": repr(run.best), "train": settings}


def _held_out_pairs(params: TrainParams) -> PairDataset | None:
    """The same pairs at every validation, from the sources that have held-out tracks."""
    if not params.validation_batches:
        return None
    crops = CropLibrary(Path(params.crops), VALIDATION)
    mix = {name: share for name, share in params.pairs.mix.items() if name in crops.sources}
    pairs = dataclasses.replace(params.pairs, mix=mix)
    params = dataclasses.replace(params, pairs=pairs)
    return _pairs_for(params)(crops, params, seed=params.seed + 1)


def _pairs_for(params: TrainParams) -> type[PairDataset]:
    return BoxPairs if params.trains == "box_head" else PairDataset


def _validate(
    run: Run, params: TrainParams, pairs: PairDataset | None, device: torch.device, log: RunLog
) -> None:
    """Loss on held-out pairs and the tracker on held-out clips; keeps the best weights."""
    figures: dict[str, float] = {}
    if pairs is not None:
        figures |= held_out_terms(run.network, pairs, params, device)
    if params.clips and (success := clip_success(run.network, params, device)):
        figures["success_auc"] = sum(success.values()) / len(success)
        figures |= {f"success_auc/{name}": value for name, value in success.items()}
    if not figures:
        return
    log.write("validation", run.step, figures)
    score = figures.get("success_auc", -figures.get("loss", 0.0))
    if score > run.best:
        run.best = score
        save_checkpoint(Path(params.out) / BEST, run.network, _about(run, params))
