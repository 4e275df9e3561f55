"""The tracker node: thermal images and init boxes in, detections and status out."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from mlss_core.box import Box
from mlss_core.errors import MlssError
from mlss_core.params import PresenceParams, ThermalParams, TrackerParams, tracker_params
from mlss_tracker_ros.diagnostics import NodeState
from mlss_tracker_ros.heap import share_heaps
from mlss_tracker_ros.image_input import ImageInput, ImageMessage, picture_of
from mlss_tracker_ros.init_requests import nanoseconds
from mlss_tracker_ros.init_topics import InitTopics
from mlss_tracker_ros.input_monitor import WorkMonitor, describe_image, memory_mb, message_bytes
from mlss_tracker_ros.node_params import NodeParams
from mlss_tracker_ros.outputs import Outputs
from mlss_tracker_ros.parameters import (
    check_changes,
    declare_params,
    load_params,
    unknown_parameters,
)
from mlss_tracker_ros.reporter import Reporter
from mlss_tracker_ros.running import run_node
from mlss_tracker_ros.services import Services
from mlss_tracker_ros.stream_report import stream_figures, stream_state
from mlss_tracker_ros.worker import Worker

if TYPE_CHECKING:  # on_configure() imports them: torch takes seconds, and Ctrl-C must work then
    from mlss_core.tracker import MLSSTracker
    from mlss_tracker_ros.session import Session, Step

_SUCCESS = TransitionCallbackReturn.SUCCESS
_HANGS = (
    "expected the last picture to be done, got a device that is still at it; wait and activate, "
    "or clean up and configure anew"
)


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
        self._tracker: MLSSTracker | None = None
        self._worker: Worker[ImageMessage] | None = None
        self._hanging: Worker[ImageMessage] | None = None  # with a frame that took too long
        self._offers: list[Outputs | Services] = []  # from configure to cleanup
        self._ears: list[ImageInput | InitTopics] = []  # from activate to deactivate
        self._work = WorkMonitor()
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

    # The way of a picture.

    def _on_image(self, message: ImageMessage) -> None:
        """Executor thread: only keep the frame; the worker takes the newest one from there."""
        now_ns, stamp_ns = self.get_clock().now().nanoseconds, nanoseconds(message.header.stamp)
        if stamp_ns == 0:  # drivers that do not stamp: order of arrival
            stamp_ns = now_ns
            self._reporter.say(
                "images carry no stamp: init boxes cannot name theirs, the newest is taken"
            )
        self._images.monitor.arrived(stamp_ns, now_ns, describe_image(message))
        self._worker.add_frame(message, stamp_ns, message_bytes(message))  # type: ignore[union-attr]

    def _picture_of(self, message: ImageMessage) -> np.ndarray:
        """Worker thread: raw picture of the frame that the session takes up."""
        return picture_of(message, self._reporter.say)

    def _on_step(self, session: Session[ImageMessage], step: Step[ImageMessage]) -> None:
        """Worker thread: publish what the session found in one picture."""
        if step.publish:
            self._outputs.publish_detections(step, self._params.class_id)
            self._work.processed(time.monotonic() - step.kept.arrived_s, step.tracker_s)
            self._outputs.draw(step, session)
        if self._params.process_every_frame and self.executor is not None:
            self.executor.wake()  # there may be room again for a frame that was held back

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
            self._outputs = Outputs(self, self._params.click_timeout_s)
            self._offers = [self._outputs, Services(self, lambda: self._worker)]
        except Exception as error:  # rclpy would swallow it without a word
            self._release()
            reason = str(error) if isinstance(error, MlssError) else repr(error)
            return self._refuse_transition("configure", " ".join(reason.split()))
        self._set_lifecycle(NodeState.INACTIVE, "configured")
        self.get_logger().info(
            f"configured: device {self._tracker.device}, precision {self._tracker.precision}"
        )
        return _SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the worker and listen to images and requests."""
        if self._hanging is not None and self._hanging.alive:
            return self._refuse_transition("activate", _HANGS)
        self._hanging = None
        try:
            from mlss_tracker_ros.session import Session

            tracker: MLSSTracker = self._tracker  # type: ignore[assignment]
            tracker.params = load_params(self, tracker_params(self._params.profile))
            tracker.clear()
            self._work = WorkMonitor()
            session: Session[ImageMessage] = Session(
                tracker, self._picture_of, self._params, self._reporter.say
            )
            # nothing is heard before this transition ends
            self._images = ImageInput(self, self._params, self._on_image, session.buffer)
            self._ears.append(self._images)
            self._worker = Worker(session, partial(self._on_step, session), self._reporter.report)
            self._ears.append(
                InitTopics(self, self._worker, self._outputs.plane, self._params.click_timeout_s)
            )
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

    def _stop_listening(self) -> None:
        while self._ears:
            self._ears.pop().close()
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()
            if worker.alive:
                self._hanging = worker
                self.get_logger().error(_HANGS)

    def _release(self) -> None:
        self._stop_listening()
        while self._offers:
            self._offers.pop().close()
        self._tracker = self._hanging = None

    def _refuse_transition(self, name: str, reason: str) -> TransitionCallbackReturn:
        self.get_logger().error(f"cannot {name}: {reason}")
        self._set_lifecycle(self._lifecycle[0], f"cannot {name}: {reason}")
        return TransitionCallbackReturn.FAILURE

    # Parameters.

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

    def _warn_of_unknown_parameters(self) -> None:
        given = [
            name for name in self._parameter_overrides if not name.startswith("qos_overrides")
        ]
        for line in unknown_parameters(given, self.get_parameters_by_prefix("")):
            self.get_logger().warning(line)

    # What is said of it.

    def _set_lifecycle(self, state: NodeState, reason: str) -> None:
        self._lifecycle = state, reason
        self._reporter.report()

    def _state(self) -> tuple[NodeState, str]:
        worker = self._worker
        if worker is None:
            return self._lifecycle
        return stream_state(worker.session, self._images, self._params.image_timeout_s)

    def _figures(self) -> dict[str, object]:
        worker, figures = self._worker, dict[str, object]()
        if worker is not None:
            figures = stream_figures(worker.session, self._images, self._work)
        if self._tracker is not None:
            figures |= {"device": self._tracker.device, "precision": self._tracker.precision}
        weights = self._params.weights or "shipped"
        return figures | {
            "profile": self._params.profile,
            "weights": weights,
            "memory_mb": memory_mb(),
        }


def _take_params(
    session: Session[ImageMessage], params: NodeParams, tracker_params: TrackerParams
) -> None:
    session.params = params
    session.tracker.params = tracker_params  # type: ignore[attr-defined]


def _warm_up(tracker: MLSSTracker) -> None:
    """Have the device allocate and choose its kernels before the first image."""
    params = tracker.params
    # what the user says of counts, rows and boxes is meant for the camera's pictures, not for this
    tracker.params = replace(params, thermal=ThermalParams(), presence=PresenceParams())
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 255, (2, 128, 128), np.uint8)
    tracker.initialize(first, Box(64.0, 64.0, 24.0, 24.0), "warm-up")
    tracker.update(second)
    tracker.params = params
    tracker.clear()


def main(args: list[str] | None = None) -> int:
    """Run the node; returns the process's exit code."""

    def make() -> TrackerNode:
        node = TrackerNode()
        node.start()
        return node

    share_heaps()
    return run_node(make, args)


if __name__ == "__main__":
    sys.exit(main())
