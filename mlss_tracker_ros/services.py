"""The services that restart, drop and pause."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

if TYPE_CHECKING:
    from mlss_tracker_ros.image_input import ImageMessage
    from mlss_tracker_ros.worker import Worker


_NOT_ACTIVE = "the node is not active; activate it first"


class Services:
    """`~/reset`, `~/stop` and `~/enable`; from configure to cleanup."""

    def __init__(self, node: Node, worker: Callable[[], Worker[ImageMessage] | None]) -> None:
        """Offer them.

        Args:
            node: that answers.
            worker: the one that tracks at present; None while the node is not active.
        """
        self._node = node
        self._worker = worker
        self._services = [
            node.create_service(Trigger, "~/reset", self._on_reset),
            node.create_service(Trigger, "~/stop", self._on_stop),
            node.create_service(SetBool, "~/enable", self._on_enable),
        ]

    def close(self) -> None:
        """Take them back."""
        while self._services:
            self._node.destroy_service(self._services.pop())

    def _on_reset(self, _: Trigger.Request, answer: Trigger.Response) -> Trigger.Response:
        worker = self._worker()
        targets = _target_ids(worker)
        answer.success = bool(targets)
        answer.message = "there is no target; send a box to ~/init_box"
        if worker is None:
            answer.message = _NOT_ACTIVE
        elif targets:
            answer.message = f"restarting {', '.join(targets)} from their last init boxes"
            worker.post(lambda session: session.reset())
        return answer

    def _on_stop(self, _: Trigger.Request, answer: Trigger.Response) -> Trigger.Response:
        worker = self._worker()
        targets = _target_ids(worker)
        answer.success = True
        answer.message = f"dropping {', '.join(targets)}" if targets else "there was no target"
        if worker is not None:
            worker.post(lambda session: session.drop_all("stopped by request"))
        return answer

    def _on_enable(self, request: SetBool.Request, answer: SetBool.Response) -> SetBool.Response:
        worker = self._worker()
        answer.success = worker is not None
        if worker is None:
            answer.message = _NOT_ACTIVE
        else:
            answer.message = "running" if request.data else "paused; targets are kept"
            worker.post(lambda session: session.enable(request.data))
        return answer


def _target_ids(worker: Worker[ImageMessage] | None) -> list[str]:
    results = worker.session.results if worker is not None else []
    return [result.target_id for result in results]
