"""The node on a real graph: images and boxes in, detections and status out."""

import math

import pytest
import rclpy
from conftest import BLOB, S, header_at
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Point, PointStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image, PointCloud2, RegionOfInterest
from std_srvs.srv import SetBool, Trigger

from mlss_core.box import Box
from mlss_tracker_ros.detections import box_from_detection
from mlss_tracker_ros.diagnostics import parse_status


def test_an_image_before_any_box_gets_an_empty_array_and_status_idle(tracked):
    assert tracked.track().detections == []
    tracked.until_status("IDLE", "send a box to ~/init_box")


def test_a_box_before_any_image_is_kept_for_the_first_one(tracked):
    tracked.send_box(target_id="a")
    tracked.until_status("WAITING_IMAGE", "init box kept")
    (detection,) = tracked.track().detections
    assert detection.id == "a"
    assert box_from_detection(detection).iou(BLOB) > 0.9
    tracked.until_status("TRACKING")


@pytest.mark.parametrize(
    ("box", "theta", "reason"),
    [
        (Box(400, 60, 16, 16), 0.0, "inside the 160x120 px frame"),
        (Box(math.nan, 60, 16, 16), 0.0, "finite"),
        (Box(80, 60, math.inf, 16), 0.0, "finite"),
        (Box(80, 60, -16, 16), 0.0, "positive size"),
        (Box(80, 60, 0, 16), 0.0, "positive size"),
        (Box(80, 60, 1, 1), 0.0, "at least 3 px"),
        (Box(80, 60, 16, 16), 0.5, "theta 0.5"),
    ],
)
def test_a_bad_box_is_refused_with_the_reason_and_the_track_goes_on(tracked, box, theta, reason):
    tracked.start()
    from mlss_tracker_ros.detections import detection_from_box

    message = detection_from_box(box, header_at(0), "a")
    message.bbox.center.theta = theta
    tracked.boxes.publish(message)
    tracked.until_status("TRACKING", "init box refused", reason)
    (detection,) = tracked.track().detections
    assert detection.id == "a"
    assert box_from_detection(detection).iou(BLOB) > 0.2


def test_a_box_of_zero_size_stops_its_target(tracked):
    tracked.start("a")
    tracked.send_box(target_id="b")
    tracked.until(lambda: tracked.figures.get("targets") == "2", "the second target")
    tracked.send_box(Box(0, 0, 0, 0), "a")
    tracked.until_status("'a' stopped by request")
    assert [d.id for d in tracked.track().detections] == ["b"]
    tracked.send_box(Box(0, 0, 0, 0), "c")
    tracked.until_status("init box refused", "got 'c'")
    tracked.send_box(Box(0, 0, 0, 0))
    tracked.until_status("IDLE", "stopped")
    assert tracked.track().detections == []


def test_a_stamped_box_starts_on_its_frame(tracked):
    headers = [tracked.send_frame() for _ in range(1)]
    tracked.answer(headers[0])
    stamp = headers[0].stamp
    for _ in range(4):
        tracked.track()
    tracked.send_box(target_id="a", stamp_ns=stamp.sec * S + stamp.nanosec)
    tracked.until_status("TRACKING")
    assert len(tracked.track().detections) == 1
    tracked.send_box(target_id="old", stamp_ns=1 * S)
    tracked.until_status("TRACKING", "init box refused", "before the newest")


def test_the_services_stop_reset_and_pause(tracked):
    answer = tracked.call(Trigger, "mlss_tracker/reset")
    assert not answer.success
    assert "no target" in answer.message
    tracked.start("a")
    answer = tracked.call(Trigger, "mlss_tracker/reset")
    assert answer.success
    assert "a" in answer.message
    tracked.call(SetBool, "mlss_tracker/enable", data=False)
    tracked.until_status("paused")
    unseen = tracked.send_frame()
    tracked.call(SetBool, "mlss_tracker/enable", data=True)
    tracked.until(lambda: "paused" not in tracked.statuses[-1].message, "an unpaused status")
    assert [d.id for d in tracked.track().detections] == ["a"]
    assert unseen not in [d.header for d in tracked.detections]
    answer = tracked.call(Trigger, "mlss_tracker/stop")
    assert answer.success
    tracked.until_status("IDLE")
    assert tracked.track().detections == []


def test_a_region_of_interest_and_clicked_corners_start_targets(tracked):
    regions = tracked.node.create_publisher(RegionOfInterest, "mlss_tracker/init_roi", 10)
    corners = tracked.node.create_publisher(Point, "mlss_tracker/clicked_corner", 10)
    tracked.until(
        lambda: regions.get_subscription_count() and corners.get_subscription_count(), "matches"
    )
    tracked.track()
    regions.publish(RegionOfInterest(x_offset=72, y_offset=52, width=16, height=16))
    tracked.until_status("TRACKING")
    (detection,) = tracked.track().detections
    assert detection.id == "1"
    corners.publish(Point(x=70.0, y=50.0))
    corners.publish(Point(x=90.0, y=70.0))
    tracked.until(lambda: "target.2" in tracked.figures, "the second box")
    assert [d.id for d in tracked.track().detections] == ["2"]
    regions.publish(RegionOfInterest(x_offset=72, y_offset=52))
    tracked.until_status("init box refused", "positive size")


