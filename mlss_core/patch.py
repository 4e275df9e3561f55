"""Search regions and the only crop routine, used by the tracker and by training alike.

A patch is cut by two small matrices, one per axis: `patch = rows @ frame @ columns.T`. They hold
an antialiased bicubic kernel (a = -0.5, stretched when shrinking, as MATLAB's imresize), so a crop
is a matrix product on any device, batched and free of aliasing.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mlss_core.errors import FrameError

_KERNEL_RADIUS = 2.0  # taps of the cubic kernel on each side, before stretching


def search_side(box_w: float, box_h: float, context: float = 0.5) -> float:
    """Target size with context: s_z = sqrt((w + c)(h + c)), c = context (w + h), in px."""
    margin = context * (box_w + box_h)
    return math.sqrt((box_w + margin) * (box_h + margin))


def crop_patches(frame: Tensor, windows: Tensor, out_px: int, fill: float | Tensor) -> Tensor:
    """Cut square windows out of one frame or out of a batch of frames.

    Args:
        frame: (H, W), or (N, H, W) with one frame per window; float32 grey levels.
        windows: (N, 3) centre x, centre y, side in px of the frame; 0-based pixel centres.
        out_px: side of the patches.
        fill: grey level outside the frame, one or (N,).

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
    height, width = frame.shape[-2:]
    if frame.ndim == 2:  # work on the part of the frame that the windows touch
        (left, right), (top, bottom) = _touched(windows, width, 0), _touched(windows, height, 1)
        frame = frame[top:bottom, left:right]
        windows = windows - torch.tensor([left, top, 0], dtype=windows.dtype)
        height, width = frame.shape
    rows = upload(_window_taps(windows[:, 1], windows[:, 2], out_px, height), frame.device)
    columns = upload(_window_taps(windows[:, 0], windows[:, 2], out_px, width), frame.device)
    patches = rows @ (frame @ columns.transpose(1, 2))  # (N, out, H) @ ((N, H, W) @ (N, W, out))
    inside = rows.sum(2).unsqueeze(2) * columns.sum(2).unsqueeze(1)  # share of the weight in frame
    outside_grey = upload(torch.as_tensor(fill, dtype=frame.dtype), frame.device).reshape(-1, 1, 1)
    return (patches + outside_grey * (1 - inside)).unsqueeze(1)


def upload(values: Tensor, device: torch.device) -> Tensor:
    """Move a tensor to a device; the host does not wait for the work before it on a GPU."""
    if values.device.type == "cpu" and device.type == "cuda":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


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
    taps = _taps(
        _sample_points(torch.tensor([(in_px - 1) / 2]), torch.tensor([in_px]), out_px),
        torch.tensor([in_px / out_px]),
        -in_px,
        2 * in_px,
    )[0]
    before, inside, after = taps.split(in_px, dim=1)
    return inside + before.flip(1) + after.flip(1)


def _touched(windows: Tensor, size: int, axis: int) -> tuple[int, int]:
    half = windows[:, 2] / 2 + _KERNEL_RADIUS * (
        1 + windows[:, 2] / 64
    )  # kernel at any zoom >= 1/64
    low = math.floor(float((windows[:, axis] - half).min()))
    high = math.ceil(float((windows[:, axis] + half).max())) + 1
    low = min(max(low, 0), size - 1)
    return low, min(max(high, low + 1), size)


def _window_taps(center: Tensor, side: Tensor, out_px: int, size: int) -> Tensor:
    """Weights (N, out_px, size) that sample windows at `out_px` points along one axis."""
    return _taps(_sample_points(center, side, out_px), side / out_px, 0, size).float()


def _sample_points(center: Tensor, side: Tensor, out_px: int) -> Tensor:
    """Centres of the output pixels in source px, (N, out_px)."""
    cells = (torch.arange(out_px, dtype=torch.float64) + 0.5) / out_px - 0.5
    return center.double().unsqueeze(1) + cells * side.double().unsqueeze(1)


def _taps(points: Tensor, step: Tensor, first: int, stop: int) -> Tensor:
    """Kernel weights (N, out, stop - first) at source px first..stop-1.

    The weights of one point sum to 1 over all integers, so what is missing lies outside.
    """
    stretch = step.double().clamp(min=1.0).reshape(-1, 1, 1)
    reach = math.ceil(_KERNEL_RADIUS * float(stretch.max()))
    near = points.floor().unsqueeze(2) + torch.arange(-reach, reach + 1, dtype=torch.float64)
    weights = _cubic((points.unsqueeze(2) - near) / stretch)  # (N, out, taps)
    index = near.long() - first
    kept = (index >= 0) & (index < stop - first)
    weights = torch.where(kept, weights / weights.sum(dim=2, keepdim=True), 0.0)
    dense = weights.new_zeros(*points.shape, stop - first)
    return dense.scatter_add_(2, index.clamp(0, stop - first - 1), weights)


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
