"""The order of frames, the frame that a box is meant for, and where the stream breaks."""

from __future__ import annotations

from typing import Generic, TypeVar

import numpy as np

from mlss_core.errors import BoxError
from mlss_tracker_ros.frame_buffer import FrameBuffer, Kept
from mlss_tracker_ros.init_requests import InitRequest

Message = TypeVar("Message")


class FrameStream(Generic[Message]):
    """Which frame of a buffer comes next, and how it differs from the one before."""

    def __init__(self, buffer: FrameBuffer[Message], every_frame: bool) -> None:
        """Start before the first frame.

        Args:
            buffer: frames are added to it by another thread.
            every_frame: the next frame comes next, and not the newest.
        """
        self.last: Kept[Message] | None = None  # the frame processed last
        self.dropped = 0  # frames that were passed over
        self.begins_ns: int | None = None  # stamp of the first frame after the last break
        self._buffer = buffer
        self._every_frame = every_frame
        self._stamp_ns: int | None = None  # of the last picture that could be used
        self._look: tuple[tuple[int, ...], np.dtype] | None = None

    @property
    def last_number(self) -> int:
        """Number of the frame processed last; -1 before the first."""
        return self.last.number if self.last is not None else -1

    @property
    def upcoming(self) -> Kept[Message] | None:
        """Frame to process next; None while there is none."""
        if self._every_frame:
            later = self._buffer.after(self.last_number)
            return later[0] if later else None
        newest = self._buffer.newest
        return newest if newest is not None and newest.number > self.last_number else None

    def advance(self, kept: Kept[Message]) -> None:
        """Go on to a frame; those between it and the last one were dropped."""
        self.dropped += kept.number - self.last_number - 1
        self.last = kept
        self._buffer.mark_read(kept.number)

    def leave_out(self) -> None:
        """Go on to the newest frame, without counting what is left out as dropped."""
        if not self._every_frame:
            self.last = self._buffer.newest

    def seconds_back(self, stamp_ns: int) -> float:
        """Take the next picture's stamp; how far it lies before the last one's.

        Returns:
            Seconds: 0 for the same stamp, negative where time goes on.
        """
        last_ns, self._stamp_ns = self._stamp_ns, stamp_ns
        return (last_ns - stamp_ns) / 1e9 if last_ns is not None else -1.0

    def change_of(self, picture: np.ndarray) -> str:
        """Take the next picture, (H, W) or (H, W, 3); what differs from the last one, or ""."""
        last, self._look = self._look, (picture.shape, picture.dtype)
        if last is None or last == self._look:
            return ""
        return f"from {_describe(*last)} to {_describe(*self._look)}"

    def frame_for(self, request: InitRequest, max_age_s: float) -> Kept[Message] | None:
        """Frame that a box is meant for: the one with its stamp, or without a stamp the newest.

        Where every frame is processed, a box without a stamp is for the frame processed last:
        starting on the newest one would leave out what lies between.

        Args:
            request: the box.
            max_age_s: how far the newest frame may be from one that is not kept, to stand in.

        Returns:
            The frame, or None while it has not come.

        Raises:
            BoxError: the frame is not kept, and the newest one is too far away.
        """
        newest = self._buffer.newest
        if newest is None:
            return None
        if request.stamp_ns == 0:
            return self.last if self._every_frame else newest
        kept = self._buffer.find(request.stamp_ns)
        if kept is not None:
            return kept
        late_s = (newest.stamp_ns - request.stamp_ns) / 1e9
        if abs(late_s) > max_age_s:
            raise BoxError(
                f"expected the stamp of an image kept ({len(self._buffer)} up to "
                f"{newest.stamp_ns / 1e9:.3f} s), got {request.stamp_ns / 1e9:.3f} s, "
                f"{abs(late_s):.3f} s {'before' if late_s > 0 else 'after'} the newest; draw the "
                "box on a newer image or raise buffer_span_s or init_max_age_s"
            )
        return newest if late_s > 0 else None

    def is_behind(self, kept: Kept[Message]) -> bool:
        """Whether frames after this one were passed, so that what starts on it must catch up."""
        later, upcoming = self._buffer.after(kept.number), self.upcoming
        return bool(later) and (upcoming is None or later[0].number != upcoming.number)

    def check_not_ahead(self, kept: Kept[Message], picture: np.ndarray) -> None:
        """Refuse a box for a part of a recording that is still to come and looks different.

        Raises:
            BoxError: starting there would leave out what lies between.
        """
        upcoming = self.upcoming if self._every_frame else None
        ahead = upcoming is not None and kept.number > upcoming.number
        if ahead and self._look not in (None, (picture.shape, picture.dtype)):
            raise BoxError(
                f"expected a box for pictures as they are now, got one of "
                f"{kept.stamp_ns / 1e9:.3f} s, where they are "
                f"{_describe(picture.shape, picture.dtype)}; send it when they have come"
            )

    def check_start(self, request: InitRequest, kept: Kept[Message]) -> None:
        """Refuse a box that was drawn before the last break, where another frame stands in.

        Raises:
            BoxError: its picture may have had another size.
        """
        stands_in = request.stamp_ns not in (0, kept.stamp_ns)
        if stands_in and self.begins_ns is not None and request.stamp_ns < self.begins_ns:
            raise BoxError(
                f"expected a box drawn on the present pictures, got one of "
                f"{request.stamp_ns / 1e9:.3f} s, before the stream broke at "
                f"{self.begins_ns / 1e9:.3f} s; draw it again"
            )


def _describe(shape: tuple[int, ...], dtype: np.dtype) -> str:
    colour = " colour" if len(shape) == 3 else ""
    return f"{shape[1]}x{shape[0]} px {dtype}{colour}"
