"""A ROS 2 graph for tests: a context and a node of their own, and waiting on conditions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
import rclpy
import torch
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor

from mlss_core.checkpoint import save_checkpoint
from mlss_core.model.network import MLSSNet

PATIENCE_S = 20.0


@pytest.fixture(scope="session")
def ros_context() -> Iterator[Context]:
    context = Context()
    rclpy.init(context=context)
    yield context
    rclpy.try_shutdown(context=context)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Weights file of an untrained network: finds contrast well enough for a lone hot blob."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    save_checkpoint(path, MLSSNet())
    return str(path)


class Spinner:
    """Spins nodes until something is true."""

    def __init__(self, context: Context) -> None:
        self.executor = SingleThreadedExecutor(context=context)

    def until(self, condition: Callable[[], object], what: str, patience_s: float = PATIENCE_S):
        """Spin until `condition` is truthy; returns its value."""
        end = time.monotonic() + patience_s
        while not (value := condition()):
            assert time.monotonic() < end, f"waited {patience_s:g} s for: {what}"
            self.executor.spin_once(timeout_sec=0.05)
        return value


@pytest.fixture
def spinner(ros_context: Context) -> Iterator[Spinner]:
    spinner = Spinner(ros_context)
    yield spinner
    for node in spinner.executor.get_nodes():
        spinner.executor.remove_node(node)
    spinner.executor.shutdown()
