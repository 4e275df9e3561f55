"""The tracker: initialise targets on a frame, then update all of them frame by frame."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mlss_core.box import Box, check_box
from mlss_core.checkpoint import load_network
from mlss_core.errors import FrameError
from mlss_core.model.backbone import Features
from mlss_core.model.network import MLSSNet, Templates
from mlss_core.params import TrackerParams, tracker_params
from mlss_core.patch import crop_patches, crop_pyramid_as_released, search_side
from mlss_core.presence import TrackState, next_state, peak_score
from mlss_core.response import Peak, locate
from mlss_core.runtime import InferenceNetwork, choose_device, choose_precision
from mlss_core.thermal import ThermalNormalizer


class TrackResult(NamedTuple):
    """What an update says of one target."""

    target_id: str
    box: Box | None  # px of the frame given; None while lost
    score: float  # 0..1
    state: TrackState


@dataclass
class _Target:
    target_id: str
    box: Box  # px of the normalised frame
    size_px: float  # s_z: target size with context
    first_size_px: float
    templates: Templates  # batch of one
    fill: float  # grey level outside the frame, from the first frame
    score: float = 1.0
    state: TrackState = TrackState.TRACKING
    low_frames: int = 0


class MLSSTracker:
    """Follows any number of targets; every target costs one batch row per scale.

    Frames are raw pictures as the camera gives them, see `mlss_core.thermal.grey_counts`. A call
    that raises leaves every target as it was.
    """

    def __init__(
        self,
        network: MLSSNet | None = None,
        params: TrackerParams | None = None,
        device: str = "auto",
        precision: str = "auto",
    ) -> None:
        """Prepare the network.

        Args:
            network: None for the shipped weights.
            params: None for profile `robust`.
            device: `auto`, `cpu`, `cuda` or `cuda:N`.
            precision: `auto`, `fp32`, `bf16` or `fp16`; profile `reference` stays in plain fp32.

        Raises:
            CheckpointError: the shipped weights cannot be read.
            ConfigError: no such device or precision.
        """
        self.params = params or tracker_params("robust")
        self.device = choose_device(device)
        plain = self.params.search.resampling == "released"
        self.precision = choose_precision("fp32" if plain else precision, self.device)
        network = network if network is not None else load_network()
        self._network = InferenceNetwork(network, self.device, self.precision, plain)
        self._patch_px = network.params.patch_px
        self._stride_px = network.params.stride_px
        self._normalize = ThermalNormalizer(self.params.thermal)
        self._targets: dict[str, _Target] = {}
        self._frame_hw: tuple[int, int] | None = None
        self._unlearnt: list[tuple[_Target, Tensor]] = []  # exemplars to roll in before searching
        self.last_peaks: list[Peak] = []  # of the last update, for debugging

    @property
    def target_ids(self) -> tuple[str, ...]:
        """Ids of the targets being followed, in the order they were added."""
        return tuple(self._targets)

    def initialize(self, frame: np.ndarray, box: Box, target_id: str = "target") -> None:
        """Start to follow what `box` holds in `frame`; restarts a target of the same id.

        Raises:
            FrameError: the frame cannot be used, or has another size than the targets' frames.
            BoxError: the box cannot be used, see `mlss_core.box.check_box`.
        """
        self._check_size(frame)
        if not self._targets:  # nothing is followed: the stream starts anew
            self._normalize = ThermalNormalizer(self.params.thermal)
        grey = self._normalize.peek(frame)
        box = check_box(self._shift_rows(box, -1), grey.shape, self.params.presence.min_box_px)
        if float(grey.min()) == float(grey.max()):
            raise FrameError(
                "expected a picture to learn the target from, got one grey level everywhere; "
                "wait until the shutter opens"
            )
        size_px = search_side(box.w, box.h, self.params.search.context)
        pixels = torch.from_numpy(grey)
        target = _Target(target_id, box, size_px, size_px, _NO_TEMPLATES, float(pixels.mean()))
        exemplar = self._cut_exemplar([target], [size_px], pixels)
        target.templates = self._network.templates_from(self._network.features(exemplar))
        self._targets.pop(target_id, None)
        self._targets[target_id] = target
        self._frame_hw = frame.shape[:2]

    def update(self, frame: np.ndarray, only: Collection[str] | None = None) -> list[TrackResult]:
        """Follow the targets into the next frame.

        Args:
            frame: the next picture of the stream.
            only: follow these targets alone, to let them catch up with the others after they were
                initialised on an older frame; what is known of the stream stays as it is then.

        Returns:
            One TrackResult per target, in the order of `target_ids`; empty without targets.

        Raises:
            FrameError: the frame cannot be used, or has another size than the one before.
        """
        targets = [t for t in self._targets.values() if only is None or t.target_id in only]
        if not targets:
            return []
        self._check_size(frame)
        grey = self._normalize(frame) if only is None else self._normalize.peek(frame)
        if only is None and self._normalize.frozen:
            return [self._result(target, TrackState.FROZEN) for target in targets]
        pixels = torch.from_numpy(grey)
        exemplar_sizes = [target.size_px for target in targets]
        self.last_peaks = self._search(targets, pixels)
        for target, peak in zip(targets, self.last_peaks, strict=True):
            self._move(target, peak, grey.shape)
        self._cut_exemplars(targets, pixels, exemplar_sizes)
        return [self._result(target, target.state) for target in targets]

    def learn(self) -> None:
        """Roll the templates towards the last frame now instead of within the next update.

        Changes no result; called once a box is published, it shortens the next update.
        """
        if self._unlearnt:
            patches = torch.cat([patch for _, patch in self._unlearnt])
            self._roll_templates(self._network.features(patches))

    def remove(self, target_id: str) -> None:
        """Stop following one target; an unknown id is ignored."""
        self._targets.pop(target_id, None)
        if not self._targets:
            self.clear()

    def clear(self) -> None:
        """Forget every target and everything learnt about the camera's stream."""
        self._targets.clear()
        self._unlearnt.clear()
        self._frame_hw = None
        self._normalize = ThermalNormalizer(self.params.thermal)

    def _check_size(self, frame: np.ndarray) -> None:
        if self._frame_hw is None or not isinstance(frame, np.ndarray):
            return
        if frame.ndim in (2, 3) and frame.shape[:2] != self._frame_hw:
            expected_h, expected_w = self._frame_hw
            raise FrameError(
                f"expected a frame of {expected_w}x{expected_h} px as before, got "
                f"{frame.shape[1]}x{frame.shape[0]}; clear() and initialise the targets again"
            )

    def _search(self, targets: list[_Target], pixels: Tensor) -> list[Peak]:
        """Correlate; the exemplars of the frame before share the forward pass."""
        search = self.params.search
        patches = self._cut(targets, pixels, [self._region_px(target) for target in targets])
        count = len(self._unlearnt)
        features = self._network.features(
            torch.cat([patch for _, patch in self._unlearnt] + [patches])
        )
        if count:
            self._roll_templates(Features(*(level[:count] for level in features)))
        templates = Templates(
            torch.cat([target.templates.semantic for target in targets]),
            torch.cat([target.templates.structural for target in targets]),
        )
        instances = Features(*(level[count:] for level in features))
        responses = self._network.respond_to(templates, instances).fused
        return locate(responses.unflatten(0, (len(targets), search.scales)).squeeze(2), search)

    def _move(self, target: _Target, peak: Peak, frame_hw: tuple[int, int]) -> None:
        """Judge presence; unless lost, take over place and size (released tracker_step.m)."""
        search = self.params.search
        target.score = peak_score(peak.quality)
        target.state, target.low_frames = next_state(
            target.state, target.low_frames, target.score, self.params.presence
        )
        if target.state is TrackState.LOST:
            return
        scale = search.scale_step ** (peak.scale_index - search.scales // 2)
        side_px = self._region_px(target) * (1.0 if search.peak == "released" else scale)
        to_frame = self._stride_px * side_px / self._patch_px  # px of the frame per feature cell
        center_x = target.box.cx + peak.offset_xy[0] * to_frame
        center_y = target.box.cy + peak.offset_xy[1] * to_frame
        if self.params.presence.enabled:  # the middle of a target stays in the picture
            center_x = min(max(center_x, 0.0), frame_hw[1] - 1.0)
            center_y = min(max(center_y, 0.0), frame_hw[0] - 1.0)
        growth = 1 - search.scale_rate + search.scale_rate * scale
        smallest = target.first_size_px / search.scale_limit
        largest = target.first_size_px * search.scale_limit
        target.size_px = min(max(target.size_px * growth, smallest), largest)
        target.box = Box(center_x, center_y, target.box.w * growth, target.box.h * growth)

    def _cut_exemplars(
        self, targets: list[_Target], pixels: Tensor, sizes_px: list[float]
    ) -> None:
        """Keep what confident targets look like at their new place, at the size they had."""
        if self.params.template.rate == 0:
            return
        sure = [
            (target, size)
            for target, size in zip(targets, sizes_px, strict=True)
            if target.state is TrackState.TRACKING or not self.params.template.gated
        ]
        if sure:
            learners, sizes = zip(*sure, strict=True)
            patches = self._cut_exemplar(learners, sizes, pixels)
            self._unlearnt += zip(learners, patches.split(1), strict=True)

    def _roll_templates(self, exemplars: Features) -> None:
        rate = self.params.template.rate
        fresh = self._network.templates_from(exemplars)
        for n, (target, _) in enumerate(self._unlearnt):
            target.templates = Templates(
                *(
                    (1 - rate) * old + rate * new[n : n + 1]
                    for old, new in zip(target.templates, fresh, strict=True)
                )
            )
        self._unlearnt = []

    def _cut_exemplar(
        self, targets: Sequence[_Target], sizes_px: Sequence[float], pixels: Tensor
    ) -> Tensor:
        sides = [size * self.params.search.region_scale for size in sizes_px]
        return self._cut(targets, pixels, sides, exemplar=True)

    def _cut(
        self,
        targets: Sequence[_Target],
        pixels: Tensor,
        sides_px: Sequence[float],
        exemplar: bool = False,
    ) -> Tensor:
        """Patches of every target at every scale, or of the middle scale for exemplars."""
        search = self.params.search
        steps = [search.scale_step ** (k - search.scales // 2) for k in range(search.scales)]
        if search.resampling == "released":
            pyramids = [
                crop_pyramid_as_released(
                    pixels,
                    (target.box.cx, target.box.cy),
                    [side * step for step in steps],
                    self._patch_px,
                    target.fill,
                )
                for target, side in zip(targets, sides_px, strict=True)
            ]
            middle = search.scales // 2
            return torch.cat([p[middle : middle + 1] if exemplar else p for p in pyramids])
        steps = [1.0] if exemplar else steps
        windows = torch.tensor(
            [
                (target.box.cx, target.box.cy, side * step)
                for target, side in zip(targets, sides_px, strict=True)
                for step in steps
            ],
            dtype=torch.float64,
        )
        fill = torch.tensor([target.fill for target in targets for _ in steps])
        return crop_patches(pixels, windows, self._patch_px, fill)

    def _region_px(self, target: _Target) -> float:
        return self.params.search.region_scale * target.size_px

    def _shift_rows(self, box: Box, sign: int) -> Box:
        """Between boxes of the raw frame (+1) and of the frame without telemetry rows (-1)."""
        return box._replace(cy=box.cy + sign * self.params.thermal.crop_top)

    def _result(self, target: _Target, state: TrackState) -> TrackResult:
        lost = target.state is TrackState.LOST
        box = None if lost else self._shift_rows(target.box, 1)
        return TrackResult(target.target_id, box, target.score, target.state if lost else state)


_NO_TEMPLATES = Templates(torch.empty(0), torch.empty(0))
