"""Draw the target with the mouse in a window on the live topic; sends it to `~/init_box`."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray

from mlss_core.box import Box
from mlss_core.checked import Checked
from mlss_core.draw import GROUND_TRUTH_COLOUR, STATE_COLOURS, display_picture, draw_box, draw_text
from mlss_core.errors import FrameError, MlssError
from mlss_core.presence import TrackState
from mlss_tracker_ros.compressed_images import frame_from_compressed
from mlss_tracker_ros.detections import box_from_detection, detection_from_box
from mlss_tracker_ros.image_conversion import frame_from_image
from mlss_tracker_ros.parameters import declare_params, load_params, setting
from mlss_tracker_ros.picking import Drag, View, fitting_view
from mlss_tracker_ros.reporter import LATCHED
from mlss_tracker_ros.running import run_node

PERIOD_S = 1 / 30
QUIT_KEYS = (ord("q"), 27)  # 27: Esc
LINE_PX, LINES = 18, 3  # text below the picture
CHARACTER_PX = 8
KEPT = 64  # images that wait for the tracker's answer
ANSWER_S = 1.0  # without one the newest image is shown
NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


@dataclass(frozen=True)
class PickerParams(Checked):
    """Whom the boxes are for."""

    tracker: str = setting(
        "mlss_tracker", "Name of the tracker node, with its namespace unless that is the same."
    )
    target_id: str = setting(
        "", "Id of the boxes drawn; empty: each box replaces the one before. Keys 0 to 9 set it."
    )
    image_transport: str = setting(
        "raw", "Which topic is shown, as for the tracker.", choices=("raw", "compressed")
    )


class Shown(NamedTuple):
    """A picture in the window, the header of its image, and what was tracked on it."""

    header: Header
    picture: np.ndarray  # (H, W, 3) uint8 BGR, own size
    view: View
    detections: list[Detection2D]


class Window(Protocol):
    """What the node needs of a window."""

    def show(self, picture: np.ndarray) -> int:
        """Show a picture, deliver mouse events; the key pressed, or -1."""

    @property
    def closed(self) -> bool:
        """Whether the user closed it."""

    def close(self) -> None:
        """Close it."""


class CvWindow:
    """OpenCV's window; `on_mouse` gets its events (event, x, y in window px)."""

    def __init__(self, title: str, on_mouse: Callable[[int, int, int], None]) -> None:
        """Open it.

        Raises:
            MlssError: there is no display, or OpenCV was built without windows.
        """
        other = "or pick the target with rqt_image_view or RViz (docs/tutorial.md)"
        if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ):
            raise MlssError(  # OpenCV's Qt would end the process
                "expected a display to open a window on, got neither DISPLAY nor WAYLAND_DISPLAY; "
                f"start it in a desktop session or with ssh -X, {other}"
            )
        self._title = title
        try:
            cv2.namedWindow(title, cv2.WINDOW_AUTOSIZE | cv2.WINDOW_GUI_NORMAL)
            cv2.setMouseCallback(title, lambda event, x, y, *_: on_mouse(event, x, y))
        except cv2.error as error:
            raise MlssError(
                f"expected an OpenCV with windows, got {cv2.__file__} without; apt install "
                f"python3-opencv, or pip install 'mlss_tracker_ros[gui]', {other}"
            ) from error

    def show(self, picture: np.ndarray) -> int:
        """Show a picture, deliver mouse events; the key pressed, or -1."""
        cv2.imshow(self._title, picture)
        return cv2.waitKey(1)

    @property
    def closed(self) -> bool:
        """Whether the user closed it."""
        try:
            return cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1
        except cv2.error:  # some toolkits forget a closed window's name
            return True

    def close(self) -> None:
        """Close it."""
        cv2.destroyAllWindows()


