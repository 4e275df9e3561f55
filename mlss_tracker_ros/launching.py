"""What the launch files know of other packages: camera drivers, RViz, and names of cameras."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from ament_index_python.packages import PackageNotFoundError, get_package_prefix

from mlss_core.errors import ConfigError

RVIZ_TOPICS = ("image_plane", "debug_image")  # of the tracker, as config/tracker.rviz names them


class Driver(NamedTuple):
    """A camera driver: where it is, and what it calls its picture."""

    package: str
    executable: str
    image_topic: str = "image_raw"


DRIVERS = {
    "sim": Driver("mlss_tracker_ros", "camera_node"),
    "v4l2": Driver("v4l2_camera", "v4l2_camera_node"),
    "usb_cam": Driver("usb_cam", "usb_cam_node_exe"),
    "spinnaker": Driver("spinnaker_camera_driver", "camera_driver_node", "~/image_raw"),
}
"""Values of the launch argument `camera`, beside none; config/cameras has a file for each."""


def require_package(package: str, argument: str) -> None:
    """Refuse a launch argument whose package is not there.

    Raises:
        ConfigError: it is not installed; the text names the apt package.
    """
    try:
        get_package_prefix(package)
    except (PackageNotFoundError, OSError) as error:  # OSError: no prefix is sourced at all
        distro = os.environ.get("ROS_DISTRO") or "<distro>"
        raise ConfigError(
            f"expected the package {package} for {argument}, got none installed; "
            f"sudo apt install ros-{distro}-{package.replace('_', '-')}, and source it"
        ) from error


def rviz_remappings(namespace: str, name: str) -> list[tuple[str, str]]:
    """From the topics in config/tracker.rviz to those of the tracker `name` in `namespace`."""
    prefix = f"/{namespace.strip('/')}".rstrip("/")
    names = [f"mlss_tracker/{topic}" for topic in RVIZ_TOPICS]
    pairs = [(f"/{each}", f"{prefix}/{name}/{each.partition('/')[2]}") for each in names]
    return [*pairs, ("/clicked_point", f"{prefix}/clicked_point")]


def box_numbers(text: str) -> list[float]:
    """Centre x, centre y, width and height of `init_box:=320,256,40,30`, in px.

    Raises:
        ConfigError: it is not four numbers; brackets around them may stay.
    """
    try:
        cx, cy, width, height = map(float, text.strip().strip("[]").split(","))
    except ValueError as error:
        raise ConfigError(
            f"expected init_box as 320,256,40,30 (centre x, centre y, width, height), got {text!r}"
            "; give four numbers"
        ) from error
    return [cx, cy, width, height]


def camera_names(text: str) -> list[str]:
    """Names of `cameras:=[front,rear]`, each a namespace.

    Raises:
        ConfigError: none, a repeated one, or one that cannot be a namespace.
    """
    names = [name.strip().strip("'\"") for name in text.strip().strip("[]").split(",")]
    good = all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*", n) for n in names)
    if not good or len(set(names)) < len(names):
        raise ConfigError(
            f"expected cameras as [front,rear], different names of letters, digits and _, got "
            f"{text!r}; each becomes a namespace"
        )
    return names
