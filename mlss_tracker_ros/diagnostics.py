"""What the node says of itself: `~/status` and `/diagnostics`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.qos import QoSProfile, qos_check_compatible
from rclpy.qos import QoSCompatibility as Compatibility
from rclpy.topic_endpoint_info import TopicEndpointInfo

from mlss_core.presence import TrackState
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
_WORST_FIRST = (TrackState.LOST, TrackState.UNCERTAIN, TrackState.FROZEN, TrackState.TRACKING)


def overall_state(results: Iterable[TrackResult]) -> NodeState:
    """State of the target that is worst off; IDLE without targets."""
    states = {result.state for result in results}
    return next((NodeState[s.value] for s in _WORST_FIRST if s in states), NodeState.IDLE)


def status_message(
    name: str,
    state: NodeState,
    reason: str = "",
    figures: Mapping[str, object] | None = None,
    hardware_id: str = "",
) -> DiagnosticStatus:
    """One DiagnosticStatus: message `STATE` or `STATE: reason`; both also among the values."""
    values = {"state": state.value, "reason": reason, **(figures or {})}
    return DiagnosticStatus(
        level=_LEVELS.get(state, DiagnosticStatus.WARN),
        name=name,
        message=f"{state.value}: {reason}" if reason else state.value,
        hardware_id=hardware_id,
        values=[KeyValue(key=key, value=_text(value)) for key, value in values.items()],
    )


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


def describe_publishers(publishers: Iterable[TopicEndpointInfo], subscription: QoSProfile) -> str:
    """Number of publishers of a topic and their QoS; names those whose QoS does not match."""
    lines = []
    for publisher in publishers:
        qos = publisher.qos_profile
        text = f"{publisher.node_name} ({qos.reliability.name}, {qos.durability.name})".lower()
        verdict, why = qos_check_compatible(qos, subscription)
        if verdict == Compatibility.ERROR:
            text += f" does not match the {subscription.reliability.name.lower()} subscription: "
            text += " ".join(why.split())
        lines.append(text)
    count = f"{len(lines)} publisher{'' if len(lines) == 1 else 's'}"
    return f"{count}: {'; '.join(lines)}" if lines else count


def parse_status(message: DiagnosticStatus) -> dict[str, str]:
    """Values of a status by key."""
    return {item.key: item.value for item in message.values}


def _text(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
