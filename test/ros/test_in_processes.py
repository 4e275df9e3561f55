"""What users' tools send, over DDS, to a tracker that is a process of its own."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import BLOB, LATCHED, PATIENCE_S, Client, S, blob_frame, header_at
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Point, PointStamped
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, PointCloud2, RegionOfInterest
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection2DArray

from mlss_tracker_ros.detections import box_from_detection

pytestmark = pytest.mark.slow

START_S = 180.0  # on a machine where much else runs
OPERATED = "/robot/front"
CAMERA_TOPIC = "thermal/image_raw"


@pytest.fixture(scope="module")
def start_node() -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts a node as its own process; SIGINT must end each with 0 when the module is done."""
    processes: list[subprocess.Popen] = []

    def start(module: str, *ros_arguments: str, **params: object) -> subprocess.Popen:
        command = [sys.executable, "-m", f"mlss_tracker_ros.{module}", "--ros-args"]
        for remap in ros_arguments:
            command += ["-r", remap]
        for name, value in params.items():
            command += ["-p", f"{name.replace('__', '.')}:={value}"]
        processes.append(subprocess.Popen(command))
        return processes[-1]

    yield start
    for process in processes:
        process.send_signal(signal.SIGINT)
    try:
        assert [process.wait(timeout=PATIENCE_S) for process in processes] == [0] * len(processes)
    finally:
        for process in processes:
            process.kill()


def tracker_params(weights: str, **more: object) -> dict[str, object]:
    return {"weights": weights, "presence__enabled": "false", "search__scales": 1, **more}


@pytest.fixture(scope="module")
def tracker(start_node, weights) -> None:
    """A tracker remapped as a robot's launch file does it, with rqt's clicks as its corners."""
    start_node(
        "tracker_node",
        f"__ns:={OPERATED}",
        f"image_raw:={CAMERA_TOPIC}",
        f"~/clicked_corner:={CAMERA_TOPIC}_mouse_left",
        **tracker_params(weights, image_timeout_s=3600.0),
    )


@pytest.fixture
def robot(tracker, make_client) -> Client:
    """A client of that tracker, which has seen one image and has no target."""
    client = make_client(OPERATED)
    client.node.destroy_publisher(client.images)
    client.images = client.node.create_publisher(Image, CAMERA_TOPIC, 10)
    client.until(lambda: client.statuses, "a process that starts", START_S)
    client.connect()
    client.call(Trigger, "mlss_tracker/stop")
    client.until(lambda: client.track().detections == [], "an image without a target")
    return client


def tracks_the_blob(client: Client) -> bool:
    client.until_status("TRACKING")
    (detection,) = client.track().detections
    return box_from_detection(detection).iou(BLOB) > 0.2  # the weights are untrained


def test_two_clicks_in_rqt_image_view_start_a_target(robot):
    clicks = robot.node.create_publisher(Point, f"{CAMERA_TOPIC}_mouse_left", 1000)
    robot.until(clicks.get_subscription_count, "ears for clicks")
    for x, y in ((72.0, 68.0), (88.0, 52.0)):
        clicks.publish(Point(x=x, y=y, z=0.0))
    assert tracks_the_blob(robot)


def test_a_region_of_interest_starts_a_target(robot):
    regions = robot.node.create_publisher(RegionOfInterest, "mlss_tracker/init_roi", 10)
    robot.until(regions.get_subscription_count, "ears for regions")
    regions.publish(RegionOfInterest(x_offset=72, y_offset=52, width=16, height=16))
    assert tracks_the_blob(robot)


def test_two_points_published_by_rviz_start_on_the_picture_shown(robot):
    planes = []
    shown = robot.node.create_subscription(
        PointCloud2, "mlss_tracker/image_plane", planes.append, 1
    )
    points = robot.node.create_publisher(PointStamped, "clicked_point", 5)
    robot.until(points.get_subscription_count, "ears for points")
    robot.until(lambda: robot.track() and planes, "a picture on the plane")
    for x, y in ((0.7204, -0.5191), (0.8797, -0.6803)):  # RViz picks between the centres too
        message = PointStamped(point=Point(x=x, y=y, z=1e-5))
        message.header.frame_id = "thermal_image_plane"
        message.header.stamp = robot.node.get_clock().now().to_msg()  # RViz's clock
        points.publish(message)
        robot.track()
    assert tracks_the_blob(robot)
    robot.node.destroy_subscription(shown)


def test_a_box_drawn_a_second_ago_starts_on_its_image_and_catches_up(robot):
    headers = [robot.send_frame() for _ in range(11)]  # 0.1 s of stamps apart
    robot.answer(headers[-1])
    drawn_on = headers[0].stamp
    stamp_ns = drawn_on.sec * S + drawn_on.nanosec
    robot.send_box(target_id="between", stamp_ns=stamp_ns + 1)
    robot.until_status("init box refused", "s before the newest")  # so the other one is found
    robot.send_box(target_id="a", stamp_ns=stamp_ns)
    robot.until(lambda: "target.a" in robot.figures, "the target")
    caught_up = []
    for _ in range(20):  # 2 s of frames
        caught_up = robot.track().detections
        if caught_up:
            break
    (detection,) = caught_up
    assert detection.id == "a"


