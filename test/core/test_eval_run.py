"""`mlss eval` from folders to report: the pass itself, resuming, failing trackers, the report."""

import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from eval_sequences import (
    BrightTracker,
    ShyTracker,
    evaluate,
    label_file,
    results_of,
    write_sequence,
)
from seeded import seeded_network

from mlss_core import cli
from mlss_core.checkpoint import save_checkpoint
from mlss_core.evaluate.run import track
from mlss_core.evaluate.sources import open_source
from mlss_core.evaluate.trackers import (
    StaticTracker,
    TrackerOptions,
    TrackerSpec,
    tracker_key,
)


def test_a_pass_starts_on_the_true_box_and_keeps_every_estimate(tmp_path):
    sequence = open_source(write_sequence(tmp_path, "walk")).sequence
    boxes, scores, fps = track(BrightTracker(), sequence)
    np.testing.assert_allclose(boxes, sequence.ground_truth, atol=1e-9)
    assert scores.tolist() == [1.0] + [0.9] * 11
    assert fps > 0


def test_a_pass_starts_at_the_first_labelled_frame(tmp_path):
    folder = write_sequence(tmp_path, "walk")
    rows = label_file(folder).read_text().splitlines()
    label_file(folder).write_text("\n".join(["nan,nan,nan,nan"] * 3 + rows[3:]) + "\n")
    boxes, scores, _ = track(StaticTracker(), open_source(folder).sequence)
    assert np.isnan(boxes[:3]).all()
    assert scores[:4].tolist() == [0, 0, 0, 1]
    assert boxes[3:].tolist() == [[27.0, 31.0, 24.0, 32.0]] * 9


def test_a_frame_without_a_box_is_written_as_nan(tmp_path):
    boxes, scores, _ = track(ShyTracker(), open_source(write_sequence(tmp_path, "walk")).sequence)
    assert np.isfinite(boxes[0]).all()
    assert np.isnan(boxes[1:]).all()
    assert scores[1] == 0.1


def test_the_command_writes_figures_per_tracker_and_sequence(tmp_path, capsys):
    write_sequence(tmp_path / "data", "slow", speed_px=0)
    write_sequence(tmp_path / "data", "fast", frames=20, speed_px=4)
    out = tmp_path / "out"
    assert evaluate(tmp_path / "data", "--out", out) == 0
    document = results_of(out)
    assert list(document["trackers"]) == ["BrightTracker", "static"]  # best first
    bright = document["trackers"]["BrightTracker"]
    assert bright["sequences"]["fast"]["success_auc"] == pytest.approx(20 / 21, abs=1e-4)
    assert bright["sequences"]["fast"]["precision_20px"] == 1.0
    assert bright["sequences"]["fast"]["norm_precision"] == 1.0
    assert bright["sequences"]["fast"]["fps"] > 0
    static = document["trackers"]["static"]
    assert static["sequences"]["slow"]["success_auc"] > 0.8
    # 4 px a frame, and 2 px down in the sixth: within 20 px in the first 5 of 20 frames
    assert static["sequences"]["fast"]["precision_20px"] == 0.25
    both = [static["sequences"][name]["success_auc"] for name in ("slow", "fast")]
    assert static["success_auc"] == pytest.approx(sum(both) / 2, abs=1e-4)
    assert document["sequences"]["fast"] == {"frames": 20, "valid_frames": 20, "start": 0}
    assert "BrightTracker" in capsys.readouterr().out
    rows = (out / "results" / "static" / "fast.txt").read_text().splitlines()
    assert rows == ["21.000,31.000,24.000,32.000"] * 20


def test_invalid_frames_count_by_the_toolkits_rule_and_are_left_out_of_plain(tmp_path):
    folder = write_sequence(tmp_path / "data", "walk", frames=10, speed_px=0)
    rows = label_file(folder).read_text().splitlines()
    label_file(folder).write_text("\n".join(rows[:8] + ["nan,nan,nan,nan"] * 2) + "\n")
    evaluate(tmp_path / "data", "--out", tmp_path / "out", trackers="eval_sequences:BrightTracker")
    figures = results_of(tmp_path / "out")["trackers"]["BrightTracker"]
    assert figures["success_auc"] == pytest.approx(0.8 * 20 / 21, abs=1e-4)
    assert figures["plain"]["success_auc"] == pytest.approx(20 / 21, abs=1e-4)
    assert figures["presence"]["absent_frames"] == 2
    assert figures["presence"]["own_precision"] == pytest.approx(0.8)
    assert figures["presence"]["own_recall"] == 1.0


