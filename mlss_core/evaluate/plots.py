"""Plots of an evaluation as PNG files; matplotlib is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlss_core.errors import ConfigError
from mlss_core.evaluate.corrupt import LEVELS, UNITS
from mlss_core.evaluate.metrics import (
    NORM_PRECISION_THRESHOLDS,
    PRECISION_THRESHOLDS,
    SUCCESS_THRESHOLDS,
    Array,
)
from mlss_core.evaluate.report import TrackerScores, ranked

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Told apart on grey pictures and on white paper; the ground truth is white on pictures.
COLOURS = (
    "#e6194b", "#2f7ed8", "#f58231", "#2ca02c", "#9b4dca",
    "#17a2a8", "#c8a000", "#e377c2", "#8c564b", "#7f7f7f",
)  # fmt: skip


def colours_of(labels: Sequence[str]) -> dict[str, str]:
    """Colour per tracker, by order of the command line, the same in every picture."""
    return {label: COLOURS[i % len(COLOURS)] for i, label in enumerate(labels)}


def plot_success(
    path: Path, trackers: Sequence[TrackerScores], colours: Mapping[str, str]
) -> None:
    """Success over overlap threshold, legend ordered by area under the curve."""
    curves = {
        f"{t.label} [{t.mean().success_auc:.3f}]": (t.mean().success, colours[t.label])
        for t in ranked(trackers)
    }
    _plot_curves(path, SUCCESS_THRESHOLDS, curves, "Success (OPE)", "overlap threshold", "success")


def plot_precision(
    path: Path, trackers: Sequence[TrackerScores], colours: Mapping[str, str]
) -> None:
    """Precision over centre error, legend ordered by the value at 20 px."""
    ordered = sorted(trackers, key=lambda t: -t.mean().precision_20px)
    curves = {
        f"{t.label} [{t.mean().precision_20px:.3f}]": (t.mean().precision, colours[t.label])
        for t in ordered
    }
    _plot_curves(
        path, PRECISION_THRESHOLDS, curves, "Precision (OPE)", "centre error, px", "precision", 20
    )


def plot_norm_precision(
    path: Path, trackers: Sequence[TrackerScores], colours: Mapping[str, str]
) -> None:
    """Precision over centre error in target sizes, legend ordered by the mean of the curve."""
    ordered = sorted(trackers, key=lambda t: -t.mean().norm_precision_auc)
    curves = {
        f"{t.label} [{t.mean().norm_precision_auc:.3f}]": (
            t.mean().norm_precision,
            colours[t.label],
        )
        for t in ordered
    }
    _plot_curves(
        path,
        NORM_PRECISION_THRESHOLDS,
        curves,
        "Normalised precision (OPE)",
        "centre error, target sizes",
        "precision",
    )


def plot_bars(path: Path, trackers: Sequence[TrackerScores], colours: Mapping[str, str]) -> None:
    """Success AUC per sequence, one group of bars each; failed runs are marked with a cross."""
    names = list(dict.fromkeys(n for t in trackers for n in (*t.sequences, *t.failed)))
    thickness = 0.8 / max(len(trackers), 1)
    figure, axes = _figure(9, 1.3 + len(names) * (0.12 * len(trackers) + 0.1))
    for row, name in enumerate(names):
        for i, tracker in enumerate(trackers):
            y = row - 0.4 + thickness * (i + 0.5)
            if name in tracker.sequences:
                value = tracker.sequences[name].toolkit.success_auc
                axes.barh(y, value, thickness, color=colours[tracker.label])
            else:
                axes.plot(0.01, y, "x", color=colours[tracker.label], markersize=4)
    for tracker in trackers:
        axes.barh(0, 0, color=colours[tracker.label], label=tracker.label)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.set_xlabel("success AUC (cross: failed)")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=min(len(trackers), 6), frameon=False
    )
    _save(figure, path)


def plot_robustness(
    path: Path,
    kinds: Mapping[str, Mapping[str, Any]],
    colours: Mapping[str, str],
) -> None:
    """Mean success AUC over level, one panel per kind of `results.json`'s `robustness`."""
    from math import ceil

    columns = min(len(kinds), 4)
    rows = ceil(len(kinds) / columns)
    figure, grid = _figure(3.1 * columns + 0.4, 2.9 * rows + 0.5, rows, columns)
    panels = list(np.atleast_1d(grid).ravel())
    for axes, (kind, measured) in zip(panels, kinds.items(), strict=False):
        levels = measured["levels"]
        for label, values in measured["success_auc"].items():
            axes.plot(levels, values, "o-", color=colours[label], markersize=3, label=label)
        strengths = ["clean" if v == 0 else f"{LEVELS[kind][v - 1]:g}" for v in levels]
        axes.set_xticks(levels, strengths)
        axes.set_title(kind, fontsize=11)
        axes.set_xlabel(UNITS[kind], fontsize=9)
        axes.set_ylim(0, 1)
        axes.grid(alpha=0.3)
    for axes in panels[len(kinds) :]:
        axes.axis("off")
    for axes in panels[::columns]:
        axes.set_ylabel("success AUC")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    _save(figure, path)


def _plot_curves(
    path: Path,
    thresholds: Array,
    curves: Mapping[str, tuple[Array, str]],
    title: str,
    x_label: str,
    y_label: str,
    headline: float | None = None,
) -> None:
    figure, axes = _figure(6, 4.6)
    for label, (curve, colour) in curves.items():
        axes.plot(thresholds, curve, color=colour, linewidth=2, label=label)
    if headline is not None:
        axes.axvline(headline, color="#888888", linewidth=1, linestyle=":")
    axes.set(xlabel=x_label, ylabel=y_label, title=title, ylim=(0, 1))
    axes.set_xlim(float(thresholds[0]), float(thresholds[-1]))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9)
    _save(figure, path)


def _figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError(
            "expected matplotlib for the plots, got none; pip install 'mlss_tracker_ros[eval]' "
            "or give --no-report"
        ) from error
    figure = Figure(figsize=(width, height), layout="constrained")  # inches
    axes: Axes | Any = figure.subplots(rows, columns)
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=110)
