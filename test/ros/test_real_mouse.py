"""The box picker under a real mouse, on an X server of the test's own."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import BLOB, PATIENCE_S, S
from vision_msgs.msg import Detection2D

from mlss_core.box import Box
from mlss_tracker_ros.detections import box_from_detection

WINDOW_BUILD = Path(__file__).resolve().parents[2] / "build" / "opencv_window"  # `make picker`
BEFORE_NS = 100 * S - S // 10  # just before the stamps that a client gives by itself


@pytest.fixture
def screen():
    """A display of its own; yields the environment that uses it."""
    missing = [tool for tool in ("Xvfb", "xdotool") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {' and '.join(missing)}: apt install xvfb xdotool")
    ours, theirs = os.pipe()
    command = ["Xvfb", "-displayfd", str(theirs), "-screen", "0", "1400x1100x24"]
    server = subprocess.Popen(command, pass_fds=[theirs], stderr=subprocess.DEVNULL)
    os.close(theirs)
    with os.fdopen(ours) as pipe:
        number = pipe.readline().strip()  # blocks until it is up
    environment = {**os.environ, "DISPLAY": f":{number}"}
    if WINDOW_BUILD.is_dir():
        paths = [str(WINDOW_BUILD), os.environ.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    yield environment
    server.kill()
    server.wait()


class PickerProcess:
    """The box picker as a process on a screen, and the mouse over its window."""

    def __init__(self, screen, namespace, log_path) -> None:
        self._screen = screen
        self._title = f"box_picker: {namespace}/image_raw"
        self._log_path = log_path
        with log_path.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlss_tracker_ros.box_picker"]
                + ["--ros-args", "-r", f"__ns:={namespace}"],
                env=screen,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def check(self) -> None:
        """Fail or skip, with the reason, when the process has ended."""
        if self.process.poll() is None:
            return
        output = self._log_path.read_text()
        if "expected an OpenCV with windows" in output:
            pytest.skip("needs an OpenCV with windows: `make picker`")
        pytest.fail(f"the picker ended with {self.process.returncode}: {output}")

    def find_window(self) -> bool:
        found = self.xdotool("search", "--name", self._title)
        self._window = found[0] if found else None
        return bool(found)

    def size(self) -> list[str]:
        return self.xdotool("getwindowgeometry", self._window)

    def move_mouse(self, x: int, y: int, *then: object) -> None:
        self.xdotool("mousemove", "--window", self._window, x, y, *then)

    def press_key(self, key: str) -> None:
        self.xdotool("key", "--window", self._window, key)

    def xdotool(self, *arguments: object) -> list[str]:
        command = ["xdotool", *map(str, arguments)]
        done = subprocess.run(
            command, env=self._screen, check=False, capture_output=True, text=True
        )
        return done.stdout.split()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.process.kill()


@pytest.fixture
def picker(tracked, namespace, screen, tmp_path):
    """The picker's process, which hears the camera and shows a window."""
    picker = PickerProcess(screen, namespace, tmp_path / "picker.log")

    def ready():
        picker.check()
        return tracked.images.get_subscription_count() == 2

    try:
        tracked.until(ready, "the picker")
        tracked.until(picker.find_window, "its window")
        yield picker
    finally:
        picker.end()


@pytest.mark.slow
def test_a_real_mouse_draws_the_box_that_the_tracker_follows(tracked, picker):
    picked, headers = [], []
    tracked.node.create_subscription(Detection2D, "mlss_tracker/init_box", picked.append, 10)

    def shown():  # it may not hear the first picture
        headers.append(tracked.send_frame(stamp_ns=BEFORE_NS))
        return f"1280x{960 + 54}" in picker.size()  # 8 px for each px, and the text

    tracked.until(shown, "the picture in the window")
    picker.move_mouse(576, 416, "mousedown", 1)
    picker.move_mouse(640, 480)
    for _ in range(3):  # the picture stands still meanwhile
        tracked.track()
    picker.move_mouse(703, 543)
    time.sleep(0.1)  # xdotool answers before the window has heard of it
    picker.xdotool("mouseup", 1)
    tracked.until(lambda: picked, "the box")
    assert picked[0].header == headers[0]
    assert box_from_detection(picked[0]) == Box.from_roi(72, 52, 16, 16)
    tracked.until_status("TRACKING")
    (detection,) = tracked.track().detections
    assert box_from_detection(detection).iou(BLOB) > 0.2
    picker.press_key("q")
    assert picker.process.wait(timeout=PATIENCE_S) == 0
