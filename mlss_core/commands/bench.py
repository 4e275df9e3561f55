"""`mlss bench`: what a frame costs, and how far that is from what its arithmetic costs."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from tqdm import tqdm

from mlss_core.bench import (
    STAGES,
    Setting,
    Timing,
    machine,
    measure_peak_flops,
    time_opencv,
    time_tracker,
)
from mlss_core.checkpoint import load_network
from mlss_core.errors import ConfigError
from mlss_core.evaluate.peers import OpenCvTracker
from mlss_core.runtime import choose_device, choose_precision, cpu_multiplies_int8

PEERS = ("csrt", "kcf")  # of OpenCV, measured beside ours


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--weights", type=Path, help="safetensors; default: the shipped weights")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--targets",
        type=int,
        nargs="+",
        default=[1, 4, 16],
        metavar="N",
        help="numbers of targets (1 4 16)",
    )
    parser.add_argument(
        "--frames", type=int, default=30, help="timed frames per setting (%(default)s)"
    )
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--plot", type=Path, help="picture of the stages to write")


def run(args: argparse.Namespace) -> int:
    """Measure, print a table, write JSON and a plot."""
    _check(args)
    device = choose_device(args.device)
    network = load_network(args.weights)
    auto = choose_precision("auto", device)
    precisions = ["fp32", "bf16"]
    if device.type == "cuda":
        precisions.append("fp16")
    elif cpu_multiplies_int8():
        precisions.append("int8")
    peaks = {precision: measure_peak_flops(precision, device) for precision in precisions}
    settings = [Setting("plain", "fp32", 1, 8)]
    settings += [
        Setting(path, precision, 1, 8) for path in ("folded", "robust") for precision in precisions
    ]
    settings += [Setting("robust", auto, count, 16) for count in args.targets]
    settings += [Setting("robust", auto, 1, 16, size) for size in ((320, 256), (1280, 1024))]
    rows: list[Timing] = []
    for setting in tqdm(settings, desc="mlss bench", unit="setting", disable=None):
        peak = peaks[setting.precision]
        rows.append(time_tracker(network, setting, device, args.frames, peak))
    rows += [time_opencv(kind, args.frames) for kind in PEERS]
    about = machine(device)
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    for precision, peak in peaks.items():
        print(f"{precision} matrix product: {peak / 1e9:.0f} GFLOP/s")
    print_table(rows)
    if args.json:
        content = {
            "machine": about,
            "matrix_product_gflops": {name: peak / 1e9 for name, peak in peaks.items()},
            "rows": [dataclasses.asdict(row) for row in rows],
        }
        args.json.write_text(json.dumps(content, indent=1))
    if args.plot:
        plot(rows, args.plot)
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse now what would fail after minutes of measuring."""
    if args.frames < 1 or min(args.targets) < 1:
        raise ConfigError(
            f"expected --frames and --targets of at least 1, got {args.frames} frames and targets "
            f"{' '.join(map(str, args.targets))}; raise them"
        )
    for path in (args.json, args.plot):
        if path is not None and not path.parent.is_dir():
            raise ConfigError(f"expected a folder for {path}, got none; make {path.parent}")
        if path is not None and path.is_dir():
            raise ConfigError(f"expected a file to write, got the folder {path}; add a name")
    if args.plot:
        from matplotlib.backend_bases import FigureCanvasBase

        kinds = FigureCanvasBase.get_supported_filetypes()
        if args.plot.suffix[1:].lower() not in kinds:
            raise ConfigError(
                f"expected a picture of type {', '.join(kinds)}, got {args.plot}; correct its name"
            )
    for kind in PEERS:
        OpenCvTracker(kind)  # refuses an OpenCV that has no such tracker


def print_table(rows: list[Timing]) -> None:
    """Print times in ms: whole frame, arithmetic floor, stages."""
    plain = rows[0].p50
    columns = ["p50", "p95", "p99", "frames/s", "speed-up", "floor", "x floor", *STAGES]
    print(f"{'ms per frame':42s}" + "".join(f"{column:>10s}" for column in columns))
    for row in rows:
        ratio = row.p50 / row.floor if row.floor else None
        values = [row.p50, row.p95, row.p99, row.frames_per_s, plain / row.p50, row.floor, ratio]
        values += [row.stages.get(stage) for stage in STAGES]
        cells = ["" if value is None else f"{value:.2f}" for value in values]
        print(f"{row.name:42s}" + "".join(f"{cell:>10s}" for cell in cells))


def plot(rows: list[Timing], path: Path) -> None:
    """Draw the stages of every row as one stacked bar."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 0.5 * len(rows) + 1.5))
    left = [0.0] * len(rows)
    for stage in STAGES:
        widths = [row.stages.get(stage, 0.0) for row in rows]
        axes.barh([row.name for row in rows], widths, left=left, label=stage)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    for place, row in enumerate(rows):
        axes.text(max(left[place], row.p50), place, f" {row.p50:.1f} ms", va="center", fontsize=8)
        if not row.stages:
            axes.barh([row.name], [row.p50], color="grey")
    axes.set_xscale("log")
    axes.set_xlabel("ms per frame")
    axes.invert_yaxis()
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
