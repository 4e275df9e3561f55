"""Sequences to fixed-size crops in memory-mapped shards, with an index.

A folder that `curate` fills holds, for each shard, `NAME.npy` (crops, uint8 (N, P, P)), for
cut-outs also `NAME.mask.npy` (how much of a pixel is object, 0..255), and `NAME.json` (tracks, one
row per crop, what was dropped and why), written last: a shard with its json is complete and is not
made again. `index.npz` joins all rows, `curate.json` keeps the settings, `held_out.txt` lists the
sequences of the validation split.
"""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch

from mlss_core.box import Box, check_box
from mlss_core.errors import BoxError, ConfigError, SequenceError
from mlss_core.params import ThermalParams
from mlss_core.patch import crop_patches, search_side
from mlss_core.sequences import find_sequences, load_sequence
from mlss_core.thermal import ThermalNormalizer

TARGET_PX = (
    127  # px of a crop per target size s_z, as in the released curation (255 px = 2.008 s_z)
)
TRAIN, VALIDATION = 0, 1
_MIN_VISIBLE = 0.5  # share of the target, where a sequence tells it


@dataclass(frozen=True)
class CurateParams:
    """What a curated folder was made with."""

    crop_px: int = 352  # side of a crop: 255 px, 40 px of shift each way, a little zoom
    every: int = 6  # of a sequence, each so-manieth frame is kept
    val_fraction: float = 0.1  # share of each block of numbers that is held out
    min_box_px: float = 3.0  # boxes with a shorter side are dropped


class Sample(NamedTuple):
    """One labelled frame of a track."""

    frame_index: int
    grey: np.ndarray  # (H, W), 0..255
    box: Box
    mask: np.ndarray | None = None  # (H, W) uint8, 255 on the object


@dataclass(frozen=True)
class SequenceTrack:
    """The target of a sequence that `load_sequence` reads."""

    name: str
    split: int
    path: Path
    every: int

    def samples(self, drop: Callable[[str], None]) -> Iterator[Sample]:
        """Read each `every`-th frame that has a box."""
        sequence = load_sequence(self.path)
        if sequence.ground_truth is None:
            raise SequenceError(f"expected labels for {self.path}, got none; training needs boxes")
        normalizer = ThermalNormalizer(ThermalParams())
        for index in range(0, len(sequence), self.every):
            box = sequence.box(index)
            if box is None:
                drop("unlabelled frame")
                continue
            if sequence.visibility is not None and sequence.visibility[index] < _MIN_VISIBLE:
                drop("hidden target")
                continue
            grey = normalizer(sequence.frames[index])
            if normalizer.frozen:
                drop("repeated or uniform frame")
                continue
            yield Sample(index, grey, box)


@dataclass(frozen=True)
class TrackletTrack:
    """A few boxes of one object in single images (tracklets.json of HIT-UAV)."""

    name: str
    split: int
    images: tuple[Path, ...]
    corners: tuple[tuple[float, float, float, float], ...]  # xmin, ymin, xmax, ymax, 0-based

    def samples(self, drop: Callable[[str], None]) -> Iterator[Sample]:
        """Read every image of the tracklet."""
        for index, (path, (x0, y0, x1, y1)) in enumerate(
            zip(self.images, self.corners, strict=True)
        ):
            grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            if grey is None:
                drop("unreadable image")
                continue
            yield Sample(index, grey, Box.from_corners(x0, y0, x1, y1))


@dataclass(frozen=True)
class CutoutTrack:
    """One outlined object of a still image (polygons.json of coco_objects)."""

    name: str
    split: int
    image: Path
    polygon: tuple[float, ...]  # x, y, x, y, ... in shares of the image

    def samples(self, drop: Callable[[str], None]) -> Iterator[Sample]:
        """Read the image, and draw the outline as a mask."""
        grey = cv2.imread(str(self.image), cv2.IMREAD_GRAYSCALE)
        if grey is None:
            drop("unreadable image")
            return
        outline = np.array(self.polygon).reshape(-1, 2) * (grey.shape[1], grey.shape[0])
        mask = np.zeros_like(grey)
        cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 255)
        (x0, y0), (x1, y1) = outline.min(axis=0) - 0.5, outline.max(axis=0) - 0.5
        yield Sample(0, grey, Box.from_corners(x0, y0, x1, y1), mask)


Track = SequenceTrack | TrackletTrack | CutoutTrack  # one object through time


