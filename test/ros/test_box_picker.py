"""The box picker behind a window that plays events: boxes, keys, texts, and its end."""

import array
import contextlib
import threading
import time

import cv2
import numpy as np
import pytest
import rclpy
from conftest import PATIENCE_S, S, blob_frame, header_at
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage
from vision_msgs.msg import Detection2D

from mlss_core.box import Box
from mlss_core.errors import MlssError
from mlss_tracker_ros.box_picker import BoxPicker, CvWindow
from mlss_tracker_ros.detections import box_from_detection

BEFORE_NS = 100 * S - S // 10  # just before the stamps that a client gives by itself


class FakeWindow:
    """Plays events and keys, one at a time, each after a picture was shown."""

    def __init__(self, title, on_mouse):
        self.title, self.on_mouse = title, on_mouse
        self.events, self.keys = [], []
        self.picture = np.zeros((1, 1, 3), np.uint8)
        self.closed = False

    def show(self, picture):
        self.picture = picture
        if self.events:
            self.on_mouse(*self.events.pop(0))
        return self.keys.pop(0) if self.keys else -1

    def close(self):
        self.closed = True


@pytest.fixture
def make_picker(ros_context, namespace, make_client):
    """Makes a client with a picker's fake window and the boxes that the picker published."""
    running = []

    def make(**params):
        windows = []

        def make_window(title, on_mouse):
            windows.append(FakeWindow(title, on_mouse))
            return windows[0]

        client = make_client(namespace)
        client.picked = []
        client.node.destroy_publisher(client.boxes)
        client.node.create_subscription(
            Detection2D, "mlss_tracker/init_box", client.picked.append, 10
        )
        overrides = [Parameter(name, value=value) for name, value in params.items()]
        node = BoxPicker(
            make_window, context=ros_context, namespace=namespace, parameter_overrides=overrides
        )
        client.window = windows[0]
        client.box_listeners = node._boxes.get_subscription_count
        executor = SingleThreadedExecutor(context=ros_context)
        executor.add_node(node)
        thread = threading.Thread(target=executor.spin, daemon=True)
        thread.start()
        running.append((node, executor, thread))
        client.until(
            lambda: client.node.count_publishers("mlss_tracker/init_box"), "the picker's boxes"
        )
        return client

    yield make
    for node, executor, thread in running:
        executor.shutdown()
        thread.join(PATIENCE_S)
        node.destroy_node()


@pytest.fixture
def picker(make_picker):
    client = make_picker(target_id="walker")
    client.until(client.images.get_subscription_count, "the picker's eyes")
    return client


def until_shown(picker):
    """Send a picture until the window has it (it may not hear the first); returns its header."""

    def shown():
        frame = blob_frame(0, dtype=np.uint16)
        headers.append(picker.send_frame(frame, stamp_ns=BEFORE_NS, frame_id="thermal"))
        return picker.window.picture.shape[1] == 1280

    headers = []
    picker.until(shown, "the picture")
    return headers[0]


DOWN, MOVE, UP = cv2.EVENT_LBUTTONDOWN, cv2.EVENT_MOUSEMOVE, cv2.EVENT_LBUTTONUP


def test_a_drag_publishes_the_box_with_the_header_of_the_picture_at_its_start(picker):
    assert "/image_raw" in picker.window.title
    header = until_shown(picker)
    grey = picker.window.picture[:960]
    assert (grey.min(), grey.max()) == (0, 255), "16 bits are stretched to be seen"
    hot = picker.window.picture[60 * 8 + 4, 80 * 8 + 4]
    assert hot.min() > 200, "the blob is where the mouse will find it"

    picker.window.events += [(DOWN, 576, 416), (MOVE, 600, 500)]
    picker.until(lambda: not picker.window.events, "a button that is down")
    held = picker.window.picture[:960].copy()
    picker.send_frame(255 - blob_frame(1))
    for _ in range(10):  # frames that come now are not shown
        picker.executor.spin_once(timeout_sec=0.03)
    assert np.abs(picker.window.picture[:400].astype(int) - held[:400]).max() == 0
    picker.window.events.append((UP, 703, 543))
    picker.until(lambda: picker.picked, "the box")
    (message,) = picker.picked
    assert message.header == header
    assert message.id == "walker"
    assert box_from_detection(message) == Box.from_roi(72, 52, 16, 16)


