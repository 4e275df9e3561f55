"""Curated crops as training reads them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from mlss_core.errors import SequenceError
from mlss_core.train.tracks import TRAIN

_OPEN_SHARDS = 256  # at once: a process may have 1024 files open


class CropLibrary:
    """Memory-mapped crops of one split, by source and track."""

    def __init__(self, folder: Path, split: int = TRAIN) -> None:
        """Open what `mlss curate` wrote to `folder`.

        Raises:
            SequenceError: there are no crops, none of this split, or damaged ones.
        """
        index = _read_index(folder / "index.npz")
        self._folder = folder
        self._shards = [str(name) for name in index["shards"]]
        self._shard, self._row = index["shard"], index["row"]
        for shard, count in enumerate(np.bincount(self._shard, minlength=len(self._shards))):
            self._open_crops(shard, int(count))
        self.size = index["size"]  # (N, 2) w, h in px of the crop
        self.frame = index["frame"]
        chosen = np.flatnonzero(index["split"] == split)
        names = index["names"]
        self.tracks: list[np.ndarray] = []  # rows of each track, by frame
        self.track_of = np.full(len(self.frame), -1)  # (N,), of the crops of this split
        self.sources: dict[str, list[int]] = {}  # source -> tracks
        by_track = np.split(chosen, np.flatnonzero(np.diff(index["track"][chosen])) + 1)
        for rows in by_track:
            if len(rows) == 0:
                continue
            source = str(names[index["track"][rows[0]]]).split("/")[0]
            self.sources.setdefault(source, []).append(len(self.tracks))
            self.track_of[rows] = len(self.tracks)
            self.tracks.append(rows)
        if not self.tracks:
            kind, remedy = ("training", "smaller") if split == TRAIN else ("held-out", "larger")
            raise SequenceError(
                f"expected {kind} crops in {folder}, got none; curate more sequences, or with a "
                f"{remedy} --val-fraction"
                + ("" if split == TRAIN else ", or train with validation_batches: 0")
            )
        self._open: dict[int, tuple[np.ndarray, np.ndarray | None]] = {}  # crops, masks

    def crop(self, item: int) -> np.ndarray:
        """Crop `item`, (P, P) uint8.

        Raises:
            SequenceError: its shard is gone or damaged.
        """
        return self._arrays(int(self._shard[item]))[0][self._row[item]]

    def mask(self, item: int) -> np.ndarray | None:
        """Mask of a cut-out, (P, P) uint8; None for a track."""
        masks = self._arrays(int(self._shard[item]))[1]
        return None if masks is None else masks[self._row[item]]

    def _arrays(self, shard: int) -> tuple[np.ndarray, np.ndarray | None]:
        if shard not in self._open:
            if len(self._open) >= _OPEN_SHARDS:
                self._open.pop(next(iter(self._open)))
            masks = self._folder / f"{self._shards[shard]}.mask.npy"
            self._open[shard] = (
                self._open_crops(shard, 0),
                np.load(masks, mmap_mode="r") if masks.is_file() else None,
            )
        return self._open[shard]

    def _open_crops(self, shard: int, count: int) -> np.ndarray:
        """Map a shard of at least `count` crops."""
        path = self._folder / f"{self._shards[shard]}.npy"
        try:
            crops: np.ndarray = np.load(path, mmap_mode="r")
            if len(crops) < count:
                raise ValueError(f"{len(crops)} of them")
        except (OSError, ValueError) as error:
            raise SequenceError(
                f"expected {count} crops in {path}, got: {error}; curate again"
            ) from error
        return crops


def _read_index(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise SequenceError(
            f"expected curated crops in {path.parent}, got no {path.name} there; run mlss curate"
        )
    try:
        with np.load(path) as index:
            return dict(index)
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise SequenceError(
            f"expected {path} to list curated crops, got: {error}; curate again"
        ) from error
