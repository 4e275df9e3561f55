"""How good a network is: loss on held-out pairs, and the real tracker on held-out clips."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import numpy as np
import torch

from mlss_core.box import Box, check_box
from mlss_core.errors import BoxError, SequenceError
from mlss_core.evaluate.metrics import first_valid_row, score_sequence
from mlss_core.evaluate.run import track
from mlss_core.evaluate.trackers import SingleTarget
from mlss_core.model.box_head import BoxHead
from mlss_core.model.network import MLSSNet
from mlss_core.sequences import Sequence, find_sequences, load_sequence
from mlss_core.tracker import MLSSTracker
from mlss_core.train.pairs import PairDataset
from mlss_core.train.params import TrainParams
from mlss_core.train.step import batch_loss


@torch.no_grad()
def held_out_terms(
    network: MLSSNet | BoxHead, pairs: PairDataset, params: TrainParams, device: torch.device
) -> dict[str, float]:
    """Loss and its parts over the same held-out batches each time."""
    network.eval()
    found = []
    for number in range(params.validation_batches):
        batch = pairs[number]
        batch = type(batch)(*(part.to(device) for part in batch))
        found.append(batch_loss(network, batch, params))
    network.train()
    names = found[0]._fields
    return {name: float(np.mean([float(getattr(t, name)) for t in found])) for name in names}


def clip_success(
    network: MLSSNet | BoxHead, params: TrainParams, device: torch.device
) -> dict[str, float]:
    """Success AUC (evaluation's, from the first valid box) of the tracker on every clip.

    Of clips of the same name, those after the first are called `FOLDER/NAME`.
    """
    trained = copy.deepcopy(network).eval()
    if isinstance(trained, BoxHead):
        tracker = SingleTarget(MLSSTracker(device=str(device), box_head=trained))
    else:
        tracker = SingleTarget(MLSSTracker(trained, device=str(device)))
    success: dict[str, float] = {}
    for path in held_out_clips(params):
        clip, truth = shortened(load_sequence(path), params.clip_frames)
        boxes, _, _ = track(tracker, clip)
        name = clip.name if clip.name not in success else f"{path.parent.name}/{clip.name}"
        success[name] = score_sequence(boxes, truth).success_auc
    return success


def check_clips(params: TrainParams) -> None:
    """Find now, not after hours, what cannot be validated on.

    Raises:
        SequenceError: a clip cannot be read, has no valid box, or one that no track starts on.
    """
    for path in held_out_clips(params):
        clip, truth = shortened(load_sequence(path), 1)
        try:
            check_box(Box.from_ltwh(*map(float, truth[0])), clip.frames[0].shape[:2])
        except BoxError as error:
            raise SequenceError(f"{clip.name}: {error}") from error


def held_out_clips(params: TrainParams) -> list[Path]:
    """Sequences of `params.clips`: a sequence, a folder of them, or a list that curate wrote."""
    clips: list[Path] = []
    for name in params.clips:
        path = Path(name)
        if path.name == "held_out.txt" and path.is_file():
            clips += [Path(line) for line in path.read_text().splitlines() if line]
        elif path.is_dir() and (inside := find_sequences(path)):
            clips += inside
        else:
            clips.append(path)
    return clips


def shortened(clip: Sequence, frames: int) -> tuple[Sequence, np.ndarray]:
    """The first frames of a clip from its first valid box on, in memory, and their boxes (N, 4).

    Raises:
        SequenceError: the clip has no valid box.
    """
    if clip.ground_truth is None:
        raise SequenceError(f"expected labels for {clip.name}, got none; leave it out of clips")
    start = first_valid_row(clip.ground_truth)
    part = slice(start, min(start + frames, len(clip)))
    images = [clip.frames[i] for i in range(part.start, part.stop)]
    seen = None if clip.visibility is None else clip.visibility[part]
    truth = clip.ground_truth[part]
    return dataclasses.replace(clip, frames=images, ground_truth=truth, visibility=seen), truth
