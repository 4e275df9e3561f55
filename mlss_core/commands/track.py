"""`mlss track`: follow one target through a recording and write what was seen."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from mlss_core.box import Box
from mlss_core.checkpoint import load_network
from mlss_core.draw import (
    GROUND_TRUTH_COLOUR,
    STATE_COLOURS,
    contact_sheet,
    display_picture,
    draw_box,
    draw_text,
)
from mlss_core.errors import BoxError, FrameError, SequenceError
from mlss_core.params import PRECISIONS, PROFILES, tracker_params
from mlss_core.pictures import check_film, write_picture
from mlss_core.presence import TrackState
from mlss_core.sequences import Sequence, load_sequence
from mlss_core.sequences.detection_bag import DetectionBag
from mlss_core.tracker import MLSSTracker, TrackResult

SHEET_TILES = 12
DEFAULT_FPS = 30.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "source", type=Path, help="image folder, OTB or VOT sequence, video or rosbag2"
    )
    parser.add_argument(
        "--box",
        type=parse_box,
        metavar="X,Y,W,H",
        help="target in the first frame: left and top px (1-based, as OTB), width, height; "
        "default: the sequence's first labelled frame",
    )
    parser.add_argument("--topic", help="image topic of a rosbag")
    parser.add_argument(
        "--bag",
        type=Path,
        help="new rosbag2 to write, for the detections of a rosbag2: one message for every image",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("mlss_track"),
        help="folder to write; default: %(default)s",
    )
    parser.add_argument(
        "--profile",
        choices=PROFILES,
        default="robust",
        help="reference: number for number the authors' tracker; default: %(default)s",
    )
    parser.add_argument("--weights", type=Path, help="safetensors; default: the shipped weights")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="arithmetic of the network; auto: the fastest that the device does well",
    )
    parser.add_argument("--no-video", action="store_true", help="write no overlay.mp4")


def run(args: argparse.Namespace) -> int:
    """Track; write boxes.txt, scores.txt, states.txt, overlay.mp4, sheet.png and the bag."""
    sequence = load_sequence(args.source, topic=args.topic)
    first, box = first_box(sequence, args.box)
    tracker = MLSSTracker(
        load_network(args.weights), tracker_params(args.profile), args.device, args.precision
    )
    tracker.initialize(sequence.frames[first], box)  # refused before anything is written
    bag = DetectionBag(args.bag, sequence) if args.bag else None
    args.out.mkdir(parents=True, exist_ok=True)
    recorder = _Recorder(args.out, sequence, not args.no_video)
    results: list[TrackResult] = []
    try:
        indices = range(first, len(sequence))
        for index in tqdm(indices, desc=sequence.name, unit="frame", disable=None):
            frame = sequence.frames[index]
            if index == first:
                result = TrackResult("target", box, 1.0, TrackState.TRACKING)
            else:
                result = _step(tracker, frame, index)
            results.append(result)
            recorder.add(index, frame, result, sequence.box(index))
            if bag is not None:
                bag.add(index, result)
    finally:
        if bag is not None:
            bag.close()
        if results:  # also those of a run that was interrupted
            write_results(args.out, results, first)
        recorder.close()
    recorder.check()
    lost = sum(result.box is None for result in results)
    print(f"{args.out}: {len(results)} frames, {lost} without the target")
    return 0


def parse_box(text: str) -> Box:
    """Parse `X,Y,W,H` (1-based left and top px, size in px)."""
    try:
        x, y, w, h = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected X,Y,W,H as four numbers, got {text!r}"
        ) from None
    return Box.from_ltwh(x, y, w, h)


def first_box(sequence: Sequence, box: Box | None) -> tuple[int, Box]:
    """Frame to start on and its box: the given one on frame 0, else the first labelled frame.

    Raises:
        BoxError: neither a box nor ground truth is there.
    """
    if box is not None:
        return 0, box
    for index in range(len(sequence)):
        labelled = sequence.box(index)
        if labelled is not None:
            return index, labelled
    raise BoxError(f"expected a box for {sequence.name}, got no ground truth; give --box X,Y,W,H")


def write_results(out: Path, results: list[TrackResult], first: int) -> None:
    """Write boxes.txt (x,y,w,h, 1-based; nan where lost), scores.txt and states.txt.

    One line per frame of the sequence; frames before `first` are nan, 0 and IDLE.
    """
    boxes = [(math.nan,) * 4] * first
    boxes += [r.box.to_ltwh() if r.box is not None else (math.nan,) * 4 for r in results]
    scores = [0.0] * first + [result.score for result in results]
    states = ["IDLE"] * first + [result.state.value for result in results]
    _write_lines(out / "boxes.txt", [",".join(f"{v:.4f}" for v in box) for box in boxes])
    _write_lines(out / "scores.txt", [f"{score:.4f}" for score in scores])
    _write_lines(out / "states.txt", states)


def _step(tracker: MLSSTracker, frame: np.ndarray, index: int) -> TrackResult:
    try:
        (result,) = tracker.update(frame)
    except FrameError as error:
        raise SequenceError(f"frame {index + 1}: {error}") from error
    return result


class _Recorder:
    """Writes overlay.mp4 frame by frame and keeps the tiles of sheet.png."""

    def __init__(self, out: Path, sequence: Sequence, video: bool) -> None:
        self._out = out
        self._fps = sequence.fps or DEFAULT_FPS
        self._step = max(len(sequence) // SHEET_TILES, 1)
        self._video = video
        self._writer: cv2.VideoWriter | None = None
        self._tiles: list[np.ndarray] = []
        self._count = 0

    def add(self, index: int, frame: np.ndarray, result: TrackResult, truth: Box | None) -> None:
        keep_tile = self._count % self._step == 0 and len(self._tiles) < SHEET_TILES
        if self._video or keep_tile:
            picture = overlay(frame, result, truth)
            draw_text(picture, f"{index + 1}", (6, 16), GROUND_TRUTH_COLOUR)
            if keep_tile:
                self._tiles.append(picture)
            if self._video:
                self._write(picture)
        self._count += 1

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()
        if self._tiles:
            write_picture(self._out / "sheet.png", contact_sheet(self._tiles))

    def check(self) -> None:
        if self._writer is not None:
            check_film(self._out / "overlay.mp4", self._count)

    def _write(self, picture: np.ndarray) -> None:
        if self._writer is None:
            size = (picture.shape[1], picture.shape[0])
            codec = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._out / "overlay.mp4"), codec, self._fps, size)
            if not self._writer.isOpened():
                raise SequenceError(
                    f"expected to write {self._out / 'overlay.mp4'}, got no video writer; "
                    "check the folder or use --no-video"
                )
        self._writer.write(picture)


def overlay(frame: np.ndarray, result: TrackResult, truth: Box | None = None) -> np.ndarray:
    """Picture (H, W, 3) uint8 BGR of a raw frame with the ground truth and the tracked box."""
    picture = display_picture(frame)
    colour = STATE_COLOURS[result.state]
    if truth is not None:
        draw_box(picture, truth, GROUND_TRUTH_COLOUR)
    label = f"{result.state.value} {result.score:.2f}"
    if result.box is not None:
        draw_box(picture, result.box, colour, label)
    else:
        draw_text(picture, label, (6, picture.shape[0] - 8), colour)
    return picture


def _write_lines(path: Path, lines: list[str]) -> None:
    try:
        path.write_text("".join(line + "\n" for line in lines))
    except OSError as error:
        raise SequenceError(
            f"expected to write {path}, got: {error.strerror}; check the folder and its free space"
        ) from error
