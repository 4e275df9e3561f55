"""Lazy frames of an image topic in a rosbag2 (mcap or sqlite3); needs the package `rosbags`."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from mlss_core.errors import SequenceError
from mlss_core.sequences.frames import raw_frame
from mlss_core.sequences.sequence import LazyFrames

_IMAGE = "sensor_msgs/msg/Image"
_COMPRESSED = "sensor_msgs/msg/CompressedImage"
# encoding -> numpy type, channels, OpenCV conversion to grey or BGR
_ENCODINGS: dict[str, tuple[str, int, int | None]] = {
    "mono8": ("u1", 1, None),
    "8UC1": ("u1", 1, None),
    "mono16": ("u2", 1, None),
    "16UC1": ("u2", 1, None),
    "32FC1": ("f4", 1, None),
    "bgr8": ("u1", 3, None),
    "8UC3": ("u1", 3, None),
    "rgb8": ("u1", 3, cv2.COLOR_RGB2BGR),
    "bgra8": ("u1", 4, None),
    "rgba8": ("u1", 4, cv2.COLOR_RGBA2BGRA),
}
_STAMPS_FOR_FPS = 30


class Recorded(NamedTuple):
    """What a bag says of an image beside its pixels."""

    sec: int  # stamp of its header
    ns: int
    frame_id: str
    received_ns: int  # when it was recorded


class BagFrames(LazyFrames):
    """Frames of one image topic, in the order they were received.

    Going forwards reads each message once; going back starts again at the received time of the
    frame asked for.
    """

    def __init__(self, path: Path, topic: str | None) -> None:
        """Open the bag.

        Args:
            path: of the rosbag2, a folder or a file.
            topic: of the images; None: the only one.

        Raises:
            SequenceError: it cannot be read, or holds no such images.
        """
        self._path = path
        self._reader = _open_reader(path)
        weakref.finalize(self, self._reader.close)
        self._connections = self._choose(topic)
        self.topic: str = self._connections[0].topic
        self._count = sum(connection.msgcount for connection in self._connections)
        if not self._count:
            raise SequenceError(f"{path}: expected images on {self.topic}, got an empty topic")
        self._stamps_ns: list[int] = []  # received time of every frame met so far
        self._messages = self._start(None)
        self._next = 0  # index of the message that comes next
        self._headers: dict[int, Recorded] = {}  # of the frames read so far
        for _ in range(min(self._count, _STAMPS_FOR_FPS)):
            self._advance()
        steps = np.diff(self._stamps_ns)
        self.fps = float(1e9 / np.median(steps)) if len(steps) and np.median(steps) > 0 else None
        self._restart(0)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle for worker processes: path and topic, not the open reader."""
        return {"path": self._path, "topic": self.topic}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"], state["topic"])  # type: ignore[misc]

    def __len__(self) -> int:
        return self._count

    @property
    def is_mcap(self) -> bool:
        """Whether the bag is stored as mcap; else it is sqlite3."""
        files = [self._path] if self._path.is_file() else list(self._path.iterdir())
        return any(file.suffix == ".mcap" for file in files)

    def recorded(self, index: int) -> Recorded:
        """Header and time of frame `index`."""
        if index not in self._headers:
            self[index]
        return self._headers[index]

    def _choose(self, topic: str | None) -> list[Any]:
        images = [c for c in self._reader.connections if c.msgtype in (_IMAGE, _COMPRESSED)]
        topics = sorted({c.topic for c in images})
        if topic is None and len(topics) == 1:
            topic = topics[0]
        if topic not in topics:
            asked = f"topic {topic}" if topic else "one image topic"
            raise SequenceError(
                f"{self._path}: expected {asked}, got {', '.join(topics) or 'no image topic'}"
                + ("; name one of them as topic" if topics else "")
            )
        return [c for c in images if c.topic == topic]

    def _start(self, stamp_ns: int | None) -> Iterator[tuple[Any, int, bytes]]:
        return self._reader.messages(connections=self._connections, start=stamp_ns)

    def _restart(self, index: int) -> None:
        """Stand before frame `index`, or before the first of those received at the same time."""
        stamp_ns = self._stamps_ns[index]
        self._messages = self._start(stamp_ns)
        self._next = int(np.searchsorted(self._stamps_ns, stamp_ns))

    def _advance(self) -> tuple[Any, bytes]:
        try:
            connection, stamp_ns, data = next(self._messages)
        except Exception as error:  # the reader's parsers raise many types on damaged files
            raise SequenceError(
                f"{self._path}: expected {self._count} images on {self.topic}, got "
                f"{type(error).__name__} at {self._next}; repair the bag (ros2 bag reindex)"
            ) from error
        if self._next == len(self._stamps_ns):
            self._stamps_ns.append(stamp_ns)
        self._next += 1
        return connection, data

    def _read(self, index: int) -> np.ndarray:
        if index < self._next:
            self._restart(index)
        while self._next < index:
            self._advance()
        connection, data = self._advance()
        place = f"{self._path}, {self.topic}, frame {index}"
        try:
            message = self._reader.deserialize(data, connection.msgtype)
        except Exception as error:  # the parser raises many types on damaged messages
            raise SequenceError(
                f"{place}: expected a message of {connection.msgtype}, got {len(data)} bytes that "
                "are none; repair the bag"
            ) from error
        stamp, received_ns = message.header.stamp, self._stamps_ns[index]
        self._headers[index] = Recorded(
            stamp.sec, stamp.nanosec, message.header.frame_id, received_ns
        )
        if connection.msgtype == _COMPRESSED:
            try:
                image = cv2.imdecode(np.asarray(message.data), cv2.IMREAD_UNCHANGED)
            except cv2.error:  # empty, or of a size that OpenCV refuses
                image = None
            if image is None:
                raise SequenceError(
                    f"{place}: expected a compressed picture, got {message.format!r} that "
                    "cannot be decoded"
                )
            return raw_frame(image, place)
        return raw_frame(_decode_image(message, place), place)