def find_tracks(source: Path, params: CurateParams) -> list[Track]:
    """Every track below a folder: tracklets, cut-outs or sequences, split by blocks of numbers.

    Raises:
        SequenceError: the folder is missing or holds nothing that can be read.
    """
    source = source.resolve()
    if not source.is_dir():
        raise SequenceError(f"expected a data folder, got none at {source}; check the path")
    if (source / "tracklets.json").is_file():
        entries = json.loads((source / "tracklets.json").read_text())
        images = {path.stem: path for path in (source / "img").iterdir()}
        entries.sort(key=lambda entry: entry["im"][0])
        held_out = _last_share(range(len(entries)), params.val_fraction)
        return [
            TrackletTrack(
                f"{source.name}/{index:05d}",
                VALIDATION if index in held_out else TRAIN,
                tuple(images.get(name, source / "img" / name) for name in entry["im"]),
                tuple(tuple(corners) for corners in entry["box"]),
            )
            for index, entry in enumerate(entries)
        ]
    if (source / "polygons.json").is_file():
        polygons = json.loads((source / "polygons.json").read_text())
        images = {path.stem: path for path in (source / "img").iterdir()}
        names = sorted(polygons)
        held_out_images = set(_last_share(names, params.val_fraction))
        return [
            CutoutTrack(
                f"{source.name}/{name}_{index:02d}",
                VALIDATION if name in held_out_images else TRAIN,
                images.get(name, source / "img" / name),
                tuple(polygon),
            )
            for name in names
            for index, polygon in enumerate(polygons[name])
        ]
    paths = find_sequences(source)
    held_out_paths = split_by_blocks(paths, params.val_fraction)
    return [
        SequenceTrack(
            f"{source.name}/{path.name if path.is_dir() else path.stem}",
            VALIDATION if path in held_out_paths else TRAIN,
            path,
            params.every,
        )
        for path in paths
    ]


def split_by_blocks(paths: Sequence[Path], val_fraction: float) -> set[Path]:
    """Choose what to hold out: the last numbers of every series `NAME_123`.

    Neighbouring numbers are often cut from one recording, so one block at the end is taken, never
    single clips at random.
    """
    series = collections.defaultdict(list)
    for path in sorted(paths):
        name = re.sub(r"\d+$", "", path.stem)
        number = path.stem.removeprefix(name)
        series[path.parent, name].append((int(number or 0), path))
    blocks = ([path for _, path in sorted(block)] for block in series.values())
    return {path for block in blocks for path in _last_share(block, val_fraction)}


def _last_share(items: Sequence, fraction: float) -> Sequence:
    count = round(len(items) * fraction)
    return items[len(items) - count :]


def curate(
    sources: Sequence[Path],
    out: Path,
    params: CurateParams,
    workers: int = 0,
    tracks_per_shard: int = 16,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, int]:
    """Cut crops from every track of every source into `out`; go on where an earlier call stopped.

    Args:
        sources: Data folders.
        out: Folder of the shards.
        params: Crop geometry and split.
        workers: Processes; 0 works in this one.
        tracks_per_shard: Tracks in one file.
        progress: Called with the shards done and their number.

    Returns:
        How many crops were kept, and how many labels were dropped for which reason.

    Raises:
        SequenceError: a source is missing or empty.
        ConfigError: `out` holds crops made with other settings.
    """
    shards = []
    for source in sources:
        tracks = find_tracks(source, params)
        step = tracks_per_shard if isinstance(tracks[0], SequenceTrack) else 16 * tracks_per_shard
        for number, start in enumerate(range(0, len(tracks), step)):
            shards.append(
                (out / f"{source.resolve().name}_{number:04d}", tracks[start : start + step])
            )
    out.mkdir(parents=True, exist_ok=True)
    _keep_settings(out / "curate.json", params, sources)
    waiting = [shard for shard in shards if not shard[0].with_suffix(".json").is_file()]
    progress(len(shards) - len(waiting), len(shards))
    if workers == 0:
        for count, (stem, tracks) in enumerate(waiting, start=len(shards) - len(waiting) + 1):
            write_shard(stem, tracks, params)
            progress(count, len(shards))
    else:
        with concurrent.futures.ProcessPoolExecutor(workers) as pool:
            jobs = [pool.submit(write_shard, stem, tracks, params) for stem, tracks in waiting]
            for count, job in enumerate(
                concurrent.futures.as_completed(jobs), start=len(shards) - len(waiting) + 1
            ):
                job.result()
                progress(count, len(shards))
    held_out = [
        str(track.path.resolve())
        for _, tracks in shards
        for track in tracks
        if isinstance(track, SequenceTrack) and track.split == VALIDATION
    ]
    (out / "held_out.txt").write_text("".join(f"{path}\n" for path in held_out))
    return _write_index(out, [stem for stem, _ in shards])


