"""Keeps a process that runs for days from growing although nothing leaks (with glibc).

glibc keeps what was freed between blocks still in use, and gives threads heaps of their own, eight
for each core, that outlive them: every activation of the node starts a thread, and its batches
leave a heap of some 50 MB behind.
"""

from __future__ import annotations

import ctypes
import time

_M_ARENA_MAX = -8  # malloc.h
_HEAPS = 2  # the main thread's and one for all others: Python runs one thread at a time anyway


def share_heaps() -> None:
    """Have the threads from now on share two heaps, or those that libraries have opened by now."""
    option = getattr(ctypes.CDLL(None), "mallopt", None)
    if option is not None:
        option(_M_ARENA_MAX, _HEAPS)


def trim_heap() -> None:
    """Give back free pages: 10 to 30 ms for 150 MB."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class HeapTrimmer:
    """Trims once every `period_s`, when it is called."""

    def __init__(self, period_s: float = 60.0) -> None:
        self.period_s = period_s
        self._trimmed_s = time.monotonic()

    def __call__(self) -> None:
        """Trim if it is time."""
        now_s = time.monotonic()
        if now_s - self._trimmed_s >= self.period_s:
            self._trimmed_s = now_s
            trim_heap()
