"""The demo end to end: three processes, its files and checks, and no trace after its end."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import PATIENCE_S, blob_frame

from mlss_core.box import Box
from mlss_tracker_ros.demo import too_low
from mlss_tracker_ros.demo_report import Row, figures, overlay, write_film, write_sheet

MARK = "MLSS_DEMO_TEST"
FRAMES = 12


@pytest.fixture
def sequence_folder(tmp_path) -> Path:
    """OTB sequence of a blob that stands still."""
    folder = tmp_path / "blob"
    (folder / "img").mkdir(parents=True)
    for n in range(FRAMES):
        cv2.imwrite(str(folder / "img" / f"{n + 1:04d}.png"), blob_frame(n))
    (folder / "groundtruth_rect.txt").write_text("73,53,16,16\n" * FRAMES)
    return folder


@pytest.fixture
def start_demo(tmp_path):
    mark = uuid.uuid4().hex
    environment = {**os.environ, MARK: mark}
    processes = []

    def start(*arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "mlss_tracker_ros.demo", "--out", str(tmp_path / "out")]
        command += arguments
        processes.append(
            subprocess.Popen(
                command,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        )
        processes[-1].mark = mark
        return processes[-1]

    yield start
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def alive_with(mark: str) -> list[str]:
    """Processes that inherited the mark."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"{MARK}={mark}".encode() in environ.read_bytes():
                found.append(environ.parent.name)
        except OSError:
            continue
    return found


def wait_for(condition, what):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"waited for {what}"
        time.sleep(0.05)


def test_a_recording_is_played_in_full_and_every_file_is_written(
    start_demo, sequence_folder, tmp_path
):
    demo = start_demo("--source", str(sequence_folder))
    output, _ = demo.communicate(timeout=150)
    assert demo.returncode == 0, output
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["frames_published"] == summary["frames_received"] == FRAMES
    assert summary["processed"] == summary["detections"] == FRAMES
    assert (summary["frames_lost"], summary["dropped"], summary["wrong_headers"]) == (0, 0, 0)
    assert summary["mean_iou"] >= 0.5
    assert summary["latency_ms"]["p95"] >= summary["latency_ms"]["p50"] > 0
    assert {"success_auc", "precision_20px", "fps", "device", "precision"} <= set(summary)
    assert summary["rmw"].startswith("rmw_")
    assert summary["ros_distro"]
    assert "mean IoU" in output
    with (tmp_path / "out" / "detections.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["index"]) for row in rows] == list(range(FRAMES))
    assert np.mean([float(row["iou"]) for row in rows]) == pytest.approx(
        summary["mean_iou"], abs=1e-3
    )
    film = cv2.VideoCapture(str(tmp_path / "out" / "overlay.mp4"))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == FRAMES
    assert cv2.imread(str(tmp_path / "out" / "sheet.png")) is not None
    assert alive_with(demo.mark) == []


def test_ctrl_c_ends_every_process_with_130(start_demo, sequence_folder, tmp_path):
    demo = start_demo("--source", str(sequence_folder), "--rate", "1")
    log = tmp_path / "out" / "tracker.log"
    wait_for(lambda: log.is_file() and "started" in log.read_text(), "the target to start")
    assert len(alive_with(demo.mark)) == 3
    demo.send_signal(signal.SIGINT)
    output, _ = demo.communicate(timeout=60)
    assert demo.returncode == 130, output
    assert "Traceback" not in output + log.read_text()
    assert alive_with(demo.mark) == []


def test_no_process_survives_a_killed_demo(start_demo, sequence_folder, tmp_path):
    demo = start_demo("--source", str(sequence_folder), "--rate", "1")

    def programs():  # a child that has not begun its own still looks like the demo
        return {Path(f"/proc/{pid}/cmdline").read_bytes() for pid in alive_with(demo.mark)}

    wait_for(lambda: len(programs()) == 3, "the processes")
    demo.kill()
    demo.wait()
    wait_for(lambda: alive_with(demo.mark) == [], "the end of the orphans")


def test_a_tracker_that_cannot_start_fails_the_demo_with_the_reason(start_demo, sequence_folder):
    demo = start_demo("--source", str(sequence_folder), "--weights", "nowhere.safetensors")
    output, _ = demo.communicate(timeout=90)
    assert demo.returncode == 1
    assert "nowhere.safetensors" in output
    assert "Traceback" not in output


def test_a_source_that_does_not_exist_fails_at_once(start_demo):
    demo = start_demo("--source", "/nowhere")
    output, _ = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert output.startswith("demo: error:")


def test_a_recording_without_labels_is_refused_before_anything_starts(start_demo, sequence_folder):
    (sequence_folder / "groundtruth_rect.txt").unlink()
    demo = start_demo("--source", str(sequence_folder))
    output, _ = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert "labelled boxes, got none" in output
    assert "images, domain" not in output


TRUTH = Box(50, 50, 20, 20)


def row(number, box, truth=TRUTH, processed=True) -> Row:
    return Row(number, number + 1, truth, 1.0, processed, box, 0.5, 0.01 * (number + 1))


def test_figures_count_a_lost_target_as_no_overlap_and_leave_unprocessed_images_out():
    hit = Box(50, 50, 20, 20)
    rows = [
        row(0, None),  # before the first box
        row(1, hit),
        row(2, None),
        row(3, hit, processed=False),
        row(4, hit._replace(cx=60)),
        row(5, hit, truth=None),
    ]
    result = figures(rows)
    assert result["processed"] == 4
    assert result["detections"] == 3
    assert result["mean_iou"] == pytest.approx((1 + 0 + 1 / 3) / 3)
    assert result["latency_ms"]["p50"] == pytest.approx((30 + 50) / 2)


def test_a_demo_that_fails_on_a_busy_machine_says_so():
    summary = {"mean_iou": 0.35, "fps": 1.8, "mode": "newest image wins"}
    assert "1.8 images a second are too few" in too_low(summary)
    assert "see in sheet.png" in too_low({**summary, "fps": 9.0})
    assert "see in sheet.png" in too_low({**summary, "mode": "every image"})


def test_film_and_sheet_begin_with_the_first_box(tmp_path):
    rows = [row(0, None), row(1, TRUTH), row(2, None)]
    frames = [blob_frame(n, dtype=np.uint16) for n in range(3)]
    write_film(tmp_path / "film.mp4", frames, rows, 10.0)
    film = cv2.VideoCapture(str(tmp_path / "film.mp4"))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 2
    write_sheet(tmp_path / "all.png", frames, rows, ["title"])
    write_sheet(tmp_path / "later.png", frames, rows[1:], ["title"])
    assert (tmp_path / "all.png").read_bytes() == (tmp_path / "later.png").read_bytes()


def test_a_run_without_any_detection_still_makes_figures_and_a_sheet(tmp_path):
    rows = [row(n, None) for n in range(3)]
    assert figures(rows)["mean_iou"] == 0.0
    frames = [blob_frame(n, dtype=np.uint16) for n in range(3)]
    write_sheet(tmp_path / "sheet.png", frames, rows, ["title"])
    assert cv2.imread(str(tmp_path / "sheet.png")).shape[2] == 3
    assert overlay(frames[0], rows[0]).shape == (120, 160, 3)


def test_camera_and_demo_leave_torch_to_the_tracker():
    probe = "import sys, mlss_tracker_ros.demo, mlss_tracker_ros.camera_node as c; "
    probe += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0
