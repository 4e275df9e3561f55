"""Starts the tracker node on a thermal image topic."""

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from mlss_tracker_ros.fastdds import frame_profile

SWITCH = ["true", "false"]
# Node parameters that are passed on only when given, or they would silently beat params_file.
OPTIONAL_PARAMETERS = {
    "device": str,
    "weights": str,
    "autostart": bool,
    "use_sim_time": bool,
}


def generate_launch_description() -> LaunchDescription:
    """Declare every argument and start the node."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "namespace", default_value="", description="Namespace of the node and its topics."
            ),
            DeclareLaunchArgument(
                "name", default_value="mlss_tracker", description="Name of the node."
            ),
            DeclareLaunchArgument(
                "image_topic",
                default_value="image_raw",
                description="Topic of the thermal picture (sensor_msgs/Image); with the parameter "
                "image_transport: compressed, <image_topic>/compressed is read.",
            ),
            DeclareLaunchArgument(
                "params_file",
                default_value="",
                description="YAML file with parameters of the node, as in config/tracker.yaml; "
                "empty: the defaults.",
            ),
            DeclareLaunchArgument(
                "device",
                default_value="",
                description="Where the network runs: auto, cpu, cuda or cuda:N; empty: as "
                "params_file says, else auto.",
            ),
            DeclareLaunchArgument(
                "weights",
                default_value="",
                description="Weights file (.safetensors); empty: as params_file says, else the "
                "shipped ones.",
            ),
            DeclareLaunchArgument(
                "init_box",
                default_value="",
                description="Target in the first image, for runs without an operator: centre x, "
                "centre y, width, height in px, as 320,256,40,30; empty: as params_file "
                "says, else none.",
            ),
            DeclareLaunchArgument(
                "autostart",
                default_value="",
                choices=["", *SWITCH],
                description="Whether the node configures and activates itself; false: a lifecycle "
                "manager does; empty: as params_file says, else true.",
            ),
            DeclareLaunchArgument(
                "use_sim_time",
                default_value="",
                choices=["", *SWITCH],
                description="Whether time comes from /clock, as with `ros2 bag play --clock`; "
                "empty: as params_file says, else false.",
            ),
            DeclareLaunchArgument(
                "log_level",
                default_value="info",
                choices=["debug", "info", "warn", "error", "fatal"],
                description="Least severe messages that the node logs.",
            ),
            DeclareLaunchArgument(
                "respawn",
                default_value="false",
                choices=SWITCH,
                description="Whether the node is started again two seconds after it died; it then "
                "waits for a new init box.",
            ),
            *(SetEnvironmentVariable(name, path) for name, path in frame_profile().items()),
            OpaqueFunction(function=start_tracker),
        ]
    )


def start_tracker(context: LaunchContext) -> list[Node]:
    """The node, with the parameters that were given."""
    params_file = LaunchConfiguration("params_file").perform(context)
    image_topic = LaunchConfiguration("image_topic").perform(context)
    if params_file and not Path(params_file).is_file():  # launch_ros would start without it
        raise FileNotFoundError(f"expected a YAML file for params_file, got {params_file!r}")
    parameters = [params_file] if params_file else []
    for name, value_type in OPTIONAL_PARAMETERS.items():
        if LaunchConfiguration(name).perform(context):
            value = ParameterValue(LaunchConfiguration(name), value_type=value_type)
            parameters.append({name: value})
    init_box = LaunchConfiguration("init_box").perform(context)
    if init_box:
        parameters.append({"init_box": [float(number) for number in init_box.split(",")]})
    return [
        Node(
            package="mlss_tracker_ros",
            executable="tracker_node",
            namespace=LaunchConfiguration("namespace"),
            name=LaunchConfiguration("name"),
            parameters=parameters,
            remappings=[
                ("image_raw", image_topic),
                ("image_raw/compressed", f"{image_topic}/compressed"),
            ],
            arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
            respawn=LaunchConfiguration("respawn"),
            respawn_delay=2.0,
            output="screen",
        )
    ]
