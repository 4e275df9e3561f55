"""Finds config/fastdds.xml and the environment variable that makes Fast DDS read it.

Also says what to do about images lost on the way, whichever middleware carries them.
"""

import os
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

# rmw_fastrtps up to Jazzy reads the first only; later ones read both and warn about it.
_OLD_VARIABLE, _VARIABLE = "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"
_OLD_DISTROS = ("humble", "iron", "jazzy")


def frame_profile() -> dict[str, str]:
    """Environment variables with which Fast DDS carries whole thermal frames.

    Empty when the user has chosen a profile, or when the package is not installed with its config.
    """
    if os.environ.get(_VARIABLE) or os.environ.get(_OLD_VARIABLE):
        return {}
    path = Path(__file__).resolve().parents[1] / "config" / "fastdds.xml"  # in a clone
    if not path.is_file():
        try:
            share = get_package_share_directory("mlss_tracker_ros")
        except (PackageNotFoundError, OSError):  # OSError: no prefix is sourced at all
            return {}
        path = Path(share, "config", "fastdds.xml")
    return {profile_variable(): str(path)}


def profile_variable() -> str:
    """Environment variable by which Fast DDS of this ROS 2 distribution finds its profiles."""
    old = os.environ.get("ROS_DISTRO") in _OLD_DISTROS
    return _OLD_VARIABLE if old else _VARIABLE


def loss_remedy(middleware: str) -> str:
    """What to set where images are lost on the way, one clause.

    Args:
        middleware: RMW identifier, such as rmw_fastrtps_cpp.
    """
    if "cyclonedds" in middleware:
        return "raise net.core.rmem_max and Cyclone DDS's SocketReceiveBufferSize"
    if "zenoh" in middleware:
        return "switch Zenoh's shared memory on for camera and tracker"
    return f"set {profile_variable()} to the package's config/fastdds.xml for camera and tracker"
