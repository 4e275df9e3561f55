"""The trackers of OpenCV contrib behind the `Tracker` protocol."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mlss_core.box import Box
from mlss_core.errors import CheckpointError, ConfigError
from mlss_core.evaluate.trackers import MODEL_FILES, PlainEstimate
from mlss_core.params import ThermalParams
from mlss_core.thermal import ThermalNormalizer

_NAMES = {"dasiamrpn": "DaSiamRPN", "goturn": "GOTURN", "nano": "Nano", "vit": "Vit"}


class OpenCvTracker:
    """One tracker of cv2, fed 8-bit BGR: false colour as it is, grey normalised as ours is.

    A frame in which cv2 reports failure has no box. Random numbers (MIL) are seeded on
    `initialize`, so a run repeats.
    """

    def __init__(self, kind: str, files: tuple[Path, ...] = ()) -> None:
        """Check that cv2 has tracker `kind` and loads its model `files`, see `MODEL_FILES`.

        Raises:
            ConfigError, CheckpointError: it has not, or does not.
        """
        self._kind = kind
        self._files = files
        self._make()  # a model file that does not load is told before the first frame

    def initialize(self, frame: np.ndarray, box: Box) -> None:
        """Start on `box`, rounded to whole pixels as cv2 asks."""
        cv2.setRNGSeed(0)
        _seed_c_random()
        self._tracker = self._make()
        self._normalize = ThermalNormalizer(ThermalParams())
        x, y, w, h = box.to_ltwh()
        rect = (round(x - 1), round(y - 1), max(round(w), 1), max(round(h), 1))
        self._tracker.init(self._bgr(frame), rect)

    def update(self, frame: np.ndarray) -> PlainEstimate:
        """Find the target; the score is cv2's own where the tracker has one, else 1 or 0."""
        found, rect = self._tracker.update(self._bgr(frame))
        if hasattr(self._tracker, "getTrackingScore"):
            score = float(self._tracker.getTrackingScore())
        else:
            score = 1.0 if found else 0.0
        return PlainEstimate(Box.from_roi(*map(float, rect)) if found else None, score)

    def _make(self) -> Any:
        name = f"Tracker{_NAMES.get(self._kind, self._kind.upper())}"
        # MOSSE: cv2.legacy.TrackerMOSSE in OpenCV 4, cv2.legacy_TrackerMOSSE from 5.0
        legacy = getattr(cv2, "legacy", None)
        cls = getattr(cv2, name, None) or getattr(legacy, name, None)
        cls = cls or getattr(cv2, f"legacy_{name}", None)
        if cls is None:
            raise ConfigError(
                f"expected an OpenCV with {name}, got {cv2.__version__} without it; "
                "install opencv-contrib-python-headless"
            )
        if self._kind not in MODEL_FILES:
            return cls.create()
        params = getattr(cv2, f"{name}_Params")()
        for field, path in zip(MODEL_FILES[self._kind], self._files, strict=True):
            setattr(params, field, str(path))
        try:
            return cls.create(params)
        except cv2.error as error:
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(
                f"expected model files of {name}, got {' '.join(map(str, self._files))}: "
                f"{reason}; correct --trackers"
            ) from error

    def _bgr(self, frame: np.ndarray) -> np.ndarray:
        if frame.ndim == 3 and frame.dtype == np.uint8:
            return np.ascontiguousarray(frame)
        grey = self._normalize(frame).round().astype(np.uint8)
        return cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)


def _seed_c_random() -> None:
    """MIL draws its features with the C library's rand(), which runs on from track to track."""
    library = ctypes.cdll.msvcrt if os.name == "nt" else ctypes.CDLL(None)
    library.srand(1)  # as in a process that has just begun
