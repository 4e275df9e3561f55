"""Tells operators how the node is: `~/status`, `/diagnostics` and a log that does not flood."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

from mlss_tracker_ros.diagnostics import NodeState, diagnostic_tasks, status_message

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
WAITING_LOG_S = 5.0
QUIET_S = 1.0  # between two log lines of one kind
_GOOD_NEWS = {"target", "stopped", "paused"}


class Reporter:
    """Publishes the state when it changes and once a second; any thread may report."""

    def __init__(
        self,
        node: Node,
        state: Callable[[], tuple[NodeState, str]],
        figures: Callable[[], dict[str, object]],
    ) -> None:
        """Create the publishers and the timer.

        Args:
            node: whose name, log and topics are used.
            state: current state and its reason.
            figures: everything measured, by name.
        """
        self._node = node
        self._state = state
        self._figures = figures
        self._reported: tuple[NodeState, str] | None = None
        self._reporting = threading.Lock()  # the state published last is the newest one
        self._said_at: dict[str, float] = {}
        self._waiting_logged_at = time.monotonic()
        self._status = node.create_publisher(DiagnosticStatus, "~/status", LATCHED)
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # ticks without /clock too
        node.create_timer(1.0, self._on_second, clock=steady)

    def report(self) -> None:
        """Publish the status if its state or reason changed."""
        with self._reporting:
            if self._state() != self._reported:
                self._publish_status()

    def say(self, text: str) -> None:
        """Log a sentence, at most one a second that starts with the same word."""
        kind, now_s = text.partition(" ")[0], time.monotonic()
        if now_s - self._said_at.get(kind, -QUIET_S) < QUIET_S:
            return
        self._said_at[kind] = now_s
        if kind in _GOOD_NEWS:
            self._node.get_logger().info(text)
        else:
            self._node.get_logger().warning(text)

    def _on_second(self) -> None:
        with self._reporting:
            self._publish_status()
        state, reason = self._state()
        now_s = time.monotonic()
        if state is not NodeState.WAITING_IMAGE:
            self._waiting_logged_at = now_s
        elif now_s - self._waiting_logged_at >= WAITING_LOG_S:
            self._waiting_logged_at = now_s
            self._node.get_logger().warning(f"waiting: {reason}")
        array = DiagnosticArray(
            status=diagnostic_tasks(self._name, state, reason, self._figures())
        )
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._diagnostics.publish(array)

    def _publish_status(self) -> None:
        self._reported = self._state()
        self._status.publish(status_message(self._name, *self._reported, self._figures()))

    @property
    def _name(self) -> str:
        return self._node.get_fully_qualified_name().lstrip("/")
