"""What a run leaves to read: log.csv, validation.csv and TensorBoard events."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from mlss_core.errors import CheckpointError


class RunLog:
    """Two tables of figures per step, mirrored to TensorBoard where that is installed.

    Rows of steps after `step` are dropped first: a resumed run writes them again. Where its
    figures are others (clips were added), the rows before have `nan` in the new columns.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._folder = folder
        self._step = step
        self._tables: dict[str, IO[str]] = {}
        self._events = _open_events(folder, step)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):  # `write` has said so
            for table in self._tables.values():
                table.close()
            if self._events is not None:
                self._events.close()

    def write(self, name: str, step: int, figures: Mapping[str, float]) -> None:
        """Append a row to `name`.csv; the figures must be the same each time.

        Raises:
            CheckpointError: it cannot be written.
        """
        path = self._folder / f"{name}.csv"
        row = ",".join(f"{value:.6g}" for value in figures.values())
        try:
            if name not in self._tables:
                self._tables[name] = _continue_table(path, self._step, figures)
            self._tables[name].write(f"{step},{row}\n")
            self._tables[name].flush()
            if self._events is not None:
                for key, value in figures.items():
                    self._events.add_scalar(f"{name}/{key}", value, step)
        except OSError as error:
            raise CheckpointError(
                f"expected to write {path}, got: {error.strerror or error}; free some space and "
                "resume"
            ) from error


def read_table(path: Path) -> list[dict[str, float]]:
    """Rows of a table that RunLog wrote; an unfinished last line is left out."""
    return [{key: float(value) for key, value in row.items()} for row in _whole_rows(path)]


def _whole_rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return [row for row in csv.DictReader(file) if None not in row.values()]


def _continue_table(path: Path, step: int, figures: Mapping[str, float]) -> IO[str]:
    columns = ("step", *figures)
    rows = _whole_rows(path) if step > 0 else []
    kept = [row for row in rows if row["step"].isdigit() and int(row["step"]) <= step]
    lines = [columns, *([row.get(name, "nan") for name in columns] for row in kept)]
    partial = path.with_name(path.name + ".part")
    with partial.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)
    partial.replace(path)
    return path.open("a")


def _open_events(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
