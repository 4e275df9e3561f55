"""Sequences made worse on purpose, at rising levels, for robustness curves.

Level 0 is the sequence as recorded. Every change is a pure function of kind, level, seed and frame
number, so that runs repeat and any frame can be read alone. Strengths are in grey levels of an
8-bit picture; on deeper pictures they are scaled to the spread of the first labelled frame.
"""

from __future__ import annotations

import collections.abc
import dataclasses
from dataclasses import dataclass

import cv2
import numpy as np

from mlss_core.errors import ConfigError
from mlss_core.evaluate.metrics import first_valid_row, valid_rows
from mlss_core.sequences import Sequence

LEVELS: dict[str, tuple[float, ...]] = {  # strength at level 1, 2, ... and what it counts
    "noise": (5, 10, 20, 40, 80),  # standard deviation of white noise, grey levels
    "contrast": (0.6, 0.4, 0.25, 0.12, 0.06),  # gain about the frame's mean, then rounded
    "blur": (0.7, 1.4, 2.5, 4, 6),  # standard deviation of a Gaussian, px
    "freeze": (3, 6, 12, 24, 45),  # frames of every 60 that repeat the one before (shutter)
    "occlusion": (0.2, 0.4, 0.6, 0.8, 1.0),  # width of the target hidden, 15 frames of every 60
    "polarity": (120, 60, 30, 15, 8),  # frames between switches of white-hot and black-hot
    "drop": (0.2, 0.4, 0.6, 0.75, 0.9),  # share of frames that never arrive, at random
}
UNITS = {
    "noise": "sigma, grey levels",
    "contrast": "gain",
    "blur": "sigma, px",
    "freeze": "frames of every 60",
    "occlusion": "share of the width",
    "polarity": "frames between switches",
    "drop": "share of frames",
}
_PERIOD = 60  # frames from one freeze or occlusion to the next
_HIDDEN = 15  # frames that an occlusion lasts


@dataclass(frozen=True)
class Corruption:
    """One kind of damage at one level."""

    kind: str  # key of LEVELS
    level: int  # 1 and up
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what LEVELS does not hold.

        Raises:
            ConfigError: unknown kind or level.
        """
        if self.kind not in LEVELS:
            raise ConfigError(
                f"expected a corruption among {', '.join(LEVELS)}, got {self.kind!r}; "
                "correct --corrupt"
            )
        if not 1 <= self.level <= len(LEVELS[self.kind]):
            raise ConfigError(
                f"expected a level of {self.kind} in 1..{len(LEVELS[self.kind])}, got "
                f"{self.level}; correct --levels"
            )

    @property
    def strength(self) -> float:
        """What LEVELS says of this level."""
        return LEVELS[self.kind][self.level - 1]

    @property
    def label(self) -> str:
        """Name of the folder of results."""
        return f"{self.kind}-{self.level}"


def corrupt(sequence: Sequence, corruption: Corruption | None) -> Sequence:
    """Apply `corruption` to a labelled sequence; None gives it back as it is.

    The first labelled frame, on which trackers start, is never touched. `drop` removes frames
    together with their labels; every other kind keeps the labels.
    """
    if corruption is None or sequence.ground_truth is None:
        return sequence
    start = first_valid_row(sequence.ground_truth)
    if corruption.kind == "drop":
        draws = _random(corruption).random(len(sequence.frames))
        kept = np.flatnonzero((draws >= corruption.strength) | (np.arange(len(draws)) <= start))
        seen = sequence.visibility
        return dataclasses.replace(
            sequence,
            frames=_Picked(sequence.frames, kept),
            ground_truth=sequence.ground_truth[kept],
            visibility=None if seen is None else seen[kept],
        )
    if corruption.kind == "freeze":
        shown = [_frozen_source(i - start, int(corruption.strength)) for i in range(len(sequence))]
        picked = np.array([i if i <= start else start + j for i, j in enumerate(shown)])
        return dataclasses.replace(sequence, frames=_Picked(sequence.frames, picked))
    return dataclasses.replace(sequence, frames=_Changed(sequence, corruption, start))


class _Picked(collections.abc.Sequence[np.ndarray]):
    """Frames `picked` of `frames`, in that order."""

    def __init__(self, frames: collections.abc.Sequence[np.ndarray], picked: np.ndarray) -> None:
        self._frames, self._picked = frames, picked

    def __len__(self) -> int:
        return len(self._picked)

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]
        return self._frames[int(self._picked[index])]


class _Changed(collections.abc.Sequence[np.ndarray]):
    """Frames after `start`, each changed by itself."""

    def __init__(self, sequence: Sequence, corruption: Corruption, start: int) -> None:
        self._sequence, self._corruption, self._start = sequence, corruption, start
        self._range: tuple[float, float] | None = None

    def __len__(self) -> int:
        return len(self._sequence)

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]
        raw = self._sequence.frames[index]
        since = index - self._start
        if since <= 0:
            return raw
        kind, strength = self._corruption.kind, self._corruption.strength
        low, high = self._grey_range()
        pixels: np.ndarray = raw.astype(np.float32)
        if kind == "noise":
            noise = _random(self._corruption, index).standard_normal(raw.shape, np.float32)
            pixels += noise * (strength * (high - low) / 255)
        elif kind == "contrast":
            mean = pixels.mean()
            pixels = mean + (pixels - mean) * strength
        elif kind == "blur":
            pixels = cv2.GaussianBlur(pixels, (0, 0), strength)
        elif kind == "polarity":
            if since // int(strength) % 2:
                pixels = low + high - pixels
        elif kind == "occlusion" and since % _PERIOD >= _PERIOD - _HIDDEN:
            self._hide(pixels, index, strength)
        if raw.dtype.kind == "u":
            top = np.iinfo(raw.dtype).max
            return pixels.round().clip(0, top).astype(raw.dtype)
        return pixels

    def _hide(self, pixels: np.ndarray, index: int, share: float) -> None:
        """Draw a bar of the surroundings' mean over `share` of the target, from its left side."""
        assert self._sequence.ground_truth is not None
        if not valid_rows(self._sequence.ground_truth[index : index + 1])[0]:
            return
        x, y, w, h = self._sequence.ground_truth[index]
        rows = slice(max(round(y - 1 - h / 2), 0), max(round(y - 1 + 1.5 * h), 0))
        around = slice(max(round(x - 1 - w / 2), 0), max(round(x - 1 + 1.5 * w), 0))
        bar = slice(max(round(x - 1 - 0.1 * w), 0), max(round(x - 1 + (1.2 * share - 0.1) * w), 0))
        if pixels[rows, around].size:
            pixels[rows, bar] = pixels[rows, around].mean(axis=(0, 1))

    def _grey_range(self) -> tuple[float, float]:
        """Grey levels that count as black and white: 0..255, or the spread of a deep picture."""
        if self._range is None:
            first = self._sequence.frames[self._start]
            low, high = 0.0, 255.0
            if first.dtype != np.uint8:
                low, high = (float(v) for v in np.nanpercentile(first, (0.5, 99.5)))
            self._range = (low, max(high, low + 1))
        return self._range


def _frozen_source(since: int, length: int) -> int:
    """Frame (counted from the start) shown at frame `since` when `length` of every 60 repeat."""
    phase = since % _PERIOD
    return since - max(phase - (_PERIOD - length - 1), 0)


def _random(corruption: Corruption, index: int = 0) -> np.random.Generator:
    kind = list(LEVELS).index(corruption.kind)
    return np.random.default_rng([corruption.seed, kind, corruption.level, index])
