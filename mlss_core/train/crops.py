"""Curated crops as training reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlss_core.errors import SequenceError
from mlss_core.train.tracks import TRAIN


class CropLibrary:
    """Memory-mapped crops of one split, by source and track."""

    def __init__(self, folder: Path, split: int = TRAIN) -> None:
        """Open what `mlss curate` wrote to `folder`.

        Raises:
            SequenceError: there are no crops, or none of this split.
        """
        if not (folder / "index.npz").is_file():
            raise SequenceError(
                f"expected curated crops in {folder}, got no index.npz there; run mlss curate"
            )
        index = np.load(folder / "index.npz")
        self._folder = folder
        self._shards = [str(name) for name in index["shards"]]
        self._shard, self._row = index["shard"], index["row"]
        self.size = index["size"]  # (N, 2) w, h in px of the crop
        self.frame = index["frame"]
        chosen = np.flatnonzero(index["split"] == split)
        names = index["names"]
        self.tracks: list[np.ndarray] = []  # rows of each track, by frame
        self.sources: dict[str, list[int]] = {}  # source -> tracks
        by_track = np.split(chosen, np.flatnonzero(np.diff(index["track"][chosen])) + 1)
        for rows in by_track:
            if len(rows) == 0:
                continue
            source = str(names[index["track"][rows[0]]]).split("/")[0]
            self.sources.setdefault(source, []).append(len(self.tracks))
            self.tracks.append(rows)
        if not self.tracks:
            kind, remedy = ("training", "smaller") if split == TRAIN else ("held-out", "larger")
            raise SequenceError(
                f"expected {kind} crops in {folder}, got none; curate more sequences, or with a "
                f"{remedy} --val-fraction"
                + ("" if split == TRAIN else ", or train with validation_batches: 0")
            )
        self._arrays: dict[str, np.ndarray | None] = {}

    def crop(self, item: int) -> np.ndarray:
        """Crop `item`, (P, P) uint8.

        Raises:
            SequenceError: its shard is missing.
        """
        name = f"{self._shards[self._shard[item]]}.npy"
        crops = self._load(name)
        if crops is None:
            raise SequenceError(f"expected {name} in {self._folder}, got none; curate again")
        return crops[self._row[item]]

    def mask(self, item: int) -> np.ndarray | None:
        """Mask of a cut-out, (P, P) uint8; None for a track."""
        masks = self._load(f"{self._shards[self._shard[item]]}.mask.npy")
        return None if masks is None else masks[self._row[item]]

    def _load(self, name: str) -> np.ndarray | None:
        if name not in self._arrays:
            path = self._folder / name
            self._arrays[name] = np.load(path, mmap_mode="r") if path.is_file() else None
        return self._arrays[name]
