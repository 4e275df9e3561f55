"""Child process of test_transport: sends numbered thermal frames at a fixed rate."""

import sys
import time

import numpy as np
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

WIDTH, HEIGHT = 640, 512
MATCH_TIMEOUT_S = 30.0


def main(topic: str, rate_hz: float, frames: int) -> None:
    rclpy.init()
    node = rclpy.create_node("frame_sender")
    qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    publisher = node.create_publisher(Image, topic, qos)
    deadline = time.monotonic() + MATCH_TIMEOUT_S
    while publisher.get_subscription_count() == 0:
        if time.monotonic() > deadline:
            sys.exit("no subscriber appeared")
        time.sleep(0.01)
    start = time.monotonic()
    for number in range(frames):
        message = Image(height=HEIGHT, width=WIDTH, encoding="mono16", step=2 * WIDTH)
        message.data.frombytes(np.full((HEIGHT, WIDTH), number, np.uint16).tobytes())
        time.sleep(max(0.0, start + number / rate_hz - time.monotonic()))
        publisher.publish(message)
    while publisher.get_subscription_count() > 0:  # stay until the receiver has left
        if time.monotonic() > start + frames / rate_hz + MATCH_TIMEOUT_S:
            sys.exit("the subscriber never left")
        time.sleep(0.01)
    rclpy.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
