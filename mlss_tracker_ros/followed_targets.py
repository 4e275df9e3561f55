"""The targets that a tracker follows, and where in the stream each of them is."""

from __future__ import annotations

from collections.abc import Collection
from typing import Generic, Protocol, TypeVar

import numpy as np

from mlss_core.box import Box
from mlss_core.errors import BoxError
from mlss_core.presence import TrackState
from mlss_core.tracker import TrackResult
from mlss_tracker_ros.catching_up import CatchingUp
from mlss_tracker_ros.frame_buffer import FrameBuffer, Kept
from mlss_tracker_ros.init_requests import InitRequest

Message = TypeVar("Message")


class Tracker(Protocol):
    """All that the node asks of a tracker; see `mlss_core.tracker.MLSSTracker`."""

    def initialize(self, frame: np.ndarray, box: Box, target_id: str) -> None: ...  # noqa: D102
    def update(  # noqa: D102
        self, frame: np.ndarray, only: Collection[str] | None = None
    ) -> list[TrackResult]: ...
    def learn(self) -> None: ...  # noqa: D102
    def remove(self, target_id: str) -> None: ...  # noqa: D102
    def clear(self) -> None: ...  # noqa: D102


class FollowedTargets(Generic[Message]):
    """Last result, init box and place in the stream of every target of one tracker."""

    def __init__(self, tracker: Tracker, buffer: FrameBuffer[Message]) -> None:
        self.results: dict[str, TrackResult] = {}
        self.init_boxes: dict[str, Box] = {}
        self.at: dict[str, int] = {}  # target -> number of the frame it was last updated on
        self.late = CatchingUp(buffer)
        self._tracker = tracker
        self._unnamed: str | None = None  # the target whose name was made here
        self._names_made = 0

    def __len__(self) -> int:
        return len(self.at)

    @property
    def keeping_up(self) -> list[TrackResult]:
        """Last result of every target that is not behind the stream."""
        return [r for target_id, r in self.results.items() if target_id not in self.late]

    def start(
        self, picture: np.ndarray, request: InitRequest, number: int, most: int
    ) -> TrackResult:
        """Initialise a target, new or known, on frame `number`.

        A box without a name makes one, and replaces the target whose name was made before.

        Args:
            picture: of that frame, raw.
            request: a start, no stop.
            number: of the frame.
            most: targets there may be afterwards.

        Raises:
            BoxError: there are too many targets, or the box does not fit the picture.
            FrameError: the picture cannot be used.
        """
        box, target_id = request.box, request.target_id or self._new_name()
        assert box is not None
        replaced = None if request.target_id else self._unnamed
        if len(set(self.at) - {target_id, replaced}) >= most:
            raise BoxError(
                f"expected at most max_targets={most} targets, got one more; stop one first"
            )
        self._tracker.initialize(picture, box, target_id)
        if replaced is not None:
            self.forget(replaced)
        if not request.target_id:
            self._unnamed = target_id
        self.late.remove(target_id)
        self.init_boxes[target_id], self.at[target_id] = box, number
        self.results[target_id] = TrackResult(target_id, box, 1.0, TrackState.TRACKING)
        return self.results[target_id]

    def update(self, picture: np.ndarray, number: int) -> None:
        """Update every target that is neither behind nor already at frame `number`.

        Raises:
            FrameError: the picture cannot be used.
        """
        ready = [t for t, at in self.at.items() if t not in self.late and at < number]
        if ready:
            self._note(self._tracker.update(picture, self._all_or(ready)), number)

    def advance_late(self, target_id: str, up_to: int | None) -> Kept[Message] | None:
        """Frame that a late target goes on to; at the last one it is late no longer.

        Args:
            target_id: of a late target.
            up_to: number of the frame at which it meets the others; None: the newest one.
        """
        ahead = self.late.ahead(self.at[target_id], up_to)
        if len(ahead) <= 1:  # what comes after it is the stream's next frame
            self.late.remove(target_id)
        if not ahead:
            return None
        self.at[target_id] = ahead[0].number
        return ahead[0]

    def update_late(self, target_id: str, picture: np.ndarray) -> list[TrackResult]:
        """Update one late target on the frame that it went on to; its result.

        Raises:
            FrameError: the picture cannot be used.
        """
        results = self._tracker.update(picture, self._all_or([target_id]))
        self._note(results, self.at[target_id])
        return results

    def forget(self, target_id: str) -> None:
        """Forget one target, if it is known."""
        self._tracker.remove(target_id)
        for by_target in (self.results, self.init_boxes, self.at):
            by_target.pop(target_id, None)
        self.late.remove(target_id)
        if target_id == self._unnamed:
            self._unnamed = None

    def clear(self) -> None:
        """Forget every target; names that were made are not made again."""
        self._tracker.clear()
        for by_target in (self.results, self.init_boxes, self.at):
            by_target.clear()
        self.late.clear()
        self._unnamed = None

    def _all_or(self, some: list[str]) -> list[str] | None:
        return None if len(some) == len(self.at) else some

    def _note(self, results: list[TrackResult], number: int) -> None:
        for result in results:
            self.results[result.target_id] = result
            self.at[result.target_id] = number

    def _new_name(self) -> str:
        while True:
            self._names_made += 1
            if str(self._names_made) not in self.at:
                return str(self._names_made)
