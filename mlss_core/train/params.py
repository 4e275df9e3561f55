"""Settings of a training run: a YAML file read into frozen dataclasses, unknown keys refused."""

from __future__ import annotations

import dataclasses
import math
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mlss_core.checked import Checked, param
from mlss_core.errors import ConfigError
from mlss_core.network_params import NetworkParams

_WORDS = {tuple[str, ...]: "list, such as [a, b]", dict[str, float]: "mapping, such as {a: 0.5}"}


@dataclass(frozen=True)
class PairParams(Checked):
    """Which two crops make a pair."""

    mix: dict[str, float] = field(
        default_factory=dict,
        metadata={"doc": "Share of pairs from each source; empty: by number of tracks."},
    )
    frame_range: int = param(100, "Largest distance of the two frames.", "frames", (1, 100000))
    easy_negative: float = param(
        0.0, "Share of pairs of two tracks; without effect on a single one.", range=(0, 1)
    )
    hard_negative: float = param(
        0.05, "Share of pairs whose exemplar is background of the same track.", range=(0, 1)
    )
    vanished: float = param(
        0.0, "Share of pairs whose instance shows the scene without the target.", range=(0, 1)
    )
    shift_px: float = param(36.0, "Largest shift of the target each way.", "patch px", (0, 64))
    tightness: float = param(
        0.2, "Largest log change of the box around the target, shared by a pair.", range=(0, 1)
    )
    cutout_on_other: float = param(
        0.5, "Share of cut-outs pasted on other pictures.", range=(0, 1)
    )

    def __post_init__(self) -> None:
        """Check the shares too, which no range of a single number covers."""
        super().__post_init__()
        if not all(0 < share < math.inf for share in self.mix.values()):
            raise ConfigError(
                f"expected shares above 0 in mix, got {self.mix}; leave a source out instead"
            )
        negative = self.easy_negative + self.hard_negative + self.vanished
        if negative > 1 + 1e-9:
            raise ConfigError(
                "expected easy_negative, hard_negative and vanished of at most 1 together, got "
                f"{negative:g}; lower them"
            )


@dataclass(frozen=True)
class AugmentParams(Checked):
    """Strength of every augmentation; zeros switch it off."""

    flip: float = param(0.5, "Share of pairs mirrored left to right.", range=(0, 1))
    rotation_deg: float = param(6.0, "Largest turn between the patches.", "deg", (0, 180))
    aspect: float = param(0.06, "Largest change of aspect between the patches.", range=(0, 0.5))
    zoom: float = param(0.05, "Largest change of size between the patches.", range=(0, 0.5))
    invert: float = param(0.3, "Share of pairs with black-hot polarity.", range=(0, 1))
    contrast: float = param(0.8, "Largest log change of a pair's contrast.", range=(0, 3))
    brightness: float = param(40.0, "Largest change of a pair's mean.", "grey", (0, 255))
    drift: float = param(0.15, "Largest log change of gain between patches.", range=(0, 1))
    blur: float = param(0.4, "Share of pairs seen through a coarser sensor.", range=(0, 1))
    noise: float = param(10.0, "Largest standard deviation of noise.", "grey", (0, 100))
    stripes: float = param(5.0, "Largest standard deviation of row/column noise.", "grey", (0, 50))
    dead_pixels: float = param(0.1, "Share of patches with dead pixels.", range=(0, 1))
    occluder: float = param(0.12, "Share of instances with a partly hidden target.", range=(0, 1))
    distractor: float = param(0.3, "Share of instances with a pasted neighbour.", range=(0, 1))


