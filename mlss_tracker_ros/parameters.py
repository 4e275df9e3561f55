"""The one table of ROS parameters: fields of NodeParams and of mlss_core's TrackerParams.

Names, defaults, ranges, units and documentation come from the dataclass fields; nothing is stated
twice. `python -m mlss_tracker_ros.parameters` prints the table as `config/tracker.yaml`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from mlss_core.checked import Checked, check_value
from mlss_core.errors import ConfigError
from mlss_core.params import DEVICES, PRECISIONS, PROFILES, tracker_params


def setting(
    default: Any,
    doc: str,
    unit: str = "",
    range: tuple[float, float] | None = None,  # noqa: A002
    choices: tuple[str, ...] | None = None,
    read_only: bool = False,
) -> Any:
    """Field of a parameter dataclass, with the metadata that this module and the docs read."""
    metadata = {
        "doc": doc,
        "unit": unit,
        "range": range,
        "choices": choices,
        "read_only": read_only,
    }
    return field(default=default, metadata=metadata)


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


_STRUCTURAL = ("search.resampling", "box.")  # read once, as the networks are prepared
_WHEN = {
    "thermal": "Takes effect when the next target starts without others being followed.",
    "search.region_scale": "A change loses the targets that are followed: start them again.",
}


class Row(NamedTuple):
    """One ROS parameter."""

    name: str
    item: dataclasses.Field[Any]
    default: Any
    read_only: bool

    @property
    def description(self) -> str:
        """Meaning, unit, choices, source and when a change takes effect."""
        meta = self.item.metadata
        parts = [meta["doc"]]
        if meta.get("unit"):
            parts.append(f"Unit: {meta['unit']}.")
        if meta.get("choices"):
            parts.append(f"One of: {', '.join(map(str, meta['choices']))}.")
        if meta.get("source"):
            parts.append(f"Source: {meta['source']}.")
        parts += [_WHEN.get(name, "") for name in (self.name.partition(".")[0], self.name)]
        return " ".join(part for part in parts if part)


def rows(params: Any, prefix: str = "") -> Iterator[Row]:
    """Parameters of a dataclass value, nested ones with dotted names."""
    for item in dataclasses.fields(params):
        value = getattr(params, item.name)
        if dataclasses.is_dataclass(value):
            yield from rows(value, f"{prefix}{item.name}.")
        else:
            name = prefix + item.name
            read_only = item.metadata.get("read_only", False) or name.startswith(_STRUCTURAL)
            yield Row(name, item, value, read_only)


def declare_params(node: Node, params: Any, read_only: bool = False) -> None:
    """Declare every field of a parameter dataclass, its values being the defaults.

    With `read_only` none can be changed later: the node reads them at its start alone.

    Raises:
        ConfigError: a value given at start has the wrong type or is out of range.
    """
    for row in rows(params):
        row = row._replace(read_only=row.read_only or read_only)
        default = list(row.default) if isinstance(row.default, tuple) else row.default
        try:
            node.declare_parameter(row.name, default, descriptor(row))
        except Exception as error:  # rclpy has a type per cause, and they differ by distribution
            raise ConfigError(
                f"expected parameter {row.name} like {default!r} ({row.description}), got: {error}"
            ) from error
        _typed(row, node.get_parameter(row.name).value)


def descriptor(row: Row) -> ParameterDescriptor:
    """What `ros2 param describe` shows and rclpy enforces."""
    # Types are checked by _typed(): it takes 30 for 30.0, and its refusals name the parameter.
    message = ParameterDescriptor(
        description=row.description, read_only=row.read_only, dynamic_typing=True
    )
    bounds = row.item.metadata.get("range")
    if bounds and isinstance(row.default, float):
        low, high = (float(bound) for bound in bounds)
        message.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    elif bounds and not isinstance(row.default, bool):
        low, high = (int(bound) for bound in bounds)
        message.integer_range = [IntegerRange(from_value=low, to_value=high)]
    return message


def load_params(node: Node, params: Any, changes: Iterable[Parameter] = ()) -> Any:
    """Build the dataclass of `params`' type from a node's values, with `changes` put on top.

    Raises:
        ConfigError: a value is refused; the text names the parameter.
    """
    changed = {change.name: change.value for change in changes}

    def build(part: Any, prefix: str) -> Any:
        values = {}
        for item in dataclasses.fields(part):
            default, name = getattr(part, item.name), prefix + item.name
            if dataclasses.is_dataclass(default):
                values[item.name] = build(default, f"{name}.")
                continue
            value = changed[name] if name in changed else node.get_parameter(name).value
            values[item.name] = _typed(Row(name, item, default, read_only=False), value)
        return type(part)(**values)

    return build(params, "")


def check_changes(node: Node, changes: list[Parameter], *params: Any) -> SetParametersResult:
    """Answer of an on-set callback: refuses, with the reason, what the dataclasses refuse."""
    try:
        for part in params:
            load_params(node, part, changes)
    except ConfigError as error:
        return SetParametersResult(successful=False, reason=str(error))
    return SetParametersResult(successful=True)


def unknown_parameters(given: Iterable[str], known: Iterable[str]) -> list[str]:
    """One line for each name that no parameter has, with the nearest one that exists."""
    known = set(known)
    lines = []
    for name in sorted(set(given) - known):
        near = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        lines.append(f"unknown parameter {name!r} is ignored{hint}")
    return lines


def _typed(row: Row, value: Any) -> Any:
    """Bring a ROS value to the type of the field, and check it."""
    default = row.default
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if isinstance(default, tuple) and hasattr(value, "__len__"):
        with contextlib.suppress(TypeError, ValueError):  # no numbers: refused below
            value = tuple(float(number) for number in value)
    if type(value) is not type(default):
        raise ConfigError(
            f"expected parameter {row.name} to be of type {type(default).__name__}, got "
            f"{value!r}; see its description"
        )
    try:
        check_value(row.item, value)
    except ConfigError as error:
        raise ConfigError(f"parameter {row.name}: {error}") from error
    return value


def as_yaml() -> str:
    """Text of `config/tracker.yaml`: every parameter with its meaning, at its default.

    The tracker's own are commented out, so that `profile` decides them.
    """
    lines = [
        "# Parameters of tracker_node, all of them, at their defaults. Made by",
        "# `python -m mlss_tracker_ros.parameters`; copy it and keep what you change.",
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
