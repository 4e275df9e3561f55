"""A curated folder and settings so small that a training step takes a fraction of a second."""

import json
from pathlib import Path

import cv2
import numpy as np

from mlss_core.network_params import NetworkParams
from mlss_core.train.curate import CurateParams, curate
from mlss_core.train.params import AugmentParams, PairParams, TrainParams

# 135 px is the smallest patch whose structure attention gives back its input's size.
SMALL_NETWORK = NetworkParams(patch_px=135, template_margin=6, region_scale=135 / 127)
SMALL_CROPS = CurateParams(crop_px=176, val_fraction=0.25)


def write_tracklets(folder: Path, count: int = 8, images: int = 3) -> Path:
    """Textured squares of 30 px that move by 6 px an image, in the layout of HIT-UAV."""
    rng = np.random.default_rng(0)
    (folder / "img").mkdir(parents=True)
    entries = []
    for number in range(count):
        background = rng.integers(40, 90, (160, 200)).astype(np.uint8)
        target = rng.integers(120, 250, (30, 30)).astype(np.uint8)
        entry = {"cls": "Person", "im": [], "box": []}
        for index in range(images):
            x, y = 60 + 6 * index, 50
            frame = background.copy()
            frame[y : y + 30, x : x + 30] = target
            name = f"{number:02d}_{index}"
            cv2.imwrite(str(folder / "img" / f"{name}.png"), frame)
            entry["im"].append(name)
            entry["box"].append([x - 0.5, y - 0.5, x + 29.5, y + 29.5])
        entries.append(entry)
    (folder / "tracklets.json").write_text(json.dumps(entries))
    return folder


def write_cutouts(folder: Path) -> Path:
    """Two pictures with one outlined square each, in the layout of coco_objects."""
    rng = np.random.default_rng(1)
    (folder / "img").mkdir(parents=True)
    polygons = {}
    for name in ("first", "second", "third", "fourth"):
        picture = cv2.resize(rng.integers(0, 255, (12, 16)).astype(np.uint8), (160, 120))
        cv2.imwrite(str(folder / "img" / f"{name}.png"), picture)
        polygons[name] = [[0.25, 0.25, 0.5, 0.25, 0.5, 0.75, 0.25, 0.75]]
    (folder / "polygons.json").write_text(json.dumps(polygons))
    return folder


def write_otb(folder: Path, count: int = 13, hidden: tuple[int, ...] = ()) -> Path:
    """A white 20 x 14 px box that moves 2 px a frame; its label is missing in `hidden` frames."""
    (folder / "img").mkdir(parents=True)
    lines = []
    for index in range(count):
        frame = np.full((96, 128), 60, np.uint8)
        frame[:, ::7] = 80
        frame[40:54, 30 + 2 * index : 50 + 2 * index] = 200
        cv2.imwrite(str(folder / "img" / f"{index + 1:04d}.png"), frame)
        box = (31 + 2 * index, 41, 20, 14)
        lines.append(",".join("nan" if index in hidden else str(value) for value in box))
    (folder / "groundtruth_rect.txt").write_text("\n".join(lines) + "\n")
    return folder


def small_crops(folder: Path) -> Path:
    """A curated folder of tracklets and cut-outs."""
    sources = [write_tracklets(folder / "tracklets"), write_cutouts(folder / "cutouts")]
    curate(sources, folder / "crops", SMALL_CROPS)
    return folder / "crops"


def small_params(crops: Path, out: Path, **changes: object) -> TrainParams:
    """Settings for a run of a few steps in float32."""
    settings = {
        "crops": str(crops),
        "out": str(out),
        "steps": 4,
        "batch": 4,
        "warmup_steps": 1,
        "precision": "fp32",
        "loader_workers": 0,
        "checkpoint_every": 1,
        "validate_every": 1000,
        "validation_batches": 1,
        "network": SMALL_NETWORK,
        "pairs": PairParams(shift_px=12.0),
        "augment": AugmentParams(),
        **changes,
    }
    return TrainParams(**settings)
