"""Hostile messages at a live node in a process of its own: it refuses, and goes on tracking.

`make fuzz` sends FUZZ_MESSAGES=1200 a transport, the suite 200.
"""

import array
import os
import random
from pathlib import Path

import cv2
import pytest
from conftest import BLOB, S, blob_frame, header_at
from geometry_msgs.msg import Point
from hostile_messages import KEPT_ID, MAKERS
from processes import TRACKER, end, start_node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image, RegionOfInterest
from vision_msgs.msg import Detection2D

from mlss_tracker_ros.detections import box_from_detection
from mlss_tracker_ros.image_conversion import image_from_frame

MESSAGES = int(os.environ.get("FUZZ_MESSAGES", "200"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))
BATCH = 20
MAX_RISE_MB = 100.0
TOPICS = {
    Detection2D: "mlss_tracker/init_box",
    RegionOfInterest: "mlss_tracker/init_roi",
    Point: "mlss_tracker/clicked_corner",
}


def memory_mb(pid: int, field: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(field)) * 1024 / 1e6


@pytest.fixture(params=["raw", "compressed"])
def transport(request):
    return request.param


@pytest.fixture
def node(transport, namespace, weights, tmp_path):
    """A tracker's process, with the file of its output."""
    log = tmp_path / "node.log"
    params = {
        "weights": weights,
        "presence.enabled": False,
        "process_every_frame": True,  # none may be skipped for a newer one
        "image_timeout_s": 3600.0,
        "image_transport": transport,
    }
    process = start_node(TRACKER, log, namespace, params)
    yield process, log
    if process.poll() is None:
        process.kill()
        process.wait()


def connected_publishers(client, image_kind):
    """A publisher for each kind of message that the node takes, once it hears them all."""
    topic = "image_raw" if image_kind is Image else "image_raw/compressed"
    publishers = {
        kind: client.node.create_publisher(kind, name, QoSProfile(depth=1000))
        for kind, name in {image_kind: topic, **TOPICS}.items()
    }
    client.until(lambda: all(p.get_subscription_count() for p in publishers.values()), "the node")
    client.until(lambda: client.node.count_publishers("mlss_tracker/detections"), "answers")
    return publishers


def test_a_live_node_refuses_hostile_messages_and_tracks_the_next_good_frame(
    node, transport, namespace, make_client
):
    process, log = node
    client = make_client(namespace)
    kind = Image if transport == "raw" else CompressedImage
    publishers = connected_publishers(client, kind)
    good = GoodFrames(client, publishers[kind], transport)
    client.send_box(target_id=KEPT_ID)
    client.until_status("init box kept")
    good.track()
    good.track()
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # the peak from here on
    before_mb = memory_mb(process.pid, "VmRSS")
    rng = random.Random(SEED)
    broken_boxes = []
    for _ in range(MESSAGES // BATCH):
        for _ in range(BATCH):
            chosen = rng.choice([kind, kind, *TOPICS])
            message = MAKERS[chosen](rng)
            if chosen is Detection2D and isinstance(message, bytes):
                broken_boxes.append(message)
            else:
                publishers[chosen].publish(message)
        assert process.poll() is None, log.read_text()[-3000:]
        good.track()
    for message in broken_boxes:  # some arrive without content, and that says: stop all
        publishers[Detection2D].publish(message)
    good.track_again()
    rise_mb = memory_mb(process.pid, "VmHWM") - before_mb
    assert rise_mb < MAX_RISE_MB
    assert end(process) == 0, log.read_text()[-3000:]
    assert "Traceback" not in log.read_text()


class GoodFrames:
    """Honest pictures in between, each of which has to be tracked."""

    def __init__(self, client, publisher, transport) -> None:
        self._client, self._publisher, self._transport = client, publisher, transport
        self._number = 0

    def track(self) -> None:
        kept = self._send()
        assert kept, self._client.statuses[-1].message
        assert box_from_detection(kept[0]).iou(BLOB) > 0.3

    def track_again(self) -> None:
        for _ in range(50):  # boxes and images come in no common order
            self._client.send_box(target_id=KEPT_ID)
            if self._send():
                return
        raise AssertionError(self._client.statuses[-1].message)

    def _send(self) -> list[Detection2D]:
        self._number += 1
        header = header_at((1000 + self._number) * S)
        frame = blob_frame(self._number)
        message = image_from_frame(frame, header)
        if self._transport == "compressed":
            png = cv2.imencode(".png", frame)[1].tobytes()
            message = CompressedImage(header=header, format="png", data=array.array("B", png))
        self._publisher.publish(message)
        answer = self._client.answer(header)
        self._client.detections.clear()
        return [d for d in answer.detections if d.id == KEPT_ID]
