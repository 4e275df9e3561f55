"""Fields of parameter dataclasses as ROS parameters: declared, described, loaded, checked.

Names, defaults, ranges, units and documentation come from the fields; nothing is stated twice.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
from collections.abc import Iterable, Iterator
from dataclasses import field
from typing import Any, NamedTuple

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from mlss_core.checked import check_value
from mlss_core.errors import ConfigError


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
