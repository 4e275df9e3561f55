"""`mlss track BAG --bag NEW`: detections of every image in a bag of their own, read back."""

from pathlib import Path

import numpy as np
import pytest
from bags import image_fields, write_bag
from seeded import seeded_box, seeded_frames, seeded_network

from mlss_core.box import Box
from mlss_core.checkpoint import save_checkpoint
from mlss_core.cli import main
from mlss_core.network_params import NetworkParams
from mlss_core.presence import TrackState
from mlss_core.sequences import load_sequence
from mlss_core.sequences.detection_bag import DetectionBag
from mlss_core.tracker import TrackResult

FRAMES = 5
TOPIC = "/thermal/image_raw"
PUBLIC_HASH = "RIHS01_214274120007f4a683866481336b70310268cfa107aebe9d594a6acf75bda968"
highlevel = pytest.importorskip("rosbags.highlevel", reason="needs rosbags")


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    save_checkpoint(path, seeded_network(NetworkParams(score_constant=9.0), seed=1))  # never lost
    return path


def record(folder: Path, storage: str) -> Path:
    """Bag with two image topics; the stamps count from 100 s, the times of receipt from 1 s."""
    frames = [image_fields(frame, "mono8") for frame in seeded_frames(FRAMES)]
    other = [image_fields(np.zeros((8, 8), np.uint8), "mono8")]
    topics = {TOPIC: ("Image", frames), "/visible/image_raw": ("Image", other)}
    write_bag(folder / "run", topics, storage, first_stamp_s=100)
    return folder / "run"


def track(bag: Path, weights: Path, *more: object) -> int:
    box = ",".join(f"{v:g}" for v in seeded_box().to_ltwh())
    arguments = ["track", bag, "--topic", TOPIC, "--box", box, "--weights", weights]
    arguments += ["--device", "cpu", "--precision", "fp32", "--no-video", *more]
    return main([str(argument) for argument in arguments])


def read_back(bag: Path) -> tuple[object, list[int], list]:
    """Connection, times of receipt and messages of a bag; the types come from the bag itself."""
    with highlevel.AnyReader([bag]) as reader:
        (connection,) = reader.connections
        raw = [(received_ns, data) for _, received_ns, data in reader.messages()]
        messages = [reader.deserialize(data, connection.msgtype) for _, data in raw]
    return connection, [received_ns for received_ns, _ in raw], messages


def test_every_image_of_a_bag_has_its_detections_in_a_new_one(tmp_path, weights):
    new, out = tmp_path / "detections", tmp_path / "out"
    assert track(record(tmp_path, "MCAP"), weights, "--bag", new, "--out", out) == 0
    boxes = np.loadtxt(out / "boxes.txt", delimiter=",")
    assert boxes.shape == (FRAMES, 4)
    connection, received_ns, arrays = read_back(new)
    assert connection.topic == "/mlss_tracker/detections"
    assert received_ns == [10**9 + n * 40_000_000 for n in range(FRAMES)]
    for n, array in enumerate(arrays):
        assert (array.header.stamp.sec, array.header.frame_id) == (100 + n, "camera")
        (detection,) = array.detections
        centre = detection.bbox.center.position
        width, height = detection.bbox.size_x, detection.bbox.size_y
        ltwh = (centre.x - (width - 1) / 2 + 1, centre.y - (height - 1) / 2 + 1, width, height)
        np.testing.assert_allclose(ltwh, boxes[n], atol=1e-3)  # 1-based, four digits


@pytest.mark.parametrize("storage", ["MCAP", "SQLITE3"])
def test_messages_read_back_are_those_written_in_the_storage_of_the_recording(tmp_path, storage):
    sequence = load_sequence(record(tmp_path, storage), topic=TOPIC)
    new = tmp_path / "detections"
    bag = DetectionBag(new, sequence)
    tracked = TrackResult("target", Box(20.5, 10.25, 8.0, 6.0), 0.75, TrackState.TRACKING)
    bag.add(3, tracked)
    bag.add(4, TrackResult("target", None, 0.1, TrackState.LOST))
    bag.close()
    assert list(new.glob("*.mcap" if storage == "MCAP" else "*.db3"))
    connection, received_ns, (array, lost) = read_back(new)
    assert connection.msgtype == "vision_msgs/msg/Detection2DArray"
    assert connection.digest == PUBLIC_HASH
    assert received_ns == [10**9 + n * 40_000_000 for n in (3, 4)]
    (detection,) = array.detections
    assert detection.header == array.header
    assert (array.header.stamp.sec, lost.header.stamp.sec) == (103, 104)
    assert detection.id == "target"
    assert detection.results[0].hypothesis.score == 0.75
    assert detection.bbox.center.position.x == 20.5
    assert list(lost.detections) == []


def test_real_ros_reads_the_messages(tmp_path):
    serialization = pytest.importorskip("rclpy.serialization", reason="needs rclpy")
    from vision_msgs.msg import Detection2DArray

    sequence = load_sequence(record(tmp_path, "MCAP"), topic=TOPIC)
    bag = DetectionBag(tmp_path / "detections", sequence)
    bag.add(0, TrackResult("a", Box(20.5, 10.25, 8.0, 6.0), 0.75, TrackState.TRACKING))
    bag.close()
    with highlevel.AnyReader([tmp_path / "detections"]) as reader:
        (raw,) = [bytes(data) for _, _, data in reader.messages()]
    message = serialization.deserialize_message(raw, Detection2DArray)
    assert (message.header.stamp.sec, message.header.frame_id) == (100, "camera")
    (detection,) = message.detections
    assert (detection.id, detection.bbox.size_x, detection.bbox.size_y) == ("a", 8.0, 6.0)


@pytest.mark.parametrize("fault", ["exists", "no bag"])
def test_a_bag_that_cannot_be_written_is_one_line(tmp_path, weights, capsys, fault):
    new = tmp_path / "detections"
    source = record(tmp_path, "MCAP")
    if fault == "exists":
        new.mkdir()
        assert track(source, weights, "--bag", new, "--out", tmp_path / "out") == 2
    else:
        import cv2

        (tmp_path / "frames").mkdir()
        cv2.imwrite(str(tmp_path / "frames/1.png"), seeded_frames(1)[0])
        box = ",".join(f"{v:g}" for v in seeded_box().to_ltwh())
        arguments = ["track", tmp_path / "frames", "--box", box, "--weights", weights]
        arguments += ["--bag", new, "--out", tmp_path / "out", "--device", "cpu"]
        assert main([str(argument) for argument in arguments]) == 2
    message = capsys.readouterr().err.strip().split("\n")[-1]
    assert message.startswith("mlss: error: ")
    assert "expected" in message
    assert not (tmp_path / "out").exists()


def test_a_box_that_is_refused_leaves_no_bag_behind(tmp_path, weights):
    recording, new = record(tmp_path, "MCAP"), tmp_path / "detections"
    more = ["--bag", new, "--out", tmp_path / "out"]
    assert track(recording, weights, *more, "--box", "500,9,40,40") == 2
    assert not new.exists()
    assert track(recording, weights, *more) == 0
