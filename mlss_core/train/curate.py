"""Sequences to fixed-size crops in memory-mapped shards, with an index.

A folder that `curate` fills holds, for each shard, `NAME.npy` (crops, uint8 (N, P, P)), for
cut-outs also `NAME.mask.npy` (how much of a pixel is object, 0..255), and `NAME.json` (tracks, one
row per crop, what was dropped and why), written last: a shard with its json is complete and is not
made again. `index.npz` joins all rows, `curate.json` keeps the settings, `held_out.txt` lists the
sequences of the validation split of which there are crops.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mlss_core.box import Box, check_box
from mlss_core.checked import Checked, param
from mlss_core.checkpoint import write_whole
from mlss_core.errors import BoxError, ConfigError, FrameError, SequenceError
from mlss_core.patch import crop_patches, search_side
from mlss_core.train.tracks import VALIDATION, SequenceTrack, Track, find_tracks

TARGET_PX = 127  # of a crop per target size s_z, as released (255 px = 2.008 s_z)
_UNREADABLE = "unreadable"  # so begins the reason of what may be mended, and is tried again


@dataclass(frozen=True)
class CurateParams(Checked):
    """What a curated folder was made with."""

    crop_px: int = param(
        352, "Side of a crop: 255 px, 40 px of shift each way, a little zoom.", "px", (64, 4096)
    )
    every: int = param(6, "Of a sequence, each so-manieth frame is kept.", range=(1, 100_000))
    val_fraction: float = param(
        0.1, "Share of each block of numbers that is held out.", range=(0, 1)
    )
    min_box_px: float = param(3.0, "Boxes with a shorter side are dropped.", "px", (1, 1000))


def curate(
    sources: Sequence[Path],
    out: Path,
    params: CurateParams,
    workers: int = 0,
    tracks_per_shard: int = 16,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, int]:
    """Cut crops from every track of every source into `out`; go on where an earlier call stopped.

    A shard whose tracks are others now, as sequences were added, or of which something could not
    be read, is made again.

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
        ConfigError: `out` holds crops made with other settings, two sources have the same name,
            or `workers` is negative.
        CheckpointError: index or settings cannot be written.
    """
    names = [source.resolve().name for source in sources]
    if len(set(names)) < len(names):
        raise ConfigError(
            f"expected sources with different names, got {', '.join(names)}; rename a folder"
        )
    if workers < 0:
        raise ConfigError(f"expected a number of processes, got {workers}; give 0 or more")
    shards = [
        (out / name, tracks)
        for source in sources
        for name, tracks in _split(source, params, tracks_per_shard)
    ]
    out.mkdir(parents=True, exist_ok=True)
    _keep_settings(out / "curate.json", params, sources)
    waiting = [shard for shard in shards if not _is_made(*shard)]
    if waiting:
        (out / "index.npz").unlink(missing_ok=True)  # of shards that change
    for left in _write_shards(waiting, params, workers):
        progress(len(shards) - left, len(shards))
    return _write_lists(out, shards)


def _write_lists(out: Path, shards: Sequence[tuple[Path, Sequence[Track]]]) -> dict[str, int]:
    """Write held_out.txt and index.npz of complete shards; returns what `curate` does."""
    summaries = [json.loads(_file(stem, ".json").read_text()) for stem, _ in shards]
    held_out = [
        f"{path.resolve()}\n"
        for (_, tracks), summary in zip(shards, summaries, strict=True)
        for path in _held_out(tracks, summary["rows"])
    ]
    write_whole(out / "held_out.txt", "".join(held_out).encode())
    return _write_index(out, [stem for stem, _ in shards], summaries)


def _held_out(tracks: Sequence[Track], rows: Sequence[Sequence[float]]) -> Iterator[Path]:
    """Sequences of the validation split of which there are crops."""
    cut = {row[0] for row in rows}
    for number, track in enumerate(tracks):
        if isinstance(track, SequenceTrack) and track.split == VALIDATION and number in cut:
            yield track.path


def _is_made(stem: Path, tracks: Sequence[Track]) -> bool:
    """Whether a shard is complete, and of these tracks."""
    if not _file(stem, ".json").is_file():
        return False
    summary = json.loads(_file(stem, ".json").read_text())
    try:
        whole = len(np.load(_file(stem, ".npy"), mmap_mode="r")) == len(summary["rows"])
    except (OSError, ValueError):
        return False
    all_read = not any(reason.startswith(_UNREADABLE) for reason in summary["dropped"])
    same = summary["tracks"] == [[track.name, track.split] for track in tracks]
    return whole and all_read and bool(same)


def _file(stem: Path, ending: str) -> Path:
    """A file of a shard; `with_suffix` would take a dot in the source's name for a suffix."""
    return stem.with_name(stem.name + ending)


