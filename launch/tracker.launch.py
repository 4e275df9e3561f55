"""Starts the tracker node on a thermal image topic; the camera's driver and RViz too, if asked."""

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from mlss_tracker_ros.fastdds import frame_profile
from mlss_tracker_ros.launching import DRIVERS, box_numbers, require_package, rviz_remappings

CONFIG = Path(__file__).resolve().parents[1] / "config"  # in a clone and where it is installed
SWITCH = ["true", "false"]
# Node parameters that are passed on only when given, or they would silently beat params_file.
OPTIONAL_PARAMETERS = {
    "device": str,
    "weights": str,
    "autostart": bool,
    "use_sim_time": bool,
}


ARGUMENTS = [
    DeclareLaunchArgument(
        "namespace", default_value="", description="Namespace of the node and its topics."
    ),
    DeclareLaunchArgument("name", default_value="mlss_tracker", description="Name of the node."),
    DeclareLaunchArgument(
        "image_topic",
        default_value="image_raw",
        description="Topic of the thermal picture (sensor_msgs/Image); with the parameter "
        "image_transport: compressed, <image_topic>/compressed is read.",
    ),
    DeclareLaunchArgument(
        "click_topic",
        default_value="~/clicked_corner",
        description="Topic of clicked corners; rqt_image_view: <image_topic>_mouse_left.",
    ),
    DeclareLaunchArgument(
        "camera",
        default_value="none",
        choices=["none", *DRIVERS],
        description="Driver to start too, publishing on image_topic: sim (simulated "
        "camera), v4l2 (v4l2_camera), usb_cam, spinnaker (spinnaker_camera_driver).",
    ),
    DeclareLaunchArgument(
        "camera_params",
        default_value="",
        description="YAML file with parameters of the driver; empty: the one for a "
        "16-bit thermal core in config/cameras.",
    ),
    DeclareLaunchArgument(
        "rviz",
        default_value="false",
        choices=SWITCH,
        description="Whether RViz2 starts too, with the picture to click the target on.",
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
]


def generate_launch_description() -> LaunchDescription:
    """Declare every argument and start the node."""
    return LaunchDescription(
        [
            *ARGUMENTS,
            *(SetEnvironmentVariable(name, path) for name, path in frame_profile().items()),
            OpaqueFunction(function=start),
        ]
    )


def start(context: LaunchContext) -> list[Node]:
    """Everything asked for; in one step, so that a mistake starts nothing."""
    return [*start_camera(context), *start_tracker(context), *start_rviz(context)]


def start_camera(context: LaunchContext) -> list[Node]:
    """The camera's driver, unless there is one already."""
    camera = LaunchConfiguration("camera").perform(context)
    if camera == "none":
        return []
    driver = DRIVERS[camera]
    require_package(driver.package, f"camera:={camera}")
    parameters = existing_file(context, "camera_params") or [
        str(CONFIG / f"cameras/{camera}.yaml")
    ]
    parameters += given_parameters(context, "use_sim_time")
    if camera == "spinnaker":
        features = str(CONFIG / "cameras/spinnaker_features.yaml")
        parameters.insert(0, {"parameter_file": features})
    image_topic = LaunchConfiguration("image_topic").perform(context)
    return [
        Node(
            package=driver.package,
            executable=driver.executable,
            namespace=LaunchConfiguration("namespace"),
            name="thermal_camera",
            parameters=parameters,
            remappings=[
                (driver.image_topic, image_topic),
                (f"{driver.image_topic}/compressed", f"{image_topic}/compressed"),
            ],
            respawn=LaunchConfiguration("respawn"),
            respawn_delay=2.0,
            output="screen",
        )
    ]


def start_rviz(context: LaunchContext) -> list[Node]:
    """RViz2, if asked for, on this tracker's topics."""
    if LaunchConfiguration("rviz").perform(context) != "true":
        return []
    require_package("rviz2", "rviz:=true")
    namespace, name = (LaunchConfiguration(n).perform(context) for n in ("namespace", "name"))
    return [
        Node(
            package="rviz2",
            executable="rviz2",
            arguments=["-d", str(CONFIG / "tracker.rviz")],
            parameters=given_parameters(context, "use_sim_time"),
            remappings=rviz_remappings(namespace, name),
            output="screen",
        )
    ]


def existing_file(context: LaunchContext, argument: str) -> list[str]:
    """Path given for an argument, as a list of parameter files; empty when none was given."""
    path = LaunchConfiguration(argument).perform(context)
    if path and not Path(path).is_file():  # launch_ros would start without it
        raise FileNotFoundError(f"expected a YAML file for {argument}, got {path!r}")
    return [path] if path else []


def given_parameters(context: LaunchContext, *names: str) -> list[dict[str, ParameterValue]]:
    """Those of the node parameters `names` that were given as arguments."""
    return [
        {name: ParameterValue(LaunchConfiguration(name), value_type=OPTIONAL_PARAMETERS[name])}
        for name in names
        if LaunchConfiguration(name).perform(context)
    ]


def start_tracker(context: LaunchContext) -> list[Node]:
    """The node, with the parameters that were given."""
    image_topic = LaunchConfiguration("image_topic").perform(context)
    parameters = existing_file(context, "params_file")
    parameters += given_parameters(context, *OPTIONAL_PARAMETERS)
    init_box = LaunchConfiguration("init_box").perform(context)
    if init_box:
        parameters.append({"init_box": box_numbers(init_box)})
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
                ("~/clicked_corner", LaunchConfiguration("click_topic")),
            ],
            arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
            respawn=LaunchConfiguration("respawn"),
            respawn_delay=2.0,
            output="screen",
        )
    ]
