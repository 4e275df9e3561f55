"""A camera and a user who misbehave, as processes: the node says so and goes on.

One node lives through all of these tests; what each leaves behind is the next one's start.
"""

import itertools
import os
import signal

import pytest
from conftest import Client, S
from fault_camera import KEPT
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from processes import CAMERA, TRACKER, end, start_node
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_parameters
from std_msgs.msg import Float64
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection2DArray

from mlss_core.box import Box
from mlss_tracker_ros.detections import detection_from_box
from mlss_tracker_ros.init_requests import nanoseconds

NAMESPACE = "/faults"
SMALL = {"width": 160, "height": 120, "blobs": 1, "rate": 30.0}
NODE = {"presence.enabled": False, "image_timeout_s": 0.7, "max_targets": 2}
FAR_S = 3600.0


class Rig(Client):
    """A client with a camera process that it can torment."""

    def __init__(self, context, log_folder, weights) -> None:
        super().__init__(context, NAMESPACE)
        self.node.destroy_publisher(self.images)  # the images come from the camera process
        self.log = log_folder / "tracker.log"
        self._camera_log = log_folder / "camera.log"
        self.tracker = start_node(TRACKER, self.log, NAMESPACE, {"weights": weights, **NODE})
        self.camera = self.start_camera()
        self.truth: list[Detection2DArray] = []
        self.rates = self.node.create_publisher(Float64, "fault_camera/rate", KEPT)
        self.jumps = self.node.create_publisher(Float64, "fault_camera/jump", 10)
        self.node.create_subscription(
            Detection2DArray, "fault_camera/truth", self.truth.append, 10
        )

    def start_camera(self):
        return start_node(CAMERA, self._camera_log, NAMESPACE, SMALL)

    def set_rate(self, rate_hz: float) -> None:
        self.until(self.rates.get_subscription_count, "the camera")
        self.rates.publish(Float64(data=rate_hz))

    def jump(self, seconds: float) -> None:
        self.until(self.jumps.get_subscription_count, "the camera")
        self.jumps.publish(Float64(data=seconds))

    def shown_box(self) -> Box:
        self.until(lambda: self.truth, "the truth")
        detection = self.truth[-1].detections[0]
        center = detection.bbox.center.position
        return Box(center.x, center.y, detection.bbox.size_x, detection.bbox.size_y)

    def until_answers(self, count: int, with_target: bool = True) -> None:
        """Wait for new detections; of a target where there should be one."""
        self.detections.clear()
        self.until(
            lambda: sum(bool(d.detections) >= with_target for d in self.detections) >= count,
            f"{count} answers",
        )

    def until_tracking(self) -> None:
        """Start the target anew and wait until it is followed."""
        self.truth.clear()
        self.send_box(self.shown_box(), "a")
        self.until_answers(2)
        self.until_status("TRACKING")

    def change(self, transition: int) -> bool:
        request = Transition(id=transition)
        return self.call(ChangeState, "mlss_tracker/change_state", transition=request).success


@pytest.fixture(scope="module")
def rig(ros_context, weights, tmp_path_factory):
    rig = Rig(ros_context, tmp_path_factory.mktemp("faults"), weights)
    try:
        rig.until(rig.boxes.get_subscription_count, "the tracker")
        rig.until_tracking()
        yield rig
        code = end(rig.tracker)  # with images under way
        assert code == 0, rig.log.read_text()[-3000:]
        assert "Traceback" not in rig.log.read_text()
    finally:
        for process in (rig.tracker, rig.camera):
            if process.poll() is None:
                process.kill()
            process.wait()
        rig.close()


def test_a_camera_that_is_killed_is_missed_and_its_successor_tracked(rig):
    os.kill(rig.camera.pid, signal.SIGKILL)
    rig.camera.wait()
    rig.until_status("WAITING_IMAGE", "no more images", f"{NAMESPACE}/image_raw")
    rig.camera = rig.start_camera()
    rig.until_answers(2)
    rig.until_status("TRACKING")


