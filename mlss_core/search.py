"""Where to look for a target, and what of it the responses show."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mlss_core import response
from mlss_core.box import Box
from mlss_core.model.network import Templates
from mlss_core.network_params import NetworkParams
from mlss_core.others import misfit_limit, recognise
from mlss_core.params import TrackerParams
from mlss_core.patch import upload
from mlss_core.presence import TrackState, peak_score
from mlss_core.recovery import Region, Sighting, best_sighting, regions_around
from mlss_core.response import Peak, as_peaks, further_peaks, peak_qualities
from mlss_core.target import Target, searches_widely
from mlss_core.whereabouts import Spot

if TYPE_CHECKING:
    from mlss_core.onnx_network import OnnxNetwork
    from mlss_core.runtime import InferenceNetwork

_OVERLAP = 0.85  # of neighbouring responses, so that a peak on the border of one is inside another
_PLAIN = 0.6  # score of a target that is seen so well that it cannot be the scenery
# What differs by more from the target than so many of its changes is not it: a faint spot,
_UNLIKE = 2.2
_UNLIKE_IN_DOUBT = 1.8  # one in doubt,
_UNLIKE_PLAIN = 3.0  # and, in doubt alone, one that is plainly seen
_ONE = 0.35  # sides within which peaks are of one thing


class Seen(NamedTuple):
    """What the responses to a target's regions show."""

    peak: Peak  # of its search region at all scales, as the profile's rules choose
    responses: Tensor  # (S, R, R) float32 on the CPU, to S regions
    further: list[list[Peak]]  # of each response; empty where no others are told


def response_share(network: NetworkParams) -> float:
    """Side of the part of a region that its response covers, as a share of the region's side."""
    return network.response_cells * network.stride_px / network.patch_px


