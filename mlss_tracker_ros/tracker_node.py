"""The tracker node: thermal images and init boxes in, detections and status out."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from geometry_msgs.msg import Point, PointStamped
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image, PointCloud2, RegionOfInterest
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger
from vision_msgs.msg import Detection2D, Detection2DArray

from mlss_core.box import Box
from mlss_core.errors import BoxError, MlssError
from mlss_core.params import TrackerParams, tracker_params
from mlss_tracker_ros.debug_image import debug_picture
from mlss_tracker_ros.detections import detections_from_results
from mlss_tracker_ros.diagnostics import (
    NodeState,
    describe_publishers,
    overall_state,
    target_figures,
)
from mlss_tracker_ros.frame_buffer import Kept
from mlss_tracker_ros.image_conversion import (
    frame_from_compressed,
    frame_from_image,
    image_from_frame,
    loses_thermal_depth,
)
from mlss_tracker_ros.image_plane import image_plane, pixel_on_plane
from mlss_tracker_ros.init_requests import (
    CornerPair,
    InitRequest,
    nanoseconds,
    request_from_detection,
    request_from_roi,
)
from mlss_tracker_ros.input_monitor import (
    InputMonitor,
    WorkMonitor,
    describe_image,
    memory_mb,
    message_bytes,
)
from mlss_tracker_ros.parameters import (
    NodeParams,
    check_changes,
    declare_params,
    load_params,
    unknown_parameters,
)
from mlss_tracker_ros.reporter import Reporter
from mlss_tracker_ros.running import run_node
from mlss_tracker_ros.worker import Worker

if TYPE_CHECKING:  # on_configure() imports them: torch takes seconds, and Ctrl-C must work then
    from mlss_core.tracker import MLSSTracker
    from mlss_tracker_ros.session import Session, Step

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

ImageMessage: TypeAlias = Image | CompressedImage

_SUCCESS = TransitionCallbackReturn.SUCCESS
_NEWEST_IMAGE = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT
)
_EVERY_IMAGE = QoSProfile(history=HistoryPolicy.KEEP_ALL, reliability=ReliabilityPolicy.RELIABLE)


class TrackerNode(LifecycleNode):
    """Lifecycle node `mlss_tracker`; `docs/topics.md` describes its interface.

    The executor's thread only keeps images and requests. A worker thread owns the device and does
    the rest, see `_on_image` and `_on_step` for the way of a picture.
    """

    def __init__(self, **node_options: Any) -> None:
        """Declare every parameter.

        Args:
            **node_options: as rclpy's Node takes them (namespace, context, parameter_overrides).

        Raises:
            ConfigError: a parameter given at start is refused.
        """
        super().__init__("mlss_tracker", **node_options)
        declare_params(self, NodeParams())
        self._params: NodeParams = load_params(self, NodeParams())
        declare_params(self, tracker_params(self._params.profile))
        self.add_on_set_parameters_callback(self._on_parameters)
        self._warn_of_unknown_parameters()
        self._input, self._work = InputMonitor(), WorkMonitor()
        self._tracker: MLSSTracker | None = None
        self._worker: Worker[ImageMessage] | None = None
        self._taps: list[Callable[[], object]] = []  # undo activate
        self._outputs: list[Callable[[], object]] = []  # undo configure
        self._clicked = CornerPair(self._params.click_timeout_s)
        self._clicked_on_plane = CornerPair(self._params.click_timeout_s)
        self._plane_kept: Kept[ImageMessage] | None = None
        self._plane_at = 0.0
        self._lifecycle = (NodeState.UNCONFIGURED, "not configured yet")
        self._reporter = Reporter(self, self._state, self._figures)
        self._reporter.report()

    def start(self) -> None:
        """Configure and activate, unless parameter `autostart` is off."""
        if self._params.autostart and self.trigger_configure() == _SUCCESS:
            self.trigger_activate()

    def close(self) -> None:
        """End the worker thread."""
        if self._worker is not None:
            self._worker.close()

    # Lifecycle: configure loads and may refuse, activate opens the tap, cleanup undoes configure.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the weights onto the device and offer outputs and services."""
        try:
            from mlss_core.checkpoint import load_network
            from mlss_core.tracker import MLSSTracker

            self._params = load_params(self, NodeParams())
            params = load_params(self, tracker_params(self._params.profile))
            network = load_network(self._params.weights or None)
            self._tracker = MLSSTracker(
                network, params, self._params.device, self._params.precision
            )
            _warm_up(self._tracker)
        except Exception as error:  # rclpy would swallow it without a word
            reason = str(error) if isinstance(error, MlssError) else repr(error)
            return self._refuse_transition("configure", " ".join(reason.split()))
        self._offer_outputs()
        self._set_lifecycle(NodeState.INACTIVE, "configured")
        self.get_logger().info(
            f"configured: device {self._tracker.device}, precision {self._tracker.precision}"
        )
        return _SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the worker and listen to images and requests."""
        try:
            from mlss_tracker_ros.session import Session

            tracker: MLSSTracker = self._tracker  # type: ignore[assignment]
            tracker.clear()
            self._input, self._work = InputMonitor(), WorkMonitor()
            session: Session[ImageMessage] = Session(
                tracker, self._picture_of, self._params, self._reporter.say
            )
            self._listen()  # nothing is heard before this transition ends
            self._worker = Worker(session, self._on_step, self._reporter.report)
        except Exception as error:
            self._stop_listening()
            return self._refuse_transition("activate", " ".join(str(error).split()))
        self._reporter.report()
        return _SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening; drop the targets, keep the network."""
        self._stop_listening()
        self._set_lifecycle(NodeState.INACTIVE, "deactivated")
        return _SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of outputs, network and device memory."""
        self._release()
        self._set_lifecycle(NodeState.UNCONFIGURED, "cleaned up")
        return _SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of everything, from any state."""
        self._release()
        self._set_lifecycle(NodeState.UNCONFIGURED, "shut down")
        return _SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Fall back to unconfigured."""
        self._release()
        self._set_lifecycle(NodeState.UNCONFIGURED, "failed in a transition")
        return _SUCCESS

    # The way of a picture.

    def _on_image(self, message: ImageMessage) -> None:
        """Executor thread: only keep the frame; the worker takes the newest one from there."""
        now_ns, stamp_ns = self.get_clock().now().nanoseconds, nanoseconds(message.header.stamp)
        if stamp_ns == 0:  # drivers that do not stamp: order of arrival
            stamp_ns = now_ns
            self._reporter.say(
                "images carry no stamp: init boxes cannot name theirs, the newest is taken"
            )
        self._input.arrived(stamp_ns, now_ns, describe_image(message))
        self._worker.add_frame(message, stamp_ns, message_bytes(message))  # type: ignore[union-attr]

    def _picture_of(self, message: ImageMessage) -> np.ndarray:
        """Worker thread: raw picture of an image message."""
        if isinstance(message, Image):
            return frame_from_image(message)
        if loses_thermal_depth(message.format):
            self._reporter.say(
                "jpeg of 16-bit images keeps a few grey levels: set its format to png"
            )
        return frame_from_compressed(message)

    def _on_step(self, step: Step[ImageMessage]) -> None:
        """Worker thread: publish what the session found in one picture."""
        header = step.kept.frame.header
        if step.publish:
            detections = detections_from_results(step.results, header, self._params.class_id)
            self._detections.publish(detections)
            self._work.processed(time.monotonic() - step.kept.arrived_s, step.tracker_s)
            self._show(step, header)
        if self._params.process_every_frame and self.executor is not None:
            self.executor.wake()  # there may be room again for a frame that was held back

    def _show(self, step: Step[ImageMessage], header: Header) -> None:
        """Draw for those who look."""
        watched = self._debug_image.get_subscription_count() > 0
        plane_due = self._plane_is_due()
        if not watched and not plane_due:
            return
        picture = debug_picture(step.picture, step.results)
        if watched:
            self._debug_image.publish(image_from_frame(picture, header))
        if plane_due:
            session = self._worker.session  # type: ignore[union-attr]
            if not session.catching_up:
                session.buffer.pin(None)
            plane_header = Header(stamp=header.stamp, frame_id=self._params.image_plane_frame)
            self._plane.publish(image_plane(picture, plane_header))
            self._plane_kept, self._plane_at = step.kept, time.monotonic()

    def _plane_is_due(self) -> bool:
        """Not while a first corner waits: both corners belong to the picture that is shown."""
        rate, now_s = self._params.image_plane_rate, time.monotonic()
        waited = rate > 0 and now_s - self._plane_at >= 1.0 / rate
        watched = self._plane.get_subscription_count() > 0
        return waited and watched and not self._clicked_on_plane.waiting(now_s)

    # Requests.

    def _on_init_box(self, message: Detection2D) -> None:
        self._request(lambda: request_from_detection(message))

    def _on_init_roi(self, message: RegionOfInterest) -> None:
        self._request(lambda: request_from_roi(message))

    def _on_clicked_corner(self, message: Point) -> None:
        self._request(lambda: self._clicked.click(message.x, message.y, time.monotonic()))

    def _on_clicked_point(self, message: PointStamped) -> None:
        shown = self._plane_kept
        if message.header.frame_id != self._params.image_plane_frame or shown is None:
            return  # RViz's tool also picks points of other things
        x, y = pixel_on_plane(message.point)
        now_s = time.monotonic()
        self._request(lambda: self._clicked_on_plane.click(x, y, now_s, shown.stamp_ns))
        if self._clicked_on_plane.waiting(now_s):  # until _show() goes on to another picture
            self._worker.session.buffer.pin(shown.number)  # type: ignore[union-attr]

    def _request(self, read: Callable[[], InitRequest | None]) -> None:
        worker: Worker[ImageMessage] = self._worker  # type: ignore[assignment]
        try:
            request = read()
        except BoxError as refusal:
            error = refusal  # Python forgets the name `refusal` below
            worker.post(lambda session: session.refuse(error))
            return
        if request is not None:
            worker.post(lambda session: session.request(request))

    def _on_reset(self, _: Trigger.Request, answer: Trigger.Response) -> Trigger.Response:
        targets = self._target_ids()
        answer.success = bool(targets)
        answer.message = (
            f"restarting {', '.join(targets)} from their last init boxes"
            if targets
            else "there is no target; send a box to ~/init_box"
        )
        if targets:
            self._worker.post(lambda session: session.reset())  # type: ignore[union-attr]
        return answer

    def _on_stop(self, _: Trigger.Request, answer: Trigger.Response) -> Trigger.Response:
        targets = self._target_ids()
        answer.success = True
        answer.message = f"dropping {', '.join(targets)}" if targets else "there was no target"
        if self._worker is not None:
            self._worker.post(lambda session: session.drop_all("stopped by request"))
        return answer

    def _on_enable(self, request: SetBool.Request, answer: SetBool.Response) -> SetBool.Response:
        answer.success = self._worker is not None
        answer.message = "running" if request.data else "paused; targets are kept"
        if self._worker is None:
            answer.message = "the node is not active; activate it first"
        else:
            self._worker.post(lambda session: session.enable(request.data))
        return answer

    def _target_ids(self) -> list[str]:
        results = self._worker.session.results if self._worker is not None else []
        return [result.target_id for result in results]

    def _on_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        """Refuse with the reason, or take over at the next frame."""
        profile = tracker_params(self._params.profile)
        answer = check_changes(self, changes, NodeParams(), profile)
        if answer.successful:
            params = self._params = load_params(self, NodeParams(), changes)
            tracker_changed = load_params(self, profile, changes)
            if self._worker is not None:
                self._worker.post(lambda session: _take_params(session, params, tracker_changed))
        return answer

    # What is said of it.

    def _state(self) -> tuple[NodeState, str]:
        if self._worker is None:
            return self._lifecycle
        session = self._worker.session
        silence_s = self._input.silence_s
        if silence_s is None or silence_s > self._params.image_timeout_s:
            return NodeState.WAITING_IMAGE, self._describe_silence(session.reason)
        if session.broken:
            return NodeState.ERROR, session.reason
        state = overall_state(session.results)
        if state is NodeState.IDLE and not session.reason:
            return state, "no target; send a box to ~/init_box"
        return state, session.reason

    def _publishers_found(self) -> str:
        topic, qos = self._images
        return describe_publishers(self.get_publishers_info_by_topic(topic), qos)

    def _describe_silence(self, reason: str) -> str:
        topic, found = self._images[0], self._publishers_found()
        since = "no image yet" if self._input.silence_s is None else "no more images"
        return f"{since} on {topic} ({found})" + (f"; {reason}" if reason else "")

    def _figures(self) -> dict[str, object]:
        figures: dict[str, object] = {}
        if self._worker is not None:
            session = self._worker.session
            results = session.results
            figures = {
                "topic": self._images[0],
                "publishers": self._publishers_found(),
                **self._input.figures(),
                "processed": session.processed,
                "dropped": session.dropped,
                "refused": session.refused,
                "time_jumps": session.time_jumps,
                "buffered_mb": session.buffer.size_bytes / 1e6,
                **self._work.figures(),
                "targets": len(results),
                **target_figures(results),
            }
        if self._tracker is not None:
            figures |= {"device": self._tracker.device, "precision": self._tracker.precision}
        weights = self._params.weights or "shipped"
        return figures | {
            "profile": self._params.profile,
            "weights": weights,
            "memory_mb": memory_mb(),
        }

    def _warn_of_unknown_parameters(self) -> None:
        given = [
            name for name in self._parameter_overrides if not name.startswith("qos_overrides")
        ]
        for line in unknown_parameters(given, self.get_parameters_by_prefix("")):
            self.get_logger().warning(line)

    # Entities.

    def _offer_outputs(self) -> None:
        """Publishers and services; from configure to cleanup."""
        reliable, newest = QoSProfile(depth=10), QoSProfile(depth=1)
        override = {"qos_overriding_options": QoSOverridingOptions.with_default_policies()}
        self._detections = self.create_publisher(
            Detection2DArray, "~/detections", reliable, **override
        )
        self._debug_image = self.create_publisher(Image, "~/debug_image", newest, **override)
        self._plane = self.create_publisher(PointCloud2, "~/image_plane", newest, **override)
        publishers = (self._detections, self._debug_image, self._plane)
        services = (
            self.create_service(Trigger, "~/reset", self._on_reset),
            self.create_service(Trigger, "~/stop", self._on_stop),
            self.create_service(SetBool, "~/enable", self._on_enable),
        )
        self._outputs = [
            *(partial(self.destroy_publisher, publisher) for publisher in publishers),
            *(partial(self.destroy_service, service) for service in services),
        ]

    def _listen(self) -> None:
        """Subscriptions; from activate to deactivate."""
        compressed = self._params.image_transport == "compressed"
        topic = self.resolve_topic_name("image_raw") + ("/compressed" if compressed else "")
        images = self.create_subscription(
            CompressedImage if compressed else Image,
            topic,
            self._on_image,
            _EVERY_IMAGE if self._params.process_every_frame else _NEWEST_IMAGE,
            callback_group=_HoldingGroup(self._has_room),
            event_callbacks=SubscriptionEventCallbacks(message_lost=self._on_lost),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        subscriptions = [images]
        self._images = (images.topic_name, images.qos_profile)
        for message_type, name, callback in (
            (Detection2D, "~/init_box", self._on_init_box),
            (RegionOfInterest, "~/init_roi", self._on_init_roi),
            (Point, "~/clicked_corner", self._on_clicked_corner),
            (PointStamped, "clicked_point", self._on_clicked_point),
        ):
            # volatile: a respawned node must not start on the box that its predecessor had
            subscriptions.append(self.create_subscription(message_type, name, callback, 10))
        self._taps = [partial(self.destroy_subscription, each) for each in subscriptions]

    def _has_room(self) -> bool:
        return self._worker is None or not self._worker.session.buffer.full

    def _on_lost(self, event: object) -> None:
        self._input.lost = event.total_count  # type: ignore[attr-defined]

    def _stop_listening(self) -> None:
        while self._taps:
            self._taps.pop()()
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    def _release(self) -> None:
        self._stop_listening()
        while self._outputs:
            self._outputs.pop()()
        self._tracker = None

    def _set_lifecycle(self, state: NodeState, reason: str) -> None:
        self._lifecycle = state, reason
        self._reporter.report()

    def _refuse_transition(self, name: str, reason: str) -> TransitionCallbackReturn:
        self.get_logger().error(f"cannot {name}: {reason}")
        self._set_lifecycle(self._lifecycle[0], f"cannot {name}: {reason}")
        return TransitionCallbackReturn.FAILURE


class _HoldingGroup(ReentrantCallbackGroup):
    """Leaves messages with the middleware while there is no room for them."""

    def __init__(self, has_room: Callable[[], bool]) -> None:
        super().__init__()
        self._has_room = has_room

    def can_execute(self, entity: object) -> bool:
        return self._has_room()


def _take_params(
    session: Session[ImageMessage], params: NodeParams, tracker_params: TrackerParams
) -> None:
    session.params = params
    session.tracker.params = tracker_params  # type: ignore[attr-defined]


def _warm_up(tracker: MLSSTracker) -> None:
    """Have the device allocate and choose its kernels before the first image."""
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 255, (2, 128, 128), np.uint8)
    tracker.initialize(first, Box(64.0, 64.0, 24.0, 24.0), "warm-up")
    tracker.update(second)
    tracker.clear()


def main(args: list[str] | None = None) -> int:
    """Run the node; returns the process's exit code."""

    def make() -> TrackerNode:
        node = TrackerNode()
        node.start()
        return node

    return run_node(make, args)


if __name__ == "__main__":
    sys.exit(main())
