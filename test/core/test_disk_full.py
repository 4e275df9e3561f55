"""A full disk is said in one line, and nothing half-written passes for a result."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from seeded import seeded_frames, seeded_network

from mlss_core.checkpoint import save_checkpoint
from mlss_core.errors import SequenceError
from mlss_core.pictures import check_film, write_picture

FULL = Path("/dev/full")  # every write to it fails as on a full disk
FRAMES = 6
# files end at so many bytes, as on a disk that fills up; then what a user would run
LIMITED = (
    "import resource, sys; from mlss_core.cli import main\n"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))\n"
    "sys.exit(main(sys.argv[2:]))"
)


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "img").mkdir()
    for n, frame in enumerate(seeded_frames(FRAMES)):
        cv2.imwrite(str(tmp_path / "img" / f"{n + 1:04d}.png"), frame)
    (tmp_path / "groundtruth_rect.txt").write_text("60,50,20,20\n" * FRAMES)
    save_checkpoint(tmp_path / "net.safetensors", seeded_network())
    return tmp_path


def test_mlss_track_on_a_disk_that_fills_up_ends_with_one_line_and_keeps_its_boxes(folder):
    out = folder / "out"
    command = [sys.executable, "-c", LIMITED, "3000", "track", folder, "--out", out]
    command += ["--weights", folder / "net.safetensors", "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stderr.splitlines() if line.startswith("mlss: error:")]
    assert done.returncode == 2, done.stderr
    assert len(lines) == 1
    assert "free space" in lines[0]
    assert "Traceback" not in done.stderr
    assert len((out / "boxes.txt").read_text().splitlines()) == FRAMES


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_picture_that_cannot_be_written_is_refused(tmp_path):
    link = tmp_path / "sheet.png"
    link.symlink_to(FULL)
    with pytest.raises(SequenceError, match="No space left"):
        write_picture(link, np.zeros((9, 9, 3), np.uint8))


def test_a_film_that_is_cut_off_is_noticed(tmp_path):
    path = tmp_path / "film.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 48))
    for n in range(5):
        writer.write(np.full((48, 64, 3), 40 * n, np.uint8))
    writer.release()
    check_film(path, 5)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SequenceError, match="expected 5 frames"):
        check_film(path, 5)


@pytest.mark.parametrize("storage", ["SQLITE3", "MCAP"])
def test_a_bag_that_cannot_be_written_is_refused(tmp_path, monkeypatch, storage):
    rosbag2 = pytest.importorskip("rosbags.rosbag2", reason="needs rosbags")
    from test_track_bag import record

    from mlss_core.presence import TrackState
    from mlss_core.sequences import load_sequence
    from mlss_core.sequences.detection_bag import DetectionBag
    from mlss_core.tracker import TrackResult

    sequence = load_sequence(record(tmp_path, storage), topic="/thermal/image_raw")
    bag = DetectionBag(tmp_path / "new", sequence)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rosbag2.Writer, "write", full)
    with pytest.raises(SequenceError, match="No space left"):
        bag.add(0, TrackResult("a", None, 0.0, TrackState.LOST))
    bag.close()
