"""Templates that are learnt while a target is followed: from it, and from what is about it.

The network's correlation filter knows the first picture alone, and answers to what stood around
the target there as well. Here both templates start from it, cut to the box, and go on by steepest
descent to answer to the target in the pictures since, and to nothing beside it. (The idea of ATOM,
Danelljan et al., CVPR 2019, and DiMP, Bhat et al., ICCV 2019: a filter with a loss of its own for
what is no target; here on the two levels of MLSSNet, whose response keeps its meaning.)
"""

from __future__ import annotations

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from mlss_core.cuda_graphs import Replayed
from mlss_core.model.backbone import Features
from mlss_core.model.ensemble import Ensemble
from mlss_core.model.network import Templates
from mlss_core.patch import upload

# Chosen on the sequences and scenes of docs/training.md.
_OWN, _OTHERS = 8, 8  # pictures of the target, the first among them, and of others, that are kept
_FIRST_STEPS, _STEPS = 10, 2  # of descent on the first picture, and each time something is added
_HEIGHT = 4.0  # the response is to reach this on the target; the score takes it for ample,
_DEPTH = -1.0  # and to stay below this where the target is not
_ON_TARGET = 1.5  # cells around the target's middle that the former is asked of,
_WEIGHT = 4.0  # so much as of the latter
_BESIDE = 0.5  # widths and heights of the box off it from which on the latter is asked
_RIDGE = 0.05  # pull towards the first templates, in energies of the first picture's features
_EDGE = 0.7  # cells in which the support of a template falls off around the box


