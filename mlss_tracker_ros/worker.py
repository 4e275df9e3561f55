"""The one thread that owns the device: it takes commands and frames to a Session."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from mlss_tracker_ros.heap import HeapTrimmer, trim_heap

if TYPE_CHECKING:
    from mlss_tracker_ros.session import Session, Step

Message = TypeVar("Message")

CLOSE_TIMEOUT_S = 10.0


class Worker(Generic[Message]):
    """Runs a session's steps while there is work; any thread may add frames and commands."""

    def __init__(
        self,
        session: Session[Message],
        on_step: Callable[[Step[Message]], None],
        on_change: Callable[[], None],
    ) -> None:
        """Start the thread.

        Args:
            session: nobody else may call its methods from now on; reading its figures is safe.
            on_step: called in the thread with every frame that was processed.
            on_change: called in the thread after every command and every step.
        """
        self.session = session
        self._on_step = on_step
        self._on_change = on_change
        self._commands: list[Callable[[Session[Message]], object]] = []
        self._wake = threading.Condition()
        self._trim = HeapTrimmer()
        self._closed = False
        self._thread = threading.Thread(target=self._live, name="tracker", daemon=True)
        self._thread.start()

    def add_frame(self, message: Message, stamp_ns: int, size_bytes: int) -> None:
        """Keep a frame for the thread."""
        self.session.buffer.add(stamp_ns, message, size_bytes)
        with self._wake:
            self._wake.notify()

    def post(self, command: Callable[[Session[Message]], object]) -> None:
        """Have a command run between two frames."""
        with self._wake:
            self._commands.append(command)
            self._wake.notify()

    @property
    def alive(self) -> bool:
        """Whether the thread may still use the session's tracker."""
        return self._thread.is_alive()

    def close(self) -> None:
        """End the thread after the frame in hand; it lets go of all frames.

        A device that hangs is waited for no longer than CLOSE_TIMEOUT_S: see `alive`.
        """
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join(CLOSE_TIMEOUT_S)

    def _live(self) -> None:
        self._run()
        self.session.close()
        trim_heap()  # the period begins anew with the next thread: what is free goes now

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(
                    lambda: self._closed or self._commands or self.session.has_work,
                    timeout=self._trim.period_s,  # what the last work left behind
                )
                if self._closed:
                    return
                commands, self._commands = self._commands, []
            try:
                for command in commands:
                    command(self.session)
                step = self.session.step()
                if self._closed:
                    return
                if step is not None:
                    self._on_step(step)
                self._on_change()
                if not self.session.has_work:
                    self.session.tracker.learn()
                self._trim()
            except Exception as error:  # the device or a defect: a robot's node must live on
                if self._closed:
                    return
                self.session.fail(error)
