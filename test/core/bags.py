"""Rosbags for tests, written without ROS."""

from pathlib import Path

import numpy as np
import pytest


def write_bag(
    path: Path, topics: dict[str, list], storage: str = "MCAP", first_stamp_s: int = 0
) -> None:
    """Write messages (topic -> (sensor_msgs type, list of field dicts)), received 40 ms apart.

    Their stamps are `first_stamp_s` and a second more for each.
    """
    rosbag2 = pytest.importorskip("rosbags.rosbag2")
    typesys = pytest.importorskip("rosbags.typesys")
    store = typesys.get_typestore(typesys.Stores.ROS2_HUMBLE)
    time, header = (store.types[k] for k in ("builtin_interfaces/msg/Time", "std_msgs/msg/Header"))
    plugin = getattr(rosbag2.StoragePlugin, storage)
    with rosbag2.Writer(path, version=8, storage_plugin=plugin) as writer:
        for topic, (kind, messages) in topics.items():
            connection = writer.add_connection(topic, f"sensor_msgs/msg/{kind}", typestore=store)
            for i, fields in enumerate(messages):
                stamp = time(sec=first_stamp_s + i, nanosec=0)
                message = store.types[connection.msgtype](
                    header=header(stamp=stamp, frame_id="camera"), **fields
                )
                data = store.serialize_cdr(message, connection.msgtype)
                writer.write(connection, 10**9 + i * 40_000_000, data)


def image_fields(pixels: np.ndarray, encoding: str, padding: int = 0, big: bool = False) -> dict:
    height, width = pixels.shape[:2]
    stored = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<"))
    rows = np.frombuffer(stored.tobytes(), np.uint8).reshape(height, -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=99)
    return {
        "height": height,
        "width": width,
        "encoding": encoding,
        "is_bigendian": int(big),
        "step": rows.shape[1],
        "data": rows.reshape(-1),
    }
