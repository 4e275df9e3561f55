"""Point a pan-tilt head at a target: a ROS 2 node that starts the tracker and turns towards it.

    python examples/pan_tilt_client.py --ros-args -p box:=[320.0,256.0,40.0,80.0] -p fov_deg:=45.0

`box` is centre x, centre y, width and height in px of the camera's picture. Publishes
`pan_tilt/command` (geometry_msgs/TwistStamped): angular.z turns left, angular.y turns down, rad/s,
in the head's frame `pan_tilt_link`: the axes are REP 103's (x forward, y left, z up), not those
of the camera's optical frame. The head stands still while there is no box.
"""

import math
import sys

import rclpy
from geometry_msgs.msg import TwistStamped
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2D, Detection2DArray

GAIN = 1.5  # rad/s per rad off the middle
MOST_RAD_S = 1.0
SILENCE_S = 0.5  # without detections for this long the head stops
HEAD_FRAME = "pan_tilt_link"


class PanTiltClient(Node):
    """Sends one init box, then a rate for every array of detections."""

    def __init__(self, **node_options: object) -> None:
        super().__init__("pan_tilt_client", **node_options)
        self.declare_parameter("box", [0.0, 0.0, 0.0, 0.0])
        self.declare_parameter("fov_deg", 45.0)  # horizontal field of view of the camera
        self._size_px: tuple[int, int] | None = None  # width, height of the picture
        self._boxes = self.create_publisher(Detection2D, "mlss_tracker/init_box", 10)
        self._commands = self.create_publisher(TwistStamped, "pan_tilt/command", 10)
        self.create_subscription(Image, "image_raw", self._on_image, qos_profile_sensor_data)
        self.create_subscription(
            Detection2DArray, "mlss_tracker/detections", self._on_detections, 10
        )
        self._watchdog = self.create_timer(SILENCE_S, self._on_silence)

    def _on_image(self, image: Image) -> None:
        """Start on the first picture that comes once the tracker listens."""
        if self._size_px is not None or not self._boxes.get_subscription_count():
            return
        self._size_px = image.width, image.height
        request = Detection2D(header=image.header, id="target")  # the stamp names the picture
        box = request.bbox
        center = box.center.position
        center.x, center.y, box.size_x, box.size_y = self.get_parameter("box").value
        self._boxes.publish(request)

    def _on_detections(self, message: Detection2DArray) -> None:
        """Turn towards the target; stand still without one."""
        self._watchdog.reset()
        command = TwistStamped()
        command.header.stamp, command.header.frame_id = message.header.stamp, HEAD_FRAME
        targets = [detection for detection in message.detections if detection.id == "target"]
        if not targets or self._size_px is None:
            self._commands.publish(command)
            return
        width, height = self._size_px
        place = targets[0].bbox.center.position
        focal_px = width / 2 / math.tan(math.radians(self.get_parameter("fov_deg").value) / 2)
        command.twist.angular.z = -rate((place.x - (width - 1) / 2) / focal_px)
        command.twist.angular.y = rate((place.y - (height - 1) / 2) / focal_px)
        self._commands.publish(command)

    def _on_silence(self) -> None:
        command = TwistStamped()
        command.header.stamp = self.get_clock().now().to_msg()
        command.header.frame_id = HEAD_FRAME
        self._commands.publish(command)


def rate(offset: float) -> float:
    """Turning rate in rad/s for an offset from the middle, given as a tangent."""
    return max(-MOST_RAD_S, min(MOST_RAD_S, GAIN * math.atan(offset)))


def main() -> int:
    """Run until Ctrl-C."""
    rclpy.init()
    try:
        rclpy.spin(PanTiltClient())
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
