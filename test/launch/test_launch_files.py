"""The launch files under the real launch: arguments, parameters, topics, and a clean end."""

import logging
import os
import sys
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


def package_is_installed(package: str) -> bool:
    try:
        get_package_prefix(package)
    except (PackageNotFoundError, OSError):
        return False
    return True


pytestmark = [
    pytest.mark.ros,
    pytest.mark.skipif(
        not package_is_installed("mlss_tracker_ros"),
        reason="needs `make colcon` and install/setup.bash",
    ),
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


@pytest.mark.parametrize(
    ("file", "arguments", "reason"),
    [
        ("tracker", {"params_file": "/nonexistent.yaml"}, "expected a YAML file for params_file"),
        ("tracker", {"camera": "sim", "camera_params": "/no.yaml"}, "for camera_params"),
        ("tracker", {"camera": "spinnaker"}, "spinnaker-camera-driver"),
        ("tracker", {"rviz": "true"}, "-rviz2"),
        ("fleet", {"cameras": "[8up]"}, "expected cameras as [front,rear]"),
    ],
)
def test_what_is_missing_or_wrong_is_an_error_with_the_reason(caplog, file, arguments, reason):
    for package in ("spinnaker_camera_driver", "rviz2"):
        if reason.endswith(package.replace("_", "-")) and package_is_installed(package):
            pytest.skip(f"{package} is installed here")
    service = LaunchService(argv=[], noninteractive=True)
    source = PythonLaunchDescriptionSource(str(LAUNCH / f"{file}.launch.py"))
    service.include_launch_description(
        IncludeLaunchDescription(source, launch_arguments=arguments.items())
    )
    logger = logging.getLogger("launch")
    logger.addHandler(caplog.handler)  # launch does not pass its records on
    try:
        assert service.run() == 1
    finally:
        logger.removeHandler(caplog.handler)
    assert reason in caplog.text


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
        click_topic="/thermal/image_mouse_left",
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
    assert observer.node.count_subscribers("/thermal/image_mouse_left") == 1

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


@launch_pytest.fixture
def fleet(weights, exit_codes) -> LaunchDescription:
    return described(
        "fleet.launch.py", exit_codes, cameras="[front,rear]", namespace="robot", weights=weights
    )


@pytest.mark.launch(fixture=fleet)
def test_a_fleet_has_a_tracker_for_each_camera_in_its_namespace(observer, exit_codes):
    image = Image(height=32, width=64, encoding="mono8", step=64)
    image.data.frombytes(bytes(range(64)) * 32)
    heard = {}
    for name in ("front", "rear"):
        heard[name] = observer.listen(Detection2DArray, f"/robot/{name}/mlss_tracker/detections")
        camera = observer.node.create_publisher(Image, f"/robot/{name}/image_raw", 10)
        observer.until(camera.get_subscription_count, f"the tracker of {name}")
        image.header.frame_id = name
        camera.publish(image)
        observer.until(lambda name=name: heard[name], f"detections of {name}")
    assert [m.header.frame_id for m in heard["front"]] == ["front"]
    assert [m.header.frame_id for m in heard["rear"]] == ["rear"]
    yield
    assert exit_codes == {"tracker_node": 0}


FAKE_DRIVER = """#!{python}
import rclpy
from rclpy.executors import ExternalShutdownException
from sensor_msgs.msg import Image

rclpy.init()
node = rclpy.create_node("usb_cam", automatically_declare_parameters_from_overrides=True)
publisher = node.create_publisher(Image, "image_raw", 100)
image = Image(height=32, width=64, step=128)
image.encoding = node.get_parameter("pixel_format").value
image.header.frame_id = node.get_parameter("frame_id").value
image.data.frombytes(bytes(range(128)) * 32)
node.create_timer(0.1, lambda: publisher.publish(image))
try:
    rclpy.spin(node)
except (KeyboardInterrupt, ExternalShutdownException):
    pass
"""


@pytest.fixture
def fake_usb_cam(tmp_path, monkeypatch) -> None:
    """A package `usb_cam` whose driver publishes as it is told by its parameters."""
    prefix = tmp_path / "prefix"
    marker = prefix / "share/ament_index/resource_index/packages/usb_cam"
    program = prefix / "lib/usb_cam/usb_cam_node_exe"
    for path in (marker, program):
        path.parent.mkdir(parents=True)
    marker.touch()
    program.write_text(FAKE_DRIVER.format(python=sys.executable))
    program.chmod(0o755)
    prefixes = f"{prefix}{os.pathsep}{os.environ.get('AMENT_PREFIX_PATH', '')}"
    monkeypatch.setenv("AMENT_PREFIX_PATH", prefixes)


@launch_pytest.fixture
def with_driver(fake_usb_cam, weights, exit_codes) -> LaunchDescription:
    return described(
        "tracker.launch.py",
        exit_codes,
        camera="usb_cam",
        namespace="cam",
        image_topic="thermal/image",
        weights=weights,
    )


@pytest.mark.launch(fixture=with_driver)
def test_a_driver_is_started_with_its_parameter_file_on_the_trackers_topic(observer, exit_codes):
    images = observer.listen(Image, "/cam/thermal/image")
    detections = observer.listen(Detection2DArray, "/cam/mlss_tracker/detections")
    observer.until(lambda: images and detections, "a picture and its detections")
    assert images[0].encoding == "mono16"
    assert detections[0].header.frame_id == "thermal_camera_optical"
    yield
    assert exit_codes["tracker_node"] == 0


@launch_pytest.fixture
def with_simulator(weights, exit_codes) -> LaunchDescription:
    return described("tracker.launch.py", exit_codes, camera="sim", weights=weights)


@pytest.mark.launch(fixture=with_simulator)
def test_the_simulated_camera_is_a_16_bit_core(observer, exit_codes):
    images = observer.listen(Image, "/image_raw")
    detections = observer.listen(Detection2DArray, "/mlss_tracker/detections")
    observer.until(lambda: images and detections, "a picture and its detections")
    assert (images[0].encoding, images[0].width, images[0].height) == ("mono16", 640, 512)
    yield
    assert exit_codes == {"tracker_node": 0, "camera_node": 0}