class OnlineFilter:
    """The templates of one target, and the pictures that they are learnt from."""

    def __init__(
        self,
        first: Templates,
        features: Features,
        box_cells: tuple[float, float],
        ensemble: Ensemble,
        descend: Replayed,
    ) -> None:
        """Learn the first picture.

        Args:
            first: the network's templates of it, (1, C, h, w) each.
            features: its features, (1, C, H, W), the target in the middle.
            box_cells: width and height of the target's box, in cells.
            ensemble: of the network.
            descend: `descend` for the features' device.
        """
        self._gains, self._bias, self._descend = ensemble[:2], ensemble.bias, descend
        self._box_cells = box_cells
        self._sizes = [level.shape[-1] for level in first]
        self._cells = features.structural.shape[-1] - self._sizes[1] + 1  # of the response
        self._fast = next_fast_len(features.structural.shape[-1], real=True)
        largest = max(self._sizes)
        device = features.semantic.device
        support = []
        for level, size in zip(first, self._sizes, strict=True):
            rows, columns = (_support(side, size) for side in reversed(box_cells))
            soft = upload(torch.outer(rows, columns), device)
            support.append(_padded(soft.expand(1, level.shape[1], -1, -1), largest))
        self._support = torch.cat(support, dim=1)
        packed = torch.cat([_padded(level, largest) for level in first], dim=1)
        self._anchor = self._support * packed
        self._packed = self._anchor
        count = _OWN + _OTHERS
        frequencies = self._fast * (self._fast // 2 + 1)
        shape = (1, frequencies, count, packed.shape[1])
        self._spectra = torch.zeros(shape, dtype=torch.complex64, device=device)
        self._asked = torch.zeros(1, 2, count, self._cells, self._cells, device=device)
        self._own = self._others = 0  # seen so far
        self.see(features)
        energies = [level.square().sum() for level in self._weighed(features)]
        self._ridge = _RIDGE * torch.stack(energies).sum(dim=0, keepdim=True)
        self.learn(_FIRST_STEPS, pictures=1)

    @property
    def templates(self) -> Templates:
        """What is learnt, as the network takes it."""
        levels = self._packed.split(self._packed.shape[1] // 2, dim=1)
        return Templates(
            *(level[..., :size, :size] for level, size in zip(levels, self._sizes, strict=True))
        )

    def see(self, features: Features, off_cells: tuple[float, float] | None = None) -> None:
        """Keep a picture in place of the oldest; the first one stays.

        Args:
            features: (1, C, H, W) each.
            off_cells: where the target is in a picture of something else, x and y from its middle
                in cells; None: it is the target's picture.
        """
        if off_cells is None:
            slot = 1 + (self._own - 1) % (_OWN - 1) if self._own else 0
            self._own += 1
        else:
            slot = _OWN + self._others % _OTHERS
            self._others += 1
        fast = (self._fast, self._fast)
        spectra = [torch.fft.rfft2(level, s=fast).flatten(2) for level in self._weighed(features)]
        self._spectra[:, :, slot] = torch.cat(spectra, dim=1).transpose(1, 2)
        asked = self._asked_of(off_cells or (0.0, 0.0))
        self._asked[0, :, slot] = upload(asked, self._asked.device)

    def learn(self, steps: int = _STEPS, pictures: int | None = None) -> None:
        """Take steps of descent on all pictures that are kept, or on the first of them."""
        spectra, asked = self._spectra[:, :, :pictures], self._asked[:, :, :pictures]
        self._packed = self._descend(
            self._packed, self._anchor, self._support, spectra, asked, self._ridge,
            bias=self._bias, fast=self._fast, steps=steps,
        )  # fmt: skip

    def _weighed(self, features: Features) -> list[Tensor]:
        """Both levels as the ensemble weighs them, so that their responses add up."""
        levels = features.semantic, features.structural
        return [gain * level.float() for gain, level in zip(self._gains, levels, strict=True)]

    def _asked_of(self, off_cells: tuple[float, float]) -> Tensor:
        """Weights (2, R, R) of the cells asked to be high, and of those asked to be low."""
        places = torch.arange(self._cells) - (self._cells - 1) / 2
        x, y = places - off_cells[0], (places - off_cells[1]).unsqueeze(1)
        width, height = self._box_cells
        high = _WEIGHT * (torch.hypot(x, y) <= _ON_TARGET)
        low = 1.0 * (torch.hypot(x / width, y / height) >= _BESIDE)
        return torch.stack([high, low])


def descend(
    templates: Tensor,
    anchor: Tensor,
    support: Tensor,
    spectra: Tensor,
    asked: Tensor,
    ridge: Tensor,
    bias: float,
    fast: int,
    steps: int,
) -> Tensor:
    """Steps of steepest descent, each as long as its own quadratic approximation asks.

    Args:
        templates: (N, C, h, w), the gains of the ensemble left to `spectra`.
        anchor: the same; what they are pulled to.
        support: the same, 0..1: how freely a cell may change.
        spectra: (N, F, J, C) of J pictures, (fast, fast) cells each.
        asked: (N, 2, J, R, R) weights of the cells asked to be high and low.
        ridge: (N,) pull to the anchor, for every picture.
        bias: of the response.
        fast: side of the transforms.
        steps: of descent.
    """
    high, low = asked.unbind(1)
    pictures = (low.amax(dim=(2, 3)) > 0).sum(dim=1)
    ridge = (ridge * pictures).reshape(-1, 1, 1, 1)
    cells, size = asked.shape[-1], templates.shape[-1]
    response = _respond(templates, spectra, fast, cells) + bias
    for _ in range(steps):
        missing, beyond = (_HEIGHT - response).relu(), (response - _DEPTH).relu()
        wrong = low * beyond - high * missing
        slope = _gather(wrong, spectra, fast, size) + ridge * (templates - anchor)
        step = support * slope
        change = _respond(step, spectra, fast, cells)
        active = low * (beyond > 0) + high * (missing > 0)
        bent = _total(active * change.square()) + ridge * _total(step.square())
        length = _total(slope * step) / bent.clamp(min=1e-12)
        templates, response = templates - length * step, response - length * change
    return templates


def _respond(templates: Tensor, spectra: Tensor, fast: int, cells: int) -> Tensor:
    """Templates (N, C, h, w) on J pictures -> (N, J, R, R)."""
    kernel = torch.fft.rfft2(templates, s=(fast, fast)).conj_physical()
    product = spectra @ kernel.flatten(2).transpose(1, 2).unsqueeze(3)  # (N, F, J, 1)
    product = product.squeeze(3).transpose(1, 2).unflatten(2, (fast, -1))
    return torch.fft.irfft2(product, s=(fast, fast))[..., :cells, :cells]


def _gather(wrong: Tensor, spectra: Tensor, fast: int, size: int) -> Tensor:
    """What the responses of J pictures (N, J, R, R) ask of templates (N, C, size, size)."""
    change = torch.fft.rfft2(wrong, s=(fast, fast)).conj_physical()
    product = change.flatten(2).transpose(1, 2).unsqueeze(2) @ spectra  # (N, F, 1, C)
    product = product.squeeze(2).transpose(1, 2).unflatten(2, (fast, -1))
    return torch.fft.irfft2(product, s=(fast, fast))[..., :size, :size]


def _total(values: Tensor) -> Tensor:
    return values.sum(dim=(1, 2, 3), keepdim=True)


def _support(box_cells: float, size: int) -> Tensor:
    """1 on the box, 0 around it, for `size` cells of a template."""
    off = (torch.arange(size) - (size - 1) / 2).abs()
    return ((box_cells / 2 + 0.5 - off) / _EDGE).sigmoid()


def _padded(level: Tensor, size: int) -> Tensor:
    missing = size - level.shape[-1]
    return torch.nn.functional.pad(level, (0, missing, 0, missing))