@dataclass(frozen=True)
class TrainParams(Checked):
    """A training run; stored with its checkpoints."""

    trains: str = param(
        "network",
        "What is trained: MLSSNet, or the box head that corrects its boxes.",
        choices=("network", "box_head"),
    )
    crops: str = param("build/crops", "Folder that mlss curate filled.")
    out: str = param("build/train", "Folder of checkpoints and logs.")
    steps: int = param(20000, "Optimiser steps.", range=(1, 10**8))
    batch: int = param(8, "Pairs per step, over all processes.", range=(1, 65536))
    seed: int = param(0, "Seed of weights and pairs.", range=(0, 2**31))
    learning_rate: float = param(1e-2, "First learning rate.", range=(1e-9, 10))
    final_learning_rate: float = param(1e-4, "Last learning rate.", range=(1e-9, 10))
    stage_steps: int = param(1, "Steps between changes of the learning rate.", range=(1, 10**8))
    stages: int = param(0, "Geometric stages of the rate; 0: until the end.", range=(0, 10**8))
    warmup_steps: int = param(100, "Steps of linear warm-up.", range=(0, 10**6))
    momentum: float = param(0.9, "Momentum of SGD.", range=(0, 1), source="released")
    weight_decay: float = param(5e-4, "Weight decay.", range=(0, 1), source="released")
    multipliers: str = param(
        "uniform",
        "Per-parameter factors of learning rate and decay.",
        choices=("uniform", "released"),
    )
    initialization: str = param(
        "he",
        "'he': fan-out everywhere; 'released': attention at zero.",
        choices=("he", "released"),
    )
    initial_weights: str = param(
        "", "Checkpoint whose weights a new run starts from; empty: drawn by the seed."
    )
    max_pool_gradient: str = param(
        "true",
        "'released': back-propagate the attention's maximum as if it were a mean.",
        choices=("true", "released"),
    )
    moments: str = param(
        "variance",
        "What batch norm averages for inference; released: the standard deviation.",
        choices=("variance", "deviation"),
    )
    moment_rate: float = param(
        0.05, "Share of a step's batch in those moments.", range=(0, 1), source="released"
    )
    clip: float = param(5.0, "Largest norm of the gradient; 0: no clipping.", range=(0, 1e6))
    swapped_negatives: float = param(
        0.5, "Weight of each exemplar against the instance of another pair.", range=(0, 10)
    )
    swapped_group: int = param(
        2,
        "Neighbouring pairs of which that is the one that responds most; 2: the neighbour's.",
        "pairs",
        (2, 1024),
    )
    precision: str = param("bf16", "Backbone precision.", choices=("fp32", "bf16", "fp16"))
    loader_workers: int = param(1, "Processes that make batches.", "", (0, 128))
    checkpoint_every: int = param(100, "Steps between checkpoints.", range=(1, 10**8))
    validate_every: int = param(500, "Steps between validations.", range=(1, 10**8))
    validation_batches: int = param(16, "Batches of a validation.", range=(0, 10**6))
    clips: tuple[str, ...] = field(
        default=(), metadata={"doc": "Sequences or folders the tracker runs on to validate."}
    )
    clip_frames: int = param(150, "Frames of each validation clip.", range=(2, 10**6))
    network: NetworkParams = field(default_factory=NetworkParams)
    pairs: PairParams = field(default_factory=PairParams)
    augment: AugmentParams = field(default_factory=AugmentParams)


def load_train_params(path: str | Path) -> TrainParams:
    """Read a YAML file of TrainParams.

    Raises:
        ConfigError: the file is missing, is no YAML mapping, or holds an unknown key or bad value.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(
            f"expected a training config, got no file at {path}; see config/train.yaml"
        )
    try:
        values = yaml.safe_load(path.read_text()) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"expected YAML in {path}, got: {reason}; mend the file") from error
    return params_from_dict(TrainParams, values, path.name)


def params_from_dict(cls: type[Any], values: Any, where: str) -> Any:
    """Build a params dataclass, nested ones included, from plain values.

    Raises:
        ConfigError: an unknown key, or a value of another type or outside its range.
    """
    if not isinstance(values, dict):
        raise ConfigError(
            f"expected a mapping for {where}, got {values!r}; write `key: value` lines"
        )
    types = typing.get_type_hints(cls)
    known = {item.name: item for item in dataclasses.fields(cls)}
    unknown = sorted(map(str, set(values) - set(known)))
    if unknown:
        raise ConfigError(
            f"expected keys among {', '.join(known)} in {where}, got {', '.join(unknown)}; "
            "correct the name"
        )
    built = {}
    for name, value in values.items():
        if dataclasses.is_dataclass(types[name]):
            built[name] = params_from_dict(types[name], value, f"{where}: {name}")
        else:
            built[name] = _convert(types[name], value, f"{where}: {name}")
    return cls(**built)


def _convert(kind: Any, value: Any, where: str) -> Any:
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if kind is float and isinstance(value, str):  # YAML reads 1e-2 as text
        try:
            return float(value)
        except ValueError:
            pass
    if kind == tuple[str, ...] and isinstance(value, list):
        return tuple(str(item) for item in value)
    if kind == dict[str, float] and isinstance(value, dict):
        return {
            str(key): _convert(float, share, f"{where}: {key}") for key, share in value.items()
        }
    if isinstance(kind, type) and type(value) is kind:
        return value
    name = _WORDS.get(kind) or getattr(kind, "__name__", str(kind))
    raise ConfigError(f"expected {where} to be of type {name}, got {value!r}; correct it")
