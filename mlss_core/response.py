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

    Up-sample each response, penalise changed scales, take the scale with the highest peak, bring
    its map to a sum of 1, mix in a Hann window and take the maximum (the first, columns first).

    Args:
        responses: (N, S, R, R) fused responses of N targets at S scales.
        search: how to search.

    Returns:
        One Peak per target.
    """
    cells = responses.shape[-1]
    up_cells = cells * search.response_up
    enlarge = _enlarge(cells, up_cells)
    maps = enlarge @ responses.float().cpu() @ enlarge.T  # (N, S, U, U)
    scale_indices = best_scales(maps, search)
    chosen = maps[torch.arange(len(maps)), scale_indices]  # (N, U, U)
    lowered = chosen - chosen.amin(dim=(1, 2), keepdim=True)
    lowered = lowered / lowered.sum(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    influence = search.window_influence
    final = (1 - influence) * lowered + influence * _window(up_cells)
    first = final.transpose(1, 2).flatten(1).argmax(dim=1)  # columns first, as MATLAB's find
    peaks = []
    for n, index in enumerate(first.tolist()):
        column, row = divmod(index, up_cells)
        middle = (up_cells - 1) / 2
        offset_xy = ((column - middle) / search.response_up, (row - middle) / search.response_up)
        raw = responses[n, scale_indices[n]].float().cpu().numpy()
        height, quality = float(raw.max()), peak_to_sidelobe(raw)
        peaks.append(Peak(int(scale_indices[n]), row, column, offset_xy, height, quality))
    return peaks


def further_peaks(responses: Tensor) -> list[list[Peak]]:
    """All local maxima of single responses but those on the border, to whole cells.

    Their quality is the peak-to-sidelobe ratio, with the surroundings of no peak as sidelobe.

    Args:
        responses: (N, R, R) float32 on the CPU.

    Returns:
        One list of peaks per response.
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
    middle = (responses.shape[-1] - 1) / 2
    found: list[list[Peak]] = [[] for _ in responses]
    for n, row, column in top.nonzero().tolist():
        offset_xy = (column - middle, row - middle)
        height = float(responses[n, row, column])
        found[n].append(Peak(0, row, column, offset_xy, height, float(quality[n, row, column])))
    return found


def best_scales(maps: Tensor, search: SearchParams) -> Tensor:
    """Winning scale of each target, (N,) indices, from up-sampled responses (N, S, U, U).

    The released rule multiplies the raw peak of a changed scale by the penalty, which rewards the
    change when peaks are negative; 'rise' compares how far each peak rises above its map's mean.
    """
    penalty = torch.full((maps.shape[1],), search.scale_penalty)
    penalty[maps.shape[1] // 2] = 1.0
    heights = maps.amax(dim=(2, 3))
    if search.peak == "rise":
        heights = heights - maps.mean(dim=(2, 3))
    return (heights * penalty).argmax(dim=1)


def peak_to_sidelobe(response: np.ndarray) -> float:
    """Peak over the sidelobe's mean in sidelobe standard deviations (Bolme et al., MOSSE, 2010).

    Args:
        response: (R, R).
    """
    row, column = np.unravel_index(int(response.argmax()), response.shape)
    sidelobe = np.ones(response.shape, dtype=bool)
    sidelobe[
        max(row - _PEAK_CELLS, 0) : row + _PEAK_CELLS + 1,
        max(column - _PEAK_CELLS, 0) : column + _PEAK_CELLS + 1,
    ] = False
    rest = response[sidelobe]
    return float((response[row, column] - rest.mean()) / (rest.std() + 1e-6))


@lru_cache(maxsize=8)
def _enlarge(cells: int, up_cells: int) -> Tensor:
    return resize_matrix(cells, up_cells).float()


@lru_cache(maxsize=8)
def _window(up_cells: int) -> Tensor:
    window = hann_window(up_cells)
    return window / window.sum()
