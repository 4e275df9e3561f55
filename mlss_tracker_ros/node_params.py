"""The tracker node's own parameters, and the file that lists them beside the tracker's.

`python -m mlss_tracker_ros.node_params` prints that file, `config/tracker.yaml`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlss_core.checked import Checked
from mlss_core.errors import ConfigError
from mlss_core.params import DEVICES, PRECISIONS, PROFILES, tracker_params
from mlss_tracker_ros.parameters import rows, setting


@dataclass(frozen=True)
class NodeParams(Checked):
    """What the tracker node itself can be told; the tracker's own parameters follow below it."""

    profile: str = setting(
        "robust", "Defaults of all tracker parameters.", choices=PROFILES, read_only=True
    )
    weights: str = setting(
        "", "Weights file (.safetensors); empty: the shipped ones.", read_only=True
    )
    device: str = setting(
        "auto", f"Where the network runs: {', '.join(DEVICES)} or cuda:N.", read_only=True
    )
    precision: str = setting(
        "auto", "Arithmetic of the network.", choices=PRECISIONS, read_only=True
    )
    autostart: bool = setting(
        True, "Configure and activate at start; off: a lifecycle manager does.", read_only=True
    )
    image_transport: str = setting(
        "raw",
        "Which topic is read: image_raw, or image_raw/compressed (png, jpeg).",
        choices=("raw", "compressed"),
        read_only=True,
    )
    process_every_frame: bool = setting(
        False,
        "For recordings: reliable, every frame is processed in order and the publisher is held "
        "back; off: the newest frame wins.",
        read_only=True,
    )
    buffer_span_s: float = setting(
        2.0, "How long frames are kept for stamped init boxes.", "s", (0.0, 60.0), read_only=True
    )
    buffer_max_mb: int = setting(
        64, "Most memory that kept frames take.", "MB", (1, 4096), read_only=True
    )
    class_id: str = setting("target", "hypothesis.class_id of every detection.")
    init_box: tuple[float, ...] = setting(
        (0.0, 0.0, 0.0, 0.0),
        "Box for unattended runs, started on the first image: centre x, centre y, width, height; "
        "all zero: none.",
        "px",
        read_only=True,
    )
    init_max_age_s: float = setting(
        0.5,
        "An init box stamped for a frame that is not kept starts on the newest one if that is at "
        "most this much away.",
        "s",
        (0.0, 60.0),
    )
    click_timeout_s: float = setting(
        10.0, "Longest time between the clicks on two corners.", "s", (0.1, 600.0), read_only=True
    )
    max_targets: int = setting(16, "Most targets followed at once.", range=(1, 256))
    time_jump_s: float = setting(
        1.0,
        "A stamp further back than this is a jump in time: targets are dropped.",
        "s",
        (0, 3600),
    )
    image_timeout_s: float = setting(
        2.0, "Without an image for this long the state is WAITING_IMAGE.", "s", (0.1, 3600.0)
    )
    image_plane_frame: str = setting(
        "thermal_image_plane", "Frame id of ~/image_plane and of the points clicked on it."
    )
    image_plane_rate: float = setting(
        2.0, "Most image planes a second; 0: none.", "Hz", (0.0, 60.0)
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.init_box) != 4:
            raise ConfigError(
                f"expected init_box to hold centre x, centre y, width and height, got "
                f"{len(self.init_box)} numbers; give four"
            )


def as_yaml() -> str:
    """Text of `config/tracker.yaml`: every parameter with its meaning, at its default.

    The tracker's own are commented out, so that `profile` decides them.
    """
    lines = [
        "# Parameters of tracker_node, all of them, at their defaults. Made by",
        "# `python -m mlss_tracker_ros.node_params`; copy it and keep what you change.",
        "/**:",
        "  ros__parameters:",
    ]
    for params, comment in ((NodeParams(), ""), (tracker_params(), "# ")):
        if comment:
            lines += ["", "    # The tracker. Uncomment to override what the profile says."]
        for row in rows(params):
            bounds = row.item.metadata.get("range")
            limits = f" Range: {bounds[0]:g} to {bounds[1]:g}." if bounds else ""
            lines += ["", f"    # {row.description}{limits}"]
            lines.append(f"    {comment}{row.name}: {_yaml_value(row.default)}")
    return "\n".join(lines) + "\n"


def _yaml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(_yaml_value(item) for item in value)}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


if __name__ == "__main__":
    print(as_yaml(), end="")