def test_a_second_run_resumes_and_a_changed_label_runs_again(tmp_path):
    folder = write_sequence(tmp_path / "data", "walk")
    out = tmp_path / "out"
    evaluate(tmp_path / "data", "--out", out)
    marked = out / "results" / "static" / "walk.txt"
    marked.write_text("50,31,24,32\n" * 12)  # shows whether it is read or made anew
    evaluate(tmp_path / "data", "--out", out)
    assert marked.read_text().startswith("50,")
    rows = label_file(folder).read_text().splitlines()
    label_file(folder).write_text("\n".join([*rows[:-1], "60,31,24,32"]) + "\n")
    evaluate(tmp_path / "data", "--out", out)
    assert marked.read_text().startswith("21.000,")


def test_runs_repeat_whatever_the_number_of_processes(tmp_path):
    for name in ("one", "two"):
        write_sequence(tmp_path / "data", name, frames=8)
    words = ["eval", str(tmp_path / "data"), "--no-report", "--trackers", "mil,kcf", "--out"]
    assert cli.main([*words, str(tmp_path / "a"), "--jobs", "1"]) == 0
    assert cli.main([*words, str(tmp_path / "b"), "--jobs", "3"]) == 0
    for path in sorted((tmp_path / "a").rglob("*.txt")):
        assert path.read_text() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_text()


@pytest.mark.parametrize(
    ("tracker", "reason"),
    [("DyingTracker", "RuntimeError: no more memory"), ("CrashingTracker", "exit code 7")],
)
def test_a_tracker_that_dies_fails_that_run_alone(tmp_path, capsys, tracker, reason):
    write_sequence(tmp_path / "data", "fatal", frames=13)
    write_sequence(tmp_path / "data", "fine", frames=1 if tracker == "CrashingTracker" else 12)
    out = tmp_path / "out"
    code = evaluate(tmp_path / "data", "--out", out, trackers=f"eval_sequences:{tracker},static")
    assert code == 1
    document = results_of(out)
    assert reason in document["trackers"][tracker]["failed"]["fatal"]
    assert list(document["trackers"][tracker]["sequences"]) == ["fine"]
    assert list(document["trackers"]["static"]["sequences"]) == ["fatal", "fine"]
    captured = capsys.readouterr()
    assert "1/2" in captured.out
    assert f"{tracker} on fatal" in captured.err


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks processes up in /proc")
def test_no_process_outlives_a_killed_evaluation(tmp_path):
    write_sequence(tmp_path / "data", "walk")
    marker = tmp_path / "worker.pid"
    words = ["eval", tmp_path / "data", "--out", tmp_path / "out", "--no-report", "--jobs", "1"]
    words += ["--trackers", "eval_sequences:SleepingTracker"]
    environment = {
        **os.environ,
        "SLEEPING_TRACKER_PID_FILE": str(marker),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
    }
    command = [sys.executable, "-m", "mlss_core.cli", *map(str, words)]
    with subprocess.Popen(command, env=environment) as process:
        wait_until(lambda: marker.is_file() and marker.read_text())
        process.kill()
    worker = Path("/proc") / marker.read_text()
    wait_until(lambda: not worker.is_dir() or "Z" in (worker / "stat").read_text().split()[2])


def wait_until(predicate, timeout_s=60.0):
    end = time.monotonic() + timeout_s
    while not predicate():
        assert time.monotonic() < end, "still not so"
        time.sleep(0.05)


def test_a_failed_run_is_tried_again(tmp_path):
    write_sequence(tmp_path / "data", "fatal", frames=13)
    out, spec = tmp_path / "out", "eval_sequences:DyingTracker"
    assert evaluate(tmp_path / "data", "--out", out, trackers=spec) == 1
    side = out / "results" / "DyingTracker" / "fatal.json"
    side.write_text(side.read_text().replace("no more memory", "an older reason"))
    assert evaluate(tmp_path / "data", "--out", out, trackers=spec) == 1
    assert "no more memory" in side.read_text()


def test_the_report_names_a_sequence_with_an_unreadable_picture(tmp_path):
    data = tmp_path / "data"
    write_sequence(data, "good")
    (write_sequence(data, "broken") / "img" / "0005.png").write_bytes(b"not a picture")
    words = ["eval", str(data), "--out", str(tmp_path / "out"), "--jobs", "1"]
    assert cli.main([*words, "--trackers", "static"]) == 1
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("data:image/jpeg;base64") == 1
    assert "static on broken" in page


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--device", "gpu0", "expected device auto"),
        ("--precision", "fp64", "expected precision"),
        ("--weights", "absent.safetensors", "expected a weights file"),
    ],
)
def test_options_of_our_tracker_are_checked_before_anything_runs(
    tmp_path, capsys, option, value, reason
):
    write_sequence(tmp_path / "data", "walk", frames=3)
    words = [tmp_path / "data", "--out", tmp_path / "out", option, value]
    assert evaluate(*words, trackers="static,mlssnet") == 2
    assert reason in capsys.readouterr().err
    assert not list(tmp_path.rglob("out/results/*/*"))


