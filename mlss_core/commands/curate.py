"""`mlss curate`: sequences to training crops."""

from __future__ import annotations

import argparse
from pathlib import Path

from mlss_core.train.curate import CurateParams, curate


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    defaults = CurateParams()
    parser.add_argument(
        "sources",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="folders of sequences (OTB, PTB-TIR, LSOTB-TIR, VOT, GOT-10k, video + txt), of "
        "tracklets (tracklets.json) or of cut-outs (polygons.json)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("build/crops"), help="folder to write (%(default)s)"
    )
    parser.add_argument(
        "--every",
        type=int,
        default=defaults.every,
        metavar="N",
        help="keep each N-th frame of a sequence (%(default)s)",
    )
    parser.add_argument(
        "--crop-px",
        type=int,
        default=defaults.crop_px,
        help="side of a crop; the target size s_z is 127 px of it (%(default)s)",
    )
    parser.add_argument(
        "--val-fraction",
        type=float,
        default=defaults.val_fraction,
        help="share of each block of numbers that is held out (%(default)s)",
    )
    parser.add_argument("--workers", type=int, default=2, help="processes (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Curate, with a progress bar, and tell what was dropped."""
    from rich.progress import Progress

    params = CurateParams(crop_px=args.crop_px, every=args.every, val_fraction=args.val_fraction)
    with Progress() as progress:
        task = progress.add_task("cutting crops")
        report = curate(
            args.sources,
            args.out,
            params,
            args.workers,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    print(f"{report.pop('kept')} crops in {args.out}")
    for reason, count in sorted(report.items(), key=lambda item: -item[1]):
        print(f"dropped {count}: {reason}")
    return 0
