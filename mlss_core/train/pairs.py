"""Exemplar and instance pairs drawn from curated crops, on the fly and reproducibly.

Pair `i` of step `s` depends on (seed, s, i) alone: not on the worker that makes it, nor on how
many processes share the batch, nor on where a run was interrupted.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from mlss_core.errors import ConfigError
from mlss_core.patch import crop_patches
from mlss_core.train import augment
from mlss_core.train.crops import CropLibrary
from mlss_core.train.curate import TARGET_PX
from mlss_core.train.params import TrainParams

_COVER = 1.5  # sides of the target that hide it, the soft rim included


class Batch(NamedTuple):
    """Pairs as the network sees them."""

    exemplar: Tensor  # (B, 1, 255, 255) float32 grey levels 0..255
    instance: Tensor  # (B, 1, 255, 255)
    shift_px: Tensor  # (B, 2) x, y of the target from the middle of the instance
    positive: Tensor  # (B,) bool
    tracks: Tensor  # (B, 2) int64, which tracks exemplar and instance show


class View(NamedTuple):
    """A crop and the window of it that becomes a patch."""

    image: np.ndarray  # (P, P) float32
    window: tuple[float, float, float]  # centre x, centre y, side in px of the crop


class _Pair(NamedTuple):
    exemplar: View
    instance: View
    shift_px: tuple[float, float]  # x, y of the target, in patch px
    positive: bool
    tracks: tuple[int, int]  # that exemplar and instance show


class PairDataset(torch.utils.data.Dataset):
    """Item `step` is the share of one process of that step's batch."""

    def __init__(
        self,
        crops: CropLibrary,
        params: TrainParams,
        rank: int = 0,
        world: int = 1,
        seed: int | None = None,
    ) -> None:
        """Draw pairs from crops.

        Args:
            crops: of one split.
            params: of the run.
            rank: number of this process,
            world: of so many that share each batch.
            seed: of the draw; None: the run's.

        Raises:
            ConfigError: `pairs.mix` names a source that was not curated, or the crops are smaller
                than the region that a patch shows.
        """
        mix = params.pairs.mix or {name: len(has) for name, has in crops.sources.items()}
        unknown = sorted(set(mix) - set(crops.sources))
        if unknown:
            raise ConfigError(
                f"expected pairs.mix to name curated sources ({', '.join(crops.sources)}), got "
                f"{', '.join(unknown)}; curate them or leave them out"
            )
        self.crops, self.pairs, self.augmentation = crops, params.pairs, params.augment
        self.sources = list(mix)
        self.shares = np.array(list(mix.values())) / sum(mix.values())
        self.mine = range(rank * params.batch // world, (rank + 1) * params.batch // world)
        self.seed = params.seed if seed is None else seed
        self.patch_px = params.network.patch_px
        self.window_px = params.network.region_scale * TARGET_PX  # 255 px for 2.008 s_z
        side = len(crops.crop(crops.tracks[0][0]))
        if side < self.window_px:
            raise ConfigError(
                f"expected crops of at least {self.window_px:.0f} px for network.region_scale "
                f"{params.network.region_scale:.4g}, got {side}; curate with a larger --crop-px"
            )

    def __getitem__(self, step: int) -> Batch:
        rngs = self._generators(step)
        drawn = [self._draw(rng) for rng in rngs]
        views = [pair.exemplar for pair in drawn] + [pair.instance for pair in drawn]
        images = torch.from_numpy(np.stack([view.image for view in views]))
        windows = torch.tensor([view.window for view in views], dtype=torch.float64)
        patches = crop_patches(images, windows, self.patch_px, images.mean(dim=(1, 2)))
        looked = self._change_looks(patches.squeeze(1).numpy(), rngs)
        exemplar, instance = torch.from_numpy(looked).unsqueeze(1).chunk(2)
        return Batch(
            exemplar,
            instance,
            torch.tensor([pair.shift_px for pair in drawn], dtype=torch.float32),
            torch.tensor([pair.positive for pair in drawn]),
            torch.tensor([pair.tracks for pair in drawn]),
        )

    def _generators(self, step: int) -> list[np.random.Generator]:
        return [np.random.default_rng((self.seed, step, number)) for number in self.mine]

    def _change_looks(
        self, patches: np.ndarray, rngs: list[np.random.Generator], coarser: float = 1.0
    ) -> np.ndarray:
        out = np.empty_like(patches)
        for number, rng in enumerate(rngs):
            look = augment.draw_look(rng, self.augmentation)
            look = look._replace(coarseness=max(1.0, coarser * look.coarseness))
            for place in (number, number + len(rngs)):
                out[place] = augment.apply_look(patches[place], look, rng, self.augmentation)
        return out

    def _draw(self, rng: np.random.Generator) -> _Pair:
        params, change, crops = self.pairs, self.augmentation, self.crops
        track = self._draw_track(rng)
        kind = rng.random()
        if kind < params.hard_negative:
            return self._hard_negative(track, rng)
        first, second = self._draw_frames(track, rng)
        easy = kind < params.hard_negative + params.easy_negative
        vanished = not easy and kind < (
            params.hard_negative + params.easy_negative + params.vanished
        )
        if easy:
            other = self._draw_track(rng, other_than=track)
            second = int(rng.choice(crops.tracks[other]))
            easy = other != track  # else there is a single track
        still, moved = self._images(first, second, rng)
        mirror = bool(rng.random() < change.flip)
        side = self.window_px * float(
            np.exp(rng.uniform(-params.tightness, 0.5 * params.tightness))
        )
        still = augment.deform(still, mirror, 0.0, 1.0)
        moved = augment.deform(
            moved,
            mirror,
            float(rng.uniform(-change.rotation_deg, change.rotation_deg)),
            float(np.exp(rng.uniform(-change.aspect, change.aspect))),
        )
        moved = self._disturb(moved, second, rng)
        if vanished:
            moved = self._cover(moved, second, rng)
        zoomed = side * float(np.exp(rng.uniform(-change.zoom, change.zoom)))
        shift = rng.uniform(-params.shift_px, params.shift_px, size=2)
        middle = (still.shape[0] - 1) / 2
        x, y = middle - shift * zoomed / self.patch_px  # the window moves against the target
        return _Pair(
            View(still, (middle, middle, side)),
            View(moved, (float(x), float(y), zoomed)),
            (float(shift[0]), float(shift[1])),
            not (easy or vanished),
            (track, int(crops.track_of[second])),
        )

    def _hard_negative(self, track: int, rng: np.random.Generator) -> _Pair:
        """Background of the same track, zoomed twice, against the target (released protocol)."""
        first, second = self._draw_frames(track, rng, apart=25)
        image = self.crops.crop(first).astype(np.float32)
        middle = (image.shape[0] - 1) / 2
        quarter = (self.window_px + 1) / 4  # middle of a corner's 127 px of the 255 px patch
        x, y = middle + rng.choice((-quarter, quarter), size=2)
        other = self.crops.crop(second).astype(np.float32)
        return _Pair(
            View(image, (float(x), float(y), self.window_px // 2)),
            View(other, (middle, middle, self.window_px)),
            (0.0, 0.0),
            False,
            (track, track),
        )

    def _draw_track(self, rng: np.random.Generator, other_than: int = -1) -> int:
        """A track; the same one only where there is no other."""
        source = self.sources[int(rng.choice(len(self.sources), p=self.shares))]
        tracks = self.crops.sources[source]
        place = int(rng.integers(len(tracks)))
        if tracks[place] != other_than:
            return tracks[place]
        if len(tracks) == 1:
            tracks = [track for name in self.sources for track in self.crops.sources[name]]
        return tracks[(tracks.index(other_than) + 1) % len(tracks)]

    def _draw_frames(
        self, track: int, rng: np.random.Generator, apart: int = 1
    ) -> tuple[int, int]:
        """Two frames of a track, at least `apart` frames from each other where it has them."""
        rows = self.crops.tracks[track]
        frames = self.crops.frame[rows]
        first = int(rng.integers(len(rows)))
        distance = np.abs(frames - frames[first])
        near = np.flatnonzero((distance >= apart) & (distance <= self.pairs.frame_range))
        if len(near) == 0:
            near = np.arange(len(rows))
        return int(rows[first]), int(rows[rng.choice(near)])

    def _images(
        self, first: int, second: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Both crops of a pair as float32; a cut-out may move to other pictures."""
        still, moved = (self.crops.crop(item).astype(np.float32) for item in (first, second))
        mask = self.crops.mask(first)
        if mask is None or first != second:
            return still, moved
        alpha = mask.astype(np.float32) / 255
        return self._on_others((still, alpha), (moved, alpha), rng)

    def _on_others(
        self,
        still: tuple[np.ndarray, np.ndarray],
        moved: tuple[np.ndarray, np.ndarray],
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Two views of a cut-out, each with its alpha, before other pictures or its own."""
        if rng.random() >= self.pairs.cutout_on_other:
            return still[0], moved[0]
        scene = self._background(rng)
        other = self._background(rng) if rng.random() < 0.5 else scene
        return scene + (still[0] - scene) * still[1], other + (moved[0] - other) * moved[1]

    def _background(self, rng: np.random.Generator) -> np.ndarray:
        """Some other crop, moved so that its own target is rarely in the middle."""
        rows = self.crops.tracks[self._draw_track(rng)]
        image = self.crops.crop(int(rng.choice(rows))).astype(np.float32)
        zoom = float(rng.uniform(1.0, 2.0))
        reach = image.shape[0] / 3
        x, y = rng.uniform(-reach, reach, size=2)
        return augment.deform(
            image, bool(rng.random() < 0.5), float(rng.uniform(-20, 20)), 1.0, zoom, (x, y)
        )

    def _disturb(self, image: np.ndarray, item: int, rng: np.random.Generator) -> np.ndarray:
        """Paste a neighbour beside the target, or something over a part of it."""
        middle = (image.shape[0] - 1) / 2
        width, height = self.crops.size[item]
        if rng.random() < self.augmentation.distractor:
            patch, alpha = self._object(rng, item, float(rng.uniform(0.6, 1.4)))
            angle = rng.uniform(0, 2 * np.pi)
            reach = rng.uniform(0.9, 1.8)
            x = middle + np.cos(angle) * reach * (width + patch.shape[1]) / 2
            y = middle + np.sin(angle) * reach * (height + patch.shape[0]) / 2
            image = augment.paste(image, patch, alpha, (x, y))
        if rng.random() < self.augmentation.occluder:
            scene = self._background(rng)
            rows = max(2, int(height * rng.uniform(0.3, 0.6)))
            columns = max(2, int(width * rng.uniform(0.3, 1.0)))
            x = middle + rng.uniform(-0.4, 0.4) * width
            y = middle + rng.choice((-0.4, 0.4)) * height
            image = augment.paste(
                image, scene[:rows, :columns], np.ones((rows, columns), np.float32), (x, y)
            )
        return image

    def _cover(self, image: np.ndarray, item: int, rng: np.random.Generator) -> np.ndarray:
        """Put what is beside the target, or a piece of another picture, over all of it."""
        size = image.shape[0]
        middle = (size - 1) / 2
        columns, rows = (min(round(_COVER * side), size) for side in self.crops.size[item])
        x, y = middle, middle
        source = image if rng.random() < 0.5 else self._background(rng)
        if source is image:
            aside = rng.choice((-1, 1)) * min(columns, rows)
            x, y = (x + aside, y) if columns < rows else (x, y + aside)
        left = min(max(round(x - (columns - 1) / 2), 0), size - columns)
        top = min(max(round(y - (rows - 1) / 2), 0), size - rows)
        patch = source[top : top + rows, left : left + columns]
        return augment.paste(image, patch, augment.soft_rectangle(rows, columns), (middle, middle))

    def _object(
        self, rng: np.random.Generator, beside: int, zoom: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """The target of another track than crop `beside` as (h, w) patch and its alpha."""
        track = self._draw_track(rng, other_than=int(self.crops.track_of[beside]))
        item = int(rng.choice(self.crops.tracks[track]))
        crop, mask = self.crops.crop(item), self.crops.mask(item)
        width, height = self.crops.size[item]
        half = [min(max(int(side / 2), 1), crop.shape[0] // 2) for side in (height, width)]
        middle = crop.shape[0] // 2
        inner = (
            slice(middle - half[0], middle + half[0]),
            slice(middle - half[1], middle + half[1]),
        )
        size = (max(2, round(2 * half[1] * zoom)), max(2, round(2 * half[0] * zoom)))  # w, h
        patch = cv2.resize(crop[inner].astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
        if mask is None:
            return patch, augment.soft_ellipse(size[1], size[0])
        alpha = cv2.resize(mask[inner].astype(np.float32) / 255, size)
        return patch, alpha