def _split(
    source: Path, params: CurateParams, tracks_per_shard: int
) -> Iterator[tuple[str, Sequence[Track]]]:
    """Name and tracks of every shard of a source."""
    tracks = find_tracks(source, params.every, params.val_fraction)
    step = tracks_per_shard if isinstance(tracks[0], SequenceTrack) else 16 * tracks_per_shard
    for number, start in enumerate(range(0, len(tracks), step)):
        yield f"{source.resolve().name}_{number:04d}", tracks[start : start + step]


def _write_shards(
    shards: Sequence[tuple[Path, Sequence[Track]]], params: CurateParams, workers: int
) -> Iterator[int]:
    """Write shards, here or in processes; yields how many are left, first of all their number."""
    left = len(shards)
    yield left
    if workers == 0:
        for stem, tracks in shards:
            with _one_thread():
                write_shard(stem, tracks, params)
            left -= 1
            yield left
        return
    with concurrent.futures.ProcessPoolExecutor(
        workers, initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        jobs = [pool.submit(write_shard, stem, tracks, params) for stem, tracks in shards]
        try:
            for job in concurrent.futures.as_completed(jobs):
                job.result()
                left -= 1
                yield left
        except BaseException:  # Ctrl-C, a full disk: what has not begun does not begin
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


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
    write_whole(path, json.dumps(settings, indent=1).encode())


def write_shard(stem: Path, tracks: Sequence[Track], params: CurateParams) -> None:
    """Cut the crops of some tracks into one shard; its json is written last.

    Raises:
        SequenceError: the shard cannot be written.
    """
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
        except (SequenceError, FrameError) as error:
            dropped.update([f"{_UNREADABLE} sequence: {error}"])
    summary = {
        "tracks": [(track.name, track.split) for track in tracks],
        "rows": rows,
        "dropped": dict(dropped),
    }
    try:
        _file(stem, ".json").unlink(missing_ok=True)  # of other tracks
        _save_array(_file(stem, ".npy"), crops, params.crop_px)
        if masks:
            _save_array(_file(stem, ".mask.npy"), masks, params.crop_px)
        partial = _file(stem, ".json.part")
        partial.write_text(json.dumps(summary))
        partial.replace(_file(stem, ".json"))
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


def _write_index(out: Path, stems: Sequence[Path], summaries: Sequence[dict]) -> dict[str, int]:
    columns: dict[str, list] = collections.defaultdict(list)
    names: list[str] = []
    report: collections.Counter[str] = collections.Counter()
    for shard, summary in enumerate(summaries):
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
    index = io.BytesIO()
    np.savez(
        index,
        shards=np.array([stem.name for stem in stems]),
        names=np.array(names),
        shard=np.array(columns["shard"], np.int32),
        row=np.array(columns["row"], np.int32),
        track=np.array(columns["track"], np.int32),
        frame=np.array(columns["frame"], np.int32),
        size=np.array(columns["size"], np.float32).reshape(-1, 2),  # w, h in px of the crop
        split=np.array(columns["split"], np.int8),
    )
    write_whole(out / "index.npz", index.getvalue())
    return dict(report)
