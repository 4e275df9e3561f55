"""config/fastdds.xml carries whole thermal frames between two processes."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

pytestmark = pytest.mark.ros

FRAMES = 150
QUIET_S = 5.0  # no frame for that long means that none will come


@pytest.fixture
def node():
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("frame_receiver", context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.mark.parametrize("rate_hz", [30, 60])
def test_best_effort_frames_all_arrive_whole(node, rate_hz):
    received = []
    last_arrival = time.monotonic() + 30.0  # time for the sender to start

    def store(message: Image) -> None:
        nonlocal last_arrival
        last_arrival = time.monotonic()
        received.append(np.frombuffer(message.data, np.uint16))

    topic = f"frames_at_{rate_hz}_hz"
    qos = QoSProfile(depth=20, reliability=ReliabilityPolicy.BEST_EFFORT)
    subscription = node.create_subscription(Image, topic, store, qos)
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    script = Path(__file__).with_name("frame_sender.py")
    sender = subprocess.Popen([sys.executable, script, topic, str(rate_hz), str(FRAMES)])
    try:
        while len(received) < FRAMES and time.monotonic() < last_arrival + QUIET_S:
            executor.spin_once(timeout_sec=0.1)
        node.destroy_subscription(subscription)
        assert sender.wait(timeout=60.0) == 0
    finally:
        sender.kill()
        executor.shutdown()

    assert [int(frame[0]) for frame in received] == list(range(FRAMES))
    assert all(frame.size == 640 * 512 and np.ptp(frame) == 0 for frame in received)