def test_keys_name_the_target_and_stop_it(picker):
    until_shown(picker)
    picker.window.keys += [ord("3"), ord("x")]
    picker.until(lambda: picker.picked, "a stop")
    picker.window.keys.append(ord("0"))
    picker.until(lambda: not picker.window.keys, "no id")
    picker.window.events += [(DOWN, 576, 416), (UP, 703, 543)]
    picker.until(lambda: len(picker.picked) == 2, "a box")
    stop, box = picker.picked
    assert (stop.id, stop.bbox.size_x, stop.bbox.size_y) == ("3", 0, 0)
    assert (box.id, box.bbox.size_x) == ("", 16)


def test_the_window_shows_what_the_tracker_answers(picker, make_tracker, namespace):
    picker.until(lambda: picker.window.picture.any(), "what it waits for, as text")
    make_tracker(namespace)
    picker.until(lambda: picker.images.get_subscription_count() == 2 and picker.statuses, "both")
    picker.until(lambda: picker.box_listeners() == 2, "a tracker and a client that hear the box")
    picker.track()
    picker.until(lambda: picker.window.picture.shape[1] == 1280, "the picture")
    picker.window.events += [(DOWN, 576, 416), (UP, 703, 543)]
    picker.until_status("TRACKING")
    picker.track()

    def green():
        blue, green, red = np.moveaxis(picker.window.picture[:960].astype(int), -1, 0)
        return ((green - red > 100) & (green - blue > 100)).any()

    picker.until(green, "the tracked box in the window")


def test_what_the_picker_reads_at_its_start_cannot_be_set_later(picker):
    message = Parameter("target_id", value="b").to_parameter_msg()
    answer = picker.call(SetParameters, "box_picker/set_parameters", parameters=[message])
    assert "read-only" in answer.results[0].reason


def test_compressed_pictures_are_shown(make_picker):
    client = make_picker(image_transport="compressed")
    publisher = client.node.create_publisher(CompressedImage, "image_raw/compressed", 1)
    client.until(publisher.get_subscription_count, "the picker's eyes")
    png = cv2.imencode(".png", blob_frame(0, dtype=np.uint16))[1].tobytes()
    header = header_at(7 * S)
    message = CompressedImage(header=header, format="png", data=array.array("B", png))

    def shown():
        publisher.publish(message)
        return client.window.picture.shape[1] == 1280

    client.until(shown, "the picture")
    client.window.events += [(DOWN, 576, 416), (UP, 703, 543)]
    client.until(lambda: client.picked, "the box")
    assert client.picked[0].header == header


@pytest.mark.parametrize("how", ["q", "close"])
def test_key_q_and_a_closed_window_end_the_process(how):
    context = Context()
    rclpy.init(context=context)
    windows = []

    def make_window(title, on_mouse):
        windows.append(FakeWindow(title, on_mouse))
        return windows[0]

    node = BoxPicker(make_window, context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    executor.spin_once(timeout_sec=0.0)
    assert context.ok()
    if how == "q":
        windows[0].keys.append(ord("q"))
    else:
        windows[0].closed = True
    end = time.monotonic() + PATIENCE_S
    while context.ok() and time.monotonic() < end:
        with contextlib.suppress(ExternalShutdownException):
            executor.spin_once(timeout_sec=0.1)
    assert not context.ok()
    executor.shutdown()
    node.destroy_node()


def test_without_a_display_or_windows_the_error_says_what_to_do(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(MlssError, match="expected a display to open a window on"):
        CvWindow("box_picker", print)

    def refuse(*_):
        raise cv2.error("The function is not implemented. Rebuild the library with Windows")

    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setattr(cv2, "namedWindow", refuse)
    with pytest.raises(MlssError, match="expected an OpenCV with windows.*python3-opencv"):
        CvWindow("box_picker", print)