def test_a_tracker_of_ones_own_runs_again_when_its_file_changed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "own_tracker_of_test.py"
    spec, keys = TrackerSpec.parse("own_tracker_of_test:Mine"), []
    for text in ("Mine = 1\n", "Mine = 1\n", "Mine = 22\n"):
        module.write_text(text)
        keys.append(tracker_key(spec, TrackerOptions()))
    assert keys[0] == keys[1] != keys[2]
    tracker_key(TrackerSpec.parse("no_such.module:Mine"), TrackerOptions())  # told when it runs


def test_results_of_another_tool_stand_in_the_same_table(tmp_path):
    folder = write_sequence(tmp_path / "data", "walk")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "walk.txt").write_text(label_file(folder).read_text())
    code = evaluate(
        tmp_path / "data", "--out", tmp_path / "out", "--results", f"oracle={theirs}",
        trackers="static",
    )  # fmt: skip
    assert code == 0
    document = results_of(tmp_path / "out")
    assert list(document["trackers"]) == ["oracle", "static"]
    assert document["trackers"]["oracle"]["success_auc"] == pytest.approx(20 / 21, abs=1e-4)
    assert document["trackers"]["oracle"]["fps"] is None


def test_the_report_is_one_file_with_a_strip_per_sequence(tmp_path):
    write_sequence(tmp_path / "data", "walk")
    write_sequence(tmp_path / "data", "fatal", frames=13)
    out = tmp_path / "out"
    words = [
        "eval",
        str(tmp_path / "data"),
        "--out",
        str(out),
        "--jobs",
        "1",
        "--corrupt",
        "noise",
    ]
    code = cli.main([*words, "--levels", "5", "--trackers", "eval_sequences:DyingTracker,static"])
    assert code == 1
    page = (out / "report.html").read_text()
    assert page.count("data:image/jpeg;base64") == 2
    assert page.count("data:image/png;base64") == 5  # three curves, robustness, bars
    assert "http" not in page.replace("http-equiv", "")
    assert "DyingTracker on fatal" in page
    for name in ("success", "precision", "norm_precision", "bars", "robustness"):
        assert cv2.imread(str(out / f"{name}.png")) is not None
    curve = results_of(out)["robustness"]["noise"]
    assert curve["levels"] == [0, 5]
    assert len(curve["success_auc"]["static"]) == 2


def test_our_profiles_run_with_weights_of_their_own(tmp_path):
    write_sequence(tmp_path / "data", "walk", frames=4)
    save_checkpoint(tmp_path / "seeded.safetensors", seeded_network())
    weights = tmp_path / "seeded.safetensors"
    code = evaluate(
        tmp_path / "data", "--out", tmp_path / "out", "--device", "cpu", "--weights", weights,
        trackers=f"mlssnet,mlssnet={weights},reference",
    )  # fmt: skip
    assert code == 0
    document = results_of(tmp_path / "out")
    assert sorted(document["trackers"]) == ["mlssnet", "mlssnet-seeded", "reference"]
    rows = {
        label: (tmp_path / "out" / "results" / label / "walk.txt").read_text()
        for label in document["trackers"]
    }
    assert rows["mlssnet"] == rows["mlssnet-seeded"] != rows["reference"]
    assert rows["reference"].startswith("21.000,31.000,24.000,32.000\n")
    assert "nan" not in rows["reference"]
    assert document["environment"]["weights"] == "seeded.safetensors"


def test_other_weights_or_precision_are_another_run(tmp_path):
    spec, keys = TrackerSpec.parse("mlssnet"), []
    for content, precision in ((b"one", "fp32"), (b"two", "fp32"), (b"two", "bf16")):
        (tmp_path / "w.safetensors").write_bytes(content)
        options = TrackerOptions(tmp_path / "w.safetensors", precision=precision)
        keys.append(tracker_key(spec, options))
        assert tracker_key(spec, options) == keys[-1]
    assert keys[0] != keys[1] != keys[2]


def test_auto_on_another_machine_is_another_run(monkeypatch):
    spec, keys = TrackerSpec.parse("mlssnet"), []
    for flags in (frozenset(), frozenset({"avx512_bf16"})):
        monkeypatch.setattr("mlss_core.runtime._cpu_flags", lambda flags=flags: flags)
        keys.append(tracker_key(spec, TrackerOptions(device="cpu")))
    assert keys[0] != keys[1] == tracker_key(spec, TrackerOptions(None, "cpu", "bf16"))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert tracker_key(spec, TrackerOptions()) == keys[1]
