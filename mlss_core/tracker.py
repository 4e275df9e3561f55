"""The tracker: initialise targets on a frame, then update all of them frame by frame."""

from __future__ import annotations

from collections.abc import Collection
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mlss_core.box import Box, check_box
from mlss_core.checkpoint import load_box_head, load_network
from mlss_core.cuda_graphs import Replayed
from mlss_core.cutting import Cutter, cut_regions
from mlss_core.egomotion import EgoMotion
from mlss_core.errors import FrameError
from mlss_core.likeness import Likeness
from mlss_core.model.backbone import Features
from mlss_core.model.box_head import BoxHead
from mlss_core.model.network import MLSSNet, Templates
from mlss_core.online_filter import OnlineFilter, descend
from mlss_core.params import TrackerParams, tracker_params
from mlss_core.patch import search_side, upload
from mlss_core.presence import TrackState
from mlss_core.recovery import Region, Sighting
from mlss_core.refine import BoxRefiner, steadied
from mlss_core.response import Peak
from mlss_core.runtime import InferenceNetwork, choose_device, choose_precision
from mlss_core.scenery import KEPT_EVERY, Scenery
from mlss_core.search import alike, as_seen, compared_templates, look, regions_of, sight
from mlss_core.target import (
    Target,
    expect_step,
    roll_templates,
    settle,
    take_box,
    take_sighting,
    thaw,
)
from mlss_core.thermal import DEAD_AFTER_FRAMES, ThermalNormalizer

if TYPE_CHECKING:
    from mlss_core.onnx_network import OnnxNetwork


_OTHER_APART = 0.6  # sides off the target from which on something else has a picture of its own


class Lesson(NamedTuple):
    """A picture to learn from."""

    target: Target
    patch: Tensor  # (1, 1, P, P)
    off_cells: tuple[float, float] | None  # of the target, see `OnlineFilter.see`


class TrackResult(NamedTuple):
    """What an update says of one target."""

    target_id: str
    box: Box | None  # px of the frame given; None while lost
    score: float  # 0..1
    state: TrackState


