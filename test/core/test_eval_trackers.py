"""Which trackers an evaluation knows, and OpenCV's among them."""

import math

import cv2
import numpy as np
import pytest
from eval_sequences import write_sequence

from mlss_core.errors import ConfigError
from mlss_core.evaluate.metrics import overlaps
from mlss_core.evaluate.peers import OpenCvTracker
from mlss_core.evaluate.run import track
from mlss_core.evaluate.sources import open_source
from mlss_core.evaluate.trackers import TrackerSpec, parse_trackers


def test_tracker_names_and_their_files(tmp_path):
    (tmp_path / "new.safetensors").write_bytes(b"x")
    specs = parse_trackers(f"mlssnet, reference,mlssnet={tmp_path}/new.safetensors,CSRT")
    assert [spec.label for spec in specs] == ["mlssnet", "reference", "mlssnet-new", "csrt"]
    factory = TrackerSpec.parse("my.module:Factory")
    assert (factory.label, factory.kind) == ("Factory", "my.module:Factory")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("csrf", "got 'csrf'"),
        ("nano=only_one.onnx", r"expected 2 model file\(s\) for nano, got 1"),
        ("vit", "write vit=NET"),
        ("kcf=model.bin", "expected no model file for kcf"),
        ("vit=/nowhere/model.onnx", "/nowhere/model.onnx"),
        ("kcf,kcf", "kcf twice"),
    ],
)
def test_wrong_trackers_are_told_what_to_write(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_trackers(text)


@pytest.mark.parametrize(
    ("kind", "deep"),
    [("csrt", False), ("kcf", False), ("mosse", False), ("csrt", True), ("kcf", True)],
)
def test_opencv_trackers_follow_the_block_in_8_and_16_bit(tmp_path, kind, deep):
    folder = write_sequence(tmp_path, "walk", frames=10, speed_px=1)
    if deep:  # the same scene as 16-bit counts
        for path in (folder / "img").iterdir():
            pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.uint16)
            cv2.imwrite(str(path), 28000 + 7 * pixels)
    sequence = open_source(folder).sequence
    boxes, scores, _ = track(OpenCvTracker(kind), sequence)
    assert overlaps(boxes, sequence.ground_truth)[-1] > 0.5
    assert scores[-1] == 1.0


def test_mil_repeats_itself_though_it_draws_at_random(tmp_path):
    sequence = open_source(write_sequence(tmp_path, "walk", frames=8, speed_px=1)).sequence
    tracker = OpenCvTracker("mil")
    first, _, _ = track(tracker, sequence)
    second, _, _ = track(tracker, sequence)
    assert len(np.unique(first, axis=0)) > 1
    np.testing.assert_array_equal(first, second)


def test_a_lost_opencv_tracker_gives_no_box(tmp_path):
    folder = write_sequence(tmp_path, "walk", frames=6, speed_px=1)
    for path in sorted((folder / "img").iterdir())[3:]:
        cv2.imwrite(str(path), np.full((96, 128), 60, np.uint8))
    boxes, scores, _ = track(OpenCvTracker("kcf"), open_source(folder).sequence)
    assert math.isnan(boxes[-1, 0])
    assert scores[-1] == 0.0
