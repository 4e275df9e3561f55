"""Recent frames by number and stamp: the newest for live work, the old ones for stamped boxes."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Kept(NamedTuple, Generic[T]):
    """One frame in the buffer."""

    number: int  # counts every frame ever added
    stamp_ns: int
    frame: T
    size_bytes: int
    arrived_s: float  # steady time at which it was added


class FrameBuffer(Generic[T]):
    """The frames of the last `span_s` seconds of stamps, within `max_bytes`; thread-safe.

    The newest frame stays even when it alone is larger than `max_bytes`. With `hold_unread` no
    frame is forgotten before `mark_read` has passed it; `full` then tells the reader to hold on.
    """

    def __init__(self, span_s: float, max_bytes: int, hold_unread: bool = False) -> None:
        self._span_ns = int(span_s * 1e9)
        self._max_bytes = max_bytes
        self._hold_unread = hold_unread
        self._kept: deque[Kept[T]] = deque()
        self._bytes = 0
        self._added = 0
        self._read = -1
        self._pinned: int | None = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size_bytes(self) -> int:
        """Bytes of all frames held."""
        return self._bytes

    @property
    def added(self) -> int:
        """Frames ever added."""
        return self._added

    @property
    def full(self) -> bool:
        """Whether another frame would have to push out one that has not been read."""
        with self._lock:
            unread = bool(self._kept) and self._kept[0].number > self._read
            return self._hold_unread and unread and self._bytes >= self._max_bytes

    @property
    def newest(self) -> Kept[T] | None:
        """The frame added last."""
        with self._lock:
            return self._kept[-1] if self._kept else None

    def add(self, stamp_ns: int, frame: T, size_bytes: int) -> Kept[T]:
        """Keep a frame and forget those that no longer fit."""
        with self._lock:
            kept = Kept(self._added, stamp_ns, frame, size_bytes, time.monotonic())
            self._kept.append(kept)
            self._added += 1
            self._bytes += size_bytes
            while (oldest := self._outlived(stamp_ns)) is not None:
                self._bytes -= oldest.size_bytes
                self._kept.remove(oldest)
            return kept

    def pin(self, number: int | None) -> None:
        """Keep frame `number`, and as many after it as fit, until another or None is pinned."""
        with self._lock:
            self._pinned = number

    def mark_read(self, number: int) -> None:
        """Allow frames up to `number` to be forgotten."""
        with self._lock:
            self._read = max(self._read, number)

    def forget_before(self, number: int) -> None:
        """Forget the frames added before `number` (a jump in time, another picture size)."""
        with self._lock:
            while self._kept and self._kept[0].number < number:
                self._bytes -= self._kept.popleft().size_bytes

    def clear(self) -> None:
        """Forget every frame."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0

    def forget(self, number: int) -> None:
        """Forget one frame (it could not be used, and its stamp may be as wrong as the rest)."""
        with self._lock:
            for kept in [kept for kept in self._kept if kept.number == number]:
                self._bytes -= kept.size_bytes
                self._kept.remove(kept)

    def find(self, stamp_ns: int) -> Kept[T] | None:
        """Return the frame with exactly this stamp, the newest one if several have it."""
        with self._lock:
            return next((k for k in reversed(self._kept) if k.stamp_ns == stamp_ns), None)

    def after(self, number: int) -> list[Kept[T]]:
        """Frames added after frame `number`, in order."""
        with self._lock:
            return [kept for kept in self._kept if kept.number > number]

    def _outlived(self, newest_stamp_ns: int) -> Kept[T] | None:
        """Oldest frame that may and must go; never the newest, a pinned or a held one."""
        pinned = self._pinned is not None and self._kept[0].number == self._pinned
        index = 1 if pinned else 0
        if len(self._kept) < index + 2:
            return None
        oldest = self._kept[index]
        if self._hold_unread and oldest.number > self._read:
            return None
        too_old = not pinned and newest_stamp_ns - oldest.stamp_ns > self._span_ns
        return oldest if too_old or self._bytes > self._max_bytes else None
