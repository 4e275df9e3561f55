"""What each part of the tracker is worth: success AUC with one thing changed at a time.

    python tools/ablate.py SEQUENCE... [--frames 150] [--every 100] [--only shipped,response]

prints one row per variant, one column per sequence; docs/training.md quotes it.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlss_core.checkpoint import load_network
from mlss_core.evaluate.metrics import score_sequence
from mlss_core.evaluate.run import track
from mlss_core.evaluate.trackers import SingleTarget
from mlss_core.model.network import MLSSNet
from mlss_core.params import TrackerParams, tracker_params
from mlss_core.sequences import Sequence, load_sequence
from mlss_core.tracker import MLSSTracker
from mlss_core.train.validate import shortened


def _set(**groups: dict[str, Any]) -> Callable[[TrackerParams], TrackerParams]:
    def change(params: TrackerParams) -> TrackerParams:
        changed = {
            name: dataclasses.replace(getattr(params, name), **values)
            for name, values in groups.items()
        }
        return dataclasses.replace(params, **changed)

    return change


VARIANTS: dict[str, Callable[[TrackerParams], TrackerParams]] = {
    "robust as shipped": _set(),
    "float32": _set(),
    "semantic response alone": _set(),
    "structural response alone": _set(),
    "semantic response halved": _set(),
    "semantic response doubled": _set(),
    "region of 1.0 s_z": _set(search={"region_scale": 1.0}),
    "no box head and 3 scales": _set(box={"refine": False}, search={"scales": 3}),
    "no box head and 1 scale": _set(box={"refine": False}, search={"scales": 1}),
    "1 scale": _set(search={"scales": 1}),
    "3 scales": _set(search={"scales": 3}),
    "size_rate 0.05": _set(box={"size_rate": 0.05}),
    "size_stiffness 0": _set(box={"size_stiffness": 0.0}),
    "size_stiffness 1": _set(box={"size_stiffness": 1.0}),
    "size_rate 0.05 and size_stiffness 1": _set(box={"size_rate": 0.05, "size_stiffness": 1.0}),
    "doubt below 0.08 and loss below 0.05": _set(
        presence={"uncertain_below": 0.08, "lost_below": 0.05}
    ),
    "others not told": _set(presence={"others": False}),
    "aspect_stiffness 0": _set(box={"aspect_stiffness": 0.0}),
    "shown_spread 0": _set(box={"shown_spread": 0.0}),
    "shown_spread 100": _set(box={"shown_spread": 100.0}),
    "size_noise 0": _set(box={"size_noise": 0.0}),
    "place_rate 0": _set(box={"place_rate": 0.0}),
    "place_rate 0.5": _set(box={"place_rate": 0.5}),
    "window_influence 0.4": _set(search={"window_influence": 0.4}),
    "window_influence 0.15": _set(search={"window_influence": 0.15}),
    "templates mixed": _set(template={"online": False}),
    "mixing rate 0.005": _set(template={"online": False, "rate": 0.005}),
    "first template alone": _set(template={"online": False, "rate": 0.0}),
    "template every frame": _set(template={"every": 1}),
    "doubt_limit 100000": _set(presence={"doubt_limit": 100_000}),
    "no presence": _set(presence={"enabled": False}),
    "no presence and 1 scale": _set(presence={"enabled": False}, search={"scales": 1}),
    "no presence and 1 scale in a region of 1.0 s_z": _set(
        presence={"enabled": False}, search={"scales": 1, "region_scale": 1.0}
    ),
    "no presence and 3 scales": _set(presence={"enabled": False}, search={"scales": 3}),
    "no presence and mixing": _set(presence={"enabled": False}, template={"online": False}),
    "no ego-motion": _set(search={"ego_motion": False}),
    "dead pixels left": _set(thermal={"dead_pixels": False}),
    "profile reference": lambda _: tracker_params("reference"),
}

GAINS = {  # factors on the ensemble's gains, semantic and structural
    "semantic response alone": (1.0, 0.0),
    "structural response alone": (0.0, 1.0),
    "semantic response halved": (0.5, 1.0),
    "semantic response doubled": (2.0, 1.0),
}


def network_of(variant: str, network: MLSSNet) -> MLSSNet:
    """The network of a variant; both responses are normalised before the ensemble weighs them."""
    chosen = copy.deepcopy(network)
    chosen.ensemble.gain.data *= torch.tensor(GAINS.get(variant, (1.0, 1.0)))
    return chosen


def stretches(path: Path, frames: int, every: int | None) -> Iterator[tuple[Sequence, np.ndarray]]:
    """The first frames of a sequence, or those from every so many on, and their boxes (N, 4)."""
    clip = load_sequence(path)
    assert clip.ground_truth is not None
    last = max(len(clip) - frames // 2, 1)  # a shorter rest says little
    for start in range(0, last, every or last):
        images = [clip.frames[i] for i in range(start, min(start + frames, len(clip)))]
        truth = clip.ground_truth[start : start + frames]
        part = dataclasses.replace(clip, frames=images, ground_truth=truth, visibility=None)
        yield shortened(part, frames)


def success(
    variant: str, path: Path, frames: int, every: int | None, weights: Path | None
) -> float:
    """Success AUC of one variant on one sequence, the mean of its stretches."""
    torch.set_num_threads(1)
    network = network_of(variant, load_network(weights))
    params = VARIANTS[variant](tracker_params("robust"))
    found = []
    for clip, truth in stretches(path, frames, every):
        precision = "fp32" if variant == "float32" else "auto"
        tracker = MLSSTracker(network, params, precision=precision)
        boxes, _, _ = track(SingleTarget(tracker), clip)
        found.append(score_sequence(boxes, truth).success_auc)
    return float(np.mean(found))


def main() -> None:
    """Run every variant on every sequence, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sequences", type=Path, nargs="+")
    parser.add_argument("--frames", type=int, default=150, help="of each sequence (%(default)s)")
    parser.add_argument("--every", type=int, help="start anew every so many frames")
    parser.add_argument("--weights", type=Path, help="default: the shipped ones")
    parser.add_argument("--only", default="", help="variants whose name holds one of these words")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    words = [word for word in args.only.split(",") if word]
    names = [name for name in VARIANTS if not words or any(word in name for word in words)]
    print(f"{'':48s}" + "".join(f"{path.stem[-16:]:>18s}" for path in args.sequences) + "    mean")
    with ProcessPoolExecutor(args.jobs) as pool:
        runs = {
            name: [
                pool.submit(success, name, path, args.frames, args.every, args.weights)
                for path in args.sequences
            ]
            for name in names
        }
        for name, pending in runs.items():
            found = [run.result() for run in pending]
            row = "".join(f"{value:18.3f}" for value in found)
            print(f"{name:48s}{row}{np.mean(found):8.3f}", flush=True)


if __name__ == "__main__":
    main()
