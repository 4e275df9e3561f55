"""The launch files under the real launch: arguments, parameters, topics, and a clean end."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("launch_ros", reason="needs launch_ros, which only a ROS 2 installation has")
pytest.importorskip("launch_pytest", reason="needs launch_pytest")

import cv2
import launch_pytest
import numpy as np
import rclpy
from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from diagnostic_msgs.msg import DiagnosticStatus
from launch import LaunchDescription, LaunchService
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
from rcl_interfaces.srv import GetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
PATIENCE_S = 60.0
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def installed() -> bool:
    try:
        get_package_prefix("mlss_tracker_ros")
    except (PackageNotFoundError, OSError):
        return False
    return True


pytestmark = [
    pytest.mark.ros,
    pytest.mark.skipif(not installed(), reason="needs `make colcon` and install/setup.bash"),
]


class Observer:
    """A node that waits until the graph is as expected."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = Node("observer", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def until(self, condition: Callable[[], object], what: str) -> object:
        end = time.monotonic() + PATIENCE_S
        while not (value := condition()):
            assert time.monotonic() < end, f"waited {PATIENCE_S:g} s for {what}"
            self.executor.spin_once(timeout_sec=0.1)
        return value

    def listen(self, message_type: type, topic: str, qos: QoSProfile | int = 10) -> list:
        messages: list = []
        self.node.create_subscription(message_type, topic, messages.append, qos)
        return messages

    def parameters(self, node_name: str, *names: str) -> list:
        client = self.node.create_client(GetParameters, f"{node_name}/get_parameters")
        self.until(client.service_is_ready, f"parameters of {node_name}")
        future = client.call_async(GetParameters.Request(names=names))
        self.until(future.done, f"parameters of {node_name}")
        return [rclpy.parameter.parameter_value_to_python(v) for v in future.result().values]


@pytest.fixture
def observer() -> Iterator[Observer]:
    observer = Observer()
    yield observer
    observer.close()


@pytest.fixture
def exit_codes() -> dict[str, int]:
    """Exit codes of the launched processes, filled as they end."""
    return {}


def entities(path: Path) -> list:
    source = PythonLaunchDescriptionSource(str(path))
    return source.try_get_launch_description_without_context().entities


def described(file: str, exit_codes: dict[str, int], **arguments: str) -> LaunchDescription:
    """A launch file with arguments, and an ear for the ends of its processes."""

    def note(event, _context) -> None:
        exit_codes[event.process_name.rpartition("-")[0]] = event.returncode

    source = PythonLaunchDescriptionSource(str(LAUNCH / file))
    return LaunchDescription(
        [
            RegisterEventHandler(OnProcessExit(on_exit=note)),
            IncludeLaunchDescription(source, launch_arguments=arguments.items()),
            launch_pytest.actions.ReadyToTest(),
        ]
    )


@pytest.mark.parametrize("path", sorted(LAUNCH.glob("*.launch.py")), ids=lambda path: path.name)
def test_every_argument_has_a_default_and_a_description(path):
    arguments = [e for e in entities(path) if isinstance(e, DeclareLaunchArgument)]
    assert arguments
    for argument in arguments:
        assert argument.default_value is not None, argument.name
        assert len(argument.description) > 15, argument.name


def test_missing_params_file_is_an_error():
    service = LaunchService(argv=[], noninteractive=True)
    source = PythonLaunchDescriptionSource(str(LAUNCH / "tracker.launch.py"))
    arguments = [("params_file", "/nonexistent.yaml")]
    service.include_launch_description(
        IncludeLaunchDescription(source, launch_arguments=arguments)
    )
    assert service.run() == 1


@launch_pytest.fixture
def tracker(tmp_path, weights, exit_codes) -> LaunchDescription:
    params_file = tmp_path / "params.yaml"
    params_file.write_text(
        "/**:\n  ros__parameters:\n    class_id: drone\n    device: cuda:7\n    max_targets: 3\n"
    )
    return described(
        "tracker.launch.py",
        exit_codes,
        namespace="cam",
        name="hawk",
        image_topic="/thermal/image",
        params_file=str(params_file),
        device="cpu",
        weights=weights,
    )


