"""What the node says of itself: `~/status` and `/diagnostics`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy import get_rmw_implementation_identifier
from rclpy.qos import QoSCompatibility as Compatibility
from rclpy.qos import QoSProfile, qos_check_compatible
from rclpy.topic_endpoint_info import TopicEndpointInfo

from mlss_core.presence import TrackState
from mlss_tracker_ros.fastdds import loss_remedy

if TYPE_CHECKING:  # importing it loads torch, which camera and demo do without
    from mlss_core.tracker import TrackResult


class NodeState(str, Enum):
    """First word of the status message."""

    UNCONFIGURED = "UNCONFIGURED"  # configure failed or has not been called
    INACTIVE = "INACTIVE"
    WAITING_IMAGE = "WAITING_IMAGE"
    IDLE = "IDLE"  # images come, no target
    TRACKING = "TRACKING"
    UNCERTAIN = "UNCERTAIN"
    LOST = "LOST"
    FROZEN = "FROZEN"
    ERROR = "ERROR"  # frames cannot be used, or the device fails


_LEVELS = {
    NodeState.IDLE: DiagnosticStatus.OK,
    NodeState.TRACKING: DiagnosticStatus.OK,
    NodeState.INACTIVE: DiagnosticStatus.OK,
    NodeState.ERROR: DiagnosticStatus.ERROR,
    NodeState.UNCONFIGURED: DiagnosticStatus.ERROR,
}
_INPUT_KEYS = {
    "topic",
    "publishers",
    "received",
    "lost",
    "lost_lately",
    "rate_hz",
    "jitter_ms",
    "age_ms",
    "period_ms",
    "largest_gap_ms",
    "image",
    "buffered_mb",
}
_DEVICE_KEYS = {"device", "precision", "memory_mb", "weights"}
_WORST_FIRST = (TrackState.LOST, TrackState.UNCERTAIN, TrackState.FROZEN, TrackState.TRACKING)


def overall_state(results: Iterable[TrackResult]) -> NodeState:
    """State of the target that is worst off; IDLE without targets."""
    states = {result.state for result in results}
    return next((NodeState[s.value] for s in _WORST_FIRST if s in states), NodeState.IDLE)


def plain_status(
    name: str, level: bytes, message: str, figures: Mapping[str, object]
) -> DiagnosticStatus:
    """One DiagnosticStatus with figures as its values."""
    values = [KeyValue(key=key, value=_text(value)) for key, value in figures.items()]
    return DiagnosticStatus(level=level, name=name, message=message, values=values)


def status_message(
    name: str, state: NodeState, reason: str, figures: Mapping[str, object]
) -> DiagnosticStatus:
    """`~/status`: message `STATE` or `STATE: reason`; both also among the values."""
    level = _LEVELS.get(state, DiagnosticStatus.WARN)
    message = f"{state.value}: {reason}" if reason else state.value
    return plain_status(name, level, message, {"state": state.value, "reason": reason, **figures})


def diagnostic_tasks(
    name: str, state: NodeState, reason: str, figures: Mapping[str, object]
) -> list[DiagnosticStatus]:
    """The tasks `input`, `tracker` and `device` of `/diagnostics`."""
    parts: dict[str, dict[str, object]] = {"input": {}, "device": {}, "tracker": {}}
    for key, value in figures.items():
        task = "input" if key in _INPUT_KEYS else "device" if key in _DEVICE_KEYS else "tracker"
        parts[task][key] = value
    tracker = status_message(f"{name}: tracker", state, reason, parts["tracker"])
    cause = loss_cause(figures)
    waiting = state is NodeState.WAITING_IMAGE
    flow = cause or (reason if waiting else "images arrive" if "rate_hz" in figures else "")
    level = DiagnosticStatus.WARN if cause or waiting else DiagnosticStatus.OK
    device = f"{figures.get('device', 'not loaded')} {figures.get('precision', '')}".strip()
    return [
        plain_status(f"{name}: input", level, flow, parts["input"]),
        tracker,
        plain_status(f"{name}: device", DiagnosticStatus.OK, device, parts["device"]),
    ]


def loss_cause(figures: Mapping[str, object]) -> str:
    """Likely cause of images that went missing on the way lately; empty when none did."""
    lost, received = figures.get("lost", 0), figures.get("received", 0)
    if figures.get("lost_lately"):
        return (
            f"{lost} images lost on the way, {received} received: the middleware's buffers are "
            f"too small for them; {loss_remedy(get_rmw_implementation_identifier())} "
            "(docs/topics.md, Transport)"
        )
    gap, period = figures.get("largest_gap_ms"), figures.get("period_ms")
    if isinstance(gap, float) and isinstance(period, float) and gap > 2.5 * period > 0:
        return (
            f"stamps show a gap of {gap:.0f} ms at a period of {period:.0f} ms, and the "
            "middleware lost nothing: the camera or its driver left images out, or this process "
            "had no time to take them"
        )
    return ""


def target_figures(results: Iterable[TrackResult]) -> dict[str, str]:
    """One entry per target: state, score and box."""
    return {
        f"target.{result.target_id}": f"{result.state.value} score {result.score:.2f}"
        + (
            " at ({:.1f}, {:.1f}), {:.1f} x {:.1f} px".format(*result.box)
            if result.box is not None
            else ""
        )
        for result in results
    }


def describe_publishers(
    publishers: Iterable[TopicEndpointInfo], subscription: QoSProfile, message_type: str
) -> str:
    """Number of publishers of a topic and their QoS; names those that a subscription cannot hear.

    Args:
        publishers: found on the topic.
        subscription: QoS asked for.
        message_type: asked for, such as sensor_msgs/msg/Image.
    """
    lines = []
    for publisher in publishers:
        qos = publisher.qos_profile
        text = f"{publisher.node_name} ({qos.reliability.name}, {qos.durability.name})".lower()
        verdict, why = qos_check_compatible(qos, subscription)
        if verdict == Compatibility.ERROR:
            text += f" does not match the {subscription.reliability.name.lower()} subscription: "
            text += " ".join(why.split())
        if publisher.topic_type != message_type:
            text += f" sends {publisher.topic_type}, expected {message_type}"
        lines.append(text)
    count = f"{len(lines)} publisher{'' if len(lines) == 1 else 's'}"
    return f"{count}: {'; '.join(lines)}" if lines else count


def parse_status(message: DiagnosticStatus) -> dict[str, str]:
    """Values of a status by key."""
    return {item.key: item.value for item in message.values}


def _text(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
