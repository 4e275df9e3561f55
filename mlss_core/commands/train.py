"""`mlss train`: train the network, or plot a run. Under `torchrun`, on many processes.

torchrun --nproc-per-node 8 -m mlss_core.cli train config/train.yaml
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from mlss_core.train.params import load_train_params


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("config", type=Path, help="YAML of settings, such as config/train.yaml")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in the config's folder `out`"
    )
    parser.add_argument(
        "--report", action="store_true", help="plot that run to report.png and end"
    )


def run(args: argparse.Namespace) -> int:
    """Train with a progress bar, or plot."""
    params = load_train_params(args.config)
    if args.report:
        from mlss_core.train.report import write_report

        print(write_report(Path(params.out)))
        return 0
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from mlss_core.train.loop import train

    columns = (
        *Progress.get_default_columns()[:2],
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    first = os.environ.get("RANK", "0") == "0"
    with Progress(*columns, disable=not first) as progress:
        task = progress.add_task("training", total=params.steps, figures="")

        def on_step(step: int, figures: dict[str, float]) -> None:
            name = "hit" if "hit" in figures else "overlap"
            text = f"loss {figures['loss']:.3f}  {name} {figures[name]:.2f}"
            progress.update(task, completed=step, figures=text)

        train(params, args.resume, on_step)
    if first:
        print(f"weights of the tracker: {Path(params.out) / 'last.safetensors'}")
    return 0
