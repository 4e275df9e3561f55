"""A ROS 2 graph for tests: a context and a node of their own, and waiting on conditions."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import rclpy
import torch
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray

from mlss_core.box import Box
from mlss_core.checkpoint import save_checkpoint
from mlss_core.model.network import MLSSNet
from mlss_tracker_ros.detections import detection_from_box
from mlss_tracker_ros.diagnostics import parse_status
from mlss_tracker_ros.image_conversion import image_from_frame

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two cores are shared by several nodes here
torch.set_num_threads(1)

PATIENCE_S = 60.0
S = 10**9
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
NAMESPACES = itertools.count(1)


@pytest.fixture(scope="session")
def ros_context() -> Iterator[Context]:
    context = Context()
    rclpy.init(context=context)
    yield context
    rclpy.try_shutdown(context=context)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Weights file of an untrained network: it costs what a trained one costs."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    save_checkpoint(path, MLSSNet())
    return str(path)


def blob_frame(
    n: int = 0, size_px: tuple[int, int] = (160, 120), dtype: type = np.uint8
) -> np.ndarray:
    """Noise with a hot blob that stands at BLOB; no two frames are equal."""
    rng = np.random.default_rng(n)
    frame = rng.normal(60, 4, size_px[::-1])
    y, x = np.indices(frame.shape)
    frame += 150 * np.exp(-(((x - BLOB.cx) / 5) ** 2 + ((y - BLOB.cy) / 5) ** 2))
    scale = 60 if dtype == np.uint16 else 1
    return (np.clip(frame, 0, 255) * scale).astype(dtype)


BLOB = Box(80.0, 60.0, 16.0, 16.0)


def header_at(stamp_ns: int, frame_id: str = "thermal") -> Header:
    header = Header(frame_id=frame_id)
    header.stamp.sec, header.stamp.nanosec = divmod(stamp_ns, S)
    return header


class Client:
    """A camera and a user of one tracker: publishes, and keeps all that comes back."""

    def __init__(self, context: Context, namespace: str, reliable: bool = True) -> None:
        self.node = Node("client", context=context, namespace=namespace)
        self.executor = SingleThreadedExecutor(context=context)
        self.executor.add_node(self.node)
        self.detections: list[Detection2DArray] = []
        self.statuses: list[DiagnosticStatus] = []
        qos = QoSProfile(depth=10)
        if not reliable:
            qos.reliability = ReliabilityPolicy.BEST_EFFORT
        self.images = self.node.create_publisher(Image, "image_raw", qos)
        self.boxes = self.node.create_publisher(Detection2D, "mlss_tracker/init_box", 10)
        self.node.create_subscription(
            Detection2DArray, "mlss_tracker/detections", self.detections.append, 100
        )
        self.node.create_subscription(
            DiagnosticStatus, "mlss_tracker/status", self.statuses.append, LATCHED
        )
        self._stamps_ns = itertools.count(100 * S, S // 10)
        self._sent = 0

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()

    def until(
        self, condition: Callable[[], object], what: str, patience_s: float = PATIENCE_S
    ) -> object:
        """Spin until `condition` is truthy; returns its value."""
        end = time.monotonic() + patience_s
        while not (value := condition()):
            status = self.statuses[-1].message if self.statuses else "no status"
            assert time.monotonic() < end, f"waited {patience_s:g} s for {what}; {status}"
            self.executor.spin_once(timeout_sec=0.05)
        return value

    def connect(self) -> None:
        """Wait until the tracker hears images and boxes, and is heard."""
        self.until(
            lambda: (
                self.images.get_subscription_count()
                and self.boxes.get_subscription_count()
                and self.node.count_publishers("mlss_tracker/detections")
                and self.statuses
            ),
            "the tracker",
        )

    def send_image(self, message: Image) -> None:
        self.images.publish(message)

    def send_frame(self, frame: np.ndarray | None = None, **header: object) -> Header:
        """Publish one picture (the next blob frame) with its own stamp; returns its header."""
        frame = blob_frame(self._sent) if frame is None else frame
        self._sent += 1
        stamp = header_at(header.pop("stamp_ns", next(self._stamps_ns)), **header)
        self.send_image(image_from_frame(frame, stamp))
        return stamp

    def answer(self, header: Header) -> Detection2DArray:
        """Wait for the detections of the image with this header."""
        return self.until(
            lambda: next((d for d in reversed(self.detections) if d.header == header), None),
            f"the detections of stamp {header.stamp}",
        )

    def track(self, frame: np.ndarray | None = None, **header: object) -> Detection2DArray:
        """Send one picture and wait for its detections."""
        return self.answer(self.send_frame(frame, **header))

    def send_box(self, box: Box = BLOB, target_id: str = "", stamp_ns: int = 0) -> None:
        self.boxes.publish(detection_from_box(box, header_at(stamp_ns), target_id))

    def start(self, target_id: str = "a") -> None:
        """Have the tracker follow the blob."""
        before, turns = len(self.detections), itertools.count(1)

        def heard() -> bool:
            if next(turns) % 100 == 0:  # its side of the connection may have come up after ours
                self.send_frame()
            return len(self.detections) > before

        self.send_frame()
        self.until(heard, "the detections of a first picture")
        self.send_box(target_id=target_id)
        self.until_status("TRACKING")

    def until_status(self, *parts: str) -> DiagnosticStatus:
        """Wait until the newest status message contains every part."""
        self.until(
            lambda: self.statuses and all(part in self.statuses[-1].message for part in parts),
            f"status {parts}",
        )
        return self.statuses[-1]

    @property
    def figures(self) -> dict[str, str]:
        return parse_status(self.statuses[-1])

    def call(self, service_type: type, name: str, **request: object) -> object:
        client = self.node.create_client(service_type, name)
        self.until(client.service_is_ready, f"service {name}")
        future = client.call_async(service_type.Request(**request))
        self.until(future.done, f"an answer of {name}")
        self.node.destroy_client(client)
        return future.result()


@pytest.fixture
def namespace() -> str:
    return f"/test_{next(NAMESPACES)}"


@pytest.fixture
def make_client(ros_context: Context) -> Iterator[Callable[..., Client]]:
    clients: list[Client] = []

    def make(namespace: str, **options: object) -> Client:
        clients.append(Client(ros_context, namespace, **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@contextlib.contextmanager
def spinning(node: Node) -> Iterator[None]:
    """Spin a node in a thread of its own."""
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    yield
    executor.shutdown()
    thread.join(PATIENCE_S)


@pytest.fixture
def make_tracker(
    ros_context: Context, weights: str, make_client: Callable
) -> Iterator[Callable[..., Node]]:
    """Makes tracker nodes that spin in threads; presence is off, the weights are untrained.

    They end before the clients (hence `make_client`): within one process Fast DDS delivers in the
    thread that publishes, and must not meet a reader that is being destroyed.
    """
    from mlss_tracker_ros.tracker_node import TrackerNode

    with contextlib.ExitStack() as running:

        def make(namespace: str, **params: object) -> TrackerNode:
            defaults = {"weights": weights, "presence.enabled": False, "image_timeout_s": 3600.0}
            given = {**defaults, **params}
            overrides = [Parameter(name, value=value) for name, value in given.items()]
            node = TrackerNode(
                context=ros_context, namespace=namespace, parameter_overrides=overrides
            )
            node.start()
            running.callback(node.destroy_node)
            running.callback(node.close)
            running.enter_context(spinning(node))
            return node

        yield make


@pytest.fixture
def tracked(namespace: str, make_tracker: Callable, make_client: Callable) -> Client:
    """A client whose tracker is active and has seen no image."""
    make_tracker(namespace)
    client = make_client(namespace)
    client.connect()
    return client
