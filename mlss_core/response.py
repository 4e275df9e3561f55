"""From a response to a place and a scale in the frame, and how peaked the response is."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d, pad

from mlss_core.model.correlation import hann_window
from mlss_core.params import SearchParams
from mlss_core.patch import resize_matrix

_PEAK_CELLS = 5  # half side of the square around a peak that is not sidelobe (as MOSSE: 11 x 11)


class Peak(NamedTuple):
    """Where one target's response is highest."""

    scale_index: int  # which of the searched scales won
    row: int  # 0-based cell of the up-sampled response
    column: int
    offset_xy: tuple[float, float]  # from the middle of the response, in feature cells
    height: float  # highest value of the winning scale's response, as the network gives it
    quality: float  # peak-to-sidelobe ratio of the winning scale's response


def locate(responses: Tensor, search: SearchParams) -> list[Peak]:
    """Find every target's peak (released tracker_step.m).

    Args:
        responses: (N, S, R, R) fused responses of N targets at S scales.
        search: how to search.

    Returns:
        One Peak per target.
    """
    return as_peaks(find_peaks(responses, search), responses.shape[-1], search)


def find_peaks(responses: Tensor, search: SearchParams) -> Tensor:
    """What `locate` finds, on the responses' own device.

    Up-sample each response, penalise changed scales, take the scale with the highest peak, bring
    its map to a sum of 1, mix in a Hann window and take the maximum (the first, columns first).

    Returns:
        (N, 4) float32: scale, cell of the up-sampled response counted along its columns, height
        and quality, as in `Peak`.
    """
    cells, device = responses.shape[-1], responses.device
    up_cells = cells * search.response_up
    responses, enlarge = responses.float(), _enlarge(cells, up_cells, device)
    maps = enlarge @ responses @ enlarge.T  # (N, S, U, U)
    scale_indices = best_scales(maps, search)
    rows = torch.arange(len(maps), device=device)
    chosen = maps[rows, scale_indices]  # (N, U, U)
    lowered = chosen - chosen.amin(dim=(1, 2), keepdim=True)
    lowered = lowered / lowered.sum(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    influence = search.window_influence
    final = (1 - influence) * lowered + influence * _window(up_cells, device)
    first = final.transpose(1, 2).flatten(1).argmax(dim=1)  # columns first, as MATLAB's find
    raw = responses[rows, scale_indices]
    found = scale_indices.float(), first.float(), raw.amax(dim=(1, 2)), peak_to_sidelobe(raw)
    return torch.stack(found, dim=1)


def as_peaks(found: Tensor, cells: int, search: SearchParams) -> list[Peak]:
    """Peaks from what `find_peaks` gave for responses of `cells` a side."""
    up_cells = cells * search.response_up
    middle = (up_cells - 1) / 2
    peaks = []
    for scale, index, height, quality in found.tolist():
        column, row = divmod(int(index), up_cells)
        offset_xy = ((column - middle) / search.response_up, (row - middle) / search.response_up)
        peaks.append(Peak(int(scale), row, column, offset_xy, height, quality))
    return peaks


def peak_qualities(responses: Tensor) -> Tensor:
    """Quality of every local maximum that is not on the border, NaN elsewhere.

    It is the peak-to-sidelobe ratio, with the surroundings of no peak as sidelobe.

    Args:
        responses: (N, R, R) float32.

    Returns:
        (N, R, R), on the same device.
    """
    maps = responses.unsqueeze(1)
    top = (responses == max_pool2d(maps, 7, 1, 3).squeeze(1))[:, 1:-1, 1:-1]
    top = pad(top, (1, 1, 1, 1))
    mean, highest = responses.mean(dim=(1, 2)), responses.amax(dim=(1, 2))
    tall = top & (responses >= ((mean + highest) / 2)[:, None, None])
    sidelobe = max_pool2d(tall.float().unsqueeze(1), 11, 1, 5).squeeze(1) == 0
    count = sidelobe.sum(dim=(1, 2)).clamp(min=1)
    mean = ((responses * sidelobe).sum(dim=(1, 2)) / count)[:, None, None]
    variance = ((responses - mean).square() * sidelobe).sum(dim=(1, 2)) / count
    quality = (responses - mean) / (variance.sqrt() + 1e-6)[:, None, None]
    return torch.where(top, quality, torch.nan)


def further_peaks(responses: Tensor, qualities: Tensor, scale_index: int = 0) -> list[list[Peak]]:
    """All local maxima of single responses but those on the border, to whole cells.

    Args:
        responses: (N, R, R) float32 on the CPU.
        qualities: what `peak_qualities` gave for them.
        scale_index: what their peaks say of the scale.

    Returns:
        One list of peaks per response.
    """
    middle = (responses.shape[-1] - 1) / 2
    found: list[list[Peak]] = [[] for _ in range(len(responses))]
    heights, ratios = responses.numpy(), qualities.numpy()  # torch would wait for its threads here
    cells = np.unravel_index(np.flatnonzero(~np.isnan(ratios)), ratios.shape)
    values = (each.tolist() for each in (*cells, heights[cells], ratios[cells]))
    for n, row, column, height, quality in zip(*values, strict=True):
        offset_xy = (column - middle, row - middle)
        found[n].append(Peak(scale_index, row, column, offset_xy, height, quality))
    return found


def best_scales(maps: Tensor, search: SearchParams) -> Tensor:
    """Winning scale of each target, (N,) indices, from up-sampled responses (N, S, U, U).

    The released rule multiplies the raw peak of a changed scale by the penalty, which rewards the
    change when peaks are negative; 'rise' compares how far each peak rises above its map's mean.
    """
    unchanged = torch.arange(maps.shape[1], device=maps.device) == maps.shape[1] // 2
    penalty = torch.where(unchanged, 1.0, search.scale_penalty)
    heights = maps.amax(dim=(2, 3))
    if search.peak == "rise":
        heights = heights - maps.mean(dim=(2, 3))
    return (heights * penalty).argmax(dim=1)


def peak_to_sidelobe(responses: Tensor) -> Tensor:
    """Peak over the sidelobe's mean in sidelobe standard deviations (Bolme et al., MOSSE, 2010).

    Args:
        responses: (N, R, R).

    Returns:
        (N,)
    """
    cells = responses.shape[-1]
    place = torch.arange(cells, device=responses.device)
    highest, index = responses.flatten(1).max(dim=1)
    row, column = index.div(cells, rounding_mode="floor"), index % cells
    near_row = (place - row[:, None]).abs() <= _PEAK_CELLS  # (N, R)
    near_column = (place - column[:, None]).abs() <= _PEAK_CELLS
    sidelobe = ~(near_row[:, :, None] & near_column[:, None, :])
    count = sidelobe.sum(dim=(1, 2))
    mean = (responses * sidelobe).sum(dim=(1, 2)) / count
    rest = (responses - mean[:, None, None]).square() * sidelobe
    return (highest - mean) / ((rest.sum(dim=(1, 2)) / count).sqrt() + 1e-6)


@lru_cache(maxsize=8)
def _enlarge(cells: int, up_cells: int, device: torch.device) -> Tensor:
    return resize_matrix(cells, up_cells).float().to(device)


@lru_cache(maxsize=8)
def _window(up_cells: int, device: torch.device) -> Tensor:
    window = hann_window(up_cells)
    return (window / window.sum()).to(device)