class MLSSTracker:
    """Follows any number of targets; every target costs one batch row per scale.

    Frames are raw pictures as the camera gives them: (H, W) uint8, uint16 or float32, or (H, W, 3)
    uint8 BGR. A call that raises leaves every target as it was.
    """

    def __init__(
        self,
        network: MLSSNet | OnnxNetwork | None = None,
        params: TrackerParams | None = None,
        device: str = "auto",
        precision: str = "auto",
        box_head: BoxHead | None = None,
    ) -> None:
        """Prepare the network.

        Args:
            network: None for the shipped weights; an `OnnxNetwork` runs as it is.
            params: None for profile `robust`.
            device: `auto`, `cpu`, `cuda` or `cuda:N`.
            precision: one of PRECISIONS; profile `reference` stays in plain fp32.
            box_head: None for the shipped one; unused where `params.box.refine` is off.

        Raises:
            CheckpointError: the shipped weights cannot be read.
            ConfigError: no such device or precision.
        """
        self.params = params or tracker_params("robust")
        self.device = choose_device(device)
        plain = self.params.search.resampling == "released"
        self.precision = choose_precision("fp32" if plain else precision, self.device)
        network = network if network is not None else load_network()
        self._network: InferenceNetwork | OnnxNetwork
        if isinstance(network, MLSSNet):
            self._network = InferenceNetwork(network, self.device, self.precision, plain)
        else:
            self._network, self.device, self.precision = network, network.device, network.precision
        self._look = Replayed(self._look_now, self.device)
        self._descend = Replayed(descend, self.device)
        self._cutter = Cutter(self.device)
        self._refiner = (
            BoxRefiner(box_head or load_box_head(), self.params, self.device, self._cutter)
            if self.params.box.refine
            else None
        )
        self._patch_px = network.params.patch_px
        self._cell_share = network.params.stride_px / self._patch_px  # of the region's side
        self._start_stream()
        self._targets: dict[str, Target] = {}
        self._frame_hw: tuple[int, int] | None = None
        self._unlearnt: list[Lesson] = []
        self.last_peaks: list[Peak] = []  # believed in the last update, for debugging

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
            self._start_stream()
        grey = self._normalize.peek(frame)
        box = check_box(self._shift_rows(box, -1), grey.shape, self.params.presence.min_box_px)
        if float(grey.min()) == float(grey.max()):
            raise FrameError(
                "expected a picture to learn the target from, got one grey level everywhere; "
                "wait until the shutter opens"
            )
        if not self._targets:
            self._ego_motion(grey)
        target = self._first_sight(target_id, grey, box)
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
            for target in targets:
                target.frozen_frames += 1
            return [self._result(target, TrackState.FROZEN) for target in targets]
        if only is None:
            self._forget_dead_pixels(targets)
            thaw(targets)
        if only is None and self.params.search.ego_motion:
            expect_step(targets, self._ego_motion(grey), grey.shape)
        self.learn()
        pixels = self._upload(grey)
        exemplar_sizes = [target.size_px for target in targets]
        sightings = self._search(targets, pixels, grey)
        for target, (sighting, score) in zip(targets, sightings, strict=True):
            take_sighting(target, sighting, score, self._cell_share, self.params, grey.shape)
            target.updates += 1
        self._refine_boxes(targets, pixels)
        settle(targets, self.params.presence)
        if only is None:
            self._remember(targets, grey)
        self._cut_exemplars(targets, exemplar_sizes, pixels)
        return [self._result(target, target.state) for target in targets]

    def learn(self) -> None:
        """Let the templates learn from the last frame now instead of within the next update.

        Changes no result; called once a box is published, it shortens the next update.
        """
        lessons, self._unlearnt = self._unlearnt, []
        if not lessons:
            return
        features = self._network.features(torch.cat([lesson.patch for lesson in lessons]))
        for n, (target, _, off_cells) in enumerate(lessons):
            own = Features(*(level[n : n + 1] for level in features))
            if target.filter is None:
                roll_templates(target, self._network.templates_from(own), self.params.template)
            else:
                target.filter.see(self._network.exemplar_features(own), off_cells)
        for target in {id(lesson.target): lesson.target for lesson in lessons}.values():
            if target.filter is not None:
                target.filter.learn()
                target.templates = target.filter.templates

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
        self._start_stream()

    def _start_stream(self) -> None:
        self._normalize = ThermalNormalizer(self.params.thermal)
        self._ego_motion = EgoMotion()
        self._frames = 0

    def _first_sight(self, target_id: str, grey: np.ndarray, box: Box) -> Target:
        size_px = search_side(box.w, box.h, self.params.search.context)
        pixels = self._upload(grey)
        fill = float(pixels.mean())
        own = self._exemplar_at(box, size_px)
        wide = own._replace(side=self.params.presence.wide_view * own.side)
        seen, seen_wide = (
            self._network.features(self._cut([at], [fill], pixels)) for at in (own, wide)
        )
        first, around = (self._network.templates_from(each) for each in (seen, seen_wide))
        look = self._refiner.remember(pixels, box, fill) if self._refiner else None
        target = Target(
            target_id, box, size_px, box, size_px, first, fill, around, look,
            Scenery(grey, box), Likeness(grey, box), grey,
        )  # fmt: skip
        if self.params.template.online:
            cell_px = own.side * self._cell_share
            box_cells = (box.w / cell_px, box.h / cell_px)
            target.filter = OnlineFilter(
                first,
                self._network.exemplar_features(seen),
                box_cells,
                self._network.ensemble,
                self._descend,
            )
            target.templates = target.filter.templates
        return target

    def _forget_dead_pixels(self, targets: list[Target]) -> None:
        """Pixels prove dead some frames after a target was learnt with them: learn it anew."""
        found = self._normalize.found_dead[:, ::-1]  # x, y
        for target in targets:
            off = np.abs(found - target.first_box[:2]).max(axis=1)
            if target.first_frame is not None and (off < target.first_size_px / 2).any():
                mended = self._normalize.mend(target.first_frame)
                target.learn_anew(self._first_sight(target.target_id, mended, target.first_box))
                self._unlearnt = [one for one in self._unlearnt if one.target is not target]
            if target.updates >= DEAD_AFTER_FRAMES:
                target.first_frame = None

    def _remember(self, targets: list[Target], grey: np.ndarray) -> None:
        """Keep how targets look that are surely seen, and the frame now and then."""
        self._frames += 1
        presence = self.params.presence
        for target in targets:
            if target.state is not TrackState.TRACKING or not presence.tells_others:
                continue
            if target.score >= presence.regain_above and target.where.meeting is None:
                target.likeness.see(grey, target.box)
            if target.score >= presence.regain_near and self._frames % KEPT_EVERY == 0:
                target.scenery.keep(grey, target.box)  # all targets keep the same frame

    def _upload(self, grey: np.ndarray) -> Tensor:
        """The frame where its patches are cut: once on the device, all crops from there."""
        pixels = torch.from_numpy(grey)
        plain = self.params.search.resampling == "released"
        return pixels if plain else upload(pixels, self.device)

    def _check_size(self, frame: np.ndarray) -> None:
        if self._frame_hw is None or not isinstance(frame, np.ndarray):
            return
        if frame.ndim in (2, 3) and frame.shape[:2] != self._frame_hw:
            expected_h, expected_w = self._frame_hw
            raise FrameError(
                f"expected a frame of {expected_w}x{expected_h} px as before, got "
                f"{frame.shape[1]}x{frame.shape[0]}; keep to one size, or start anew"
            )

    def _search(
        self, targets: list[Target], pixels: Tensor, grey: np.ndarray
    ) -> list[tuple[Sighting | None, float]]:
        """Correlate every target with its regions."""
        network = self._network.params
        regions = [regions_of(target, self.params, network, pixels.shape) for target in targets]
        sightings: dict[int, tuple[Sighting | None, float]] = {}
        for group in alike(regions):
            own = [targets[n] for n in group]
            every = [regions[n] for n in group]
            fills = [target.fill for target in own for _ in every[0]]
            patches = self._cut(list(chain(*every)), fills, pixels, self.params.search.scales)
            templates = compared_templates(own, every)
            found = self._look(patches, *templates, targets=len(own)).cpu()  # waits here
            every_seen = as_seen(found, len(own), network.response_cells, self.params)
            for n, target, seen in zip(group, own, every_seen, strict=True):
                sightings[n] = sight(target, regions[n], seen, self.params, network, grey)
        every_sighting = [sightings[n] for n in range(len(targets))]
        self.last_peaks = [sighting.peak for sighting, _ in every_sighting if sighting is not None]
        return every_sighting

    def _look_now(
        self, patches: Tensor, semantic: Tensor, structural: Tensor, targets: int
    ) -> Tensor:
        templates = Templates(semantic, structural)
        return look(patches, templates, targets, self._network, self.params)

    def _refine_boxes(self, targets: list[Target], pixels: Tensor) -> None:
        """Let the boxes of targets that are surely seen, on trial too, follow their outlines."""
        plain = self.params.presence.regain_above
        seen = [
            t
            for t in targets
            if t.first_look is not None
            and (t.state is TrackState.TRACKING or (t.where.held is not None and t.score >= plain))
        ]
        if self._refiner is None or not seen:
            return
        boxes = self._refiner.refine(
            pixels,
            [t.box for t in seen],
            [t.fill for t in seen],
            [t.first_look for t in seen if t.first_look is not None],
            [t.first_box for t in seen],
        )
        for target, corrected in zip(seen, boxes, strict=True):
            take_box(target, corrected, self.params.search)

    def _cut_exemplars(self, targets: list[Target], sizes_px: list[float], pixels: Tensor) -> None:
        """Keep what confident targets, and what is most like them, look like to learn from it."""
        policy = self.params.template
        if policy.rate == 0 and not policy.online:
            return
        lessons: list[tuple[Target, Region, tuple[float, float] | None]] = []
        for target, size in zip(targets, sizes_px, strict=True):
            certain = target.state is TrackState.TRACKING and target.where.meeting is None
            if certain or not policy.gated:
                target.unlearnt_frames += 1
            if target.unlearnt_frames < policy.every:
                continue
            target.unlearnt_frames = 0
            own = self._exemplar_at(target.box, size)
            lessons.append((target, own, None))
            if target.filter is None:
                continue
            other = target.where.most_alike(_OTHER_APART * target.side_px)
            if other is not None:
                cell_px = own.side * self._cell_share
                off_cells = (own.cx - other.x) / cell_px, (own.cy - other.y) / cell_px
                lessons.append((target, own._replace(cx=other.x, cy=other.y), off_cells))
        if lessons:
            learners, regions, offs = zip(*lessons, strict=True)
            fills = [target.fill for target in learners]
            patches = self._cut(list(regions), fills, pixels).split(1)
            self._unlearnt += map(Lesson, learners, patches, offs)

    def _exemplar_at(self, box: Box, size_px: float) -> Region:
        return Region(box.cx, box.cy, self.params.search.region_scale * size_px)

    def _cut(
        self, regions: list[Region], fills: list[float], pixels: Tensor, scales: int = 1
    ) -> Tensor:
        search = self.params.search
        return cut_regions(pixels, regions, fills, self._patch_px, search, self._cutter, scales)

    def _shift_rows(self, box: Box, sign: int) -> Box:
        """Between boxes of the raw frame (+1) and of the frame without telemetry rows (-1)."""
        return box._replace(cy=box.cy + sign * self._normalize.params.crop_top)

    def _result(self, target: Target, state: TrackState) -> TrackResult:
        if target.state is TrackState.LOST:
            return TrackResult(target.target_id, None, target.score, target.state)
        noise = self.params.box.size_noise
        box = steadied(target.shown or target.box, target.first_box, noise)
        return TrackResult(target.target_id, self._shift_rows(box, 1), target.score, state)
