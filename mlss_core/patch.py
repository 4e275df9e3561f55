"""Search regions and the only crop routine, used by the tracker and by training alike.

A patch is cut along one axis after the other: each of its lines is a weighted sum of a few lines
of the frame. The weights are an antialiased bicubic kernel (a = -0.5, stretched when shrinking, as
MATLAB's imresize), so a crop is free of aliasing, and the same on any device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mlss_core.errors import FrameError

_KERNEL_RADIUS = 2.0  # taps of the cubic kernel on each side, before stretching


def search_side(box_w: float, box_h: float, context: float = 0.5) -> float:
    """Target size with context: s_z = sqrt((w + c)(h + c)), c = context (w + h), in px."""
    margin = context * (box_w + box_h)
    return math.sqrt((box_w + margin) * (box_h + margin))


def crop_patches(
    frame: Tensor, windows: Tensor, out_px: int, fill: float | Tensor, reach: int | None = None
) -> Tensor:
    """Cut square windows out of one frame or out of a batch of frames.

    Args:
        frame: (H, W), or (N, H, W) with one frame per window; float32 grey levels.
        windows: (N, 3) centre x, centre y, side in px of the frame; 0-based pixel centres.
        out_px: side of the patches.
        fill: grey level outside the frame, one or (N,).
        reach: taps of the kernel each way, from `kernel_reach`; then all tensors are on one
            device, and the host waits for none of them. None: `windows` on the CPU, and the work
            is done on the parts of a frame (H, W) that they touch.

    Returns:
        (N, 1, out_px, out_px) float32.

    Raises:
        FrameError: `frame` or `windows` has another shape.
    """
    if frame.ndim not in (2, 3) or windows.ndim != 2 or windows.shape[1] != 3:
        raise FrameError(
            "expected a frame (H, W) or (N, H, W) and windows (N, 3), got "
            f"{tuple(frame.shape)} and {tuple(windows.shape)}; pass grey frames"
        )
    windows = windows.to(torch.float64)
    if reach is None:
        reach = kernel_reach(windows[:, 2].tolist(), out_px)
        if frame.ndim == 2:
            frame, windows = _touched_parts(frame, windows)
    windows = upload(windows, frame.device)
    outside = upload(torch.as_tensor(fill, dtype=frame.dtype), frame.device).reshape(-1, 1, 1)
    lines, inside = frame, []
    for axis in (1, 0):
        points = _sample_points(windows[:, axis], windows[:, 2], out_px)
        index, weights = _taps(points, windows[:, 2] / out_px, 0, lines.shape[-2], reach)
        weights = weights.float()
        inside.append(weights.sum(2))  # share of the weight that lies in the frame
        lines = _weighted_lines(lines, index, weights).transpose(1, 2)
    share = inside[0].unsqueeze(2) * inside[1].unsqueeze(1)
    return (lines + outside * (1 - share)).unsqueeze(1)


def kernel_reach(sides_px: Sequence[float], out_px: int) -> int:
    """Taps each way that the stretched kernel needs for windows of these sides: a power of 2.

    Enough for windows shrunk by half at least: usual ones are summed alike in every batch.
    """
    stretch = max(2.0, *(side / out_px for side in sides_px))
    return 2 ** math.ceil(math.log2(_KERNEL_RADIUS * stretch))


def upload(values: Tensor, device: torch.device) -> Tensor:
    """Move a tensor to a device; the host does not wait for the work before it on a GPU."""
    return values.to(device, non_blocking=True)


def crop_pyramid_as_released(
    frame: Tensor, center_xy: tuple[float, float], sides_px: list[float], out_px: int, fill: float
) -> Tensor:
    """Cut the authors' scale pyramid (make_scale_pyramid.m, get_subwindow_tracking.m).

    The largest window is cut at a rounded place and resized so that the smallest side becomes
    `out_px`; from its middle each scale is cut at another rounded place and resized again.

    Args:
        frame: (H, W) float32 grey levels.
        center_xy: target centre in 0-based px.
        sides_px: ascending window sides in px.
        out_px: side of the patches.
        fill: grey level outside the frame.

    Returns:
        (len(sides_px), 1, out_px, out_px) float32.
    """
    sides = [_round_half_away(side) for side in sides_px]
    zoom = out_px / sides[0]
    region_px = _round_half_away(zoom * sides[-1])
    # The authors take x + w / 2 of a 1-based box as its centre: 1.5 px above the 0-based centre.
    position_xy = (center_xy[0] + 1.5, center_xy[1] + 1.5)
    region = _resize(_subwindow(frame, position_xy, sides[-1], fill), region_px)
    middle = ((1 + region_px) / 2, (1 + region_px) / 2)
    patches = [
        _resize(_subwindow(region, middle, _round_half_away(zoom * side), fill), out_px)
        for side in sides
    ]
    return torch.stack(patches).unsqueeze(1)


def resize_matrix(in_px: int, out_px: int) -> Tensor:
    """MATLAB's imresize along one axis, (out_px, in_px) float64: bicubic, mirrored borders."""
    index, weights = _taps(
        _sample_points(torch.tensor([(in_px - 1) / 2]), torch.tensor([in_px]), out_px),
        torch.tensor([in_px / out_px]),
        -in_px,
        2 * in_px,
        kernel_reach([in_px], out_px),
    )
    dense = weights.new_zeros(out_px, 3 * in_px).scatter_add_(1, index[0], weights[0])
    before, inside, after = dense.split(in_px, dim=1)
    return inside + before.flip(1) + after.flip(1)


