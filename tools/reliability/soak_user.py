"""A user who never rests, and everything that goes wrong around one tracker node (`soak.py`)."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from fault_camera import KEPT, published_ns
from hostile_messages import MAKERS
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from processes import CAMERA, end, start_node
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, RegionOfInterest
from std_msgs.msg import Float64
from std_srvs.srv import SetBool, Trigger
from vision_msgs.msg import Detection2D, Detection2DArray

from mlss_core.box import Box
from mlss_tracker_ros.detections import detection_from_box

NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
NEW_BOX_S, FAULT_S = 2.0, 5.0  # mean time between two


class Task(NamedTuple):
    """Something to do later."""

    at_s: float  # steady time
    action: Callable[[], object]
    once: str  # name of what waits once at most; empty: as often as it is asked for


class User(Node):
    """Everything that one tracker has to bear with."""

    def __init__(self, seed: int, log_folder: Path) -> None:
        super().__init__("soak_user")
        self.rng = random.Random(seed)
        self.latencies: list[tuple[float, float]] = []  # seconds since `start_s`, ms
        self.start_s = time.monotonic()
        self.sent = dict.fromkeys(("boxes", "faults"), 0)
        self.answered_s = time.monotonic()
        self._log_folder = log_folder
        self._truth: Detection2DArray | None = None
        self._later: list[Task] = []
        self._watching: list[Any] = []
        self.camera = self._new_camera()
        self._rate = self.create_publisher(Float64, "fault_camera/rate", KEPT)
        self._jump = self.create_publisher(Float64, "fault_camera/jump", 10)
        self._boxes = self.create_publisher(Detection2D, "mlss_tracker/init_box", 10)
        self._hostile = {
            kind: self.create_publisher(kind, topic, 10)
            for kind, topic in {
                Image: "image_raw",
                Detection2D: "mlss_tracker/init_box",
                RegionOfInterest: "mlss_tracker/init_roi",
            }.items()
        }
        self._stop = self.create_client(Trigger, "mlss_tracker/stop")
        self._reset = self.create_client(Trigger, "mlss_tracker/reset")
        self._enable = self.create_client(SetBool, "mlss_tracker/enable")
        self._change = self.create_client(ChangeState, "mlss_tracker/change_state")
        self._set = self.create_client(SetParameters, "mlss_tracker/set_parameters")
        self.create_subscription(
            Detection2DArray, "mlss_tracker/detections", self._on_detections, 10
        )
        self.create_subscription(Detection2DArray, "fault_camera/truth", self._on_truth, NEWEST)
        self._faults = (
            self._hostile_messages,
            self._another_rate,
            self._silence,
            self._clock_jump,
            self._restart_camera,
            self._parameter_storm,
            self._box_storm,
            self._transitions,
            self._pause,
            self._watch,
            lambda: self._stop.call_async(Trigger.Request()),
            lambda: self._reset.call_async(Trigger.Request()),
        )

    def act(self) -> None:
        """Do what is due; called a few times a second."""
        now_s = time.monotonic()
        due = [task for task in self._later if task.at_s <= now_s]
        self._later = [task for task in self._later if task.at_s > now_s]
        for task in due:
            task.action()
        self._in(self.rng.expovariate(1 / NEW_BOX_S), self._box, once="box")
        self._in(self.rng.expovariate(1 / FAULT_S), self._fault, once="fault")

    def leave(self) -> None:
        """Take the camera away, and end."""
        end(self.camera)
        self.destroy_node()

    def _in(self, seconds: float, action: Callable[[], object], once: str = "") -> None:
        """Do something then; of those with the same name `once` only one waits at a time."""
        if not once or all(task.once != once for task in self._later):
            self._later.append(Task(time.monotonic() + seconds, action, once))

    def _fault(self) -> None:
        self.sent["faults"] += 1
        self.rng.choice(self._faults)()

    def _box(self, target_id: str | None = None) -> None:
        if self._truth is None or not self._truth.detections:
            return
        self.sent["boxes"] += 1
        shown = self.rng.choice(self._truth.detections)
        center = shown.bbox.center.position
        box = Box(center.x, center.y, shown.bbox.size_x, shown.bbox.size_y)
        name = target_id if target_id is not None else self.rng.choice(("", "a", "b", "c"))
        self._boxes.publish(detection_from_box(box, shown.header, name))

    def _hostile_messages(self) -> None:
        for _ in range(10):
            kind = self.rng.choice(list(self._hostile))
            self._hostile[kind].publish(MAKERS[kind](self.rng))

    def _another_rate(self) -> None:
        self._rate.publish(Float64(data=self.rng.choice((1.0, 10.0, 200.0))))
        self._in(5, lambda: self._rate.publish(Float64(data=60.0)))

    def _silence(self) -> None:
        self._rate.publish(Float64(data=0.0))
        self._in(5, lambda: self._rate.publish(Float64(data=60.0)))

    def _clock_jump(self) -> None:
        self._jump.publish(Float64(data=self.rng.choice((-3600.0, -2.0, -0.01, 2.0, 3600.0))))

    def _restart_camera(self) -> None:
        self.camera.kill()
        self.camera.wait()
        self.camera = self._new_camera()

    def _new_camera(self) -> subprocess.Popen[bytes]:
        seed = self.rng.randrange(2**31)
        return start_node(CAMERA, self._log_folder / "camera.log", params={"seed": seed})

    def _parameter_storm(self) -> None:
        for n in range(50):
            values = {
                "class_id": f"class {n}",
                "search.window_influence": self.rng.uniform(-1.0, 2.0),
                "max_targets": self.rng.choice((2, 0)),
            }
            request = SetParameters.Request()
            request.parameters = [
                Parameter(k, value=v).to_parameter_msg() for k, v in values.items()
            ]
            self._set.call_async(request)

    def _box_storm(self) -> None:
        for n in range(20):
            self._in(n / 20, lambda: self._box("storm"))

    def _transitions(self) -> None:
        for at_s, transition in enumerate(
            (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE)
        ):
            request = ChangeState.Request(transition=Transition(id=transition))
            self._in(at_s, lambda request=request: self._change.call_async(request))

    def _pause(self) -> None:
        self._enable.call_async(SetBool.Request(data=False))
        self._in(3, lambda: self._enable.call_async(SetBool.Request(data=True)))

    def _watch(self) -> None:
        """Look at the drawn images for a while, or no longer."""
        if self._watching:
            self.destroy_subscription(self._watching.pop())
        else:
            self._watching = [
                self.create_subscription(
                    Image, "mlss_tracker/debug_image", lambda message: None, NEWEST
                )
            ]

    def _on_truth(self, message: Detection2DArray) -> None:
        self._truth = message

    def _on_detections(self, message: Detection2DArray) -> None:
        self.answered_s = time.monotonic()
        published = published_ns(message.header)
        if published is not None:
            latency_ms = (time.monotonic_ns() - published) / 1e6
            self.latencies.append((self.answered_s - self.start_s, latency_ms))
