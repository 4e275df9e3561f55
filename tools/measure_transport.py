"""How many 640x512 16-bit images reach another process, with and without config/fastdds.xml.

`.venv/bin/python tools/measure_transport.py [--seconds 10]` prints the table of docs/topics.md: a
sender and a receiver on this machine, for each profile, reliability and rate.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROFILE = ROOT / "config" / "fastdds.xml"
VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
WIDTH, HEIGHT = 640, 512
QUIET_S = 3.0  # without an image: none will come


def main() -> None:
    """Measure every combination, or be one of the two processes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of sending, each")
    parser.add_argument("--role", choices=("send", "receive"), help=argparse.SUPPRESS)
    parser.add_argument("--reliable", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--rate", type=float, default=30.0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.role == "send":
        send(args.reliable, args.rate, round(args.seconds * args.rate))
    elif args.role == "receive":
        print(receive(args.reliable))
    else:
        print("| profile | reliability | images/s | arrived |\n|---|---|---|---|")
        for profile in ("default", "config/fastdds.xml"):
            for reliability in ("best effort", "reliable"):
                for rate in (30, 60):
                    share = measure(profile != "default", reliability, rate, args.seconds)
                    print(f"| {profile} | {reliability} | {rate} | {share:.0%} |", flush=True)


def measure(with_profile: bool, reliability: str, rate: float, seconds: float) -> float:
    """Share of the images sent that arrived."""
    environment = {k: v for k, v in os.environ.items() if k not in VARIABLES}
    environment |= {"ROS_DOMAIN_ID": "99", "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    environment["FASTDDS_BUILTIN_TRANSPORTS"] = "DEFAULT"
    if with_profile:
        environment |= dict.fromkeys(VARIABLES[:1], str(PROFILE))
    command = [sys.executable, __file__, "--rate", str(rate), "--seconds", str(seconds)]
    command += ["--reliable"] if reliability == "reliable" else []
    sender = subprocess.Popen([*command, "--role", "send"], env=environment)
    heard = subprocess.run(
        [*command, "--role", "receive"], env=environment, check=True, capture_output=True
    )
    sender.wait()
    return int(heard.stdout.split()[-1]) / round(seconds * rate)


def quality(reliable: bool) -> object:
    """QoS of both ends."""
    from rclpy.qos import QoSProfile, ReliabilityPolicy

    names = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(depth=5, reliability=names[not reliable])


def send(reliable: bool, rate: float, count: int) -> None:
    """Wait for the receiver, then publish at the rate, as a camera does."""
    import rclpy
    from sensor_msgs.msg import Image

    rclpy.init()
    node = rclpy.create_node("sender")
    publisher = node.create_publisher(Image, "measured", quality(reliable))
    message = Image(height=HEIGHT, width=WIDTH, encoding="mono16", step=2 * WIDTH)
    message.data.frombytes(os.urandom(2 * WIDTH * HEIGHT))
    while not publisher.get_subscription_count():
        time.sleep(0.01)
    time.sleep(1.0)
    began = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        publisher.publish(message)
    time.sleep(QUIET_S)
    rclpy.shutdown()


def receive(reliable: bool) -> int:
    """Count images until they stop coming."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from sensor_msgs.msg import Image

    rclpy.init()
    node = rclpy.create_node("receiver")
    arrivals = [time.monotonic() + 20.0]  # time to find each other
    node.create_subscription(
        Image, "measured", lambda _: arrivals.append(time.monotonic()), quality(reliable)
    )
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while time.monotonic() < arrivals[-1] + QUIET_S:
        executor.spin_once(timeout_sec=0.1)
    return len(arrivals) - 1


if __name__ == "__main__":
    main()
