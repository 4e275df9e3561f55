"""Launch files that start cameras too: the demo, a fleet, drivers and the simulator."""

import os
import sys

import pytest

pytest.importorskip("launch_ros", reason="needs launch_ros, which only a ROS 2 installation has")
pytest.importorskip("launch_pytest", reason="needs launch_pytest")

import cv2
import launch_pytest
import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from launch import LaunchDescription
from launched import LATCHED, NEEDS_INSTALL, described
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

pytestmark = NEEDS_INSTALL


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
        use_sim_time="true",  # without /clock: all goes on, with stamps of 0
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
    assert observer.parameters("/show/thermal_camera", "use_sim_time") == [True]
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

        def answered(name=name, camera=camera):  # the tracker may not hear the first image
            camera.publish(image)
            return heard[name]

        observer.until(answered, f"detections of {name}")
    assert {m.header.frame_id for m in heard["front"]} == {"front"}
    assert {m.header.frame_id for m in heard["rear"]} == {"rear"}
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
    return described(
        "tracker.launch.py", exit_codes, camera="sim", weights=weights, use_sim_time="true"
    )


@pytest.mark.launch(fixture=with_simulator)
def test_the_simulated_camera_is_a_16_bit_core(observer, exit_codes):
    images = observer.listen(Image, "/image_raw")
    detections = observer.listen(Detection2DArray, "/mlss_tracker/detections")
    observer.until(lambda: images and detections, "a picture and its detections")
    assert (images[0].encoding, images[0].width, images[0].height) == ("mono16", 640, 512)
    for node in ("/thermal_camera", "/mlss_tracker"):
        assert observer.parameters(node, "use_sim_time") == [True], "one clock for both"
    yield
    assert exit_codes == {"tracker_node": 0, "camera_node": 0}
