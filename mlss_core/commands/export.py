"""`mlss export`: the network for ONNX Runtime and TensorRT."""

from __future__ import annotations

import argparse
from pathlib import Path

from mlss_core.checkpoint import load_network
from mlss_core.export import export_onnx


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "out", type=Path, help="OUT.onnx: writes OUT.exemplar.onnx and OUT.instance.onnx"
    )
    parser.add_argument("--weights", type=Path, help="safetensors; default: the shipped weights")


def run(args: argparse.Namespace) -> int:
    """Export both branches."""
    for path in export_onnx(load_network(args.weights), args.out):
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    return 0
