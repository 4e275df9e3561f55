"""The publishers of what was found in a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from mlss_tracker_ros.clickable_plane import ClickablePlane
from mlss_tracker_ros.debug_image import debug_picture
from mlss_tracker_ros.detections import detections_from_results
from mlss_tracker_ros.image_conversion import image_from_frame

if TYPE_CHECKING:
    from mlss_tracker_ros.image_input import ImageMessage
    from mlss_tracker_ros.session import Session, Step


class Outputs:
    """`~/detections`, `~/debug_image` and `~/image_plane`; from configure to cleanup."""

    def __init__(self, node: Node, click_timeout_s: float) -> None:
        """Create the publishers.

        Args:
            node: that publishes.
            click_timeout_s: longest time between two corners clicked on the image plane.
        """
        override = {"qos_overriding_options": QoSOverridingOptions.with_default_policies()}
        self._node = node
        self._detections = node.create_publisher(
            Detection2DArray, "~/detections", QoSProfile(depth=10), **override
        )
        self._debug_image = node.create_publisher(
            Image, "~/debug_image", QoSProfile(depth=1), **override
        )
        self.plane = ClickablePlane(node, click_timeout_s, **override)

    def publish_detections(self, step: Step[ImageMessage], class_id: str) -> None:
        """Publish one array for a picture, with the header of its image."""
        header = step.kept.frame.header
        self._detections.publish(detections_from_results(step.results, header, class_id))

    def draw(self, step: Step[ImageMessage], session: Session[ImageMessage]) -> None:
        """Draw a picture for those who look; nothing when nobody does."""
        watched = self._debug_image.get_subscription_count() > 0
        plane_due = self.plane.is_due(session.params.image_plane_rate)
        if not watched and not plane_due:
            return
        picture = debug_picture(step.picture, step.results)
        if watched:
            self._debug_image.publish(image_from_frame(picture, step.kept.frame.header))
        if plane_due:
            self.plane.show(picture, step.kept, session)

    def close(self) -> None:
        """Take the publishers back."""
        self._node.destroy_publisher(self._detections)
        self._node.destroy_publisher(self._debug_image)
        self.plane.close()