def _keep_settings(path: Path, params: CurateParams, sources: Sequence[Path]) -> None:
    settings = {
        **dataclasses.asdict(params),
        "sources": [str(source.resolve()) for source in sources],
    }
    if path.is_file() and json.loads(path.read_text()) != settings:
        raise ConfigError(
            f"expected an empty folder or crops made with the same settings, got other settings "
            f"in {path}; choose another --out"
        )
    path.write_text(json.dumps(settings, indent=1))


def write_shard(stem: Path, tracks: Sequence[Track], params: CurateParams) -> None:
    """Cut the crops of some tracks into one shard; its json is written last.

    Raises:
        SequenceError: the shard cannot be written.
    """
    torch.set_num_threads(1)
    crops, masks, rows = [], [], []
    dropped: collections.Counter[str] = collections.Counter()
    for number, track in enumerate(tracks):
        try:
            for sample in track.samples(lambda reason: dropped.update([reason])):
                try:
                    check_box(sample.box, sample.grey.shape, params.min_box_px)
                except BoxError as error:
                    dropped.update([str(error).split(",")[0]])
                    continue
                side = search_side(sample.box.w, sample.box.h) * params.crop_px / TARGET_PX
                crops.append(_cut(sample.grey, sample.box, side, params.crop_px))
                if sample.mask is not None:
                    masks.append(_cut(sample.mask, sample.box, side, params.crop_px, fill=0.0))
                zoom = params.crop_px / side
                rows.append((number, sample.frame_index, sample.box.w * zoom, sample.box.h * zoom))
        except SequenceError as error:
            dropped.update([f"unreadable sequence: {error}"])
    summary = {
        "tracks": [(track.name, track.split) for track in tracks],
        "rows": rows,
        "dropped": dict(dropped),
    }
    try:
        _save_array(stem.with_suffix(".npy"), crops, params.crop_px)
        if masks:
            _save_array(stem.with_suffix(".mask.npy"), masks, params.crop_px)
        partial = stem.with_suffix(".json.part")
        partial.write_text(json.dumps(summary))
        partial.replace(stem.with_suffix(".json"))
    except OSError as error:
        raise SequenceError(
            f"expected to write crops to {stem.parent}, got: {error.strerror or error}; free some "
            "space and run the same command again, finished crops are kept"
        ) from error


def _cut(
    image: np.ndarray, box: Box, side: float, crop_px: int, fill: float | None = None
) -> np.ndarray:
    frame = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))
    window = torch.tensor([[box.cx, box.cy, side]], dtype=torch.float64)
    grey = float(frame.mean()) if fill is None else fill
    patch = crop_patches(frame, window, crop_px, grey)[0, 0]
    return patch.round_().clamp_(0, 255).to(torch.uint8).numpy()


def _save_array(path: Path, images: list[np.ndarray], side: int) -> None:
    array = np.stack(images) if images else np.zeros((0, side, side), np.uint8)
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as file:
        np.save(file, array)
    partial.replace(path)


def _write_index(out: Path, stems: Sequence[Path]) -> dict[str, int]:
    columns: dict[str, list] = collections.defaultdict(list)
    names: list[str] = []
    report: collections.Counter[str] = collections.Counter()
    for shard, stem in enumerate(stems):
        summary = json.loads(stem.with_suffix(".json").read_text())
        for row, (track, frame, width, height) in enumerate(summary["rows"]):
            columns["shard"].append(shard)
            columns["row"].append(row)
            columns["track"].append(len(names) + track)
            columns["frame"].append(frame)
            columns["size"].append((width, height))
            columns["split"].append(summary["tracks"][track][1])
        names += [name for name, _ in summary["tracks"]]
        report.update(summary["dropped"])
        report["kept"] += len(summary["rows"])
    np.savez(
        out / "index.npz",
        shards=np.array([stem.name for stem in stems]),
        names=np.array(names),
        shard=np.array(columns["shard"], np.int32),
        row=np.array(columns["row"], np.int32),
        track=np.array(columns["track"], np.int32),
        frame=np.array(columns["frame"], np.int32),
        size=np.array(columns["size"], np.float32).reshape(-1, 2),  # w, h in px of the crop
        split=np.array(columns["split"], np.int8),
    )
    return dict(report)
