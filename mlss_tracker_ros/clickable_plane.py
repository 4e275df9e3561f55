"""`~/image_plane` for RViz, and the boxes whose corners are clicked on it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from geometry_msgs.msg import PointStamped
from rclpy.node import Node
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from mlss_tracker_ros.image_plane import image_plane, pixel_on_plane
from mlss_tracker_ros.init_requests import CornerPair, InitRequest

if TYPE_CHECKING:
    from mlss_tracker_ros.frame_buffer import Kept
    from mlss_tracker_ros.image_input import ImageMessage
    from mlss_tracker_ros.session import Session


class ClickablePlane:
    """Shows pictures as a flat cloud; stands still between the clicks on two corners.

    Both corners belong to the picture that is shown, so its frame stays in the session's buffer.
    """

    def __init__(self, node: Node, click_timeout_s: float, **publisher_options: Any) -> None:
        """Offer the cloud.

        Args:
            node: that publishes.
            click_timeout_s: longest time between two corners.
            **publisher_options: as rclpy's `create_publisher` takes them.
        """
        self._node = node
        self._publisher = node.create_publisher(
            PointCloud2, "~/image_plane", 1, **publisher_options
        )
        self._corners = CornerPair(click_timeout_s)
        self._shown: Kept[ImageMessage] | None = None
        self._shown_at_s = 0.0

    def is_due(self, rate_hz: float) -> bool:
        """Whether somebody looks, `rate_hz` allows another picture, and no first corner waits."""
        now_s = time.monotonic()
        waited = rate_hz > 0 and now_s - self._shown_at_s >= 1.0 / rate_hz
        watched = self._publisher.get_subscription_count() > 0
        return waited and watched and not self._corners.waiting(now_s)

    def show(
        self, picture: np.ndarray, kept: Kept[ImageMessage], session: Session[ImageMessage]
    ) -> None:
        """Publish a picture, (H, W, 3) uint8 BGR, of a frame of the session."""
        if not session.catching_up:
            session.buffer.pin(None)
        stamp, frame_id = kept.frame.header.stamp, session.params.image_plane_frame
        self._publisher.publish(image_plane(picture, Header(stamp=stamp, frame_id=frame_id)))
        self._shown, self._shown_at_s = kept, time.monotonic()

    def click(self, message: PointStamped, session: Session[ImageMessage]) -> InitRequest | None:
        """Take a picked point; the request of two corners, or None.

        Raises:
            BoxError: it is no corner, or both span no area; the pair starts afresh then.
        """
        shown = self._shown
        if message.header.frame_id != session.params.image_plane_frame or shown is None:
            return None  # RViz's tool also picks points of other things
        x, y = pixel_on_plane(message.point)
        now_s = time.monotonic()
        request = self._corners.click(x, y, now_s, shown.stamp_ns)
        if self._corners.waiting(now_s):  # until show() goes on to another picture
            session.buffer.pin(shown.number)
        return request

    def close(self) -> None:
        """Take the cloud back."""
        self._node.destroy_publisher(self._publisher)
