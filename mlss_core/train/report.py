"""Plots of a training run from its log."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlss_core.errors import ConfigError
from mlss_core.train.log import read_table


def write_report(folder: Path) -> Path:
    """Plot loss, hits, learning rate, speed and validation of the run in `folder`.

    Returns:
        The picture, `folder`/report.png.

    Raises:
        ConfigError: the folder holds no log.
    """
    from matplotlib.figure import Figure

    rows = read_table(folder / "log.csv")
    if not rows:
        raise ConfigError(
            f"expected a run with log.csv in {folder}, got none; train first, or correct `out`"
        )
    validation = read_table(folder / "validation.csv")
    step = np.array([row["step"] for row in rows])
    figure = Figure(figsize=(11, 8), layout="constrained")
    axes = figure.subplots(2, 2)
    losses, shares = ["loss", "drawn", "swapped"], ["hit", "overlap", "estimate"]
    for names, axis in ((losses, axes[0, 0]), (shares, axes[0, 1])):
        for name in names:
            if name in rows[0]:
                axis.plot(step, _smooth([row[name] for row in rows]), label=f"{name}, training")
    for names, axis in ((losses[:2], axes[0, 0]), ([*shares, "success_auc"], axes[0, 1])):
        for name in names:
            if not validation or name not in validation[0]:
                continue
            steps = [row["step"] for row in validation]
            axis.plot(steps, [row[name] for row in validation], "o-", label=f"{name}, held out")
    axes[1, 0].semilogy(step, [row["learning_rate"] for row in rows], label="learning rate")
    wait = np.array([row["wait_s"] for row in rows])
    busy = np.array([row["step_s"] for row in rows])
    axes[1, 1].plot(step, _smooth(busy), label="step, s")
    share = wait.sum() / (wait.sum() + busy.sum())
    axes[1, 1].plot(step, _smooth(wait), label=f"wait for data, s ({share:.1%} of all time)")
    for axis in axes.flat:
        axis.set_xlabel("step")
        axis.legend()
        axis.grid(alpha=0.3)
    path = folder / "report.png"
    figure.savefig(path, dpi=120)
    return path


def _smooth(values: list[float] | np.ndarray, window: int = 50) -> np.ndarray:
    """Mean of the last `window` values at every place."""
    values = np.asarray(values, dtype=np.float64)
    total = np.cumsum(np.concatenate([[0.0], values]))
    stop = np.arange(1, len(values) + 1)
    start = np.maximum(stop - window, 0)
    return (total[stop] - total[start]) / (stop - start)
