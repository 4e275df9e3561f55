"""Detections written into a rosbag2 of their own, without ROS; needs the package `rosbags`.

The messages are vision_msgs/Detection2DArray as the tracker node publishes them: one for every
image, with its header and its recorded time, so that the bag plays beside the recording.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mlss_core.box import Box
from mlss_core.errors import SequenceError
from mlss_core.sequences.sequence import Sequence
from mlss_core.tracker import TrackResult

TOPIC = "/mlss_tracker/detections"
CLASS_ID = "target"  # as the node's parameter class_id
_ARRAY = "vision_msgs/msg/Detection2DArray"
_DEFINITIONS = {  # the fields of vision_msgs 4; rosbags has no vision_msgs
    "Point2D": "float64 x\nfloat64 y",
    "Pose2D": "vision_msgs/Point2D position\nfloat64 theta",
    "BoundingBox2D": "vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y",
    "ObjectHypothesis": "string class_id\nfloat64 score",
    "ObjectHypothesisWithPose": "vision_msgs/ObjectHypothesis hypothesis\n"
    "geometry_msgs/PoseWithCovariance pose",
    "Detection2D": "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n"
    "vision_msgs/BoundingBox2D bbox\nstring id",
    "Detection2DArray": "std_msgs/Header header\nvision_msgs/Detection2D[] detections",
}


class DetectionBag:
    """A new bag of detections; the storage is that of the recording they belong to."""

    def __init__(self, path: Path, sequence: Sequence) -> None:
        """Create the bag.

        Args:
            path: folder to make.
            sequence: a recording in a bag; its frames know their headers.

        Raises:
            SequenceError: the recording is no bag, or the folder exists or cannot be made.
        """
        from mlss_core.sequences.rosbag import BagFrames

        if not isinstance(sequence.frames, BagFrames):
            raise SequenceError(
                f"{path}: expected a rosbag2 to write detections for, got {sequence.name}, whose "
                "frames have no headers; leave --bag out"
            )
        from rosbags.rosbag2 import StoragePlugin, Writer
        from rosbags.typesys import Stores, get_types_from_msg, get_typestore

        self._path, self._frames = path, sequence.frames
        store = self._store = get_typestore(Stores.ROS2_HUMBLE)
        for name, text in _DEFINITIONS.items():
            store.register(get_types_from_msg(text, f"vision_msgs/msg/{name}"))
        plugin = StoragePlugin.MCAP if sequence.frames.is_mcap else StoragePlugin.SQLITE3
        try:
            # version 8 of the metadata is the newest that Humble reads
            self._writer = Writer(path, version=8, storage_plugin=plugin)
            self._writer.open()
        except Exception as error:  # the writers of both formats raise many types
            raise SequenceError(
                f"{path}: expected a new folder for a bag, got {error}; choose another"
            ) from error
        self._connection = self._writer.add_connection(TOPIC, _ARRAY, typestore=store)

    def add(self, index: int, result: TrackResult) -> None:
        """Write the detections of frame `index`: one, or none where the target is lost."""
        recorded = self._frames.recorded(index)
        header = self._make(
            "std_msgs/msg/Header",
            stamp=self._make("builtin_interfaces/msg/Time", sec=recorded.sec, nanosec=recorded.ns),
            frame_id=recorded.frame_id,
        )
        box = result.box
        detections = [] if box is None else [self._detection(header, result, box)]
        message = self._make(_ARRAY, header=header, detections=detections)
        data = self._store.serialize_cdr(message, _ARRAY)
        self._guard(lambda: self._writer.write(self._connection, recorded.received_ns, data))

    def close(self) -> None:
        """Finish the bag."""
        self._guard(self._writer.close)

    def _guard(self, write: Callable[[], object]) -> None:
        try:
            write()
        except Exception as error:  # the writers of both formats raise many types
            raise SequenceError(
                f"{self._path}: expected to write the bag, got {error}; check its free space"
            ) from error

    def _detection(self, header: Any, result: TrackResult, box: Box) -> Any:
        make = self._make
        origin = make("geometry_msgs/msg/Point", x=0.0, y=0.0, z=0.0)
        upright = make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0)
        pose = make("geometry_msgs/msg/Pose", position=origin, orientation=upright)
        hypothesis = make(
            "vision_msgs/msg/ObjectHypothesis", class_id=CLASS_ID, score=float(result.score)
        )
        with_pose = make(
            "vision_msgs/msg/ObjectHypothesisWithPose",
            hypothesis=hypothesis,
            pose=make("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=np.zeros(36)),
        )
        position = make("vision_msgs/msg/Point2D", x=float(box.cx), y=float(box.cy))
        bounds = make(
            "vision_msgs/msg/BoundingBox2D",
            center=make("vision_msgs/msg/Pose2D", position=position, theta=0.0),
            size_x=float(box.w),
            size_y=float(box.h),
        )
        return make(
            "vision_msgs/msg/Detection2D",
            header=header,
            results=[with_pose],
            bbox=bounds,
            id=result.target_id,
        )

    def _make(self, kind: str, **fields: Any) -> Any:
        return self._store.types[kind](**fields)
