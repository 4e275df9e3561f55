"""The `mlss` command: a table of sub-commands, each imported only when it is called."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from mlss_core import __version__
from mlss_core.errors import MlssError

COMMANDS = {
    "track": "follow a target through a sequence, a video or a bag",
    "eval": "measure trackers on sequences with ground truth",
    "curate": "cut training crops from sequences",
    "train": "train the network",
    "convert": "read a checkpoint of the authors' MATLAB code",
    "export": "write the network for ONNX Runtime and TensorRT",
    "bench": "measure latency and throughput",
    "simulate": "write synthetic thermal sequences with ground truth",
}
# Extra of the package that brings what a sub-command imports beyond its requirements.
EXTRAS = {"bench": "eval", "curate": "train", "eval": "eval", "train": "train"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command; return 0, 2 for a mistake of the caller, 130 for Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = next((word for word in arguments if not word.startswith("-")), "")
    try:
        args = _parse(arguments, command)
        code: int = args.run(args)
    except MlssError as error:
        print(f"mlss: error: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if command not in EXTRAS:
            raise
        print(
            f"mlss: error: expected the package {error.name}, got none; "
            f"pip install 'mlss_tracker_ros[{EXTRAS[command]}]'",
            file=sys.stderr,
        )
        return 2
    except OSError as error:  # a folder that is a file, no permission, a full disk
        reason = error.strerror or error
        print(
            f"mlss: error: expected to use {error.filename or 'a file'}, got: {reason}; check the "
            "path, its permissions and the free space",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("mlss: interrupted", file=sys.stderr)
        return 130
    return code


def _parse(arguments: list[str], command: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="mlss", description="Thermal infrared tracking with MLSSNet."
    )
    parser.add_argument("--version", action="version", version=f"mlss {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        subparser = subparsers.add_parser(
            name, help=summary, description=summary[0].upper() + summary[1:]
        )
        if name == command:  # torch and its friends are slow to import: load what is called
            module = importlib.import_module(f"mlss_core.commands.{name}")
            module.configure(subparser)
            subparser.set_defaults(run=module.run)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
