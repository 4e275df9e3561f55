"""The subscription to the thermal pictures: transport, quality of service and who sends them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image

from mlss_tracker_ros.compressed_images import frame_from_compressed, loses_thermal_depth
from mlss_tracker_ros.diagnostics import describe_publishers
from mlss_tracker_ros.image_conversion import frame_from_image
from mlss_tracker_ros.input_monitor import InputMonitor

if TYPE_CHECKING:
    from mlss_tracker_ros.frame_buffer import FrameBuffer
    from mlss_tracker_ros.node_params import NodeParams

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

ImageMessage: TypeAlias = Image | CompressedImage

_NEWEST_IMAGE = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT
)
_EVERY_IMAGE = QoSProfile(history=HistoryPolicy.KEEP_ALL, reliability=ReliabilityPolicy.RELIABLE)


class ImageInput:
    """`image_raw` or `image_raw/compressed`; from activate to deactivate."""

    def __init__(
        self,
        node: Node,
        params: NodeParams,
        on_image: Callable[[ImageMessage], None],
        buffer: FrameBuffer[ImageMessage],
    ) -> None:
        """Subscribe.

        Args:
            node: that listens.
            params: which transport, and whether every frame counts.
            on_image: called in the executor's thread with every message.
            buffer: while it is full, messages stay with the middleware.
        """
        compressed = params.image_transport == "compressed"
        self.monitor = InputMonitor()
        self._node = node
        self._subscription = node.create_subscription(
            CompressedImage if compressed else Image,
            node.resolve_topic_name("image_raw") + ("/compressed" if compressed else ""),
            on_image,
            _EVERY_IMAGE if params.process_every_frame else _NEWEST_IMAGE,
            callback_group=_HoldingGroup(buffer),
            event_callbacks=SubscriptionEventCallbacks(message_lost=self._on_lost),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        # kept: they may be asked for while the subscription is being destroyed
        self.topic: str = self._subscription.topic_name
        self._qos = self._subscription.qos_profile
        self._type = f"sensor_msgs/msg/{'CompressedImage' if compressed else 'Image'}"

    def publishers_found(self) -> str:
        """Who sends on the topic, and whether type and quality of service match."""
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        return describe_publishers(publishers, self._qos, self._type)

    def close(self) -> None:
        """Stop listening."""
        self._node.destroy_subscription(self._subscription)

    def _on_lost(self, event: object) -> None:
        self.monitor.lost = event.total_count  # type: ignore[attr-defined]


class _HoldingGroup(ReentrantCallbackGroup):
    """Leaves messages with the middleware while there is no room for them."""

    def __init__(self, buffer: FrameBuffer[ImageMessage]) -> None:
        super().__init__()
        self._buffer = buffer

    def can_execute(self, entity: object) -> bool:
        return not self._buffer.full


def picture_of(message: ImageMessage, say: Callable[[str], None]) -> np.ndarray:
    """Raw picture of an image message.

    Args:
        message: raw or compressed.
        say: told of a compression that loses what a thermal camera sees.

    Returns:
        (H, W) uint8, uint16 or float32, or (H, W, 3) uint8 BGR.

    Raises:
        FrameError: the message holds no picture that can be used.
    """
    if isinstance(message, Image):
        return frame_from_image(message)
    if loses_thermal_depth(message.format):
        say("jpeg of 16-bit images keeps a few grey levels: set its format to png")
    return frame_from_compressed(message)
