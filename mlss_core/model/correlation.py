"""Correlation filters in closed form, and the correlation of templates with instances."""

from __future__ import annotations

import torch
from scipy.fft import next_fast_len
from torch import Tensor, nn


class CorrelationFilter(nn.Module):
    """Ridge regression from the windowed exemplar to a Gaussian peak, solved per sample (CFNet).

    With X_c the Fourier transform of channel c and Y that of the target, n cells:
    w_c = F^-1( conj(Y / (n k)) X_c ), k = sum_c |X_c|^2 / n + lambda (released corr_filter.m).
    The middle of the filter is the template.
    """

    window: Tensor
    target_spectrum: Tensor

    def __init__(self, cells: int, margin: int, sigma: float, ridge: float) -> None:
        super().__init__()
        self.margin = margin
        self.ridge = ridge
        self.register_buffer("window", hann_window(cells), persistent=False)
        spectrum = torch.fft.rfft2(gaussian_target(cells, sigma).double()).to(torch.complex64)
        self.register_buffer("target_spectrum", spectrum, persistent=False)

    def forward(self, exemplar: Tensor) -> Tensor:
        """Exemplar feature (B, C, n, n) -> template (B, C, n - 2 margin, n - 2 margin)."""
        cells = exemplar.shape[-1]
        windowed = exemplar.float() * self.window
        spectrum = torch.fft.rfft2(windowed)  # (B, C, n, n // 2 + 1)
        count = cells * cells
        energy = spectrum.abs().square().sum(dim=1, keepdim=True) / count + self.ridge
        alpha = self.target_spectrum / (count * energy)  # (B, 1, n, n // 2 + 1)
        template = torch.fft.irfft2(alpha.conj() * spectrum, s=(cells, cells))
        inner = slice(self.margin, cells - self.margin)
        return template[..., inner, inner]


def hann_window(cells: int) -> Tensor:
    """Separable Hann window with zero ends, (cells, cells) float32 (MATLAB's symmetric hann)."""
    side = torch.hann_window(cells, periodic=False, dtype=torch.float64)
    return torch.outer(side, side).float()


def gaussian_target(cells: int, sigma: float) -> Tensor:
    """Gaussian of `sigma` cells, its peak of 1 at cell (0, 0), wrapping round; (cells, cells)."""
    distance = torch.arange(cells, dtype=torch.float64)
    distance = torch.minimum(distance, cells - distance)
    side = torch.exp(-0.5 * (distance / sigma).square())
    return torch.outer(side, side).float()


def cross_correlate(template: Tensor, instance: Tensor) -> Tensor:
    """Slide each template over its own instances, by products in the Fourier domain.

    On a CPU 5 to 15 times faster than the released convolution with one group per template.

    Args:
        template: (B, C, h, w).
        instance: (B k, C, H, W); template b serves the k consecutive instances from b k on.

    Returns:
        (B k, 1, H - h + 1, W - w + 1) float32: all places where the template lies inside.
    """
    batch = template.shape[0]
    height, width = instance.shape[-2:]
    size = (next_fast_len(height, real=True), next_fast_len(width, real=True))
    spectrum = torch.fft.rfft2(instance.float(), s=size).unflatten(0, (batch, -1))
    kernel = torch.fft.rfft2(template.float(), s=size).conj().unsqueeze(1)  # (B, 1, C, ...)
    product = (spectrum * kernel).sum(dim=2)  # (B, k, ...)
    response = torch.fft.irfft2(product, s=size).flatten(0, 1).unsqueeze(1)
    return response[..., : height - template.shape[-2] + 1, : width - template.shape[-1] + 1]
