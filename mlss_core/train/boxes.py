"""Training of the box head: pairs of pictures whose second box is wrong, and their loss."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mlss_core.model.box_head import PATCH_PX, REGION_SCALE, BoxHead
from mlss_core.patch import crop_patches, search_side
from mlss_core.train import augment
from mlss_core.train.pairs import PairDataset, View

_SAME_FRAME = 0.15  # share of pairs of one frame, which must ask for no more than was put wrong
_BENT = 0.7  # share of the cut-outs that bend between the pictures
_LOOSENESS = 0.15  # largest log change of a label's sides, shared by a pair: labels differ
_TURN_DEG = 8.0
_ASPECT_SIGMA = 0.2  # log change of the aspect between the pictures
_SIZE_SIGMA = 0.18  # log error of the estimated size, doubled in a sixth of the pairs
_PLACE_SIGMA = 0.08  # error of its place in sides, 0.2 in a sixth of the pairs
_OFTEN = 0.85
_HONESTY = 0.03  # weight of the spread in the loss
_COARSER = 0.4  # patch px of this head per patch px of MLSSNet


class BoxBatch(NamedTuple):
    """Pairs as the box head sees them."""

    first: Tensor  # (B, 1, 64, 64) grey levels 0..255
    first_sides: Tensor  # (B, 2) w, h as shares of the patch
    patch: Tensor  # (B, 1, 64, 64)
    sides: Tensor  # (B, 2) of the estimated box
    change: Tensor  # (B, 4) from the estimated to the true box, see BoxHead.forward


class BoxTerms(NamedTuple):
    """Loss of a batch, and mean overlaps with the true boxes."""

    loss: Tensor
    overlap: Tensor  # of the corrected boxes
    estimate: Tensor  # of the boxes as they were given


class _Example(NamedTuple):
    views: tuple[View, View]
    sides: tuple[tuple[float, float], tuple[float, float]]  # w, h as shares of their windows
    change: tuple[float, float, float, float]


class BoxPairs(PairDataset):
    """Item `step` is the share of one process of that step's batch."""

    def __getitem__(self, step: int) -> BoxBatch:  # type: ignore[override]
        rngs = self._generators(step)
        examples = [self._draw_example(rng) for rng in rngs]
        views = [e.views[0] for e in examples] + [e.views[1] for e in examples]
        images = torch.from_numpy(np.stack([view.image for view in views]))
        windows = torch.tensor([view.window for view in views], dtype=torch.float64)
        patches = crop_patches(images, windows, PATCH_PX, images.mean(dim=(1, 2)))
        looked = self._change_looks(patches.squeeze(1).numpy(), rngs, _COARSER)
        first, patch = torch.from_numpy(looked).unsqueeze(1).chunk(2)
        sides = torch.tensor([e.sides for e in examples], dtype=torch.float32)
        change = torch.tensor([e.change for e in examples], dtype=torch.float32)
        return BoxBatch(first, sides[:, 0], patch, sides[:, 1], change)

    def _views(
        self, one: int, other: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Both crops of a pair, and w, h of the target in the second; cut-outs bend."""
        alpha = self.crops.mask(one)
        if alpha is not None and rng.random() < _BENT:
            still, alpha = self.crops.crop(one).astype(np.float32), alpha / np.float32(255)
            bent = augment.bend(still, alpha, rng)
            if bent is not None:
                views = self._on_others((still, alpha), (bent.image, bent.alpha), rng)
                return *views, np.array(bent.size)
        return *self._images(one, other, rng), self.crops.size[other]

    def _draw_example(self, rng: np.random.Generator) -> _Example:
        strength, crops = self.augmentation, self.crops
        one, other = self._draw_frames(self._draw_track(rng), rng)
        if crops.mask(one) is None and rng.random() < _SAME_FRAME:
            other = one
        still, moved, size = self._views(one, other, rng)
        mirror = bool(rng.random() < strength.flip)
        loose = np.exp(rng.uniform(-_LOOSENESS, _LOOSENESS, size=2))
        first_w, first_h = crops.size[one] * loose
        aspect = float(np.exp(rng.normal(0, _ASPECT_SIGMA)))
        true_w, true_h = size * loose * (np.sqrt(aspect), 1 / np.sqrt(aspect))
        still = augment.deform(still, mirror, 0.0, 1.0)
        turn_deg = float(rng.uniform(-_TURN_DEG, _TURN_DEG))
        moved = self._disturb(augment.deform(moved, mirror, turn_deg, aspect), other, rng)
        wide, high = _wrong_sides(first_w / first_h, true_w, true_h, rng)
        error = rng.normal(0, _PLACE_SIGMA if rng.random() < _OFTEN else 0.2, size=2)
        middle = (still.shape[0] - 1) / 2
        x, y = middle + error[0] * wide, middle + error[1] * high
        first_px = REGION_SCALE * search_side(first_w, first_h)
        px = REGION_SCALE * search_side(wide, high)
        return _Example(
            (View(still, (middle, middle, first_px)), View(moved, (x, y, px))),
            ((first_w / first_px, first_h / first_px), (wide / px, high / px)),
            (-error[0], -error[1], np.log(true_w / wide), np.log(true_h / high)),
        )


def _wrong_sides(
    first_aspect: float, true_w: float, true_h: float, rng: np.random.Generator
) -> tuple[float, float]:
    """An estimate as trackers make it: of a wrong size, half of the time of the first aspect."""
    sigma = _SIZE_SIGMA if rng.random() < _OFTEN else 2 * _SIZE_SIGMA
    root = np.sqrt(true_w * true_h) * np.exp(rng.normal(0, sigma))
    if rng.random() < 0.5:
        aspect = first_aspect * np.exp(rng.normal(0, 0.03))
    else:
        aspect = true_w / true_h * np.exp(rng.normal(0, 0.12))
    return root * np.sqrt(aspect), root / np.sqrt(aspect)


def box_loss(head: BoxHead, batch: BoxBatch) -> BoxTerms:
    """One minus the overlap with the true box, a pull on the numbers, and honest spreads."""
    change, spread = head(head.remember(batch.first, batch.first_sides), batch.patch, batch.sides)
    overlap = overlaps(change, batch.change).mean()
    pull = F.smooth_l1_loss(change, batch.change, beta=0.05)
    untouched = overlaps(torch.zeros_like(change), batch.change).mean()
    loss = 1 - overlap + 0.2 * pull + _HONESTY * surprise(change - batch.change, spread)
    return BoxTerms(loss, overlap.detach(), untouched)


def surprise(error: Tensor, spread: Tensor) -> Tensor:
    """How unlikely errors are by the spreads given with them: least where both are equal.

    Args:
        error: (N, 4) of the changes; the middle of two edges is off by half of what their
            distance is.
        spread: (N, 2), see `Correction`.

    Returns:
        Mean negative logarithm of their likelihood, up to a constant, for Laplace's distribution.
    """
    error = torch.cat([2 * error[:, :2], error[:, 2:]], dim=1).abs()
    spread = spread.repeat(1, 2)
    return (error / spread + spread.log()).mean()


def overlaps(one: Tensor, other: Tensor) -> Tensor:
    """Intersection over union of boxes given as changes (N, 4) of the same estimates: (N,)."""
    size, other_size = one[:, 2:].exp(), other[:, 2:].exp()
    low = torch.maximum(one[:, :2] - size / 2, other[:, :2] - other_size / 2)
    high = torch.minimum(one[:, :2] + size / 2, other[:, :2] + other_size / 2)
    common = (high - low).clamp(min=0).prod(dim=1)
    return common / (size.prod(dim=1) + other_size.prod(dim=1) - common)
