"""What evaluation asks of a tracker, and how a name on the command line becomes one."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

import mlss_core
from mlss_core.box import Box
from mlss_core.errors import CheckpointError, ConfigError
from mlss_core.evaluate.results import digest

if TYPE_CHECKING:
    from mlss_core.model.network import MLSSNet
    from mlss_core.tracker import MLSSTracker

PROFILES = {"mlssnet": "robust", "reference": "reference"}  # name in tables -> parameter profile
MODEL_FILES = {  # cv2 trackers that need models: fields of cv2.Tracker*_Params, in this order
    "nano": ("backbone", "neckhead"),
    "vit": ("net",),
    "dasiamrpn": ("model", "kernel_cls1", "kernel_r1"),
    "goturn": ("modelTxt", "modelBin"),
}
PEERS = ("csrt", "kcf", "mil", "mosse", *MODEL_FILES)


class Estimate(Protocol):
    """Where the target is in one frame; `mlss_core.tracker.TrackResult` is one."""

    @property
    def box(self) -> Box | None:
        """The target, None when the tracker says that it is not there."""

    @property
    def score(self) -> float:
        """Confidence, 0..1."""


class Tracker(Protocol):
    """All that evaluation asks of a tracker; frames are as the camera gives them."""

    def initialize(self, frame: np.ndarray, box: Box) -> None:
        """Start on `box` of `frame`: (H, W) uint8, uint16 or float32, or (H, W, 3) uint8 BGR."""

    def update(self, frame: np.ndarray) -> Estimate:
        """Find the target in the next frame."""


class PlainEstimate(NamedTuple):
    """The simplest `Estimate`."""

    box: Box | None
    score: float


@dataclass(frozen=True)
class TrackerOptions:
    """How our own trackers run; peers have no such choice."""

    weights: Path | None = None  # None: the shipped ones
    device: str = "auto"
    precision: str = "auto"


@dataclass(frozen=True)
class TrackerSpec:
    """One column of the tables."""

    label: str  # unique; names the folder of results
    kind: str  # key of PROFILES, "static", one of PEERS or "package.module:factory"
    files: tuple[Path, ...] = ()

    @classmethod
    def parse(cls, text: str) -> TrackerSpec:
        """Read `NAME` or `NAME=FILE[:FILE...]`.

        `mlssnet=W.safetensors` is our tracker with those weights, labelled `mlssnet-W`;
        `nano=BACKBONE:HEAD`, `vit=MODEL`, `dasiamrpn=MODEL:CLS1:R1` and `goturn=TXT:BIN` are
        OpenCV trackers with their model files; `package.module:factory` is called without
        arguments and returns a `Tracker`.

        Raises:
            ConfigError: the name is unknown, or its files are missing or not the right number.
        """
        kind, _, paths = text.strip().partition("=")
        files = tuple(Path(path) for path in paths.split(":") if path)
        if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", kind):
            return cls(kind.rpartition(":")[2], kind)
        kind = kind.lower()
        if kind not in (*PROFILES, *PEERS, "static"):
            raise ConfigError(
                f"expected a tracker among {', '.join((*PROFILES, *PEERS, 'static'))} or "
                f"package.module:factory, got {text!r}; correct --trackers"
            )
        allowed = (0, 1) if kind in PROFILES else (len(MODEL_FILES.get(kind, ())),)
        if len(files) not in allowed:
            names = ":".join(MODEL_FILES.get(kind, ("weights",))).upper()
            raise ConfigError(
                f"expected {max(allowed)} model file(s) for {kind}, got {len(files)}; "
                f"write {kind}={names}"
                if max(allowed)
                else f"expected no model file for {kind}, got {len(files)}; write {kind}"
            )
        for path in files:
            if not path.is_file():
                raise ConfigError(f"expected a model file {path}, got none; correct --trackers")
        return cls(f"{kind}-{files[0].stem}" if files else kind, kind, files)


def parse_trackers(text: str) -> list[TrackerSpec]:
    """Read a comma-separated list.

    Raises:
        ConfigError: see `TrackerSpec.parse`; also when two have the same label.
    """
    specs = [TrackerSpec.parse(item) for item in text.split(",") if item.strip()]
    labels = [spec.label for spec in specs]
    for label in labels:
        if labels.count(label) > 1:
            raise ConfigError(
                f"expected trackers with different names, got {label} twice; rename a model file"
            )
    return specs


def build_tracker(spec: TrackerSpec, options: TrackerOptions) -> Tracker:
    """Make the tracker that `spec` names, ready for `initialize`.

    Raises:
        CheckpointError, ConfigError: it cannot be made.
    """
    if spec.kind in PROFILES:
        weights = spec.files[0] if spec.files else options.weights
        return _our_tracker(PROFILES[spec.kind], weights, options)
    if spec.kind == "static":
        return StaticTracker()
    if ":" in spec.kind:
        return _import_factory(spec.kind)()
    from mlss_core.evaluate.peers import OpenCvTracker

    return OpenCvTracker(spec.kind, spec.files)


def tracker_key(spec: TrackerSpec, options: TrackerOptions) -> dict[str, str]:
    """Everything of the tracker that its results depend on, for resuming.

    Raises:
        CheckpointError: the weights file is missing.
        ConfigError: no such device or precision.
    """
    key = {"tracker": spec.kind, "files": " ".join(_digest(path) for path in spec.files)}
    if spec.kind in PROFILES:
        weights = options.weights if options.weights and not spec.files else None
        if weights is not None and not weights.is_file():
            raise CheckpointError(
                f"expected a weights file {weights}, got none; correct --weights"
            )
        root = Path(mlss_core.__file__).parent
        code = [*root.glob("*.py"), *root.glob("model/*.py"), *root.glob("weights/*.safetensors")]
        key["code"] = digest("".join(map(_digest, sorted(code))).encode())
        key["weights"] = _digest(weights) if weights else ""
        from mlss_core.runtime import choose_device, choose_precision

        device = choose_device(options.device)  # auto is another one on another machine
        key["device"] = str(device)
        key["precision"] = choose_precision(options.precision, device)
    elif spec.kind in PEERS:
        import cv2

        key["code"] = cv2.__version__
    elif ":" in spec.kind:
        key["code"] = _source_digest(spec.kind.partition(":")[0])
    return key


class StaticTracker:
    """Never moves from the first box: the floor of every table."""

    def initialize(self, frame: np.ndarray, box: Box) -> None:
        """Keep `box`."""
        self._box = box

    def update(self, frame: np.ndarray) -> PlainEstimate:
        """Give the first box."""
        return PlainEstimate(self._box, 1.0)


class SingleTarget:
    """An `MLSSTracker` seen as a `Tracker` of one target."""

    def __init__(self, tracker: MLSSTracker) -> None:
        self._tracker = tracker

    def initialize(self, frame: np.ndarray, box: Box) -> None:
        """Drop what was tracked and start on `box`; raises as `MLSSTracker.initialize`."""
        self._tracker.clear()
        self._tracker.initialize(frame, box)

    def update(self, frame: np.ndarray) -> Estimate:
        """Find the one target; raises as `MLSSTracker.update`."""
        return self._tracker.update(frame)[0]


def _our_tracker(profile: str, weights: Path | None, options: TrackerOptions) -> SingleTarget:
    from mlss_core.params import tracker_params
    from mlss_core.tracker import MLSSTracker

    params = tracker_params(profile)
    return SingleTarget(MLSSTracker(_network(weights), params, options.device, options.precision))


@functools.cache
def _network(weights: Path | None) -> MLSSNet:
    """One network per process and weights file."""
    from mlss_core.checkpoint import load_network

    return load_network(weights)


def _digest(path: Path) -> str:
    return digest(path.read_bytes())


def _source_digest(module: str) -> str:
    """Of the module's file; empty where there is none, which is told when the tracker is made."""
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return ""
    path = Path(found.origin) if found is not None and found.origin else None
    return _digest(path) if path is not None and path.is_file() else ""


def _import_factory(text: str) -> Callable[[], Any]:
    module, _, name = text.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"expected an importable tracker factory, got {text}: {error}; correct --trackers"
        ) from error
