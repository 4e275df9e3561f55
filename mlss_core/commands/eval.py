"""`mlss eval`: trackers side by side on annotated sequences."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlss_core.errors import ConfigError
from mlss_core.evaluate.corrupt import LEVELS, Corruption, corrupt
from mlss_core.evaluate.report import (
    TrackerScores,
    results_document,
    save_document,
    score_tracker,
    table_rows,
)
from mlss_core.evaluate.results import RunInfo
from mlss_core.evaluate.run import Job, make_jobs, run_jobs
from mlss_core.evaluate.sources import Source, collect, names_not_found, read_names
from mlss_core.evaluate.trackers import PROFILES, TrackerOptions, TrackerSpec, parse_trackers
from mlss_core.params import PRECISIONS
from mlss_core.sequences.load import sequence_name

EPILOG = """trackers:
  mlssnet, reference   ours, profiles robust and reference; NAME=W.safetensors for other weights
  csrt, kcf, mil, mosse   OpenCV contrib
  nano=BACKBONE:HEAD, vit=MODEL, dasiamrpn=MODEL:CLS1:R1, goturn=TXT:BIN   OpenCV, with models
  static               never moves: the floor
  package.module:factory   any object with initialize(frame, box) and update(frame)

exit code: 0 all runs done, 1 some failed (the others are reported), 2 nothing to evaluate or
a wrong option.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("roots", nargs="+", type=Path, metavar="DIR", help="every sequence below is evaluated")
    add(
        "--trackers",
        default="mlssnet,csrt,kcf,mil,mosse",
        help="comma-separated, see below (%(default)s)",
    )
    add(
        "--results",
        action="append",
        default=[],
        metavar="NAME=DIR",
        type=_named_folder,
        help="results of another tool: DIR/SEQUENCE.txt with x,y,w,h rows; may be repeated",
    )
    add("--out", type=Path, required=True, help="folder of results and report; reused to resume")
    add(
        "--list", type=Path, metavar="FILE", help="only the names in FILE, one or a pattern a line"
    )
    add("--match", metavar="PATTERN", help="only names like this, as in a shell: 'IR_DRONE_*'")
    add("--weights", type=Path, help="weights of mlssnet and reference (default: the shipped)")
    add("--device", default="auto", help="of mlssnet and reference: auto, cpu, cuda, cuda:N")
    add("--precision", default="auto", help=f"of mlssnet: {', '.join(PRECISIONS)}")
    add("--jobs", type=int, default=_cpu_count(), help="processes, one thread each (%(default)s)")
    add(
        "--corrupt",
        default="",
        metavar="KINDS",
        help=f"robustness curves: {','.join(LEVELS)}, all",
    )
    add("--levels", default="1,3,5", help="levels of --corrupt, 1 to 5 (%(default)s)")
    add("--seed", type=int, default=0, help="of the corruptions (%(default)s)")
    add("--no-report", action="store_true", help="write results.json alone, no plots and strips")


def run(args: argparse.Namespace) -> int:
    """Evaluate, print the table, write the report."""
    specs = parse_trackers(args.trackers)
    _check_labels(specs, args.results)
    sources, unusable = _choose_sources(args)
    options = TrackerOptions(args.weights, args.device, args.precision)
    corruptions = parse_corruptions(args.corrupt, args.levels, args.seed)
    environment = _environment(args, specs)  # an unknown device is told before hours of work
    args.out.mkdir(parents=True, exist_ok=True)

    jobs = make_jobs(sources, specs, options, args.out / "results")
    for damage in corruptions:
        folder = args.out / "corrupted" / damage.label
        jobs += make_jobs(sources, specs, options, folder, damage)
    failures = _run_with_progress(jobs, args.jobs)

    sequences = [source.sequence for source in sources]
    trackers = [
        score_tracker(spec.label, args.out / "results" / spec.label, sequences) for spec in specs
    ] + [score_tracker(name, folder, sequences) for name, folder in args.results]
    robustness = _robustness(args.out, specs, sources, corruptions, trackers)
    document = results_document(trackers, sequences, robustness, environment, unusable)
    save_document(args.out / "results.json", document)
    _print_table(trackers, sources)
    if not args.no_report:
        from mlss_core.evaluate.html import write_all

        write_all(args.out, trackers, sequences, document)
        print(f"report: {args.out / 'report.html'}")
    failures += [f"{t.label} on {name}: {why}" for t in trackers for name, why in t.failed.items()]
    failures += [f"{name}: {why}" for name, why in unusable.items()]
    for line in dict.fromkeys(failures):
        print(f"mlss eval: failed: {line}", file=sys.stderr)
    return 1 if failures else 0