class BoxPicker(Node):
    """Node `box_picker`: shows `image_raw`, publishes the box drawn, stamped with its image.

    The picture stands still while the button is down. It shows what the tracker answers:
    boxes, and the last status, refusals included.
    """

    def __init__(
        self,
        make_window: Callable[[str, Callable[[int, int, int], None]], Window] = CvWindow,
        **node_options: Any,
    ) -> None:
        """Open the window.

        Args:
            make_window: from title and mouse callback.
            **node_options: as rclpy's Node takes them (namespace, context, parameter_overrides).

        Raises:
            MlssError: no window can be opened, or a parameter is refused.
        """
        super().__init__("box_picker", **node_options)
        declare_params(self, PickerParams(), read_only=True)
        params = load_params(self, PickerParams())
        compressed = params.image_transport == "compressed"
        self._topic = self.resolve_topic_name("image_raw") + ("/compressed" if compressed else "")
        self._decode = frame_from_compressed if compressed else frame_from_image
        self._target_id = params.target_id
        self._kept: deque[Image | CompressedImage] = deque(maxlen=KEPT)
        self._next: tuple[Image | CompressedImage, list[Detection2D]] | None = None
        self._answer = Detection2DArray()
        self._answered_s = -ANSWER_S
        self._shown: Shown | None = None
        self._drag: Drag[Shown] = Drag()
        self._state, self._status = TrackState.TRACKING, ""
        self._window = make_window(f"box_picker: {self._topic}", self._on_mouse)
        self._boxes = self.create_publisher(Detection2D, f"{params.tracker}/init_box", 10)
        kind = CompressedImage if compressed else Image
        self.create_subscription(kind, self._topic, self._on_image, NEWEST)
        self.create_subscription(
            Detection2DArray, f"{params.tracker}/detections", self._on_detections, 1
        )
        self.create_subscription(
            DiagnosticStatus, f"{params.tracker}/status", self._on_status, LATCHED
        )
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # draws without /clock too
        self.create_timer(PERIOD_S, self._on_period, clock=steady)

    def close(self) -> None:
        """Close the window."""
        self._window.close()

    def _on_image(self, message: Image | CompressedImage) -> None:
        """Show it, unless the tracker is there: then its answer says which one is shown."""
        self._kept.append(message)
        if not self._show_answered() and time.monotonic() - self._answered_s > ANSWER_S:
            self._next = message, []

    def _on_detections(self, message: Detection2DArray) -> None:
        self._answer = message
        self._show_answered()

    def _show_answered(self) -> bool:
        """Show the picture that the newest boxes belong to, once both are here."""
        header = self._answer.header
        tracked = next((each for each in self._kept if each.header == header), None)
        if tracked is None:
            return False
        while self._kept[0] is not tracked:
            self._kept.popleft()
        self._kept.popleft()
        self._answered_s = time.monotonic()
        self._next = tracked, self._answer.detections
        return True

    def _on_status(self, message: DiagnosticStatus) -> None:
        word = message.message.partition(":")[0]
        self._state = TrackState.__members__.get(word, TrackState.TRACKING)
        self._status = message.message

    def _on_period(self) -> None:
        """Draw, and take what mouse and keys did."""
        if self._next is not None and self._drag.picture is None:
            upcoming, self._next = self._next, None
            self._take(*upcoming)
        key = self._window.show(self._canvas()) & 0xFF
        if key in QUIT_KEYS or self._window.closed:
            self.context.try_shutdown()
        elif ord("0") <= key <= ord("9"):
            self._target_id = "" if key == ord("0") else chr(key)
        elif key == ord("x"):
            self._boxes.publish(detection_from_box(Box(0, 0, 0, 0), Header(), self._target_id))

    def _take(self, message: Image | CompressedImage, detections: list[Detection2D]) -> None:
        try:
            picture = display_picture(self._decode(message))
        except FrameError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=5.0)
            return
        height, width = picture.shape[:2]
        self._shown = Shown(message.header, picture, fitting_view(width, height), detections)

    def _canvas(self) -> np.ndarray:
        """The picture with boxes, and below it what to do and what the tracker says."""
        shown = self._drag.picture or self._shown
        if shown is None:
            return _with_text(np.zeros((240, 640, 3), np.uint8), f"waiting for {self._topic}")
        picture = shown.picture.copy()
        for detection in shown.detections:
            draw_box(
                picture, box_from_detection(detection), STATE_COLOURS[self._state], detection.id
            )
        picture = shown.view.shown(picture)
        if self._drag.picture is not None:
            cv2.rectangle(picture, self._drag.from_xy, self._drag.to_xy, GROUND_TRUTH_COLOUR, 1)
        whose = f"target {self._target_id!r}" if self._target_id else "one target"
        help_text = f"drag a box ({whose}); 1-9, 0: its id; x: stop it; q: quit"
        return _with_text(picture, help_text, self._status)

    def _on_mouse(self, event: int, x: int, y: int) -> None:
        if event == cv2.EVENT_LBUTTONDOWN and self._shown is not None:
            self._drag.press(x, y, self._shown)
        elif event == cv2.EVENT_MOUSEMOVE:
            self._drag.move(x, y)
        elif event == cv2.EVENT_LBUTTONUP:
            drawn_on = self._drag.release(x, y)
            if drawn_on is not None:
                box = drawn_on.view.box(self._drag.from_xy, self._drag.to_xy)
                self._boxes.publish(detection_from_box(box, drawn_on.header, self._target_id))
                self.get_logger().info("box at ({:.1f}, {:.1f}), {:.1f} x {:.1f} px".format(*box))


def _with_text(picture: np.ndarray, *sentences: str) -> np.ndarray:
    """Picture with text in a strip below it."""
    columns = max(picture.shape[1] // CHARACTER_PX, 20)
    lines = [line for text in sentences for line in textwrap.wrap(text, columns)][:LINES]
    canvas = cv2.copyMakeBorder(picture, 0, LINE_PX * LINES, 0, 0, cv2.BORDER_CONSTANT)
    for number, line in enumerate(lines):
        at = (4, picture.shape[0] + LINE_PX * number + LINE_PX - 5)
        draw_text(canvas, line, at, GROUND_TRUTH_COLOUR)
    return canvas


def main(args: list[str] | None = None) -> int:
    """Run the node; returns the process's exit code."""
    return run_node(BoxPicker, args)


if __name__ == "__main__":
    sys.exit(main())
