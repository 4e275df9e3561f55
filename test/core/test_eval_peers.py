"""OpenCV trackers that need model files, with tiny models made here."""

from pathlib import Path

import numpy as np
import pytest
from eval_sequences import write_sequence

from mlss_core.errors import CheckpointError
from mlss_core.evaluate.peers import OpenCvTracker
from mlss_core.evaluate.run import track
from mlss_core.evaluate.sources import open_source
from mlss_core.evaluate.trackers import TrackerOptions, TrackerSpec, build_tracker


def write_vit_model(path: Path) -> None:
    """What cv2.TrackerVit expects of its network, with the search patch's brightness as score."""
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT

    def constant(name: str, value: float) -> object:
        tensor = helper.make_tensor(name, kind, (1, 1, 1, 1), [value])
        return helper.make_node("Constant", [], [name], value=tensor)

    cell = [16, 16]
    nodes = [
        helper.make_node("ReduceMean", ["search"], ["grey"], axes=[1], keepdims=1),
        helper.make_node("AveragePool", ["grey"], ["cells"], kernel_shape=cell, strides=cell),
        helper.make_node("GlobalAveragePool", ["template"], ["mean"]),
        helper.make_node("ReduceMean", ["mean"], ["level"], axes=[1], keepdims=1),
        constant("zero", 0.0),
        helper.make_node("Mul", ["level", "zero"], ["unused"]),
        helper.make_node("Add", ["cells", "unused"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["output1"]),
        helper.make_node("Mul", ["output1", "zero"], ["nothing"]),
        constant("quarter", 0.25),
        helper.make_node("Add", ["nothing", "quarter"], ["side"]),
        helper.make_node("Concat", ["side", "side"], ["output2"], axis=1),
        constant("half", 0.5),
        helper.make_node("Add", ["nothing", "half"], ["offset"]),
        helper.make_node("Concat", ["offset", "offset"], ["output3"], axis=1),
    ]
    sides = {"template": 128, "search": 256}
    inputs = [helper.make_tensor_value_info(n, kind, [1, 3, s, s]) for n, s in sides.items()]
    channels = {"output1": 1, "output2": 2, "output3": 2}
    outputs = [helper.make_tensor_value_info(n, kind, [1, c, 16, 16]) for n, c in channels.items()]
    graph = helper.make_graph(nodes, "vit", inputs, outputs)
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


def test_a_named_model_file_is_loaded_and_gives_the_score(tmp_path):
    write_vit_model(tmp_path / "bright.onnx")
    spec = TrackerSpec.parse(f"vit={tmp_path / 'bright.onnx'}")
    assert spec.label == "vit-bright"
    sequence = open_source(write_sequence(tmp_path, "walk", frames=5)).sequence
    boxes, scores, _ = track(build_tracker(spec, TrackerOptions()), sequence)
    assert np.isfinite(boxes).all()
    assert ((scores[1:] > 0) & (scores[1:] < 1)).all()


@pytest.mark.parametrize("kind", ["nano", "vit", "dasiamrpn"])
def test_a_file_that_is_no_model_is_named(tmp_path, kind):
    files = {"nano": 2, "vit": 1, "dasiamrpn": 3}[kind]
    paths = tuple(tmp_path / f"{i}.onnx" for i in range(files))
    for path in paths:
        path.write_bytes(b"not a model")
    with pytest.raises(CheckpointError, match=r"0\.onnx"):
        OpenCvTracker(kind, paths)
