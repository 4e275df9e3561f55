"""Runs a node as a process that ends with 0 and without a traceback on Ctrl-C and SIGTERM."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import NoReturn

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node

from mlss_core.errors import MlssError

UnknownROSArgsError = rclpy_implementation.UnknownROSArgsError
RCLInvalidROSArgsError = rclpy_implementation.RCLInvalidROSArgsError


class _Interrupt(KeyboardInterrupt):
    """A Ctrl-C.

    Where a plain KeyboardInterrupt breaks off an `exec`, as imports that make named tuples and
    data classes run many, Python kills itself by the signal at its end, whoever caught it.
    """


def run_node(make_node: Callable[[], Node], args: list[str] | None = None) -> int:
    """Spin the node until the process is told to end.

    Args:
        make_node: called once ROS 2 is up; its `close`, if any, is called at the end.
        args: command line; None for the process's own.

    Returns:
        Exit code: 0, or 1 after one line on stderr when the node cannot be made.
    """
    node: Node | None = None
    try:
        signal.signal(signal.SIGINT, _interrupt)
        rclpy.init(args=args)
        executor = SingleThreadedExecutor()  # first: it cannot be made once a signal came
        node = make_node()
        executor.add_node(node)
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass  # asked to end
    except (MlssError, UnknownROSArgsError, RCLInvalidROSArgsError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except Exception:
        if rclpy.ok():  # else the signal came while something else was under way
            raise
    finally:
        ignore_signals()  # a second Ctrl-C must not break the exit
        if node is not None:
            if hasattr(node, "close"):
                node.close()
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


def _interrupt(number: int, frame: object) -> NoReturn:
    raise _Interrupt


def ignore_signals() -> None:
    """Ignore Ctrl-C and SIGTERM from now on, and one that has come but was not yet noticed.

    rclpy's handler ends the spinning and passes the signal on: Python may notice it only here.
    """
    pending = [signal.SIGINT, signal.SIGTERM]
    while pending:
        try:
            signal.signal(pending[0], signal.SIG_IGN)
            pending.pop(0)
        except KeyboardInterrupt:
            continue
