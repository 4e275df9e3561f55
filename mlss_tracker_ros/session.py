"""Which frame meets which target: the rules of the node, without ROS.

A Session is owned by the thread that owns the device. It starts requested boxes on the frames they
were drawn on, lets late targets catch up, and drops targets when the stream breaks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from mlss_core.box import Box
from mlss_core.errors import BoxError, FrameError
from mlss_core.presence import TrackState
from mlss_core.thermal import check_frame
from mlss_core.tracker import TrackResult
from mlss_tracker_ros.frame_buffer import FrameBuffer, Kept
from mlss_tracker_ros.init_requests import InitRequest
from mlss_tracker_ros.parameters import NodeParams

Message = TypeVar("Message")


class Tracker(Protocol):
    """All that the node asks of a tracker; see `mlss_core.tracker.MLSSTracker`."""

    @property
    def target_ids(self) -> tuple[str, ...]: ...  # noqa: D102
    def initialize(self, frame: np.ndarray, box: Box, target_id: str) -> None: ...  # noqa: D102
    def update(  # noqa: D102
        self, frame: np.ndarray, only: Collection[str] | None = None
    ) -> list[TrackResult]: ...
    def learn(self) -> None: ...  # noqa: D102
    def remove(self, target_id: str) -> None: ...  # noqa: D102
    def clear(self) -> None: ...  # noqa: D102


class Step(NamedTuple, Generic[Message]):
    """One frame that was processed."""

    kept: Kept[Message]
    picture: np.ndarray  # raw, as the camera gave it
    results: list[TrackResult]  # of every target that has reached this frame
    publish: bool  # False for a frame that was published before and is only caught up on
    tracker_s: float


class _Start(NamedTuple, Generic[Message]):
    request: InitRequest
    kept: Kept[Message]
    patient: bool = False  # waits for another frame when it does not fit this one


class Session(Generic[Message]):
    """Targets on one stream of images.

    `step` processes one frame at a time: the newest one, or with `process_every_frame` the next
    one. A target that starts on an older frame runs through the frames kept since, skipping as
    many as it takes to gain on the camera (none with `process_every_frame`), until it has caught
    up with the others; meanwhile the others go on.
    """

    def __init__(
        self,
        tracker: Tracker,
        decode: Callable[[Message], np.ndarray],
        params: NodeParams,
        say: Callable[[str], None],
    ) -> None:
        """Start with no frame and no target.

        Args:
            tracker: follows the targets; nobody else may use it.
            decode: picture of an image message; raises FrameError.
            params: of the node; may be replaced between calls.
            say: takes every sentence that an operator should read, once per event.
        """
        self.tracker = tracker
        self.params = params
        self.buffer: FrameBuffer[Message] = FrameBuffer(
            params.buffer_span_s, params.buffer_max_mb << 20, params.process_every_frame
        )
        self.reason = ""  # why the state is what it is: the last event
        self.broken = False  # the newest frame could not be used
        self.enabled = True
        self.processed = self.dropped = self.refused = self.time_jumps = 0
        self._decode = decode
        self._say = say
        self._results: dict[str, TrackResult] = {}
        self._init_boxes: dict[str, Box] = {}
        self._at: dict[str, int] = {}  # target -> number of the frame it was last updated on
        self._catching: list[str] = []
        self._catching_turn = False
        self._stride = 1
        self._added_before = 0  # frames that had come at the last step of catching up
        self._starting: list[_Start[Message]] = []
        self._just_started = False
        self._pending: list[InitRequest] = []  # boxes for frames that have not come yet
        self._unnamed: str | None = None  # the target whose name was made here
        self._names_made = 0
        self._last: Kept[Message] | None = None
        self._stamp_ns: int | None = None  # of the last picture that could be used
        self._look: tuple[tuple[int, ...], np.dtype] | None = None
        if any(params.init_box):
            self.request(InitRequest(Box(*params.init_box)))

    @property
    def results(self) -> list[TrackResult]:
        """Last result of every target."""
        return list(self._results.values())

    @property
    def has_work(self) -> bool:
        """Whether `step` would do something."""
        if not self.enabled:
            return False
        return self.catching_up or self._next() is not None

    @property
    def catching_up(self) -> bool:
        """Whether a target is still on older frames than the stream."""
        return bool(self._starting or self._catching)

    def request(self, request: InitRequest) -> None:
        """Take a box to start on or a stop; a refusal is said and changes nothing."""
        if request.stop:
            self._stop(request.target_id)
            return
        try:
            kept = self._frame_for(request)
        except BoxError as error:
            self.refuse(error)
            return
        if kept is not None:
            self._queue(_Start(request, kept))
            return
        self._keep_waiting(request)
        self._event("init box kept for the image it is meant for")

    def reset(self) -> list[str]:
        """Restart every target from its last init box on the newest frame; returns their ids."""
        for target_id, box in self._init_boxes.items():
            self.request(InitRequest(box, 0, target_id))
        return list(self._init_boxes)

    def drop_all(self, reason: str) -> None:
        """Forget every target and every box that waits for a frame."""
        self.tracker.clear()
        self._pending.clear()
        self._starting.clear()
        self._catching.clear()
        for by_target in (self._results, self._init_boxes, self._at):
            by_target.clear()
        self._unnamed = None
        self._event(reason)

    def fail(self, error: Exception) -> None:
        """Note that the device or the code failed on a frame; the next frame is tried again."""
        self.broken = True
        first_line = (str(error).splitlines() or [""])[0][:200]
        self._event(f"processing failed: {type(error).__name__}: {first_line}")

    def enable(self, enabled: bool) -> None:
        """Pause or resume; templates are kept."""
        if enabled == self.enabled:
            return
        self.enabled = enabled
        if enabled and not self.params.process_every_frame:
            self._last = self.buffer.newest  # what came meanwhile was not dropped but left out
        self._event("" if enabled else "paused by ~/enable; targets are kept")

    def step(self) -> Step[Message] | None:
        """Process one frame, or start one target; None when there was nothing to show for it."""
        if not self.enabled:
            return None
        upcoming = self._next()
        frame_waits = upcoming is not None and not self.params.process_every_frame
        if self._starting and not (self._just_started and frame_waits):
            self._just_started = True
            return self._start(self._starting.pop(0))
        self._just_started = False  # a storm of boxes must not keep the frames out
        others_wait = upcoming is not None and len(self._catching) < len(self._at)
        if self.params.process_every_frame:
            others_wait = False  # their frames are not lost meanwhile
        self._catching_turn = not self._catching_turn
        if self._catching and (self._catching_turn or not others_wait):
            return self._catch_up(self._catching[0])
        return self._process(upcoming) if upcoming is not None else None

    def _next(self) -> Kept[Message] | None:
        last = self._last.number if self._last is not None else -1
        if self.params.process_every_frame:
            later = self.buffer.after(last)
            return later[0] if later else None
        newest = self.buffer.newest
        return newest if newest is not None and newest.number > last else None

    def _process(self, kept: Kept[Message]) -> Step[Message] | None:
        """Update every target that is not behind, on the next frame of the stream."""
        previous, self._last = self._last, kept
        self.buffer.mark_read(kept.number)
        self.dropped += kept.number - (previous.number if previous is not None else -1) - 1
        try:
            picture = self._decode(kept.frame)
            check_frame(picture)  # before it can drop a target for its size or stamp
            self._check_stream(kept, picture)
            seconds = self._update(kept, picture)
        except FrameError as error:
            self.refused += 1
            self.broken = True
            self.buffer.forget(kept.number)
            self._event(f"image refused: {error}")
            return None
        if self.broken:
            self.broken = False
            self._event("")
        self.processed += 1
        self._wake_pending()
        for start in [start for start in self._starting if start.kept.number == kept.number]:
            self._starting.remove(start)
            self._start(start)
        return Step(kept, picture, self._current(), publish=True, tracker_s=seconds)

    def _update(self, kept: Kept[Message], picture: np.ndarray) -> float:
        ready = [
            target_id
            for target_id, number in self._at.items()
            if target_id not in self._catching and number < kept.number
        ]
        began = time.monotonic()
        everyone = len(ready) == len(self._at)
        updated = self.tracker.update(picture, None if everyone else ready) if ready else []
        seconds = time.monotonic() - began
        for result in updated:
            self._results[result.target_id] = result
            self._at[result.target_id] = kept.number
        return seconds

    def _current(self) -> list[TrackResult]:
        """Results of the targets that keep up with the stream."""
        return [r for target_id, r in self._results.items() if target_id not in self._catching]

    def _start(self, start: _Start[Message]) -> Step[Message] | None:
        """Initialise one target; it catches up afterwards when its frame is not the newest."""
        request, kept = start.request, start.kept
        target_id = request.target_id or self._new_name()
        replaced = None if request.target_id else self._unnamed
        began = time.monotonic()
        try:
            self._check_room(target_id, replaced)
            picture = self._decode(kept.frame)
            self.tracker.initialize(picture, request.box, target_id)  # type: ignore[arg-type]
        except (BoxError, FrameError) as error:
            if start.patient:  # it came before any image: the first one it fits may be another
                self._keep_waiting(request)
                self._event(f"init box kept for an image that it fits: {error}")
            else:
                self.refuse(error)
            return None
        seconds = time.monotonic() - began
        if replaced is not None:
            self._forget(replaced)
        if not request.target_id:
            self._unnamed = target_id
        self._pending = [other for other in self._pending if other.target_id != request.target_id]
        self._look = (picture.shape, picture.dtype)
        self._init_boxes[target_id] = request.box  # type: ignore[assignment]
        result = TrackResult(target_id, request.box, 1.0, TrackState.TRACKING)
        self._results[target_id] = result
        self._at[target_id] = kept.number
        self._say(f"target {target_id!r} started")
        self.reason = ""
        if target_id in self._catching:
            self._catching.remove(target_id)
        later, upcoming = self.buffer.after(kept.number), self._next()
        if later and (upcoming is None or later[0].number != upcoming.number):
            self._catching.append(target_id)
            self._stride, self._added_before = 1, self.buffer.added
        seen = self._last is not None and kept.number <= self._last.number
        alone = len(self._at) == 1
        if not (seen and alone and self.params.process_every_frame):
            return None  # a frame that is still to come shows the start by itself
        return Step(kept, picture, [result], publish=True, tracker_s=seconds)

    def _catch_up(self, target_id: str) -> Step[Message] | None:
        """Take one late target one frame nearer to the others, or to the newest frame."""
        alone = len(self._at) == len(self._catching)
        last = self._last.number if self._last is not None else -1
        later = self.buffer.after(self._at[target_id])
        if not alone or self.params.process_every_frame:
            later = [kept for kept in later if kept.number <= last]
        if not later:
            self._catching.remove(target_id)
            return None
        kept = later[min(self._stride, len(later)) - 1]
        self._at[target_id] = kept.number
        began = time.monotonic()
        try:
            picture = self._decode(kept.frame)
            results = self.tracker.update(picture, None if len(self._at) == 1 else [target_id])
        except FrameError:
            results = []  # it was refused, and that was said, when it was new
        seconds = time.monotonic() - began
        for result in results:
            self._results[target_id] = result
        # twice as fast as frames arrive: the lag is gone after as long as it was
        arrived, self._added_before = self.buffer.added - self._added_before, self.buffer.added
        self._stride = 1 if self.params.process_every_frame else max(1, 2 * arrived)
        if kept is later[-1]:  # what came since then is the stream's next frame
            self._catching.remove(target_id)
        fresh = alone and kept.number > last
        if fresh:
            self.dropped += kept.number - last - 1
            self.processed += 1
            self._last, self._stamp_ns = kept, kept.stamp_ns
            self.buffer.mark_read(kept.number)
        publish = fresh or (alone and self.params.process_every_frame)
        return Step(kept, picture, results, publish, seconds) if results else None

    def _check_stream(self, kept: Kept[Message], picture: np.ndarray) -> None:
        """Drop the targets when time jumps back or the picture changes its size or type."""
        back_s = (self._stamp_ns - kept.stamp_ns) / 1e9 if self._stamp_ns is not None else -1.0
        self._stamp_ns = kept.stamp_ns
        if back_s > self.params.time_jump_s:
            self.time_jumps += 1
            self._break_stream(kept, f"time jumped back by {back_s:.3f} s")
            if any(self.params.init_box):  # the recording starts again, and so does its box
                self.request(InitRequest(Box(*self.params.init_box)))
        elif back_s >= 0:
            how = "repeats the one before" if back_s == 0 else f"is {back_s * 1e3:.3f} ms earlier"
            self._event(f"image stamp {how}; images are taken as they arrive")
        look = (picture.shape, picture.dtype)
        if self._look is not None and look != self._look:
            self._break_stream(
                kept, f"image changed from {_describe(*self._look)} to {_describe(*look)}"
            )
        self._look = look

    def _break_stream(self, kept: Kept[Message], what: str) -> None:
        self.buffer.forget_before(kept.number)
        had = ", ".join(self._at)
        pending = [request for request in self._pending if request.stamp_ns == 0]
        starting = [start for start in self._starting if start.kept.number >= kept.number]
        self.drop_all(f"{what}; dropped target {had}, draw a new box" if had else what)
        self._pending, self._starting = pending, starting

    def _frame_for(self, request: InitRequest) -> Kept[Message] | None:
        """Frame that a box is meant for; None while it has not come.

        Raises:
            BoxError: the frame is no longer kept and the newest one is too far away.
        """
        newest = self.buffer.newest
        if newest is None:
            return None
        if request.stamp_ns == 0:
            return self._last if self.params.process_every_frame else newest
        kept = self.buffer.find(request.stamp_ns)
        if kept is not None:
            return kept
        late_s = (newest.stamp_ns - request.stamp_ns) / 1e9
        if abs(late_s) > self.params.init_max_age_s:
            raise BoxError(
                f"expected the stamp of an image kept ({len(self.buffer)} up to "
                f"{newest.stamp_ns / 1e9:.3f} s), got {request.stamp_ns / 1e9:.3f} s, "
                f"{abs(late_s):.3f} s {'before' if late_s > 0 else 'after'} the newest; draw the "
                "box on a newer image or raise buffer_span_s or init_max_age_s"
            )
        return newest if late_s > 0 else None

    def _wake_pending(self) -> None:
        """Start the boxes whose frame has come."""
        waiting, self._pending = self._pending, []
        for request in waiting:
            try:
                kept = self._frame_for(request)
            except BoxError as error:
                self.refuse(error)
                continue
            if kept is None:
                self._pending.append(request)
            else:
                self._queue(_Start(request, kept, patient=request.stamp_ns == 0))

    def _queue(self, start: _Start[Message]) -> None:
        """Have a box start soon; a newer one for the same target takes its place."""
        names = [waiting.request.target_id for waiting in self._starting]
        if start.request.target_id in names:
            self._starting[names.index(start.request.target_id)] = start
        elif len(names) < 2 * self.params.max_targets:
            self._starting.append(start)
        else:
            self.refuse(
                BoxError(
                    f"expected at most {len(names)} boxes to wait for their start, got one more; "
                    "send it again when the others have started"
                )
            )

    def _check_room(self, target_id: str, replaced: str | None) -> None:
        others = set(self._at) - {target_id, replaced}
        if len(others) >= self.params.max_targets:
            raise BoxError(
                f"expected at most max_targets={self.params.max_targets} targets, got one more; "
                "stop one first"
            )

    def _keep_waiting(self, request: InitRequest) -> None:
        self._pending = [other for other in self._pending if other.target_id != request.target_id]
        self._pending = [*self._pending, request][-self.params.max_targets :]

    def _new_name(self) -> str:
        while True:
            self._names_made += 1
            if str(self._names_made) not in self._at:
                return str(self._names_made)

    def _stop(self, target_id: str) -> None:
        if not target_id:
            self.drop_all("stopped by request")
            return
        known = target_id in self._at
        for queue in (self._pending, [start.request for start in self._starting]):
            known = known or any(request.target_id == target_id for request in queue)
        if not known:
            names = ", ".join(self._at) or "none is followed"
            self.refuse(
                BoxError(
                    f"expected the id of a target to stop ({names}), got {target_id!r}; check "
                    "the id, or send positive sizes to start it"
                )
            )
            return
        self._pending = [r for r in self._pending if r.target_id != target_id]
        self._starting = [s for s in self._starting if s.request.target_id != target_id]
        self._forget(target_id)
        self._event(f"target {target_id!r} stopped by request")

    def _forget(self, target_id: str) -> None:
        self.tracker.remove(target_id)
        for by_target in (self._results, self._init_boxes, self._at):
            by_target.pop(target_id, None)
        if target_id in self._catching:
            self._catching.remove(target_id)
        if target_id == self._unnamed:
            self._unnamed = None

    def refuse(self, error: Exception) -> None:
        """Say why a box cannot be used; nothing else changes."""
        self._event(f"init box refused: {error}")

    def _event(self, reason: str) -> None:
        if reason and reason != self.reason:
            self._say(reason)
        self.reason = reason


def _describe(shape: tuple[int, ...], dtype: np.dtype) -> str:
    colour = " colour" if len(shape) == 3 else ""
    return f"{shape[1]}x{shape[0]} px {dtype}{colour}"
