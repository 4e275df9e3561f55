"""Batch normalisation whose moments are gathered over branches and processes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class BatchNorm(nn.BatchNorm2d):
    """`nn.BatchNorm2d`, except in training.

    There each call normalises by its own batch, over all processes of a distributed run, and
    remembers that batch's moments. `absorb_moments` then moves the running moments once per step
    by the mean over the calls: exemplars and instances count alike, as in the released code
    (dagnn.BatchNorm averages the branches that share it).
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self._batch_moments: list[tuple[Tensor, Tensor]] = []  # mean, biased variance, (C,) each

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same, normalised per channel."""
        if not self.training:
            return super().forward(x)
        if _world_size() > 1:
            out, mean, variance = self._over_processes(x)
        else:
            out, mean, scale = torch.native_batch_norm(
                x, self.weight, self.bias, None, None, True, 0.0, self.eps
            )
            variance = scale.detach().float().square().reciprocal() - self.eps
        self._batch_moments.append((mean.detach().float(), variance))
        return out

    def absorb_moments(self, rate: float, deviations: bool) -> None:
        """Move the running moments by `rate` towards the batches seen since the last call.

        Args:
            rate: Share of the new moments, 0..1.
            deviations: Average standard deviations, as released, in place of variances.
        """
        if not self._batch_moments or self.running_mean is None or self.running_var is None:
            return
        mean = torch.stack([mean for mean, _ in self._batch_moments]).mean(dim=0)
        variances = torch.stack([variance for _, variance in self._batch_moments])
        self.running_mean.lerp_(mean, rate)
        if deviations:
            sigma = (variances + self.eps).sqrt().mean(dim=0)
            running = (self.running_var + self.eps).sqrt().lerp(sigma, rate)
            self.running_var.copy_(running.square() - self.eps)
        else:
            self.running_var.lerp_(variances.mean(dim=0), rate)
        self._batch_moments.clear()

    def _over_processes(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normalise by the moments of the whole batch, of which every process holds a share."""
        pixels = x.float()
        mean = _MeanOverProcesses.apply(pixels.mean(dim=(0, 2, 3)))
        centred = pixels - mean[:, None, None]
        variance = _MeanOverProcesses.apply(centred.square().mean(dim=(0, 2, 3)))
        gain = self.weight * (variance + self.eps).rsqrt()
        out = centred * gain[:, None, None] + self.bias[:, None, None]
        return out.to(x.dtype), mean, variance.detach()


class _MeanOverProcesses(torch.autograd.Function):
    """Mean of a tensor over the processes, differentiable.

    Each process back-propagates its own loss, and the gradients of all are averaged afterwards:
    what flows back here is the mean over the processes as well.
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return _mean(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _mean(gradient)


def _mean(value: Tensor) -> Tensor:
    total = value.clone()
    torch.distributed.all_reduce(total)
    return total / torch.distributed.get_world_size()


def _world_size() -> int:
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return 1
    return distributed.get_world_size()
