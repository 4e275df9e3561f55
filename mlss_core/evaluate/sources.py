"""Which sequences are evaluated: found below folders, opened, checked and chosen by name."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from mlss_core.errors import ConfigError, MlssError, SequenceError
from mlss_core.evaluate.metrics import first_valid_row
from mlss_core.sequences import Sequence, load_sequence
from mlss_core.sequences.load import expect_sequences, sequence_name


@dataclass(frozen=True)
class Source:
    """A labelled sequence and where it lies, so that every process can open it by itself."""

    path: Path
    sequence: Sequence

    @property
    def name(self) -> str:
        """Name in tables and of result files."""
        return self.sequence.name


def open_source(path: Path) -> Source:
    """Open a sequence and check that it can be evaluated.

    Raises:
        SequenceError: it cannot be read, has no boxes or another count of boxes than frames, or
            no valid box.
    """
    sequence = load_sequence(path)
    if sequence.ground_truth is None:
        raise SequenceError(
            f"expected ground truth beside {path}, got frames alone; add groundtruth_rect.txt"
        )
    if len(sequence.ground_truth) != len(sequence.frames):
        raise SequenceError(
            f"expected one box per frame in {path}, got {len(sequence.ground_truth)} boxes for "
            f"{len(sequence.frames)} frames; correct the label file"
        )
    first_valid_row(sequence.ground_truth)
    return Source(path, sequence)


def collect(
    roots: Iterable[Path],
    patterns: Collection[str] | None,
    match: str | None,
) -> tuple[list[Source], dict[str, str]]:
    """Open every wanted sequence below `roots`.

    Returns:
        The usable ones by name, and the reason per unusable path.

    Raises:
        SequenceError: a folder holds none, none is left, or two have the same name.
    """
    sources: dict[str, Source] = {}
    unusable: dict[str, str] = {}
    for root in roots:
        for path in expect_sequences(root):
            if not _wanted(path, patterns, match):
                continue
            try:
                source = open_source(path)
            except MlssError as error:
                unusable[str(path)] = str(error)
                continue
            known = sources.setdefault(source.name, source)
            if known.path.resolve() != path.resolve():
                raise SequenceError(
                    f"expected sequences with different names, got {known.path} and {path}; "
                    "rename one or evaluate them apart"
                )
    if not sources:
        reasons = "".join(f"\n  {reason}" for reason in unusable.values())
        raise SequenceError(
            "expected a sequence to evaluate, got none that fits; check --list and --match"
            + (f", and:{reasons}" if reasons else "")
        )
    return [sources[name] for name in sorted(sources)], unusable


def read_names(path: Path | None) -> list[str] | None:
    """Names or patterns, one a line; of a path, such as `mlss curate` writes, the name counts.

    Blank lines and lines that start with # are skipped.

    Raises:
        ConfigError: there is no such file, or it is no text.
    """
    if path is None:
        return None
    if not path.is_file():
        raise ConfigError(f"expected a list of names {path}, got no file; correct --list")
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"expected a list of names {path}, got a file that is no text; correct --list"
        ) from error
    names = [line for line in lines if line and not line.startswith("#")]
    return [sequence_name(Path(name)) if "/" in name else name for name in names]


def names_not_found(
    patterns: Iterable[str], match: str | None, found: Collection[str]
) -> list[str]:
    """Entries of a list that chose none of the sequences found, though `match` lets them."""
    return [
        pattern
        for pattern in patterns
        if not fnmatch.filter(found, pattern)
        and (match is None or fnmatch.fnmatchcase(pattern, match))
    ]


def _wanted(path: Path, patterns: Collection[str] | None, match: str | None) -> bool:
    name = sequence_name(path.resolve())
    if match is not None and not fnmatch.fnmatchcase(name, match):
        return False
    return patterns is None or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
