"""`mlss convert`: the authors' MatConvNet checkpoint to safetensors."""

from __future__ import annotations

import argparse
from pathlib import Path

from mlss_core.checkpoint import save_checkpoint
from mlss_core.matconvnet import load_matconvnet


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("source", type=Path, help="net-epoch-N.mat, MAT version 7 or 7.3")
    parser.add_argument("target", type=Path, help="the .safetensors file to write")


def run(args: argparse.Namespace) -> int:
    """Convert one file."""
    network = load_matconvnet(args.source)
    save_checkpoint(args.target, network, {"source": args.source.name})
    count = sum(parameter.numel() for parameter in network.parameters())
    print(f"{args.target}: {count} learnt parameters from {args.source.name}")
    return 0