def regions_of(
    target: Target, params: TrackerParams, network: NetworkParams, frame_hw: tuple[int, ...]
) -> list[Region]:
    """Where to look for a target: at every scale, or around its last place at one scale."""
    search, presence = params.search, params.presence
    middle = Region(target.box.cx, target.box.cy, search.region_scale * target.size_px)
    reach = response_share(network) * middle.side
    if target.frozen_frames and presence.enabled and not presence.tells_others:
        x, y = target.where.expected()
        middle = middle._replace(cx=x, cy=y)
        return regions_around(middle, reach, frame_hw, 0, presence.freeze_windows)
    wide = middle._replace(side=presence.wide_view * middle.side, wide=True)
    if not searches_widely(target, presence):
        steps = target.scale_steps(search)
        own = [middle._replace(side=middle.side * search.scale_step**k) for k in steps]
        if not presence.tells_others:
            return own
        in_doubt = target.state is not TrackState.TRACKING
        return [*own, wide] if in_doubt or target.looks_around(params) else own
    count = presence.freeze_windows if target.frozen_frames else presence.search_windows
    if not presence.tells_others:
        return regions_around(middle, reach, frame_hw, target.lost_frames, count)
    where, reach = target.where, _OVERLAP * presence.wide_view * reach
    within = math.dist(where.expected(), (where.x, where.y)) + where.reach() * target.side_px
    limit = misfit_limit(where, presence)
    anywhere = math.isinf(limit) and where.held is None
    if anywhere or target.frozen_frames:
        within = math.inf
    x, y = where.expected()
    own = [] if where.held is None else [middle]
    own += [
        middle._replace(cx=thing.x, cy=thing.y)
        for thing in where.suspects(limit, anywhere)[: count // 2]
    ]
    count = max(count - len(own), 0)
    turn = 0 if target.frozen_frames else where.turn
    grid = (reach, frame_hw, turn, count - 1, within + reach)
    around = regions_around(wide._replace(cx=x, cy=y), *grid)[:count]
    return [*own, middle._replace(cx=x, cy=y), *around]


def look(
    patches: Tensor,
    templates: Templates,
    targets: int,
    network: InferenceNetwork | OnnxNetwork,
    params: TrackerParams,
) -> Tensor:
    """All that the device has to do for a search, and all that the host needs of it, in a row.

    Args:
        patches: (N S, 1, P, P) of S regions of each of N targets.
        templates: N, or N S where regions have their own.
        targets: N.
        network: does the work.
        params: of the tracker.

    Returns:
        Float32 on the network's device: what `find_peaks` gives for the search regions, the
        responses, and where others are told their `peak_qualities`. `as_seen` reads it.
    """
    maps = network.respond_to(templates, network.features(patches)).fused.float().squeeze(1)
    own = maps.unflatten(0, (targets, -1))[:, : params.search.scales]
    parts = [response.find_peaks(own, params.search), maps]
    if params.presence.tells_others:
        parts.append(peak_qualities(maps))
    return torch.cat([part.flatten() for part in parts])


def as_seen(found: Tensor, targets: int, cells: int, params: TrackerParams) -> list[Seen]:
    """What `look` found for `targets` targets, on the CPU, target by target."""
    others = params.presence.tells_others
    peaks, rest = found[: 4 * targets].view(targets, 4), found[4 * targets :]
    maps, *qualities = rest.view(2 if others else 1, -1, cells, cells)
    middle = params.search.scales // 2
    each = further_peaks(maps, qualities[0], middle) if others else [[] for _ in maps]
    count = len(maps) // targets
    return [
        Seen(peak, own, each[n * count : (n + 1) * count])
        for n, (peak, own) in enumerate(
            zip(as_peaks(peaks, cells, params.search), maps.split(count), strict=True)
        )
    ]


def sight(
    target: Target,
    regions: list[Region],
    seen: Seen,
    params: TrackerParams,
    network: NetworkParams,
    grey: np.ndarray,
) -> tuple[Sighting | None, float]:
    """Where a target is, from what is seen in its regions; and the score of that.

    None: nothing that is seen is believed to be the target. `grey` is the frame, (H, W).
    """
    search, presence = params.search, params.presence
    widely = searches_widely(target, presence)
    own = regions[min(search.scales, len(regions)) // 2]
    if presence.tells_others:
        spots = [] if widely else [_spot(seen.peak, own, target, network)]
        if spots and target.state is TrackState.TRACKING and regions[-1].wide:
            _see_wide(target, spots[0], regions[-1], seen.further[-1], network)
        spots += _further_spots(target, regions, seen.further, params, network)
        spots = _one_each(spots, _ONE * target.side_px)
        own_first = True
        in_doubt = target.where.doubted > 0
        if widely or in_doubt or spots[0].score < _PLAIN:
            likely = [
                spot._replace(unlike=unlike)
                for spot in spots
                if (unlike := target.likeness.unlike(grey, _box_at(spot, target)))
                < (math.inf if widely else _unlike_limit(spot, in_doubt))
                and (target.frozen_frames or not target.scenery.shows(grey, _box_at(spot, target)))
            ]
            own_first = bool(likely) and likely[0].sighting is spots[0].sighting
            spots = likely
        spot = recognise(
            target.where,
            spots,
            target.side_px,
            widely,
            presence,
            own_first,
            skipped=target.frozen_frames,
        )
        return (spot.sighting, spot.score) if spot else (None, 0.0)
    if not widely:
        return Sighting(seen.peak, own), _score(seen.peak, target, network)
    here = best_sighting(regions[:1], seen.responses[:1], search)
    if _score(here.peak, target, network) < presence.regain_near:
        here = best_sighting(regions, seen.responses, search)
    return here, _score(here.peak, target, network)


def _unlike_limit(spot: Spot, in_doubt: bool) -> float:
    """Changes of a target by which a spot may differ from it."""
    if spot.score >= _PLAIN:
        return _UNLIKE_PLAIN
    return _UNLIKE_IN_DOUBT if in_doubt else _UNLIKE


def _further_spots(
    target: Target,
    regions: list[Region],
    further: list[list[Peak]],
    params: TrackerParams,
    network: NetworkParams,
) -> list[Spot]:
    """All peaks of all regions that may be the target, the best first."""
    spots = [
        _spot(peak, region, target, network)
        for region, peaks in zip(regions, further, strict=True)
        for peak in peaks
        if target.usual_wide.frames > 0 or not region.wide
    ]
    likely = [spot for spot in spots if spot.score >= params.presence.lost_below]
    return sorted(likely, key=lambda spot: (spot.sighting.region.wide, -spot.score))


def _box_at(spot: Spot, target: Target) -> Box:
    return target.box._replace(cx=spot.x, cy=spot.y)


def _see_wide(
    target: Target, own: Spot, region: Region, peaks: list[Peak], network: NetworkParams
) -> None:
    """Learn what is usual of the target in a wide view, where it is seen in its own as well."""
    near_px = _ONE * target.side_px
    near = [peak for peak in peaks if math.dist(_place(peak, region, network), own[:2]) < near_px]
    if near:
        best = max(near, key=lambda peak: peak.height)
        target.usual_wide.see(best.quality, best.height)


def _spot(peak: Peak, region: Region, target: Target, network: NetworkParams) -> Spot:
    score = _score(peak, target, network, region.wide)
    return Spot(*_place(peak, region, network), score, Sighting(peak, region))


def _place(peak: Peak, region: Region, network: NetworkParams) -> tuple[float, float]:
    to_frame = region.side * network.stride_px / network.patch_px
    return region.cx + peak.offset_xy[0] * to_frame, region.cy + peak.offset_xy[1] * to_frame


def _score(peak: Peak, target: Target, network: NetworkParams, wide: bool = False) -> float:
    usual = target.usual_wide if wide else target.usual
    return peak_score(peak.quality, peak.height, usual, network)


def _one_each(spots: list[Spot], apart_px: float) -> list[Spot]:
    """Leave out spots that are too near to one before them."""
    kept: list[Spot] = []
    for spot in spots:
        if all(math.dist(spot[:2], other[:2]) > apart_px for other in kept):
            kept.append(spot)
    return kept


def compared_templates(targets: list[Target], regions: list[list[Region]]) -> Templates:
    """The targets' templates, one for each; where any region is wide, one for each region."""
    any_wide = any(region.wide for own in regions for region in own)
    each = torch.tensor([n + len(targets) * r.wide for n, own in enumerate(regions) for r in own])
    levels = []
    for level in range(len(Templates._fields)):
        templates = torch.cat([target.templates[level] for target in targets])
        if any_wide:
            wide = [target.wide_templates[level] for target in targets]
            templates = torch.cat([templates, *wide])[upload(each, templates.device)]
        levels.append(templates)
    return Templates(*levels)


def alike(regions: list[list[Region]]) -> list[list[int]]:
    """Indices of lists that are equally long: what one batch can take."""
    groups: dict[int, list[int]] = {}
    for n, own in enumerate(regions):
        groups.setdefault(len(own), []).append(n)
    return list(groups.values())
