"""The TraX tracker under the real VOT toolkit, which lives in an environment of its own."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
from eval_sequences import write_sequence

from mlss_core.box import Box
from mlss_core.evaluate.vot import main, to_vot

VOT = Path(__file__).resolve().parents[2] / "build" / "vot-env" / "bin" / "vot"

needs_toolkit = pytest.mark.skipif(
    not VOT.is_file() or find_spec("trax") is None,
    reason="needs the VOT toolkit in build/vot-env and vot-trax: make vot",
)


def write_workspace(folder: Path, repository: Path, stack: str) -> None:
    """A workspace with two infrared sequences and two trackers, as a user would lay it out."""
    run(folder, "initialize", stack, "--workspace", str(folder), "--nodownload")
    names = ("warm_slow", "warm_fast")
    for name, speed_px in zip(names, (0.5, 4), strict=True):
        source = write_sequence(folder / "made", name, frames=20, speed_px=speed_px)
        target = folder / "sequences" / name
        (target / "ir").mkdir(parents=True)
        for i, path in enumerate(sorted((source / "img").iterdir()), 1):
            path.rename(target / "ir" / f"{i:08d}.png")
        rows = np.loadtxt(source / "groundtruth_rect.txt", delimiter=",") - [1, 1, 0, 0]
        np.savetxt(target / "groundtruth.txt", rows, delimiter=",", fmt="%g")
        (target / "sequence").write_text(
            f"name={name}\nfps=30\nformat=default\nchannel.default=ir\nchannels.ir=ir/%08d.png\n"
        )
    (folder / "sequences" / "list.txt").write_text("\n".join(names) + "\n")
    (folder / "trackers.ini").write_text(
        "".join(
            f"[{name}]\nlabel = {name}\nprotocol = trax\nenv_PYTHONPATH = {repository}\n"
            f"command = {sys.executable} -m mlss_core.evaluate.vot --tracker {name} --channel ir\n"
            for name in ("kcf", "static")
        )
    )


def run(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [VOT, *words], cwd=folder, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@needs_toolkit
@pytest.mark.slow
def test_the_vot_toolkit_runs_and_scores_the_tracker(tmp_path, repository):
    write_workspace(tmp_path, repository, "vot2016/tir")
    assert "success" in run(tmp_path, "evaluate", "--workspace", str(tmp_path), "kcf", "static")
    run(tmp_path, "analysis", "--workspace", str(tmp_path), "--format", "json", "--name", "test",
        "kcf", "static")  # fmt: skip
    report = json.loads((tmp_path / "analysis" / "test.json").read_text())
    assert report["results"]["baseline"]["type"].endswith("SupervisedExperiment")
    rows = dict(zip(report["trackers"], report["results"]["baseline"]["results"][0], strict=True))
    accuracy, failures = rows["kcf"][:2]
    assert accuracy > 0.6
    assert failures == 0
    assert rows["static"][1] > 0  # it is left behind and started again
    assert list((tmp_path / "results" / "kcf").rglob("*_confidence.value"))


def test_boxes_go_out_as_the_toolkit_counts_pixels():
    assert to_vot(Box.from_roi(12, 30, 24, 32)) == (12, 30, 24, 32)
    assert to_vot(Box.from_ltwh(13, 31, 24, 32)) == (12, 30, 24, 32)


def test_a_tracker_that_cannot_be_made_is_one_line(capsys):
    assert main(["--tracker", "nothing"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_scene_fits_the_workspace(tmp_path):
    """The boxes written into the workspace hold the block: what the toolkit scores against."""
    folder = write_sequence(tmp_path, "walk", frames=3)
    frame = cv2.imread(str(folder / "img" / "0001.png"), cv2.IMREAD_UNCHANGED)
    x, y, w, h = np.loadtxt(folder / "groundtruth_rect.txt", delimiter=",", dtype=int)[0]
    assert frame[y - 1 : y - 1 + h, x - 1 : x - 1 + w].min() > frame[: y - 1].max()
