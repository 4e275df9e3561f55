"""The topics on which users send boxes: to start on, or to stop a target."""

from __future__ import annotations

import time
from collections.abc import Callable
from operator import methodcaller
from typing import TYPE_CHECKING

from geometry_msgs.msg import Point, PointStamped
from rclpy.node import Node
from sensor_msgs.msg import RegionOfInterest
from vision_msgs.msg import Detection2D

from mlss_core.errors import BoxError
from mlss_tracker_ros.init_requests import (
    CornerPair,
    InitRequest,
    request_from_detection,
    request_from_roi,
)

if TYPE_CHECKING:
    from mlss_tracker_ros.clickable_plane import ClickablePlane
    from mlss_tracker_ros.image_input import ImageMessage
    from mlss_tracker_ros.worker import Worker


class InitTopics:
    """`~/init_box`, `~/init_roi`, `~/clicked_corner`, `clicked_point`; while the node is active.

    Their callbacks run in the executor's thread and hand a request or a refusal to the worker.
    """

    def __init__(
        self,
        node: Node,
        worker: Worker[ImageMessage],
        plane: ClickablePlane,
        click_timeout_s: float,
    ) -> None:
        """Subscribe.

        Args:
            node: that listens.
            worker: takes the requests.
            plane: on which `clicked_point` picks.
            click_timeout_s: longest time between the clicks on two corners.
        """
        self._node = node
        self._worker = worker
        self._plane = plane
        self._corners = CornerPair(click_timeout_s)
        self._subscriptions = [
            # volatile: a respawned node must not start on the box that its predecessor had
            node.create_subscription(message_type, name, callback, 10)
            for message_type, name, callback in (
                (Detection2D, "~/init_box", self._on_init_box),
                (RegionOfInterest, "~/init_roi", self._on_init_roi),
                (Point, "~/clicked_corner", self._on_clicked_corner),
                (PointStamped, "clicked_point", self._on_clicked_point),
            )
        ]

    def close(self) -> None:
        """Stop listening."""
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())

    def _on_init_box(self, message: Detection2D) -> None:
        self._hand_over(lambda: request_from_detection(message))

    def _on_init_roi(self, message: RegionOfInterest) -> None:
        self._hand_over(lambda: request_from_roi(message))

    def _on_clicked_corner(self, message: Point) -> None:
        self._hand_over(lambda: self._corners.click(message.x, message.y, time.monotonic()))

    def _on_clicked_point(self, message: PointStamped) -> None:
        self._hand_over(lambda: self._plane.click(message, self._worker.session))

    def _hand_over(self, read: Callable[[], InitRequest | None]) -> None:
        try:
            request = read()
        except BoxError as refusal:
            # no function of this frame: it would keep the error, and with that the frame and its
            # message, until Python collects its garbage
            self._worker.post(methodcaller("refuse", refusal))
            return
        if request is not None:
            self._worker.post(lambda session: session.request(request))