@pytest.mark.launch(fixture=tracker)
def test_tracker_answers_on_its_topics_with_the_given_parameters(observer, exit_codes):
    detections = observer.listen(Detection2DArray, "/cam/hawk/detections")
    statuses = observer.listen(DiagnosticStatus, "/cam/hawk/status", LATCHED)
    camera = observer.node.create_publisher(Image, "/thermal/image", 10)
    observer.until(lambda: statuses and camera.get_subscription_count(), "the tracker")

    # the file beats the defaults, arguments beat the file, those not given beat nothing
    names = ("class_id", "max_targets", "device", "autostart", "use_sim_time")
    assert observer.parameters("/cam/hawk", *names) == ["drone", 3, "cpu", True, False]

    image = Image(height=32, width=64, encoding="mono8", step=64)
    image.header.frame_id, image.header.stamp.sec = "thermal", 5
    image.data.frombytes(bytes(range(64)) * 32)
    camera.publish(image)
    observer.until(lambda: detections, "the detections of an image")
    assert detections[0].header == image.header
    yield
    assert exit_codes == {"tracker_node": 0}


@pytest.fixture
def weights(tmp_path) -> str:
    """Weights file of an untrained network: it starts as a trained one does."""
    from mlss_core.checkpoint import save_checkpoint
    from mlss_core.model.network import MLSSNet

    path = tmp_path / "untrained.safetensors"
    save_checkpoint(path, MLSSNet())
    return str(path)


@launch_pytest.fixture
def unmanaged(weights, exit_codes) -> LaunchDescription:
    return described("tracker.launch.py", exit_codes, weights=weights, autostart="false")


@pytest.mark.launch(fixture=unmanaged)
def test_autostart_off_leaves_the_node_unconfigured(observer, exit_codes):
    get_autostart = observer.parameters("/mlss_tracker", "autostart")
    assert get_autostart == [False]
    assert observer.node.count_subscribers("/image_raw") == 0
    yield
    assert exit_codes == {"tracker_node": 0}


def test_profile_of_frames_reaches_the_processes(monkeypatch):
    names = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    path = LAUNCH / "tracker.launch.py"
    assert len([e for e in entities(path) if isinstance(e, SetEnvironmentVariable)]) == 1
    monkeypatch.setenv(names[os.environ.get("ROS_DISTRO") in ("humble", "jazzy")], "/site.xml")
    assert not [e for e in entities(path) if isinstance(e, SetEnvironmentVariable)]


@pytest.fixture
def sequence(tmp_path) -> str:
    """Eight pictures of noise with a labelled hot spot at x 41, y 31 (1-based), 20x10 px."""
    (tmp_path / "img").mkdir()
    rng = np.random.default_rng(0)
    for number in range(1, 9):
        picture = rng.integers(40, 80, (96, 128), dtype=np.uint8)
        picture[30:40, 40:60] = 220
        cv2.imwrite(str(tmp_path / f"img/{number:04}.png"), picture)
    (tmp_path / "groundtruth_rect.txt").write_text("41,31,20,10\n" * 8)
    return str(tmp_path)


@launch_pytest.fixture
def demo(weights, sequence, exit_codes) -> LaunchDescription:
    return described(
        "demo.launch.py",
        exit_codes,
        namespace="show",
        source=sequence,
        weights=weights,
        rate="20.0",
        loop="true",
    )


@pytest.mark.launch(fixture=demo)
def test_demo_starts_the_tracker_on_the_first_labelled_box(observer, exit_codes):
    statuses = observer.listen(DiagnosticStatus, "/show/mlss_tracker/status", LATCHED)
    detections = observer.listen(Detection2DArray, "/show/mlss_tracker/detections")
    observer.until(lambda: detections, "detections")
    with_target = ("TRACKING", "UNCERTAIN", "LOST")
    observer.until(
        lambda: any(status.message.startswith(with_target) for status in statuses), "a target"
    )
    init_box = observer.parameters("/show/mlss_tracker", "init_box")[0]
    assert list(init_box) == [49.5, 34.5, 20.0, 10.0]  # centre, 0-based
    yield
    assert exit_codes == {"tracker_node": 0, "camera_node": 0}
