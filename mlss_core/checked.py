"""Parameter classes: dataclasses whose fields say what they mean and what they may be."""

from __future__ import annotations

import dataclasses
from dataclasses import field
from typing import Any

from mlss_core.errors import ConfigError


def param(
    default: Any,
    doc: str,
    unit: str = "",
    range: tuple[float, float] | None = None,  # noqa: A002
    choices: tuple[str | int, ...] | None = None,
    source: str = "",
) -> Any:
    """A field of a parameter class: its default, meaning, unit, allowed values and source."""
    metadata = {"doc": doc, "unit": unit, "range": range, "choices": choices, "source": source}
    return field(default=default, metadata=metadata)


class Checked:
    """Refuses a value outside its field's range or choices as soon as it is made."""

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):  # type: ignore[arg-type]
            check_value(item, getattr(self, item.name))


def check_value(item: dataclasses.Field[Any], value: Any) -> None:
    """Check one value against the metadata of its dataclass field.

    Raises:
        ConfigError: the value is of another type, outside the range or not among the choices.
    """
    bounds, choices = item.metadata.get("range"), item.metadata.get("choices")
    if bounds is not None:
        low, high = bounds
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not low <= value <= high:
            raise ConfigError(
                f"expected {item.name} between {low:g} and {high:g}, got {value!r}; "
                "choose a value inside that range"
            )
    if choices is not None and value not in choices:
        raise ConfigError(
            f"expected {item.name} to be one of {', '.join(map(str, choices))}, got {value!r}; "
            "choose one"
        )
