"""Result files: ours, resumed, and those of other tools."""

import json
import math

import numpy as np
import pytest

from mlss_core.errors import SequenceError
from mlss_core.evaluate.results import RunInfo, load_boxes, load_info, load_run, save_run

ROWS = np.array([[1, 2, 3, 4], [1.25, 2.5, 3, 4], [math.nan] * 4])


def test_a_run_comes_back_as_it_was_saved(tmp_path):
    info = RunInfo({"tracker": "x"}, "done", fps=12.5, scores=(1.0, 0.5, 0.0))
    save_run(tmp_path / "x", "walk", ROWS, info)
    run = load_run(tmp_path / "x", "walk", frames=3, start=0)
    np.testing.assert_array_equal(run.boxes, ROWS)
    assert run.fps == 12.5
    assert run.scores.tolist() == [1.0, 0.5, 0.0]
    assert load_info(tmp_path / "x", "walk").key == {"tracker": "x"}
    assert (tmp_path / "x" / "walk.txt").read_text().splitlines()[1] == "1.250,2.500,3.000,4.000"


@pytest.mark.parametrize(
    "text",
    [
        "1,2,3,4\n5,6,7,8\n",
        "1 2 3 4\n5 6 7 8",
        "1\t2\t3\t4\r\n5\t6\t7\t8",
        "1, 2, 3, 4\n5, 6, 7, 8\n\n",
    ],
)
def test_results_of_other_tools_may_use_any_usual_separator(tmp_path, text):
    (tmp_path / "walk.txt").write_text(text)
    run = load_run(tmp_path, "walk", frames=2, start=0)
    assert run.boxes.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert run.scores is None
    assert run.fps is None


def test_rows_from_the_start_alone_are_lined_up_with_the_frames(tmp_path):
    (tmp_path / "walk.txt").write_text("1,2,3,4\n5,6,7,8\n")
    run = load_run(tmp_path, "walk", frames=5, start=3)
    assert np.isnan(run.boxes[:3]).all()
    assert run.boxes[3:].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_another_count_of_rows_is_refused_with_both_counts(tmp_path):
    (tmp_path / "walk.txt").write_text("1,2,3,4\n5,6,7,8\n")
    with pytest.raises(SequenceError, match="expected 3 rows .* got 2"):
        load_run(tmp_path, "walk", frames=3, start=0)
    with pytest.raises(SequenceError, match="expected a results file"):
        load_run(tmp_path, "run", frames=3, start=0)


@pytest.mark.parametrize("line", ["1,2,3", "1,2,3,x", "1,2,3,4,5,6,7,8"])
def test_a_row_that_is_no_box_is_named_with_its_line(tmp_path, line):
    (tmp_path / "walk.txt").write_text(f"1,2,3,4\n{line}\n")
    with pytest.raises(SequenceError, match=r"walk\.txt line 2"):
        load_boxes(tmp_path / "walk.txt")


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"key": {}, "new": 1})])
def test_a_side_file_that_is_not_ours_counts_as_none(tmp_path, text):
    (tmp_path / "walk.json").write_text(text)
    assert load_info(tmp_path, "walk") is None


def test_results_that_are_no_text_are_named(tmp_path):
    (tmp_path / "walk.txt").write_bytes(b"\xff\xfe1\x00")
    with pytest.raises(SequenceError, match=r"walk\.txt"):
        load_run(tmp_path, "walk", frames=1, start=0)
