"""Starts a camera that plays a thermal sequence, and the tracker on its first labelled box."""

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetLaunchConfiguration,
)
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from mlss_core.sequences import load_sequence
from mlss_core.simulate import SceneParams, simulate


def generate_launch_description() -> LaunchDescription:
    """Declare the camera's arguments, include the tracker with its own, start the camera."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "source",
                default_value="",
                description="Sequence folder, image folder, video or bag to play; empty: the "
                "simulator (640x512, 16 bit, 30 Hz).",
            ),
            DeclareLaunchArgument(
                "rate",
                default_value="0.0",
                description="Images a second; 0.0: as recorded, else 30.",
            ),
            DeclareLaunchArgument(
                "loop",
                default_value="false",
                choices=["true", "false"],
                description="Whether the camera starts again after the last image.",
            ),
            OpaqueFunction(function=set_first_box),
            IncludeLaunchDescription(str(Path(__file__).with_name("tracker.launch.py"))),
            OpaqueFunction(function=start_camera),
        ]
    )


def set_first_box(context: LaunchContext) -> list[SetLaunchConfiguration]:
    """Take the ground truth of the first image, unless the user gave an init_box."""
    if context.launch_configurations.get("init_box"):
        return []
    source = LaunchConfiguration("source").perform(context)
    sequence = load_sequence(source) if source else simulate(SceneParams())
    box = sequence.box(0) if sequence.ground_truth is not None else None
    if box is None:
        return []  # the operator sends one
    return [SetLaunchConfiguration("init_box", ",".join(str(float(number)) for number in box))]


def start_camera(context: LaunchContext) -> list[Node]:
    """The camera, on the tracker's topic and by the same clock."""
    parameters = [
        {
            "source": ParameterValue(LaunchConfiguration("source"), value_type=str),
            "rate": ParameterValue(LaunchConfiguration("rate"), value_type=float),
            "loop": ParameterValue(LaunchConfiguration("loop"), value_type=bool),
            "wait_for_subscribers": 1,  # the tracker is to see the first image
        }
    ]
    if LaunchConfiguration("use_sim_time").perform(context) == "true":
        parameters.append({"use_sim_time": True})
    return [
        Node(
            package="mlss_tracker_ros",
            executable="camera_node",
            namespace=LaunchConfiguration("namespace"),
            parameters=parameters,
            remappings=[("image_raw", LaunchConfiguration("image_topic"))],
            output="screen",
        )
    ]
