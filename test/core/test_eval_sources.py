"""Which sequences `mlss eval` takes: found, named, listed, and those that cannot be used."""

import pytest
from eval_sequences import evaluate, label_file, results_of, write_sequence

from mlss_core import cli
from mlss_core.errors import SequenceError
from mlss_core.evaluate.sources import open_source


def test_unusable_sequences_are_named_and_the_rest_goes_on(tmp_path, capsys):
    data = tmp_path / "data"
    write_sequence(data, "good")
    label_file(write_sequence(data, "short")).write_text("21,31,24,32\n" * 11)
    broken = write_sequence(data, "broken")
    (broken / "img" / "0005.png").write_bytes(b"not a picture")
    label_file(write_sequence(data, "unseen")).write_text("nan,nan,nan,nan\n" * 12)
    assert evaluate(data, "--out", tmp_path / "out") == 1
    document = results_of(tmp_path / "out")
    assert list(document["trackers"]["static"]["sequences"]) == ["good"]
    problems = " ".join(document["unusable"].values())
    assert "11" in problems
    assert "12 frames" in problems or "12 pictures" in problems
    assert "at least one ground-truth box" in problems
    assert "broken" in document["trackers"]["static"]["failed"]
    assert "failed: static on broken" in capsys.readouterr().err


def test_frames_without_boxes_are_refused(tmp_path):
    folder = write_sequence(tmp_path, "walk")
    label_file(folder).unlink()
    with pytest.raises(SequenceError, match="ground truth"):
        open_source(folder)


def test_an_empty_folder_is_one_clear_line(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    assert evaluate(tmp_path / "data", "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "expected" in error
    assert str(tmp_path / "data") in error


def test_lists_and_patterns_choose_sequences(tmp_path):
    for name in ("IR_BIRD_001", "IR_BIRD_002", "IR_DRONE_001"):
        write_sequence(tmp_path / "data", name, frames=3)
    names = tmp_path / "names.txt"
    names.write_text("# held out\n/data/IR_DRONE_001.mp4\n\n*_002\n")
    evaluate(tmp_path / "data", "--out", tmp_path / "a", "--list", names, trackers="static")
    assert list(results_of(tmp_path / "a")["sequences"]) == ["IR_BIRD_002", "IR_DRONE_001"]
    evaluate(tmp_path / "data", "--out", tmp_path / "b", "--match", "IR_BIRD*", trackers="static")
    assert list(results_of(tmp_path / "b")["sequences"]) == ["IR_BIRD_001", "IR_BIRD_002"]


def test_a_listed_folder_keeps_the_dot_in_its_name(tmp_path, capsys):
    folder = write_sequence(tmp_path / "data", "walk.v1", frames=3)
    names = tmp_path / "names.txt"
    names.write_text(f"{folder}\n")
    words = [tmp_path / "data", "--list", names, "--out", tmp_path / "out"]
    assert evaluate(*words, trackers="static") == 0
    assert list(results_of(tmp_path / "out")["sequences"]) == ["walk.v1"]
    label_file(folder).write_text("1,1,2,2\n")  # there, but of no use
    write_sequence(tmp_path / "data", "other", frames=3)
    names.write_text("walk.v1\nother\n")
    assert evaluate(*words, trackers="static") == 1
    assert "not there" not in capsys.readouterr().err


def test_names_of_a_list_that_are_not_there_are_told(tmp_path, capsys):
    for name in ("IR_BIRD_001", "IR_DRONE_001"):
        write_sequence(tmp_path / "data", name, frames=3)
    names = tmp_path / "names.txt"
    names.write_text("IR_BIRD_001\nIR_BRID_002\nIR_DRONE_001\nIR_DRONE_002\n*_007\n")
    words = [tmp_path / "data", "--list", names, "--out", tmp_path / "out"]
    assert evaluate(*words, trackers="static") == 0
    assert "3 of 5 names" in (told := capsys.readouterr().err)
    assert told.rstrip().endswith(": IR_BRID_002, IR_DRONE_002, *_007")
    assert evaluate(*words, "--match", "IR_DRONE*", trackers="static") == 0
    assert capsys.readouterr().err.rstrip().endswith("names.txt are not there: IR_DRONE_002")
    names.write_bytes(b"\xff\xfe")
    assert evaluate(*words, trackers="static") == 2
    assert "expected a list of names" in capsys.readouterr().err


def test_the_reports_own_plots_are_no_sequence(tmp_path, capsys):
    data = tmp_path / "data"
    write_sequence(data, "walk", frames=3)
    words = ["eval", str(data), "--trackers", "static", "--jobs", "1", "--out"]
    for _ in range(2):
        assert cli.main([*words, str(data / "report")]) == 0
    assert (data / "report" / "success.png").is_file()
    assert cli.main([*words, str(data)]) == 2
    assert "expected a folder of its own for --out" in capsys.readouterr().err


def test_two_sequences_of_one_name_are_refused(tmp_path, capsys):
    write_sequence(tmp_path / "a", "walk")
    write_sequence(tmp_path / "b", "walk")
    assert evaluate(tmp_path / "a", tmp_path / "b", "--out", tmp_path / "out") == 2
    assert "different names" in capsys.readouterr().err
