"""`mlss simulate`: what it writes, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest

from mlss_core.cli import main
from mlss_core.sequences import find_sequences, load_sequence
from mlss_core.simulate import SceneParams, random_scene, simulate


def test_the_command_writes_what_load_sequence_reads_back(tmp_path, capsys):
    size = ["--width", "96", "--height", "72", "--frames", "6", "--target-px", "20"]
    assert (
        main(["simulate", str(tmp_path), "--scenes", "2", "--seed", "5", "--bits", "16", *size])
        == 0
    )
    assert "2 sequences, 12 frames" in capsys.readouterr().out
    folders = find_sequences(tmp_path)
    assert len(folders) == 2
    read = load_sequence(folders[0])
    seed = int(folders[0].name[-4:])
    made = simulate(random_scene(seed, width=96, height=72, frames=6, target_px=20.0, bits=16))
    assert read.frames[5].dtype == np.uint16
    for a, b in zip(read.frames, made.frames, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(read.ground_truth, made.ground_truth, atol=0.006)
    np.testing.assert_allclose(read.visibility, made.visibility, atol=0.001)


def test_the_command_writes_the_scene_of_the_demo(tmp_path):
    arguments = ["--base", "demo", "--frames", "2", "--no-leave-frame", "--kind", "person"]
    assert main(["simulate", str(tmp_path), *arguments]) == 0
    read = load_sequence(tmp_path / "person_0000")
    np.testing.assert_array_equal(read.frames[1], simulate(SceneParams(frames=2)).frames[1])


def test_the_command_replaces_a_broken_run_and_keeps_a_complete_one(tmp_path, capsys):
    arguments = ["simulate", str(tmp_path), "--frames", "3", "--width", "64", "--height", "64"]
    assert main(arguments) == 0
    (folder,) = find_sequences(tmp_path)
    assert main(arguments) == 2
    assert "expected no sequence in" in capsys.readouterr().err
    (folder / "groundtruth_rect.txt").unlink()
    (folder / "img" / "0009.png").write_bytes(b"left over")
    assert main(arguments) == 0
    assert len(load_sequence(folder)) == 3


@pytest.mark.parametrize(
    "arguments",
    [["--scenes", "0"], ["--fps", "0"], ["--seed", "-4"], ["--width", "8"], ["--height", "-3"]],
)
def test_the_command_refuses_bad_values_in_one_line(tmp_path, capsys, arguments):
    assert main(["simulate", str(tmp_path / "out"), *arguments]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("mlss: error: expected")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full (Linux)")
def test_a_disk_full_at_the_labels_leaves_no_sequence_that_looks_complete(tmp_path, capsys):
    arguments = ["simulate", str(tmp_path), "--frames", "2", "--width", "64", "--height", "64"]
    assert main(arguments) == 0
    (folder,) = find_sequences(tmp_path)
    labels = folder / "groundtruth_rect.txt"
    labels.unlink()
    (folder / "groundtruth_rect.txt.part").symlink_to("/dev/full")
    assert main(arguments) == 2
    assert "expected to write" in (message := capsys.readouterr().err)
    assert "No space left" in message
    assert not labels.exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path, capsys):
    (tmp_path / "out").write_text("a file")
    arguments = ["--frames", "2", "--width", "64", "--height", "64"]
    assert main(["simulate", str(tmp_path / "out"), *arguments]) == 2
    assert "out" in capsys.readouterr().err
