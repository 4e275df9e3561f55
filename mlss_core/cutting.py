"""Regions of a frame to patches for the network, in the way that the profile asks for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mlss_core.cuda_graphs import LONGEST_SMALL, Replayed
from mlss_core.params import SearchParams
from mlss_core.patch import crop_patches, crop_pyramid_as_released, kernel_reach, upload
from mlss_core.recovery import Region


class Cutter:
    """Cuts patches out of frames on one device."""

    def __init__(self, device: torch.device) -> None:
        self._crop = Replayed(_crop, device, LONGEST_SMALL)

    def __call__(
        self,
        pixels: Tensor,
        windows: Sequence[tuple[float, float, float]],
        fills: Sequence[float],
        out_px: int,
    ) -> Tensor:
        """Cut N square windows of one frame.

        Args:
            pixels: (H, W) float32 grey levels, on the device.
            windows: N times the centre x, y and the side, px of the frame.
            fills: N grey levels for what lies outside the frame.
            out_px: side of a patch.

        Returns:
            (N, 1, out_px, out_px) float32, on the device.
        """
        if pixels.device.type == "cpu":
            placed = torch.tensor(windows, dtype=torch.float64)
            return crop_patches(pixels, placed, out_px, torch.tensor(fills))
        rows = [(*window, fill) for window, fill in zip(windows, fills, strict=True)]
        placed = upload(torch.tensor(rows, dtype=torch.float64), pixels.device)
        reach = kernel_reach([window[2] for window in windows], out_px)
        return self._crop(placed, pixels, out_px=out_px, reach=reach)


def _crop(placed: Tensor, pixels: Tensor, out_px: int, reach: int) -> Tensor:
    """Windows and fills (N, 4) of a frame (H, W) -> patches (N, 1, out_px, out_px)."""
    return crop_patches(pixels, placed[:, :3], out_px, placed[:, 3].float(), reach)


def cut_regions(
    pixels: Tensor,
    regions: list[Region],
    fills: list[float],
    patch_px: int,
    search: SearchParams,
    cutter: Cutter,
    scales: int = 1,
) -> Tensor:
    """Cut N regions of one frame.

    Args:
        pixels: (H, W) float32 grey levels.
        regions: N of them.
        fills: N grey levels for what lies outside the frame.
        patch_px: side of a patch.
        search: how patches are resampled.
        cutter: of the frame's device.
        scales: so many neighbours in `regions` belong to one target.

    Returns:
        (N, 1, patch_px, patch_px) float32.
    """
    if search.resampling == "released":
        return _cut_as_released(pixels, regions, fills, patch_px, search, scales)
    return cutter(pixels, [region[:3] for region in regions], fills, patch_px)


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
