"""Frames of a rosbag2, read without ROS through `rosbags`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import cv2
import numpy as np

from mlss_core.errors import SequenceError
from mlss_core.sequences.images import without_equal_channels

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
_TYPES: dict[str, tuple[str, int]] = {  # encoding -> numpy type, channels
    "mono8": ("u1", 1),
    "8UC1": ("u1", 1),
    "mono16": ("u2", 1),
    "16UC1": ("u2", 1),
    "32FC1": ("f4", 1),
    "bgr8": ("u1", 3),
    "rgb8": ("u1", 3),
    "bgra8": ("u1", 4),
    "rgba8": ("u1", 4),
}


def is_bag(path: Path) -> bool:
    """Whether `path` is a rosbag2: a folder with metadata.yaml, or a storage file."""
    return path.suffix in {".mcap", ".db3"} or (path / "metadata.yaml").is_file()


class BagFrames(Sequence[np.ndarray]):
    """Pictures of one topic. In order, each is read once; a jump back reads from the start."""

    def __init__(self, path: Path, topic: str | None = None) -> None:
        self.path = path
        with self._reader() as reader:
            images = {
                c.topic for c in reader.connections if c.msgtype in (IMAGE, COMPRESSED_IMAGE)
            }
            if topic is None and len(images) == 1:
                (topic,) = images
            if topic not in images:
                raise SequenceError(
                    f"expected an image topic of {path}, got {topic!r}; "
                    f"name one of: {', '.join(sorted(images)) or 'none in this bag'}"
                )
            self.topic = topic
            connections = [c for c in reader.connections if c.topic == topic]
            self._count = sum(connection.msgcount for connection in connections)
            seconds = reader.duration / 1e9
        self.fps = (self._count - 1) / seconds if self._count > 1 and seconds > 0 else None
        self._messages: Iterator[np.ndarray] | None = None
        self._next = 0
        self._last: np.ndarray | None = None

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> list[np.ndarray]: ...
    def __getitem__(self, index: int | slice) -> np.ndarray | list[np.ndarray]:
        """Read one picture, or a list of them.

        Raises:
            SequenceError: a message holds no picture of a known encoding.
        """
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._count))]
        if not -self._count <= index < self._count:
            raise IndexError(f"frame {index} of {self._count}")
        index %= self._count
        if self._last is not None and index == self._next - 1:
            return self._last.copy()
        if self._messages is None or index < self._next:
            self._messages, self._next = self._pictures(), 0
        for picture in self._messages:
            self._next += 1
            if self._next > index:
                self._last = picture
                return picture.copy()
        raise SequenceError(f"expected {self._count} pictures in {self.path}, got {self._next}")

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the open reader, for worker processes."""
        return {**self.__dict__, "_messages": None, "_next": 0, "_last": None}

    def _pictures(self) -> Iterator[np.ndarray]:
        with self._reader() as reader:
            connections = [c for c in reader.connections if c.topic == self.topic]
            for connection, _, raw in reader.messages(connections=connections):
                message = reader.deserialize(raw, connection.msgtype)
                try:
                    yield _decode(message, connection.msgtype)
                except (ValueError, cv2.error) as error:
                    raise SequenceError(
                        f"expected a picture on {self.topic} of {self.path}, got: {error}"
                    ) from error

    def _reader(self) -> Any:
        try:
            from rosbags.highlevel import AnyReader
            from rosbags.typesys import Stores, get_typestore
        except ImportError as error:
            raise SequenceError(
                f"expected the package rosbags to read {self.path}, got none; pip install rosbags"
            ) from error
        try:
            return AnyReader([self.path], default_typestore=get_typestore(Stores.ROS2_HUMBLE))
        except Exception as error:  # rosbags raises many types on damaged bags
            raise SequenceError(f"expected a rosbag2 at {self.path}, got: {error}") from error


def _decode(message: Any, kind: str) -> np.ndarray:
    """sensor_msgs Image or CompressedImage -> (H, W) or (H, W, 3) BGR."""
    if kind == COMPRESSED_IMAGE:
        picture = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_UNCHANGED)
        if picture is None:
            raise ValueError("compressed data that cannot be decoded")
        return without_equal_channels(picture)
    if message.encoding not in _TYPES:
        raise ValueError(f"encoding {message.encoding!r}; known: {', '.join(_TYPES)}")
    kind, channels = _TYPES[message.encoding]
    dtype = np.dtype(kind).newbyteorder(">" if message.is_bigendian else "<")
    rows = np.frombuffer(message.data, np.uint8)[: message.height * message.step]
    rows = rows.reshape(message.height, message.step)[
        :, : message.width * channels * dtype.itemsize
    ]
    picture = np.ascontiguousarray(rows).view(dtype).astype(dtype.newbyteorder("="), copy=False)
    if channels == 1:
        return picture
    picture = picture.reshape(message.height, message.width, channels)[:, :, :3]
    if message.encoding.startswith("rgb"):
        picture = picture[:, :, ::-1]
    return without_equal_channels(np.ascontiguousarray(picture))
