"""Which frame meets which target: the rules of the node, without ROS.

A Session is owned by the thread that owns the device. It starts requested boxes on the frames they
were drawn on, lets late targets catch up, and drops targets when the stream breaks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from mlss_core.box import Box
from mlss_core.errors import BoxError, FrameError
from mlss_core.thermal import check_frame
from mlss_core.tracker import TrackResult
from mlss_tracker_ros.followed_targets import FollowedTargets, Tracker
from mlss_tracker_ros.frame_buffer import FrameBuffer, Kept
from mlss_tracker_ros.frame_stream import FrameStream
from mlss_tracker_ros.init_requests import InitRequest, unknown_target
from mlss_tracker_ros.node_params import NodeParams
from mlss_tracker_ros.waiting_boxes import Start, WaitingBoxes

Message = TypeVar("Message")


class Step(NamedTuple, Generic[Message]):
    """One frame that was processed."""

    kept: Kept[Message]
    picture: np.ndarray  # raw, as the camera gave it
    results: list[TrackResult]  # of every target that has reached this frame
    publish: bool  # False for a frame that was published before and is only caught up on
    tracker_s: float


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
        every_frame = params.process_every_frame
        self.tracker = tracker
        self.params = params
        self.buffer: FrameBuffer[Message] = FrameBuffer(
            params.buffer_span_s, params.buffer_max_mb << 20, every_frame
        )
        self.reason = ""  # why the state is what it is: the last event
        self.broken = False  # the newest frame could not be used
        self.enabled = True
        self.processed = self.refused = self.time_jumps = 0
        self._decode = decode
        self._say = say
        self._stream = FrameStream(self.buffer, every_frame)
        self._targets = FollowedTargets(tracker, self.buffer)
        self._boxes: WaitingBoxes[Message] = WaitingBoxes()
        self._just_started = False
        if any(params.init_box):
            self.request(InitRequest(Box(*params.init_box)))

    @property
    def results(self) -> list[TrackResult]:
        """Last result of every target."""
        return list(self._targets.results.values())

    @property
    def dropped(self) -> int:
        """Frames that were passed over for newer ones."""
        return self._stream.dropped

    @property
    def has_work(self) -> bool:
        """Whether `step` would do something."""
        return self.enabled and (self.catching_up or self._stream.upcoming is not None)

    @property
    def catching_up(self) -> bool:
        """Whether a target is still on older frames than the stream."""
        return self._boxes.start_waits or len(self._targets.late) > 0

    # Requests.

    def request(self, request: InitRequest) -> None:
        """Take a box to start on or a stop; a refusal is said and changes nothing."""
        if request.stop:
            self._stop(request.target_id)
        elif not self._queue(request):
            self._event("init box kept for the image it is meant for")

    def refuse(self, error: Exception) -> None:
        """Say why a box cannot be used; nothing else changes."""
        self._event(f"init box refused: {error}")

    def reset(self) -> list[str]:
        """Restart every target from its last init box on the newest frame; returns their ids."""
        for target_id, box in self._targets.init_boxes.items():
            self.request(InitRequest(box, 0, target_id))
        return list(self._targets.init_boxes)

    def drop_all(self, reason: str) -> None:
        """Forget every target and every box that waits for a frame."""
        self._targets.clear()
        self._boxes.clear()
        self._event(reason)

    def close(self) -> None:
        """Let go of every frame now: what holds the session may be freed much later."""
        self._targets.clear()
        self._boxes.clear()
        self.buffer.clear()

    def enable(self, enabled: bool) -> None:
        """Pause or resume; templates are kept."""
        if enabled == self.enabled:
            return
        self.enabled = enabled
        if enabled:
            self._stream.leave_out()  # what came meanwhile was not dropped
        self._event("" if enabled else "paused by ~/enable; targets are kept")

    def fail(self, error: Exception) -> None:
        """Note that the device or the code failed on a frame; the next frame is tried again."""
        self.broken = True
        first_line = (str(error).splitlines() or [""])[0][:200]
        self._event(f"processing failed: {type(error).__name__}: {first_line}")

    def _stop(self, target_id: str) -> None:
        if not target_id:
            self.drop_all("stopped by request")
            return
        waited, followed = self._boxes.forget(target_id), target_id in self._targets.at
        if not waited and not followed:
            self.refuse(unknown_target(target_id, self._targets.at))
            return
        self._targets.forget(target_id)
        self._event(f"target {target_id!r} stopped by request")

    def _queue(self, request: InitRequest, patient: bool = False) -> bool:
        """Have a box start on its frame, or say why not; False: kept, as that has not come."""
        try:
            kept = self._stream.frame_for(request, self.params.init_max_age_s)
            if kept is None:
                self._boxes.keep(request, self.params.max_targets)
                return False
            self._boxes.queue(Start(request, kept, patient), 2 * self.params.max_targets)
        except BoxError as error:
            self.refuse(error)
        return True

    # The way of a frame.

    def step(self) -> Step[Message] | None:
        """Process one frame, or start one target; None when there was nothing to show for it."""
        if not self.enabled:
            return None
        upcoming = self._stream.upcoming
        frame_waits = upcoming is not None and not self.params.process_every_frame
        if self._boxes.start_waits and not (self._just_started and frame_waits):
            self._just_started = True
            return self._start(self._boxes.next_start())
        self._just_started = False  # a storm of boxes must not keep the frames out
        targets = self._targets
        late = targets.late.take_turn(frame_waits and len(targets.late) < len(targets))
        if late is not None:
            return self._catch_up(late)
        return self._process(upcoming) if upcoming is not None else None

    def _process(self, kept: Kept[Message]) -> Step[Message] | None:
        """Update every target that is not behind, on the next frame of the stream."""
        self._stream.advance(kept)
        try:
            picture = self._decode(kept.frame)
            check_frame(picture)  # before it can drop a target for its size or stamp
            self._check_stream(kept, picture)
            began = time.monotonic()
            self._targets.update(picture, kept.number)
            seconds = time.monotonic() - began
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
        for request in self._boxes.take_kept():
            self._queue(request, patient=request.stamp_ns == 0)
        while (start := self._boxes.take_start_on(kept.number)) is not None:
            self._start(start)
        return Step(kept, picture, self._targets.keeping_up, publish=True, tracker_s=seconds)

    def _start(self, start: Start[Message]) -> Step[Message] | None:
        """Initialise one target; it catches up afterwards when its frame is not the newest."""
        request, kept, most = start.request, start.kept, self.params.max_targets
        began = time.monotonic()
        try:
            picture = self._decode(kept.frame)
            check_frame(picture)
            self._stream.check_not_ahead(kept, picture)
            self._check_look(kept, picture)
            self._stream.check_start(request, kept)
            result = self._targets.start(picture, request, kept.number, most)
        except (BoxError, FrameError) as error:
            if start.patient:  # it came before any image: the first one it fits may be another
                self._boxes.keep(request, most)
                self._event(f"init box kept for an image that it fits: {error}")
            else:
                self.refuse(error)
            return None
        seconds = time.monotonic() - began
        self._boxes.forget_kept(request.target_id)
        self._say(f"target {result.target_id!r} started")
        self.reason = ""
        if self._stream.is_behind(kept):
            self._targets.late.add(result.target_id)
        seen, alone = kept.number <= self._stream.last_number, len(self._targets) == 1
        if not (seen and alone and self.params.process_every_frame):
            return None  # a frame that is still to come shows the start by itself
        return Step(kept, picture, [result], publish=True, tracker_s=seconds)

    def _catch_up(self, target_id: str) -> Step[Message] | None:
        """Take one late target one frame nearer to the others, or to the newest frame."""
        targets, every_frame = self._targets, self.params.process_every_frame
        alone = len(targets) == len(targets.late)
        meets_at = None if alone and not every_frame else self._stream.last_number
        kept = targets.advance_late(target_id, meets_at)
        if kept is None:
            return None
        began = time.monotonic()
        try:
            picture = self._decode(kept.frame)
            results = targets.update_late(target_id, picture)
        except FrameError:
            results = []  # it was refused, and that was said, when it was new
        seconds = time.monotonic() - began
        targets.late.choose_stride(leave_none_out=every_frame)
        fresh = alone and kept.number > self._stream.last_number
        if fresh:
            self._stream.advance(kept)
            self._stream.seconds_back(kept.stamp_ns)  # the next one is compared with this
            self.processed += 1
        publish = fresh or (alone and every_frame)
        return Step(kept, picture, results, publish, seconds) if results else None

    def _check_stream(self, kept: Kept[Message], picture: np.ndarray) -> None:
        """Drop the targets when time jumps back or the picture changes its size or type."""
        back_s = self._stream.seconds_back(kept.stamp_ns)
        if back_s > self.params.time_jump_s:
            self.time_jumps += 1
            self._break_stream(kept, f"time jumped back by {back_s:.3f} s")
            if any(self.params.init_box):  # the recording starts again, and so does its box
                self.request(InitRequest(Box(*self.params.init_box)))
        elif back_s >= 0:
            how = "repeats the one before" if back_s == 0 else f"is {back_s * 1e3:.3f} ms earlier"
            self._event(f"image stamp {how}; images are taken as they arrive")
        self._check_look(kept, picture)

    def _check_look(self, kept: Kept[Message], picture: np.ndarray) -> None:
        change = self._stream.change_of(picture)
        if change:
            self._break_stream(kept, f"image changed {change}")

    def _break_stream(self, kept: Kept[Message], what: str) -> None:
        had = ", ".join(self._targets.at)
        self._stream.begins_ns = kept.stamp_ns
        self.buffer.forget_before(kept.number)
        self._boxes.forget_frames_before(kept.number)
        self._targets.clear()
        self._event(f"{what}; dropped target {had}, draw a new box" if had else what)

    def _event(self, reason: str) -> None:
        if reason and reason != self.reason:
            self._say(reason)
        self.reason = reason