def _touched_parts(frame: Tensor, windows: Tensor) -> tuple[Tensor, Tensor]:
    """The part of a frame that each window touches, (N, h, w), and the windows in these parts."""
    starts_x, width = _touched(windows, frame.shape[-1], 0)
    starts_y, height = _touched(windows, frame.shape[-2], 1)
    parts = [
        frame[top : top + height, left : left + width]
        for left, top in zip(starts_x, starts_y, strict=True)
    ]
    starts = torch.tensor([starts_x, starts_y, [0] * len(windows)], dtype=windows.dtype)
    return torch.stack(parts), windows - starts.T


def _touched(windows: Tensor, size: int, axis: int) -> tuple[list[int], int]:
    """First px along an axis that each window touches, and how many px are enough for all."""
    centers, sides = windows[:, axis].tolist(), windows[:, 2].tolist()
    spans = []
    for center, side in zip(centers, sides, strict=True):
        half = side / 2 + _KERNEL_RADIUS * (1 + side / 64)  # the kernel at any zoom >= 1/64
        low = min(max(math.floor(center - half), 0), size - 1)
        spans.append((low, min(max(math.ceil(center + half) + 1, low + 1), size)))
    length = max(high - low for low, high in spans)
    return [min(low, size - length) for low, _ in spans], length


def _weighted_lines(lines: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums (N, out, w) of a few lines each, (N, out, taps), of (h, w) or (N, h, w)."""
    if lines.ndim == 3:  # each window has lines of its own
        first = lines.shape[1] * torch.arange(len(lines), device=lines.device)
        index = index + first.reshape(-1, 1, 1)
    sums = F.embedding_bag(
        index.flatten(0, 1),
        lines.flatten(0, -2).contiguous(),
        mode="sum",
        per_sample_weights=weights.flatten(0, 1),
    )
    return sums.unflatten(0, index.shape[:2])


def _sample_points(center: Tensor, side: Tensor, out_px: int) -> Tensor:
    """Centres of the output pixels in source px, (N, out_px)."""
    cells = torch.arange(out_px, dtype=torch.float64, device=center.device)
    cells = (cells + 0.5) / out_px - 0.5
    return center.double().unsqueeze(1) + cells * side.double().unsqueeze(1)


def _taps(
    points: Tensor, step: Tensor, first: int, stop: int, reach: int
) -> tuple[Tensor, Tensor]:
    """Source px of first..stop-1, counted from `first`, and their weights, (N, out, taps) each.

    The weights of one point sum to 1 over all integers, so what is missing lies outside.
    """
    stretch = step.double().clamp(min=1.0).reshape(-1, 1, 1)
    taps = torch.arange(-reach, reach + 1, dtype=torch.float64, device=points.device)
    near = points.floor().unsqueeze(2) + taps
    weights = _cubic((points.unsqueeze(2) - near) / stretch)  # (N, out, taps)
    index = near.long() - first
    kept = (index >= 0) & (index < stop - first)
    weights = torch.where(kept, weights / weights.sum(dim=2, keepdim=True), 0.0)
    return index.clamp(0, stop - first - 1), weights


def _cubic(distance: Tensor) -> Tensor:
    """Cubic convolution kernel with a = -0.5 (MATLAB imresize)."""
    x = distance.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x <= 1, near, torch.where(x <= 2, far, torch.zeros_like(x)))


def _subwindow(image: Tensor, position_xy: tuple[float, float], side: int, fill: float) -> Tensor:
    """Integer window (side, side) whose origin rounds as the authors' get_subwindow_tracking."""
    left = _round_half_away(position_xy[0] - (side + 1) / 2) - 1
    top = _round_half_away(position_xy[1] - (side + 1) / 2) - 1
    height, width = image.shape
    window = image.new_full((side, side), fill)
    inner_rows = slice(max(top, 0), min(top + side, height))
    inner_columns = slice(max(left, 0), min(left + side, width))
    if inner_rows.stop > inner_rows.start and inner_columns.stop > inner_columns.start:
        window[
            inner_rows.start - top : inner_rows.stop - top,
            inner_columns.start - left : inner_columns.stop - left,
        ] = image[inner_rows, inner_columns]
    return window


def _resize(image: Tensor, out_px: int) -> Tensor:
    if image.shape[0] == out_px:
        return image
    matrix = resize_matrix(image.shape[0], out_px).to(image)
    return matrix @ image @ matrix.T


def _round_half_away(value: float) -> int:
    """MATLAB's round: halves away from zero."""
    return int(math.copysign(math.floor(abs(value) + 0.5), value))
