"""The ROS 2 example against a tracker."""

import importlib.util

import numpy as np
import pytest
from conftest import blob_frame
from geometry_msgs.msg import TwistStamped
from rclpy.parameter import Parameter
from std_msgs.msg import Header
from std_srvs.srv import Trigger


@pytest.fixture
def commands(repository, ros_context, namespace, tracked):
    """What the pan-tilt client commands; it is asked to follow what stands right of the middle."""
    path = repository / "examples/pan_tilt_client.py"
    spec = importlib.util.spec_from_file_location("pan_tilt_client", path)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    box = Parameter("box", value=[120.0, 60.0, 16.0, 16.0])
    node = example.PanTiltClient(
        context=ros_context, namespace=namespace, parameter_overrides=[box]
    )
    received = []
    tracked.node.create_subscription(TwistStamped, "pan_tilt/command", received.append, 100)
    tracked.executor.add_node(node)
    tracked.until(
        lambda: (
            node.count_publishers("image_raw")
            and node.count_publishers("mlss_tracker/detections")
            and node.count_subscribers("mlss_tracker/init_box")
            and node.count_subscribers("pan_tilt/command")
        ),
        "the client",
    )
    yield received
    tracked.executor.remove_node(node)
    node.destroy_node()


def command_for(header, commands):
    """Angular rates for the image with this header; they are about the axes of the head."""
    head = Header(stamp=header.stamp, frame_id="pan_tilt_link")
    return next((each.twist.angular for each in commands if each.header == head), None)


def test_pan_tilt_client_starts_a_target_turns_to_it_and_stops_without_it(tracked, commands):
    def send():
        return tracked.send_frame(np.roll(blob_frame(tracked._sent), 40, axis=1))

    tracked.answer(send())
    tracked.until_status("TRACKING")
    header = send()
    turn = tracked.until(lambda: command_for(header, commands), "a command")
    assert -1 <= turn.z < -0.1  # to the right
    assert abs(turn.y) < 0.3

    assert tracked.call(Trigger, "mlss_tracker/stop").success
    tracked.until_status("IDLE")
    header = send()
    stop = tracked.until(lambda: command_for(header, commands), "a command to stand still")
    assert (stop.x, stop.y, stop.z) == (0, 0, 0)
