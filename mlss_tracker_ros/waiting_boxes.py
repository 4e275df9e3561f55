"""Boxes between their arrival and their start: those whose frame has not come, and the queue."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from mlss_core.errors import BoxError
from mlss_tracker_ros.frame_buffer import Kept
from mlss_tracker_ros.init_requests import InitRequest

Message = TypeVar("Message")


class Start(NamedTuple, Generic[Message]):
    """A box that is to start on a frame."""

    request: InitRequest
    kept: Kept[Message]
    patient: bool = False  # waits for another frame when it does not fit this one


class WaitingBoxes(Generic[Message]):
    """Boxes whose frame has not come, and starts whose turn has not; both are bounded.

    A newer box takes the place of an older one for the same target.
    """

    def __init__(self) -> None:
        self._for_later: list[InitRequest] = []
        self._starts: list[Start[Message]] = []

    @property
    def start_waits(self) -> bool:
        """Whether `next_start` has one."""
        return bool(self._starts)

    def keep(self, request: InitRequest, most: int) -> None:
        """Keep a box until its frame comes; of more than `most` the oldest is forgotten."""
        self.forget_kept(request.target_id)
        self._for_later = [*self._for_later, request][-most:]

    def take_kept(self) -> list[InitRequest]:
        """Hand over every box kept for a later frame, the oldest first."""
        kept, self._for_later = self._for_later, []
        return kept

    def queue(self, start: Start[Message], most: int) -> None:
        """Have a box start soon.

        Raises:
            BoxError: `most` boxes for other targets wait already.
        """
        names = [waiting.request.target_id for waiting in self._starts]
        if start.request.target_id in names:
            self._starts[names.index(start.request.target_id)] = start
        elif len(names) < most:
            self._starts.append(start)
        else:
            raise BoxError(
                f"expected at most {len(names)} boxes to wait for their start, got one more; "
                "send it again when the others have started"
            )

    def next_start(self) -> Start[Message]:
        """Take the start that has waited longest."""
        return self._starts.pop(0)

    def take_start_on(self, number: int) -> Start[Message] | None:
        """Take a start on frame `number`, if there is one."""
        start = next((start for start in self._starts if start.kept.number == number), None)
        if start is not None:
            self._starts.remove(start)
        return start

    def forget_kept(self, target_id: str) -> None:
        """Forget the box for this target that was kept for a later frame."""
        self._for_later = [r for r in self._for_later if r.target_id != target_id]

    def forget(self, target_id: str) -> bool:
        """Forget the boxes for one target; whether there were any."""
        before = len(self._for_later) + len(self._starts)
        self.forget_kept(target_id)
        self._starts = [s for s in self._starts if s.request.target_id != target_id]
        return len(self._for_later) + len(self._starts) < before

    def forget_frames_before(self, number: int) -> None:
        """Forget boxes drawn on frames before frame `number`: those frames are gone."""
        self._for_later = [r for r in self._for_later if r.stamp_ns == 0]
        self._starts = [s for s in self._starts if s.kept.number >= number]

    def clear(self) -> None:
        """Forget every box."""
        self._for_later.clear()
        self._starts.clear()
