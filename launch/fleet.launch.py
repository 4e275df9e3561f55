"""Starts a tracker for each of several cameras, each in a namespace of its own."""

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.substitutions import LaunchConfiguration

from mlss_tracker_ros.launching import camera_names


def generate_launch_description() -> LaunchDescription:
    """Declare the list; every argument of tracker.launch.py holds for each camera."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "cameras",
                default_value="[front,rear]",
                description="Names of the cameras, [front,rear]: front/mlss_tracker tracks on "
                "front/image_raw. The arguments of tracker.launch.py (params_file, camera, "
                "device, ...) are taken too, and hold for every camera.",
            ),
            DeclareLaunchArgument(
                "namespace", default_value="", description="Namespace of the robot, above all."
            ),
            OpaqueFunction(function=start_trackers),
        ]
    )


def start_trackers(context: LaunchContext) -> list[GroupAction]:
    """One tracker.launch.py for each camera; its arguments end with its group."""
    above = LaunchConfiguration("namespace").perform(context).strip("/")
    tracker = str(Path(__file__).with_name("tracker.launch.py"))
    groups = []
    for name in camera_names(LaunchConfiguration("cameras").perform(context)):
        own = {"namespace": f"{above}/{name}".lstrip("/")}
        groups.append(
            GroupAction([IncludeLaunchDescription(tracker, launch_arguments=own.items())])
        )
    return groups
