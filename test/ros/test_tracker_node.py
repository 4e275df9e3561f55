"""The node on a real graph: images and boxes in, detections and status out."""

import array
import math

import cv2
import numpy as np
import pytest
from conftest import BLOB, S, blob_frame, header_at
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Point, PointStamped
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image, PointCloud2, RegionOfInterest
from std_srvs.srv import SetBool, Trigger

from mlss_core.box import Box
from mlss_tracker_ros.detections import box_from_detection
from mlss_tracker_ros.diagnostics import parse_status
from mlss_tracker_ros.image_conversion import image_from_frame


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


@pytest.mark.parametrize("frame_id", ["thermal_optical", "", "1234567", "a/b c"])
def test_detections_have_the_header_of_their_image(tracked, frame_id):
    tracked.start()
    for stamp_ns in (200 * S + 1, 200 * S + 33_333_333, 201 * S):
        answer = tracked.track(stamp_ns=stamp_ns, frame_id=frame_id)
        assert answer.header == header_at(stamp_ns, frame_id)
        assert [d.header for d in answer.detections] == [answer.header]
        assert 0 <= answer.detections[0].results[0].hypothesis.score <= 1


def test_images_without_a_stamp_are_tracked_and_keep_their_zero(tracked):
    tracked.send_box(target_id="a")
    tracked.until_status("init box kept")
    for n in range(3):
        tracked.detections.clear()
        tracked.send_frame(stamp_ns=0)
        tracked.until(lambda n=n: tracked.detections, f"image {n}")
        assert tracked.detections[0].header.stamp == header_at(0).stamp
        assert len(tracked.detections[0].detections) == 1


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


def bad_image(**changes) -> Image:
    message = image_from_frame(blob_frame(99), header_at(500 * S))
    for name, value in changes.items():
        setattr(message, name, value)
    return message


ALL_NAN = image_from_frame(np.full((120, 160), np.nan, np.float32), header_at(500 * S))


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (
            bad_image(width=0, height=0, step=0, data=array.array("B")),
            "expected an image with pix",
        ),
        (bad_image(step=80), "step of at least 160"),
        (bad_image(step=200), "expected 24000 bytes"),
        (bad_image(data=array.array("B", bytes(100))), "got 100"),
        (bad_image(encoding="thermal14"), "'thermal14'"),
        (bad_image(width=2**31, height=2**31, step=2**31, data=array.array("B")), "bytes"),
    ],
)
def test_a_bad_image_is_refused_with_the_reason_and_the_next_one_is_tracked(
    tracked, message, reason
):
    tracked.start()
    tracked.detections.clear()
    tracked.send_image(message)
    tracked.until_status("ERROR", "image refused", reason)
    assert len(tracked.track(stamp_ns=501 * S).detections) == 1
    tracked.until_status("TRACKING")
    assert header_at(500 * S) not in [d.header for d in tracked.detections]


def test_pixels_that_are_not_numbers_are_survived_and_none_else_refused(
    namespace, make_tracker, make_client
):
    make_tracker(namespace)
    client = make_client(namespace)
    client.connect()
    frame = blob_frame(0, dtype=np.float32)
    client.send_box(target_id="a")
    client.until_status("init box kept")
    frame[::7, ::5] = np.nan
    frame[3, 3] = np.inf
    assert len(client.track(frame).detections) == 1
    client.send_image(ALL_NAN)
    client.until_status("ERROR", "finite pixel")
    assert len(client.track(blob_frame(2, dtype=np.float32), stamp_ns=501 * S).detections) == 1


def test_a_constant_frame_is_a_shutter_and_freezes_the_track(tracked):
    tracked.start()
    (before,) = tracked.track().detections
    (held,) = tracked.track(np.full((120, 160), 77, np.uint8)).detections
    assert box_from_detection(held) == box_from_detection(before)
    tracked.until_status("FROZEN")
    tracked.track()
    tracked.until_status("TRACKING")


def test_a_new_image_size_drops_the_track_and_says_why(tracked):
    tracked.start()
    assert tracked.track(blob_frame(1, (200, 150))).detections == []
    tracked.until_status("IDLE", "image changed from 160x120 px uint8 to 200x150 px", "dropped")
    tracked.send_box(Box(60, 60, 16, 16), "again")
    tracked.until_status("TRACKING")


def test_equal_and_backward_stamps_go_on_and_a_jump_back_drops_the_track(tracked):
    tracked.start()
    tracked.track(stamp_ns=300 * S)
    tracked.detections.clear()
    assert len(tracked.track(stamp_ns=300 * S).detections) == 1
    tracked.until_status("TRACKING", "repeats the one before")
    assert len(tracked.track(stamp_ns=300 * S - S // 2).detections) == 1
    tracked.until_status("TRACKING", "500.000 ms earlier")
    assert tracked.track(stamp_ns=5 * S).detections == []
    tracked.until_status("IDLE", "time jumped back by 294.500 s", "dropped target a")


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


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_compressed_images_are_tracked(namespace, make_tracker, make_client, dtype):
    make_tracker(namespace, image_transport="compressed")
    client = make_client(namespace)
    publisher = client.node.create_publisher(CompressedImage, "image_raw/compressed", 1)
    client.until(publisher.get_subscription_count, "the compressed subscription")
    client.until(client.boxes.get_subscription_count, "the box subscription")
    client.send_box(target_id="a")
    client.until_status("init box kept")
    for n in range(2):
        png = cv2.imencode(".png", blob_frame(n, dtype=dtype))[1].tobytes()
        header = header_at((10 + n) * S)
        message = CompressedImage(header=header, format="png", data=array.array("B", png))
        publisher.publish(message)
        assert len(client.answer(header).detections) == 1
    publisher.publish(CompressedImage(header=header_at(20 * S), format="png"))
    client.until_status("ERROR", "expected png or jpeg")


@pytest.mark.parametrize("reliable", [True, False])
def test_reliable_and_best_effort_cameras_are_heard(
    namespace, make_tracker, make_client, reliable
):
    make_tracker(namespace)
    client = make_client(namespace, reliable=reliable)
    client.connect()
    assert client.track().detections == []


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


def test_every_image_of_a_recording_is_answered_in_order(namespace, make_tracker, make_client):
    make_tracker(namespace, process_every_frame=True)
    client = make_client(namespace)
    client.connect()
    client.send_box(target_id="a")
    client.until_status("init box kept")
    headers = [client.send_frame() for _ in range(9)]
    client.answer(headers[-1])
    assert [d.header for d in client.detections] == headers
    assert all(len(d.detections) == 1 for d in client.detections)
    client.until(lambda: client.figures.get("processed") == "9", "the figures")
    assert client.figures["dropped"] == "0"


def test_a_full_buffer_holds_images_back_and_loses_none(namespace, make_tracker, make_client):
    make_tracker(namespace, process_every_frame=True, buffer_max_mb=1)
    client = make_client(namespace)
    client.connect()
    client.send_box(target_id="a")
    client.until_status("init box kept")
    frames = [blob_frame(n, (640, 512)) for n in range(10)]  # four of them fill the buffer
    headers = [client.send_frame(frame) for frame in frames]
    client.answer(headers[-1])
    assert [d.header for d in client.detections] == headers


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
