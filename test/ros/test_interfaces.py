"""The graph that other ROS 2 machines see: the messages' type hash and the Fast DDS profile."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import rclpy
from vision_msgs.msg import Detection2DArray

from mlss_tracker_ros import fastdds

pytestmark = pytest.mark.ros

NAMES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
PUBLIC_HASH = "RIHS01_214274120007f4a683866481336b70310268cfa107aebe9d594a6acf75bda968"


def test_detections_have_the_type_hash_of_the_public_vision_msgs():
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("hash_probe", context=context)
    try:
        publisher = node.create_publisher(Detection2DArray, "hash_probe", 1)
        info = node.get_publishers_info_by_topic(publisher.topic_name)[0]
        if not hasattr(info, "topic_type_hash"):
            pytest.skip("this ROS 2 has no type hashes (Humble)")
        assert str(info.topic_type_hash) == PUBLIC_HASH
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)


@pytest.fixture
def no_profile(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("distro", "name"),
    [("", NAMES[0]), ("kilted", NAMES[0]), ("lyrical", NAMES[0])]
    + [("humble", NAMES[1]), ("jazzy", NAMES[1])],
)
def test_profile_goes_by_the_name_that_the_distribution_reads(no_profile, distro, name):
    no_profile.setenv("ROS_DISTRO", distro)
    profile = fastdds.frame_profile()
    assert list(profile) == [name]
    root = ElementTree.parse(profile[name]).getroot()
    sizes = [int(e.text) for e in root.iter() if e.tag.endswith(("segment_size", "BufferSize"))]
    assert len(sizes) == 3
    assert min(sizes) > 640 * 512 * 2  # one frame at least


@pytest.mark.parametrize("name", NAMES)
def test_profile_of_the_user_is_left_alone(no_profile, name):
    no_profile.setenv(name, "/etc/site.xml")
    assert fastdds.frame_profile() == {}


def test_profile_of_an_installed_package_is_found(no_profile, repository, tmp_path):
    share = tmp_path / "share"
    marker = share / "ament_index/resource_index/packages/mlss_tracker_ros"
    marker.parent.mkdir(parents=True)
    marker.touch()
    installed = share / "mlss_tracker_ros/config/fastdds.xml"
    installed.parent.mkdir(parents=True)
    installed.write_text((repository / "config/fastdds.xml").read_text())
    no_profile.setattr(fastdds, "__file__", str(tmp_path / "lib/mlss_tracker_ros/fastdds.py"))
    no_profile.setenv("AMENT_PREFIX_PATH", "")
    assert fastdds.frame_profile() == {}
    no_profile.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    assert [Path(path) for path in fastdds.frame_profile().values()] == [installed]


@pytest.mark.parametrize(
    ("distro", "middleware", "remedy"),
    [
        ("jazzy", "rmw_fastrtps_cpp", "set FASTRTPS_DEFAULT_PROFILES_FILE to"),
        ("kilted", "rmw_fastrtps_dynamic_cpp", "set FASTDDS_DEFAULT_PROFILES_FILE to"),
        ("jazzy", "rmw_cyclonedds_cpp", "SocketReceiveBufferSize"),
        ("lyrical", "rmw_zenoh_cpp", "Zenoh's shared memory"),
    ],
)
def test_the_remedy_for_lost_images_is_that_of_the_middleware(
    monkeypatch, distro, middleware, remedy
):
    monkeypatch.setenv("ROS_DISTRO", distro)
    assert remedy in fastdds.loss_remedy(middleware)
