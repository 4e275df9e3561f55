"""The launch files under the real launch: arguments, parameters, topics, and a clean end."""

import logging
import os

import pytest

pytest.importorskip("launch_ros", reason="needs launch_ros, which only a ROS 2 installation has")
pytest.importorskip("launch_pytest", reason="needs launch_pytest")

import launch_pytest
from diagnostic_msgs.msg import DiagnosticStatus
from launch import LaunchDescription, LaunchService
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    SetEnvironmentVariable,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launched import LATCHED, LAUNCH, NEEDS_INSTALL, described, entities, package_is_installed
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

pytestmark = NEEDS_INSTALL


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
        ("tracker", {"init_box": "320x256"}, "expected init_box as 320,256,40,30"),
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

    def answered():  # the tracker may not hear the first image
        camera.publish(image)
        return detections

    observer.until(answered, "the detections of an image")
    assert detections[0].header == image.header
    yield
    assert exit_codes == {"tracker_node": 0}


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
