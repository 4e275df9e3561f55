"""Where training's labelled objects come from: sequences, tracklets and cut-outs, read lazily."""

from __future__ import annotations

import collections
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from mlss_core.box import Box
from mlss_core.errors import SequenceError
from mlss_core.params import ThermalParams
from mlss_core.sequences import load_sequence
from mlss_core.sequences.load import IMAGE_SUFFIXES, expect_sequences, sequence_name
from mlss_core.thermal import ThermalNormalizer

TRAIN, VALIDATION = 0, 1  # splits
_MIN_VISIBLE = 0.5  # share of the target, where a sequence tells it


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
        """Read each `every`-th frame that has a box.

        Raises:
            SequenceError: the sequence cannot be read, or has no labels.
        """
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
    corners: tuple[tuple[float, ...], ...]  # xmin, ymin, xmax, ymax, 0-based

    def samples(self, drop: Callable[[str], None]) -> Iterator[Sample]:
        """Read every image of the tracklet."""
        for index, (path, (x0, y0, x1, y1)) in enumerate(
            zip(self.images, self.corners, strict=True)
        ):
            grey = _read_grey(path)
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
        grey = _read_grey(self.image)
        if grey is None:
            drop("unreadable image")
            return
        outline = np.array(self.polygon).reshape(-1, 2) * (grey.shape[1], grey.shape[0])
        mask = np.zeros(grey.shape, np.uint8)
        cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 255)
        (x0, y0), (x1, y1) = outline.min(axis=0) - 0.5, outline.max(axis=0) - 0.5
        yield Sample(0, grey, Box.from_corners(x0, y0, x1, y1), mask)


Track = SequenceTrack | TrackletTrack | CutoutTrack  # one object through time


def find_tracks(source: Path, every: int, val_fraction: float) -> list[Track]:
    """Every track below a folder: tracklets, cut-outs or sequences, split by blocks of numbers.

    Args:
        source: the folder.
        every: of a sequence, each so-manieth frame is a sample.
        val_fraction: share of each block of numbers that is held out, 0..1.

    Raises:
        SequenceError: the folder is missing or holds nothing that can be read.
    """
    source = source.resolve()
    if not source.is_dir():
        raise SequenceError(f"expected a data folder, got none at {source}; check the path")
    for name, read in (("tracklets.json", _tracklets), ("polygons.json", _cutouts)):
        if (source / name).is_file():
            return _labelled_objects(source / name, read, val_fraction)
    paths = expect_sequences(source)
    held_out = split_by_blocks(paths, val_fraction)
    return [
        SequenceTrack(
            f"{source.name}/{sequence_name(path)}",
            VALIDATION if path in held_out else TRAIN,
            path,
            every,
        )
        for path in paths
    ]


def _labelled_objects(
    path: Path, read: Callable[[Path, float], Iterator[Track]], val_fraction: float
) -> list[Track]:
    try:
        tracks = list(read(path.parent, val_fraction))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise SequenceError(
            f"expected {path} to list labelled objects (docs/training.md), got "
            f"{type(error).__name__}: {error}; mend the file"
        ) from error
    if not tracks:
        raise SequenceError(f"expected labelled objects in {path}, got none; leave it out")
    return tracks


def _tracklets(source: Path, val_fraction: float) -> Iterator[TrackletTrack]:
    entries = json.loads((source / "tracklets.json").read_text())
    entries.sort(key=lambda entry: entry["im"][0])
    images = _images(source)
    held_out = _last_share(range(len(entries)), val_fraction)
    for index, entry in enumerate(entries):
        boxes = [tuple(map(float, box)) for box in entry["box"]]
        if [len(box) for box in boxes] != [4] * len(entry["im"]):
            raise ValueError(f"other than one box of 4 numbers for each image of {entry['im'][0]}")
        yield TrackletTrack(
            f"{source.name}/{index:05d}",
            VALIDATION if index in held_out else TRAIN,
            tuple(images.get(name, source / "img" / name) for name in entry["im"]),
            tuple(boxes),
        )


def _cutouts(source: Path, val_fraction: float) -> Iterator[CutoutTrack]:
    polygons = json.loads((source / "polygons.json").read_text())
    images, names = _images(source), sorted(polygons)
    held_out = set(_last_share(names, val_fraction))
    for name in names:
        for index, polygon in enumerate(polygons[name]):
            if len(polygon) < 6 or len(polygon) % 2:
                raise ValueError(f"a polygon of {name} with {len(polygon)} numbers, not x, y, ...")
            yield CutoutTrack(
                f"{source.name}/{name}_{index:02d}",
                VALIDATION if name in held_out else TRAIN,
                images.get(name, source / "img" / name),
                tuple(map(float, polygon)),
            )


def _images(source: Path) -> dict[str, Path]:
    folder = source / "img"
    if not folder.is_dir():
        raise SequenceError(f"expected the pictures of {source} in {folder}, got no such folder")
    paths = sorted(folder.iterdir())
    return {path.stem: path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES}


def _read_grey(path: Path) -> np.ndarray | None:
    """A picture of any depth as (H, W) grey levels 0..255; None where it cannot be read."""
    try:
        counts = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    except cv2.error:  # of a size that OpenCV refuses
        return None
    return None if counts is None else ThermalNormalizer(ThermalParams()).peek(counts)


def split_by_blocks(paths: Sequence[Path], val_fraction: float) -> set[Path]:
    """Choose what to hold out: the last numbers of every series `NAME_123`.

    Neighbouring numbers are often cut from one recording, so one block at the end is taken, never
    single clips at random. Of the series too short for a share of their own, single names among
    them, the last ones by name are held out whole.
    """
    series = collections.defaultdict(list)
    for path in sorted(paths):
        whole = sequence_name(path)
        name = re.sub(r"\d+$", "", whole)
        number = whole.removeprefix(name)
        series[path.parent, name].append((int(number or 0), path))
    blocks = [[path for _, path in sorted(block)] for block in series.values()]
    short = [block for block in blocks if not _last_share(block, val_fraction)]
    held_out = [_last_share(block, val_fraction) for block in blocks]
    return {path for block in (*held_out, *_last_share(short, val_fraction)) for path in block}


def _last_share(items: Sequence, fraction: float) -> Sequence:
    count = round(len(items) * fraction)
    return items[len(items) - count :]
