"""What an active node says of its stream of images: state, reason and figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlss_tracker_ros.diagnostics import NodeState, overall_state, target_figures

if TYPE_CHECKING:
    from mlss_tracker_ros.image_input import ImageInput, ImageMessage
    from mlss_tracker_ros.input_monitor import WorkMonitor
    from mlss_tracker_ros.session import Session


def stream_state(
    session: Session[ImageMessage], images: ImageInput, image_timeout_s: float
) -> tuple[NodeState, str]:
    """State of an active node, and the reason for it.

    Args:
        session: what is tracked.
        images: where the pictures come from.
        image_timeout_s: without an image for this long the node waits for one.
    """
    silence_s = images.monitor.silence_s
    if silence_s is None or silence_s > image_timeout_s:
        since = "no image yet" if silence_s is None else "no more images"
        reason = f"{since} on {images.topic} ({images.publishers_found()})"
        return NodeState.WAITING_IMAGE, reason + (f"; {session.reason}" if session.reason else "")
    if session.broken:
        return NodeState.ERROR, session.reason
    state = overall_state(session.results)
    if state is NodeState.IDLE and not session.reason:
        return state, "no target; send a box to ~/init_box"
    return state, session.reason


def stream_figures(
    session: Session[ImageMessage], images: ImageInput, work: WorkMonitor
) -> dict[str, object]:
    """All that is measured of images, work and targets, by name."""
    results = session.results
    return {
        "topic": images.topic,
        "publishers": images.publishers_found(),
        **images.monitor.figures(),
        "processed": session.processed,
        "dropped": session.dropped,
        "refused": session.refused,
        "time_jumps": session.time_jumps,
        "buffered_mb": session.buffer.size_bytes / 1e6,
        **work.figures(),
        "targets": len(results),
        **target_figures(results),
    }
