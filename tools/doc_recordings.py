"""Recordings that the documents' commands take, of a scene of the simulator."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from mlss_core.sequences import Sequence


def write_video(path: Path, sequence: Sequence) -> None:
    """Write a grey film."""
    height, width = sequence.frames[0].shape
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, (width, height))
    for frame in sequence.frames:
        grey = cv2.normalize(frame, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)  # type: ignore[call-overload]
        writer.write(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))
    writer.release()


def write_bag(path: Path, sequence: Sequence) -> None:
    """Write a rosbag2 with 16-bit images on /image_raw at 30 Hz."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    types = store.types
    with Writer(path, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection("/image_raw", "sensor_msgs/msg/Image", typestore=store)
        for number, frame in enumerate(sequence.frames):
            now_ns = 10**9 + number * 33_333_333
            time = types["builtin_interfaces/msg/Time"](*divmod(now_ns, 10**9))
            height, width = frame.shape
            message = types[connection.msgtype](
                header=types["std_msgs/msg/Header"](stamp=time, frame_id="camera"),
                height=height,
                width=width,
                encoding="mono16",
                is_bigendian=0,
                step=2 * width,
                data=np.frombuffer(frame.astype("<u2").tobytes(), np.uint8),
            )
            writer.write(connection, now_ns, store.serialize_cdr(message, connection.msgtype))
