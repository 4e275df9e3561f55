"""What launch files take from the package, and the files they hand over, without launch."""

import pytest
import yaml

from mlss_core.errors import ConfigError
from mlss_tracker_ros.camera_node import CameraNode
from mlss_tracker_ros.image_plane import METRES_PER_PX
from mlss_tracker_ros.launching import (
    DRIVERS,
    box_numbers,
    camera_names,
    require_package,
    rviz_remappings,
)
from mlss_tracker_ros.node_params import NodeParams


@pytest.fixture
def rviz(repository):
    return yaml.safe_load((repository / "config/tracker.rviz").read_text())


def test_a_driver_that_is_not_installed_is_refused_with_its_apt_package(monkeypatch, tmp_path):
    marker = tmp_path / "share/ament_index/resource_index/packages/usb_cam"
    marker.parent.mkdir(parents=True)
    marker.touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    require_package("usb_cam", "camera:=usb_cam")
    with pytest.raises(
        ConfigError, match="spinnaker_camera_driver for camera:=spinnaker, got none installed; "
    ) as refusal:
        require_package("spinnaker_camera_driver", "camera:=spinnaker")
    assert "apt install ros-jazzy-spinnaker-camera-driver" in str(refusal.value)
    monkeypatch.delenv("AMENT_PREFIX_PATH")
    with pytest.raises(ConfigError, match="ros-jazzy-rviz2"):
        require_package("rviz2", "rviz:=true")


@pytest.mark.parametrize(
    "text", ["[front,rear]", "front,rear", "['front', 'rear']", "[front, rear]"]
)
def test_camera_names_are_read_as_people_write_them(text):
    assert camera_names(text) == ["front", "rear"]


@pytest.mark.parametrize(
    "text", ["", "[]", "[front,front]", "[front,]", "[8up]", "[a b]", "[a//b]"]
)
def test_names_that_are_no_namespaces_are_refused(text):
    with pytest.raises(ConfigError, match=r"expected cameras as \[front,rear\]"):
        camera_names(text)


@pytest.mark.parametrize("text", ["320,256,40.5,30", "[320, 256, 40.5, 30]"])
def test_an_init_box_is_read_as_people_write_it(text):
    assert box_numbers(text) == [320.0, 256.0, 40.5, 30.0]


@pytest.mark.parametrize("text", ["1,2,3", "1,2,3,4,5", "a,b,c,d", "[]"])
def test_an_init_box_that_is_not_four_numbers_is_refused(text):
    with pytest.raises(ConfigError, match="expected init_box as 320,256,40,30"):
        box_numbers(text)


def test_every_driver_has_a_parameter_file_for_a_thermal_core(repository):
    for name in DRIVERS:
        text = (repository / f"config/cameras/{name}.yaml").read_text()
        assert yaml.safe_load(text)["/**"]["ros__parameters"]
    sixteen_bit = {"sim": "mono16", "usb_cam": "mono16", "spinnaker": "Mono16"}
    for name, encoding in sixteen_bit.items():
        assert encoding in (repository / f"config/cameras/{name}.yaml").read_text()
    features = yaml.safe_load((repository / "config/cameras/spinnaker_features.yaml").read_text())
    defined = {feature["name"] for feature in features["parameters"]}
    assert {"pixel_format", "gev_scps_packet_size"} == defined


def test_the_simulated_camera_takes_its_file(ros_context, repository, tmp_path):
    text = (repository / "config/cameras/sim.yaml").read_text()
    small = (
        text + "    sim.width: 96\n    sim.height: 64\n    sim.target_px: 20.0\n    frames: 1\n"
    )
    path = tmp_path / "sim.yaml"
    path.write_text(small)
    node = CameraNode(context=ros_context, cli_args=["--ros-args", "--params-file", str(path)])
    try:
        assert node.get_parameter("loop").value
        assert node.get_parameter("encoding").value == "mono16"
    finally:
        node.destroy_node()


def displays(rviz):
    return {each["Class"]: each for each in rviz["Visualization Manager"]["Displays"]}


def test_rviz_looks_straight_down_on_the_picture(rviz):
    manager = rviz["Visualization Manager"]
    assert manager["Global Options"]["Fixed Frame"] == NodeParams().image_plane_frame
    view = manager["Views"]["Current"]
    assert view["Class"] == "rviz_default_plugins/TopDownOrtho"
    assert view["Scale"] * METRES_PER_PX == 1, "one screen px for each px of the picture"
    assert (view["X"], view["Y"]) == (640 / 2 * METRES_PER_PX, -512 / 2 * METRES_PER_PX)
    cloud = displays(rviz)["rviz_default_plugins/PointCloud2"]
    assert cloud["Size (m)"] == METRES_PER_PX, "squares that leave no gaps to click through"
    assert (cloud["Position Transformer"], cloud["Color Transformer"]) == ("XYZ", "RGB8")


def test_rviz_hears_and_answers_on_the_trackers_topics(rviz, tracked, namespace):
    tools = {tool["Class"]: tool for tool in rviz["Visualization Manager"]["Tools"]}
    click = tools["rviz_default_plugins/PublishPoint"]
    assert not click["Single click"], "two corners without choosing the tool again"
    shown = displays(rviz)
    cloud = shown["rviz_default_plugins/PointCloud2"]["Topic"]
    picture = shown["rviz_default_plugins/Image"]["Topic"]
    remap = dict(rviz_remappings(namespace, "mlss_tracker"))
    for topic, message_type, in_graph in (
        (cloud, "sensor_msgs/msg/PointCloud2", tracked.node.count_publishers),
        (picture, "sensor_msgs/msg/Image", tracked.node.count_publishers),
        (click["Topic"], "geometry_msgs/msg/PointStamped", tracked.node.count_subscribers),
    ):
        resolved = remap[topic["Value"]]
        tracked.until(lambda r=resolved, g=in_graph: g(r) == 1, resolved)
        names = dict(tracked.node.get_topic_names_and_types())
        assert names[resolved] == [message_type]
        assert topic["Reliability Policy"] == "Reliable"


def test_rviz_topics_are_remapped_into_the_namespace():
    assert rviz_remappings("", "mlss_tracker") == [
        ("/mlss_tracker/image_plane", "/mlss_tracker/image_plane"),
        ("/mlss_tracker/debug_image", "/mlss_tracker/debug_image"),
        ("/clicked_point", "/clicked_point"),
    ]
    assert ("/mlss_tracker/image_plane", "/robot/front/hawk/image_plane") in rviz_remappings(
        "/robot/front", "hawk"
    )
    assert ("/clicked_point", "/robot/front/clicked_point") in rviz_remappings(
        "robot/front", "hawk"
    )