def test_silence_is_said_and_the_target_kept(rig):
    rig.set_rate(0.0)
    rig.until_status("WAITING_IMAGE", "no more images")
    rig.set_rate(30.0)
    rig.until_answers(2)
    rig.until_status("TRACKING")


def test_rates_from_1_to_200_hz_and_back_are_followed_and_nothing_queues(rig):
    rig.set_rate(200.0)
    dropped = int(rig.figures["dropped"])
    rig.until(lambda: int(rig.figures["dropped"]) > dropped + 50, "dropped images")
    rig.until_answers(5)
    rig.set_rate(1.0)

    def slow_images():  # what is heard now may still be of the fast ones
        stamps = [nanoseconds(truth.header.stamp) for truth in rig.truth[-2:]]
        return len(stamps) == 2 and stamps[1] - stamps[0] > S // 2

    rig.until(slow_images, "slow images")
    slow = rig.truth[-1].header
    assert len(rig.answer(slow).detections) == 1  # itself, not one that had to wait before it
    rig.set_rate(30.0)
    rig.until_answers(3)


def test_a_clock_that_jumps_ahead_changes_nothing_and_back_drops_the_target(rig):
    rig.jump(FAR_S)
    rig.until_answers(3)
    rig.until_status("TRACKING")
    rig.jump(-FAR_S)
    rig.until_status("time jumped back by 3", "dropped target a")
    rig.until_answers(2, with_target=False)
    rig.until_tracking()


def test_twenty_boxes_a_second_start_the_target_and_images_are_still_answered(rig):
    box = rig.shown_box()
    timer = rig.node.create_timer(
        0.05, lambda: rig.boxes.publish(detection_from_box(box, rig.truth[-1].header, "a"))
    )
    try:
        rig.until_answers(10)
    finally:
        rig.node.destroy_timer(timer)
    assert {d.id for answer in rig.detections for d in answer.detections} == {"a"}
    rig.until_tracking()


def test_a_storm_of_parameters_is_taken_or_refused_each_and_the_last_one_holds(rig):
    client = rig.node.create_client(
        SetParameters,
        "mlss_tracker/set_parameters",
        qos_profile=qos_profile_parameters,  # keeps all 150; that of services keeps 10
    )
    rig.until(client.service_is_ready, "the parameter service")
    names = [f"class {n}" for n in range(150)]
    futures = []
    for name in names:
        request = SetParameters.Request()
        for key, value in (("class_id", name), ("max_targets", 0), ("no.such", 1.0)):
            request.parameters.append(Parameter(key, value=value).to_parameter_msg())
        futures.append(client.call_async(request))
    rig.until(lambda: all(future.done() for future in futures), "all answers")
    for future in futures:
        assert [r.successful for r in future.result().results] == [True, False, False]
    rig.node.destroy_client(client)
    rig.until_answers(2)
    (detection,) = rig.detections[-1].detections
    assert detection.results[0].hypothesis.class_id == names[-1]


def test_transitions_in_every_order_among_images_and_requests(rig):
    """Every transition after every other one, while images come at 100 Hz."""
    rig.set_rate(100.0)
    transitions = (
        Transition.TRANSITION_CONFIGURE,
        Transition.TRANSITION_ACTIVATE,
        Transition.TRANSITION_DEACTIVATE,
        Transition.TRANSITION_CLEANUP,
    )
    for first, second in itertools.product(transitions, repeat=2):
        for transition in (first, second):
            rig.boxes.publish(detection_from_box(rig.shown_box(), rig.truth[-1].header, "a"))
            rig.change(transition)
            assert rig.tracker.poll() is None, rig.log.read_text()[-3000:]
    for transition in transitions[:2]:
        rig.change(transition)
    state = rig.call(GetState, "mlss_tracker/get_state").current_state.id
    assert state == State.PRIMARY_STATE_ACTIVE
    rig.set_rate(30.0)
    rig.until_tracking()


def test_a_stop_in_the_middle_of_it_all_is_obeyed(rig):
    assert rig.call(Trigger, "mlss_tracker/stop").success
    rig.until_status("IDLE")
    rig.until_tracking()