def _choose_sources(args: argparse.Namespace) -> tuple[list[Source], dict[str, str]]:
    """Sequences to evaluate, and those that cannot be; tells of names that are not there."""
    if args.out.resolve() in {root.resolve() for root in args.roots}:
        raise ConfigError(
            f"expected a folder of its own for --out, got {args.out}, whose plots would count as "
            "a sequence; choose another"
        )
    names = read_names(args.list)
    sources, unusable = collect(args.roots, names, args.match)
    plots = [path for path in unusable if Path(path).resolve() == args.out.resolve()]
    for path in plots:  # of the run before
        del unusable[path]
    found = [source.name for source in sources] + [sequence_name(Path(path)) for path in unusable]
    if missing := names_not_found(names or (), args.match, found):
        print(
            f"mlss eval: note: {len(missing)} of {len(names or ())} names of {args.list} are not "
            f"there: {', '.join(missing)}",
            file=sys.stderr,
        )
    return sources, unusable


def parse_corruptions(kinds: str, levels: str, seed: int) -> list[Corruption]:
    """Every kind at every level, each once.

    Raises:
        ConfigError: unknown kind or level.
    """
    given = LEVELS if kinds == "all" else [k.strip() for k in kinds.split(",") if k.strip()]
    names = dict.fromkeys(given)  # each once, in the order given
    try:
        numbers = sorted({int(level) for level in levels.split(",")})
    except ValueError as error:
        raise ConfigError(
            f"expected levels such as 1,3,5, got {levels!r}; correct --levels"
        ) from error
    return [Corruption(name, number, seed) for name in names for number in numbers]


def _run_with_progress(jobs: list[Job], processes: int) -> list[str]:
    """Run; return a line per failed job."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    failures = []
    columns = (
        TextColumn("{task.description:28.28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        task = progress.add_task("evaluating", total=len(jobs))

        def on_done(job: Job, info: RunInfo) -> None:
            progress.update(task, advance=1, description=f"{job.spec.label} {job.name}")
            if info.status == "failed":
                damage = f" ({job.corruption.label})" if job.corruption else ""
                failures.append(f"{job.spec.label} on {job.name}{damage}: {info.error}")

        run_jobs(jobs, processes, on_done)
    return failures


def _robustness(
    out: Path,
    specs: Sequence[TrackerSpec],
    sources: Sequence[Source],
    corruptions: Sequence[Corruption],
    clean: Sequence[TrackerScores],
) -> dict[str, Any]:
    """Mean success AUC per kind, tracker and level; level 0 is the clean run."""
    measured: dict[str, Any] = {}
    baseline = {scores.label: scores.mean().success_auc for scores in clean}
    for damage in corruptions:
        entry = measured.setdefault(
            damage.kind,
            {
                "levels": [0],
                "strengths": [None],
                "seed": damage.seed,
                "success_auc": {spec.label: [round(baseline[spec.label], 5)] for spec in specs},
            },
        )
        entry["levels"].append(damage.level)
        entry["strengths"].append(damage.strength)
        sequences = [corrupt(source.sequence, damage) for source in sources]
        for spec in specs:
            folder = out / "corrupted" / damage.label / spec.label
            mean = score_tracker(spec.label, folder, sequences).mean()
            entry["success_auc"][spec.label].append(round(mean.success_auc, 5))
    return measured


def _print_table(trackers: Sequence[TrackerScores], sources: Sequence[Source]) -> None:
    from rich.console import Console
    from rich.table import Table

    header, rows = table_rows(trackers, [source.sequence for source in sources])
    table = Table()
    for i, title in enumerate(header):
        table.add_column(title, justify="left" if i == 0 else "right")
    for row in rows:
        table.add_row(*row)
    console = Console()
    # A pipe or a log has no width: keep the rows whole.
    (console if console.is_terminal else Console(width=140)).print(table)


def _environment(args: argparse.Namespace, specs: Sequence[TrackerSpec]) -> dict[str, str]:
    import cv2

    import mlss_core

    environment = {
        "mlss": mlss_core.__version__,
        "opencv": cv2.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {_cpu_count()} CPUs",
        "processes": str(args.jobs),
    }
    if any(spec.kind in PROFILES for spec in specs):
        import torch

        from mlss_core.runtime import choose_device, choose_precision

        device = choose_device(args.device)
        gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
        environment["torch"] = torch.__version__
        environment["device of mlssnet"] = gpu
        environment["precision of mlssnet"] = choose_precision(args.precision, device)
        environment["weights"] = "shipped" if args.weights is None else args.weights.name
    return environment


def _named_folder(text: str) -> tuple[str, Path]:
    name, _, folder = text.partition("=")
    if not name or not Path(folder).is_dir() or not folder:
        raise argparse.ArgumentTypeError(
            f"expected NAME=DIR with a folder of results, got {text!r}"
        )
    return name, Path(folder)


def _check_labels(specs: Sequence[TrackerSpec], results: Sequence[tuple[str, Path]]) -> None:
    labels = [spec.label for spec in specs] + [name for name, _ in results]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise ConfigError(
            f"expected different names, got {', '.join(twice)} twice; rename --results"
        )
    if not labels:
        raise ConfigError("expected at least one tracker, got none; give --trackers or --results")


def _cpu_count() -> int:
    return (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
