"""The examples without ROS, as a user starts them, with the shipped weights."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from mlss_core.checkpoint import load_network
from mlss_core.simulate import SceneParams
from mlss_core.simulate.write import write_scene

FRAMES = 4


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """A folder with one small labelled sequence."""
    root = tmp_path_factory.mktemp("recordings")
    write_scene(SceneParams(width=160, height=128, frames=FRAMES, seed=3), root)
    return root


@pytest.fixture(scope="module")
def recording(recordings):
    return next(path for path in recordings.iterdir() if path.is_dir())


@pytest.fixture
def first_box(recording):
    return np.loadtxt(recording / "groundtruth_rect.txt", delimiter=",")[0]


@pytest.fixture
def run_example(repository):
    def run(name, *arguments):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(repository)}
        command = [sys.executable, f"examples/{name}", *map(str, arguments)]
        result = subprocess.run(
            command, cwd=repository, env=environment, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stderr
        return result.stdout.splitlines()

    return run


def as_text(box):
    return ",".join(f"{value:g}" for value in box)


@pytest.mark.parametrize("name", ["track_video", "follow_several", "compare_with_csrt"])
def test_without_arguments_an_example_says_how_it_is_used(repository, name):
    command = [sys.executable, f"examples/{name}.py"]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    result = subprocess.run(
        command, cwd=repository, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert f"    python examples/{name}.py SOURCE " in result.stderr.replace("SEQUENCES", "SOURCE")
    assert "Traceback" not in result.stderr


def test_track_video_prints_a_box_for_every_frame(run_example, recording, first_box):
    lines = run_example("track_video.py", recording, as_text(first_box))
    assert [line.split()[:2] for line in lines] == [
        [str(number), "TRACKING"] for number in range(2, FRAMES + 1)
    ]


def test_track_video_has_ten_lines(repository):
    lines = (repository / "examples/track_video.py").read_text().partition('"""\n\n')[2]
    statements = [line for line in lines.splitlines() if line and not line.startswith("import")]
    assert len([line for line in statements if not line.startswith("from")]) <= 10


def test_follow_several_follows_each_by_its_name(run_example, recording, first_box):
    beside = first_box + [30, 0, 0, 0]
    lines = run_example(
        "follow_several.py", recording, f"walker={as_text(first_box)}", f"other={as_text(beside)}"
    )
    names = [line.split()[1] for line in lines]
    assert names == ["walker", "other"] * (FRAMES - 1)


@pytest.mark.slow
def test_train_on_folder_leaves_weights_that_differ_and_keep_their_calibration(
    run_example, recordings, tmp_path
):
    lines = run_example("train_on_folder.py", recordings, tmp_path, "--steps", 1, "--batch", 2)
    trained, shipped = load_network(lines[-1]), load_network()
    assert trained.params == shipped.params
    assert any(
        not np.array_equal(a.detach(), b.detach())
        for a, b in zip(trained.parameters(), shipped.parameters(), strict=True)
    )


def test_train_on_folder_says_in_one_line_what_is_wrong(repository, tmp_path):
    (tmp_path / "data" / "walk").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "data" / "walk" / "1.png"), np.zeros((32, 32), np.uint8))
    command = [sys.executable, "examples/train_on_folder.py", tmp_path / "data", tmp_path / "out"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(repository)}
    result = subprocess.run(
        command, cwd=repository, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert "expected training crops" in result.stderr
    assert "Traceback" not in result.stderr
    kept, dropped = result.stdout.splitlines()
    assert kept == "0 crops"
    assert dropped.startswith("dropped 1: unreadable sequence: expected labels")


def test_compare_with_csrt_prints_a_line_for_each_tracker(run_example, recordings):
    header, *lines = run_example("compare_with_csrt.py", recordings)
    assert header.split() == ["sequence", "tracker", "success", "precision", "fps"]
    assert [line.split()[1] for line in lines] == ["mlssnet", "csrt"]
    assert all(0 < float(line.split()[2]) <= 1 for line in lines)