def test_two_points_picked_on_the_image_plane_start_on_the_frame_that_was_shown(
    namespace, make_tracker, make_client
):
    make_tracker(namespace, buffer_span_s=0.3)
    tracked = make_client(namespace)
    tracked.connect()
    planes = []
    plane_subscription = tracked.node.create_subscription(
        PointCloud2, "mlss_tracker/image_plane", planes.append, 1
    )
    points = tracked.node.create_publisher(PointStamped, "clicked_point", 5)
    tracked.until(points.get_subscription_count, "the click subscription")
    tracked.until(lambda: tracked.node.count_publishers("mlss_tracker/image_plane"), "the plane")

    def shown():
        tracked.track()
        return planes

    plane = tracked.until(shown, "an image plane")[0]
    assert plane.header.frame_id == "thermal_image_plane"
    for x, y in ((0.72, -0.52), (0.88, -0.68)):
        message = PointStamped(point=Point(x=x, y=y))
        message.header.frame_id = "map"
        points.publish(message)  # of another display: ignored
        message.header.frame_id = plane.header.frame_id
        points.publish(message)
        planes.clear()
        for _ in range(6):  # 0.6 s of stamps, more than the buffer's span
            tracked.track()
    assert "target.1" in tracked.figures or tracked.until_status("TRACKING")
    (detection,) = tracked.track().detections
    assert box_from_detection(detection).iou(BLOB) > 0.2
    tracked.node.destroy_subscription(plane_subscription)


def test_the_debug_image_is_drawn_for_those_who_look_with_the_images_header(tracked):
    tracked.start()
    assert tracked.node.count_publishers("mlss_tracker/debug_image") == 1
    pictures = []
    tracked.node.create_subscription(Image, "mlss_tracker/debug_image", pictures.append, 1)

    sent = []

    def drawn():
        sent.append(tracked.track().header)
        return pictures

    picture = tracked.until(drawn, "a debug image")[0]
    assert picture.header in sent
    assert (picture.encoding, picture.width, picture.height) == ("bgr8", 160, 120)


def test_diagnostics_tell_age_and_publishers_of_the_images(namespace, make_tracker, make_client):
    make_tracker(namespace)
    client = make_client(namespace, reliable=False)
    arrays = []
    client.node.create_subscription(DiagnosticArray, "/diagnostics", arrays.append, 10)
    client.connect()
    now_s = client.node.get_clock().now().nanoseconds / S
    for n in range(3):
        client.track(stamp_ns=round((now_s - 30 + n / 10) * S))

    def task():
        for status in reversed([each for message in arrays for each in message.status]):
            values = parse_status(status)
            if status.name == f"{namespace[1:]}/mlss_tracker: input" and "age_ms" in values:
                return values
        return None

    values = client.until(task, "the figures of the input")
    assert 29_500 < float(values["age_ms"]) < 29_900 + 60_000
    assert values["publishers"].startswith("1 publisher: client (best_effort, volatile)")
    assert values["image"] == "160x120 mono8"


def test_a_waiting_node_names_topic_publishers_and_the_qos_that_does_not_match(
    namespace, make_tracker, make_client
):
    make_tracker(
        namespace, **{f"qos_overrides.{namespace}/image_raw.subscription.reliability": "reliable"}
    )
    client = make_client(namespace, reliable=False)
    status = client.until(
        lambda: next((s for s in client.statuses if "does not match" in s.message), None),
        "the mismatch in the status",
    )
    assert f"{namespace}/image_raw" in status.message
    assert "1 publisher: client (best_effort" in status.message


def test_a_waiting_node_names_the_type_that_it_does_not_expect(
    namespace, make_tracker, make_client
):
    make_tracker(namespace, image_timeout_s=0.1)
    client = make_client(namespace)
    client.node.destroy_publisher(client.images)
    context = Context()  # another participant: within one DDS refuses a second type itself
    rclpy.init(context=context)
    camera = Node("camera", context=context, namespace=namespace)
    try:
        camera.create_publisher(CompressedImage, "image_raw", 10)
        client.until_status(
            "WAITING_IMAGE",
            "sends sensor_msgs/msg/CompressedImage, expected sensor_msgs/msg/Image",
        )
    finally:
        camera.destroy_node()
        rclpy.shutdown(context=context)


def test_a_node_that_is_not_active_says_so_when_it_is_asked_for_a_reset(
    namespace, make_tracker, make_client
):
    make_tracker(namespace, autostart=False)
    client = make_client(namespace)
    configure = Transition(id=Transition.TRANSITION_CONFIGURE)
    assert client.call(ChangeState, "mlss_tracker/change_state", transition=configure).success
    answer = client.call(Trigger, "mlss_tracker/reset")
    assert not answer.success
    assert "not active" in answer.message


def test_a_parameter_is_refused_with_the_reason_or_taken_at_run_time(tracked):
    tracked.start()

    def set_parameter(name, value):
        message = Parameter(name, value=value).to_parameter_msg()
        response = tracked.call(SetParameters, "mlss_tracker/set_parameters", parameters=[message])
        return response.results[0]

    refused = set_parameter("search.peak", "highest")
    assert not refused.successful
    assert "one of rise, released" in refused.reason
    assert set_parameter("class_id", "drone").successful
    (detection,) = tracked.track().detections
    assert detection.results[0].hypothesis.class_id == "drone"
    assert set_parameter("max_targets", 1).successful
    tracked.send_box(target_id="b")
    tracked.until_status("init box refused", "max_targets=1")


def test_two_nodes_share_a_domain_in_their_namespaces(make_tracker, make_client):
    clients = []
    for namespace in ("/robot/front", "/robot/rear"):
        make_tracker(namespace)
        clients.append(make_client(namespace))
        clients[-1].connect()
    front, rear = clients
    front.start("front target")
    assert [d.id for d in front.track().detections] == ["front target"]
    assert rear.track().detections == []
    assert rear.statuses[-1].name == "robot/rear/mlss_tracker"


def test_status_goes_on_with_sim_time_and_no_clock(namespace, make_tracker, make_client):
    make_tracker(namespace, use_sim_time=True)
    client = make_client(namespace)
    client.connect()
    client.until(lambda: len(client.statuses) >= 3, "a status each second")
    assert len(client.track().detections) == 0
