"""An observer beside the launched nodes, and what every launch test is given."""

import time
from collections.abc import Callable, Iterator

import pytest
import rclpy
from rcl_interfaces.srv import GetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile

PATIENCE_S = 60.0


class Observer:
    """A node that waits until the graph is as expected."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = Node("observer", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def until(self, condition: Callable[[], object], what: str) -> object:
        end = time.monotonic() + PATIENCE_S
        while not (value := condition()):
            assert time.monotonic() < end, f"waited {PATIENCE_S:g} s for {what}"
            self.executor.spin_once(timeout_sec=0.1)
        return value

    def listen(self, message_type: type, topic: str, qos: QoSProfile | int = 10) -> list:
        messages: list = []
        self.node.create_subscription(message_type, topic, messages.append, qos)
        return messages

    def parameters(self, node_name: str, *names: str) -> list:
        client = self.node.create_client(GetParameters, f"{node_name}/get_parameters")
        self.until(client.service_is_ready, f"parameters of {node_name}")
        future = client.call_async(GetParameters.Request(names=names))
        self.until(future.done, f"parameters of {node_name}")
        return [rclpy.parameter.parameter_value_to_python(v) for v in future.result().values]


@pytest.fixture
def observer() -> Iterator[Observer]:
    observer = Observer()
    yield observer
    observer.close()


@pytest.fixture
def exit_codes() -> dict[str, int]:
    """Exit codes of the launched processes, filled as they end."""
    return {}


@pytest.fixture
def weights(tmp_path) -> str:
    """Weights file of an untrained network: it starts as a trained one does."""
    from mlss_core.checkpoint import save_checkpoint
    from mlss_core.model.network import MLSSNet

    path = tmp_path / "untrained.safetensors"
    save_checkpoint(path, MLSSNet())
    return str(path)
