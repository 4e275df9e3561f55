"""What every source of frames looks like to the tracker, to training and to evaluation."""

from __future__ import annotations

import collections.abc
import operator
from abc import abstractmethod
from dataclasses import dataclass
from typing import overload

import numpy as np

from mlss_core.box import Box


class LazyFrames(collections.abc.Sequence):
    """Frames made when they are asked for; iterate forwards for speed, index for convenience."""

    @abstractmethod
    def _read(self, index: int) -> np.ndarray:
        """Return frame `index`, which is in 0..len - 1."""

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, index: slice) -> list[np.ndarray]: ...

    def __getitem__(self, index: int | slice) -> np.ndarray | list[np.ndarray]:
        if isinstance(index, slice):
            return [self._read(i) for i in range(*index.indices(len(self)))]
        position = operator.index(index)
        if position < 0:
            position += len(self)
        if not 0 <= position < len(self):
            raise IndexError(f"expected a frame index below {len(self)}, got {index}")
        return self._read(position)


@dataclass(frozen=True)
class Sequence:
    """Frames in order, with what is known about the target in each of them.

    `frames[i]` is the picture as the camera gave it: (H, W) uint8, uint16 or float32, or
    (H, W, 3) uint8 BGR where the three channels differ. Frames are read when asked for.
    """

    name: str
    frames: collections.abc.Sequence[np.ndarray]
    ground_truth: np.ndarray | None  # (N, 4) float64 x, y, w, h in px, 1-based; NaN: unlabelled
    fps: float | None = None  # frames per second; None when the source does not say
    visibility: np.ndarray | None = None  # (N,) float64, visible part of the target in 0..1

    def box(self, i: int) -> Box | None:
        """Box of frame `i` in the project's convention; None where it is not labelled."""
        if self.ground_truth is None or not np.isfinite(self.ground_truth[i]).all():
            return None
        x, y, w, h = (float(value) for value in self.ground_truth[i])
        return Box.from_ltwh(x, y, w, h)

    def __len__(self) -> int:
        return len(self.frames)