def _decode_image(message: Any, place: str) -> np.ndarray:
    """Turn a sensor_msgs/Image into (H, W) or (H, W, C), honouring `step` and `is_bigendian`."""
    if message.encoding not in _ENCODINGS:
        raise SequenceError(
            f"{place}: expected an encoding of {', '.join(_ENCODINGS)}, got {message.encoding!r}"
        )
    code, channels, conversion = _ENCODINGS[message.encoding]
    dtype = np.dtype(code).newbyteorder(">" if message.is_bigendian else "<")
    height, width, step = message.height, message.width, message.step
    row_bytes = width * channels * dtype.itemsize
    data = np.asarray(message.data).view(np.uint8)
    if not height or not width or step < row_bytes or data.size < (height - 1) * step + row_bytes:
        raise SequenceError(
            f"{place}: expected {height} rows of {row_bytes} bytes, got step {step} and "
            f"{data.size} bytes; the image is damaged"
        )
    rows = np.lib.stride_tricks.as_strided(data, (height, row_bytes), (step, 1), writeable=False)
    image = np.ascontiguousarray(rows).view(dtype).reshape(height, width, channels)
    image = image.astype(dtype.newbyteorder("="))
    if conversion is not None:
        image = cv2.cvtColor(image, conversion)
    return image[..., 0] if channels == 1 else image


def _open_reader(path: Path) -> Any:
    try:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise SequenceError(
            f"{path}: expected the package rosbags to read a rosbag2, got none; "
            "pip install rosbags, or convert the bag to pictures"
        ) from error
    # bags written before Iron hold no definitions, so a default set is needed
    typestore = get_typestore(Stores.ROS2_HUMBLE)
    try:
        reader = AnyReader([path], default_typestore=typestore)
        reader.open()
    except Exception as error:  # the readers of both formats raise many types
        raise SequenceError(f"{path}: expected a rosbag2, got {error}; check the bag") from error
    return reader
