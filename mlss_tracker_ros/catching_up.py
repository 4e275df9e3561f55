"""How targets that started on an older frame reach the newest one."""

from __future__ import annotations

from typing import Generic, TypeVar

from mlss_tracker_ros.frame_buffer import FrameBuffer, Kept

Message = TypeVar("Message")


class CatchingUp(Generic[Message]):
    """The late targets, one after the other, and the frames that each still has to see."""

    def __init__(self, buffer: FrameBuffer[Message]) -> None:
        self._buffer = buffer
        self._late: list[str] = []
        self._turn = False
        self._stride = 1
        self._added_before = 0  # frames that had come at the last step

    def __len__(self) -> int:
        return len(self._late)

    def __contains__(self, target_id: str) -> bool:
        return target_id in self._late

    def add(self, target_id: str) -> None:
        """Have one more target catch up."""
        self._late.append(target_id)
        self._stride, self._added_before = 1, self._buffer.added

    def remove(self, target_id: str) -> None:
        """Let go of a target that has caught up or is gone."""
        if target_id in self._late:
            self._late.remove(target_id)

    def clear(self) -> None:
        """Let go of every target."""
        self._late.clear()

    def take_turn(self, others_wait: bool) -> str | None:
        """Target whose turn it is; None every other time while others wait for a frame too."""
        self._turn = not self._turn
        return self._late[0] if self._late and (self._turn or not others_wait) else None

    def ahead(self, number: int, up_to: int | None) -> list[Kept[Message]]:
        """Frames that a target which is at frame `number` may go on to, the nearest first.

        Args:
            number: of the frame it was updated on last.
            up_to: number of the frame at which it meets the others; None: the newest one.
        """
        later = self._buffer.after(number)
        if up_to is not None:
            later = [kept for kept in later if kept.number <= up_to]
        return later[min(self._stride, len(later)) - 1 :] if later else []

    def choose_stride(self, leave_none_out: bool) -> None:
        """Twice as fast as frames arrive: the lag is gone after as long as it was."""
        arrived, self._added_before = self._buffer.added - self._added_before, self._buffer.added
        self._stride = 1 if leave_none_out else max(1, 2 * arrived)
