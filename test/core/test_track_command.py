import sys

import cv2
import numpy as np
import pytest
from seeded import seeded_box, seeded_frames, seeded_network

from mlss_core.checkpoint import save_checkpoint
from mlss_core.cli import main
from mlss_core.commands import track
from mlss_core.network_params import NetworkParams

FRAMES = 4


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    save_checkpoint(path, seeded_network(NetworkParams(score_constant=9.0), seed=1))  # never lost
    return path


@pytest.fixture
def sequence(tmp_path):
    """An OTB folder."""
    folder = tmp_path / "seq"
    (folder / "img").mkdir(parents=True)
    for i, frame in enumerate(seeded_frames(FRAMES), start=1):
        cv2.imwrite(str(folder / "img" / f"{i:04d}.png"), frame)
    lines = [",".join(f"{v:g}" for v in seeded_box(i).to_ltwh()) for i in range(FRAMES)]
    (folder / "groundtruth_rect.txt").write_text("\n".join(lines))
    return folder


def run(*arguments):
    return main(["track", *map(str, arguments), "--device", "cpu", "--precision", "fp32"])


def test_track_writes_boxes_scores_states_film_and_sheet(sequence, weights, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(sequence, "--weights", weights, "--out", out) == 0
    boxes = np.loadtxt(out / "boxes.txt", delimiter=",")
    assert boxes.shape == (FRAMES, 4)
    np.testing.assert_allclose(boxes[0], seeded_box().to_ltwh())  # the labelled box starts it
    assert np.abs(boxes[-1, :2] - seeded_box(FRAMES - 1).to_ltwh()[:2]).max() < 4
    assert len((out / "scores.txt").read_text().split()) == FRAMES
    assert (out / "states.txt").read_text().split() == ["TRACKING"] * FRAMES
    film = cv2.VideoCapture(str(out / "overlay.mp4"))
    assert int(film.get(cv2.CAP_PROP_FRAME_COUNT)) == FRAMES
    assert cv2.imread(str(out / "sheet.png")) is not None
    assert f"{FRAMES} frames, 0 without the target" in capsys.readouterr().out


def test_given_box_starts_on_the_first_frame_of_a_plain_folder(sequence, weights, tmp_path):
    box = ",".join(f"{v:g}" for v in seeded_box().to_ltwh())
    out = tmp_path / "out"
    arguments = ["--box", box, "--weights", weights, "--out", out, "--no-video"]
    assert run(sequence / "img", *arguments) == 0
    assert not (out / "overlay.mp4").exists()
    boxes = np.loadtxt(out / "boxes.txt", delimiter=",")
    np.testing.assert_allclose(boxes[0], seeded_box().to_ltwh())


def test_frames_before_the_first_label_are_idle(sequence, weights, tmp_path):
    labels = sequence / "groundtruth_rect.txt"
    lines = labels.read_text().split("\n")
    labels.write_text("\n".join(["nan,nan,nan,nan", *lines[1:]]))
    out = tmp_path / "out"
    assert run(sequence, "--weights", weights, "--out", out, "--no-video") == 0
    boxes = np.loadtxt(out / "boxes.txt", delimiter=",")
    assert np.isnan(boxes[0]).all()
    assert np.isfinite(boxes[1:]).all()
    assert (out / "states.txt").read_text().split()[0] == "IDLE"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["img"], "give --box X,Y,W,H"),
        (["absent"], "absent"),
        (["img", "--box", "500,9,40,40"], "inside the 200x160"),
        (["img", "--box", "50,50,40,40", "--weights", "absent.safetensors"], "no file at"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    sequence, weights, tmp_path, capsys, arguments, reason
):
    source, *rest = arguments
    out = ["--out", tmp_path / "out", "--no-video"]
    assert run(sequence / source, "--weights", weights, *out, *rest) == 2
    message = capsys.readouterr().err.strip().split("\n")[-1]
    assert message.startswith("mlss: error: ")
    assert "expected" in message
    assert reason in message
    assert not (tmp_path / "out" / "boxes.txt").exists()


def test_box_that_is_no_box_is_refused_by_the_parser(sequence, capsys):
    with pytest.raises(SystemExit):
        run(sequence, "--box", "1,2,3")
    assert "four numbers" in capsys.readouterr().err


def test_an_out_that_is_a_file_is_one_line(sequence, weights, tmp_path, capsys):
    (tmp_path / "out").write_text("")
    assert run(sequence, "--weights", weights, "--out", tmp_path / "out") == 2
    message = capsys.readouterr().err.strip().split("\n")[-1]
    assert message.startswith("mlss: error: expected to use ")
    assert str(tmp_path / "out") in message


def test_a_source_named_like_a_command_does_not_load_that_command(sequence, monkeypatch, capsys):
    sequence.rename(sequence.with_name("train"))
    monkeypatch.chdir(sequence.parent)
    monkeypatch.setitem(sys.modules, "mlss_core.commands.train", None)  # as without its extra
    assert run("train", "--box", "500,9,40,40", "--no-video") == 2
    assert "inside the 200x160" in capsys.readouterr().err


def test_a_frame_of_another_size_is_named_by_its_place_in_the_sequence(
    sequence, weights, tmp_path, capsys
):
    labels = sequence / "groundtruth_rect.txt"
    labels.write_text("\n".join(["nan,nan,nan,nan", *labels.read_text().split("\n")[1:]]))
    cv2.imwrite(str(sequence / "img" / "0003.png"), np.zeros((50, 60), np.uint8))
    out = tmp_path / "out"
    assert run(sequence, "--weights", weights, "--out", out, "--no-video") == 2
    message = capsys.readouterr().err
    assert "frame 3: expected a frame of 200x160" in message
    assert "keep to one size" in message
    assert "clear()" not in message  # that is for programmers
    assert len((out / "boxes.txt").read_text().split()) == 2  # what was tracked is kept


def test_the_overlay_counts_frames_as_the_lines_of_the_files_do(
    sequence, weights, tmp_path, monkeypatch
):
    labels = sequence / "groundtruth_rect.txt"
    labels.write_text("\n".join(["nan,nan,nan,nan", *labels.read_text().split("\n")[1:]]))
    drawn = []
    monkeypatch.setattr(track, "draw_text", lambda picture, text, *_: drawn.append(text))
    assert run(sequence, "--weights", weights, "--out", tmp_path / "out") == 0
    assert drawn == [str(number) for number in range(2, FRAMES + 1)]


def test_a_single_picture_is_a_sequence(sequence, weights, tmp_path):
    for path in sorted((sequence / "img").iterdir())[1:]:
        path.unlink()
    box = ",".join(f"{v:g}" for v in seeded_box().to_ltwh())
    arguments = ["--box", box, "--weights", weights, "--out", tmp_path / "ä b"]
    assert run(sequence / "img", *arguments) == 0
    assert (tmp_path / "ä b" / "states.txt").read_text().split() == ["TRACKING"]
