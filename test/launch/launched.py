"""Launch files as tests start them; importing it needs launch, which only ROS 2 from apt has."""

from pathlib import Path

import launch_pytest
import pytest
from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
from rclpy.qos import DurabilityPolicy, QoSProfile

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def package_is_installed(package: str) -> bool:
    try:
        get_package_prefix(package)
    except (PackageNotFoundError, OSError):
        return False
    return True


NEEDS_INSTALL = [
    pytest.mark.ros,
    pytest.mark.skipif(
        not package_is_installed("mlss_tracker_ros"),
        reason="needs `make colcon` and install/setup.bash",
    ),
]


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