def test_a_bag_played_in_a_loop_with_clock_starts_again_on_its_box(
    start_node, weights, make_client
):
    box = "[80.0, 60.0, 16.0, 16.0]"
    namespace = "/replay"
    start_node(
        "tracker_node",
        f"__ns:={namespace}",
        **tracker_params(weights, use_sim_time="true", init_box=box),
    )
    client = make_client(namespace)
    clock_qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)  # of rosbag2
    clock = client.node.create_publisher(Clock, "/clock", clock_qos)
    diagnostics = []
    client.node.create_subscription(DiagnosticArray, "/diagnostics", diagnostics.append, 10)
    client.until(lambda: client.statuses, "a process that starts", START_S)
    client.connect()
    client.until(clock.get_subscription_count, "ears for the clock")
    recorded_ns = [1_000 * S + n * S // 10 for n in range(12)]
    for _ in range(2):  # the second round jumps back by 1.1 s
        for stamp_ns in recorded_ns:
            clock.publish(Clock(clock=header_at(stamp_ns).stamp))
            client.detections.clear()
            (detection,) = client.track(stamp_ns=stamp_ns).detections
    client.until(lambda: client.figures.get("time_jumps") == "1", "word of the jump")
    assert detection.id == "2", "a new target on the same box"
    client.until(
        lambda: any(
            1_000 <= array.header.stamp.sec < 1_002
            for array in diagnostics
            if array.status[0].name.startswith("replay")
        ),
        "diagnostics in the bag's time",
    )


def write_bag(folder: Path, frames: int, size_px: tuple[int, int]) -> None:
    rosbag2 = pytest.importorskip("rosbags.rosbag2", reason="needs rosbags")
    typesys = pytest.importorskip("rosbags.typesys")
    store = typesys.get_typestore(typesys.Stores.ROS2_HUMBLE)
    time, header, image = (
        store.types[name]
        for name in ("builtin_interfaces/msg/Time", "std_msgs/msg/Header", "sensor_msgs/msg/Image")
    )
    plugin = rosbag2.StoragePlugin.MCAP
    with rosbag2.Writer(folder, version=8, storage_plugin=plugin) as writer:
        connection = writer.add_connection("/image_raw", image.__msgtype__, typestore=store)
        for n in range(frames):
            pixels = blob_frame(n, size_px, np.uint16)
            message = image(
                header=header(stamp=time(sec=n // 100, nanosec=n % 100 * 10**7), frame_id="c"),
                height=size_px[1],
                width=size_px[0],
                encoding="mono16",
                is_bigendian=0,
                step=2 * size_px[0],
                data=pixels.reshape(-1).view(np.uint8),
            )
            data = store.serialize_cdr(message, connection.msgtype)
            writer.write(connection, n * 10**7, data)


def test_a_slow_tracker_misses_no_frame_of_a_bag(start_node, weights, make_client, tmp_path):
    frames, namespace = 300, "/recorded"
    write_bag(tmp_path / "bag", frames, (96, 72))
    client = make_client(namespace)
    truth = []
    client.node.create_subscription(
        Detection2DArray, "thermal_camera/ground_truth", truth.append, 1000
    )
    cameras: list[DiagnosticStatus] = []
    client.node.create_subscription(
        DiagnosticStatus, "thermal_camera/status", cameras.append, LATCHED
    )
    start_node(
        "tracker_node",
        f"__ns:={namespace}",
        **tracker_params(
            weights,
            process_every_frame="true",
            init_box="[80.0, 60.0, 16.0, 16.0]",
            buffer_max_mb=1,  # 75 of the frames: it is full at times
        ),
    )
    client.until(lambda: client.statuses, "a process that starts", START_S)
    client.connect()
    client.node.destroy_publisher(client.images)
    start_node(
        "camera_node",
        f"__ns:={namespace}",
        source=tmp_path / "bag",
        rate=500.0,  # no tracker on a CPU is as fast
        wait_for_subscribers=2,
    )
    heard = "thermal_camera/ground_truth"
    client.until(lambda: client.node.count_publishers(heard), "a process that starts", START_S)
    client.node.create_subscription(
        Image, "image_raw", lambda image: None, qos_profile_sensor_data
    )
    client.until(lambda: cameras and cameras[-1].message == "FINISHED", "the end of the bag")
    slow = 30  # all images have been sent by now, and wait
    client.until(lambda: len(client.detections) >= slow, "the first answers")
    assert len(client.detections) < frames
    client.call(Trigger, "mlss_tracker/stop")  # the rest costs less
    client.until(lambda: len(client.detections) >= frames, "the last answer", 2 * PATIENCE_S)
    stamps = [(a.header.stamp.sec, a.header.stamp.nanosec) for a in client.detections]
    assert stamps == sorted(set(stamps))
    assert len(stamps) == frames
    shown = [(t.header.stamp.sec, t.header.stamp.nanosec) for t in truth]
    assert shown  # heard here from some image on
    assert stamps[-len(shown) :] == shown
    assert all(len(a.detections) == 1 for a in client.detections[:slow])
    client.until(lambda: client.figures.get("processed") == str(frames), "the figures")
    assert (client.figures["dropped"], client.figures["lost"]) == ("0", "0")
