"""TrackResult to vision_msgs/Detection2DArray, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

from mlss_core.box import Box

if TYPE_CHECKING:  # importing it loads torch, which camera and demo do without
    from mlss_core.tracker import TrackResult


def detections_from_results(
    results: Iterable[TrackResult], header: Header, class_id: str
) -> Detection2DArray:
    """One array for one frame: a detection per target that has a box, with the image's header.

    Args:
        results: of every target; one without a box (lost) leaves no detection.
        header: of the image, copied untouched to the array and every detection.
        class_id: what the targets are called, for every hypothesis.
    """
    detections = [
        detection_from_box(result.box, header, result.target_id, class_id, result.score)
        for result in results
        if result.box is not None
    ]
    return Detection2DArray(header=header, detections=detections)


def detection_from_box(
    box: Box, header: Header, target_id: str = "", class_id: str = "", score: float = 1.0
) -> Detection2D:
    """Detection of an upright box in px; what `~/init_box` takes and `~/detections` carries."""
    hypothesis = ObjectHypothesisWithPose()
    hypothesis.hypothesis.class_id = class_id
    hypothesis.hypothesis.score = float(score)
    message = Detection2D(header=header, id=target_id, results=[hypothesis])
    message.bbox.center.position.x, message.bbox.center.position.y = float(box.cx), float(box.cy)
    message.bbox.size_x, message.bbox.size_y = float(box.w), float(box.h)
    return message


def box_from_detection(message: Detection2D) -> Box:
    """Upright box of a detection, in px of its image."""
    center = message.bbox.center.position
    return Box(center.x, center.y, message.bbox.size_x, message.bbox.size_y)
