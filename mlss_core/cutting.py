"""Regions of a frame to patches for the network, in the way that the profile asks for."""

from __future__ import annotations

import torch
from torch import Tensor

from mlss_core.params import SearchParams
from mlss_core.patch import crop_patches, crop_pyramid_as_released
from mlss_core.recovery import Region


def cut_regions(
    pixels: Tensor,
    regions: list[Region],
    fills: list[float],
    patch_px: int,
    search: SearchParams,
    scales: int = 1,
) -> Tensor:
    """Cut N regions of one frame.

    Args:
        pixels: (H, W) float32 grey levels.
        regions: N of them.
        fills: N grey levels for what lies outside the frame.
        patch_px: side of a patch.
        search: how patches are resampled.
        scales: so many neighbours in `regions` belong to one target.

    Returns:
        (N, 1, patch_px, patch_px) float32.
    """
    if search.resampling == "released":
        return _cut_as_released(pixels, regions, fills, patch_px, search, scales)
    windows = torch.tensor(regions, dtype=torch.float64)
    return crop_patches(pixels, windows, patch_px, torch.tensor(fills))


def _cut_as_released(
    pixels: Tensor,
    regions: list[Region],
    fills: list[float],
    patch_px: int,
    search: SearchParams,
    scales: int,
) -> Tensor:
    """Cut whole pyramids: the authors take even an exemplar out of the middle of one."""
    middle = search.scales // 2
    patches = []
    for n in range(scales // 2, len(regions), scales):
        sides = [regions[n].side * search.scale_step ** (k - middle) for k in range(search.scales)]
        pyramid = crop_pyramid_as_released(
            pixels, (regions[n].cx, regions[n].cy), sides, patch_px, fills[n]
        )
        patches.append(pyramid[middle : middle + 1] if scales == 1 else pyramid)
    return torch.cat(patches)
