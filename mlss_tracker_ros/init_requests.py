"""What users send to start or stop a target, as one type: InitRequest.

Refusals are BoxErrors whose text goes to the status and the log. Whether a box fits the picture is
decided later, on the frame it is for (`mlss_core.box.check_box`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from builtin_interfaces.msg import Time
from sensor_msgs.msg import RegionOfInterest
from vision_msgs.msg import Detection2D

from mlss_core.box import Box
from mlss_core.errors import BoxError

MAX_ID_LENGTH = 64
MAX_ROTATION_RAD = 1e-3  # a rotation this small moves no corner of a thermal picture by half a px


class InitRequest(NamedTuple):
    """Start (or restart) one target on a box, or stop it."""

    box: Box | None  # px of the frame it was drawn on; None = stop
    stamp_ns: int = 0  # of that frame; 0 = the newest one
    target_id: str = ""  # "": a start makes a name, a stop means every target

    @property
    def stop(self) -> bool:
        """Whether this ends a target instead of starting one."""
        return self.box is None


def nanoseconds(stamp: Time) -> int:
    """Nanoseconds since the epoch of a message's stamp."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def request_from_detection(message: Detection2D) -> InitRequest:
    """Read `~/init_box`: the stamp names the frame, `id` the target, both sizes zero mean stop.

    Raises:
        BoxError: a number that is not finite, a negative size, one side zero and the other not, a
            rotation, or an id of more than MAX_ID_LENGTH or of unprintable characters.
    """
    center, target_id = message.bbox.center, message.id
    numbers = (center.position.x, center.position.y, message.bbox.size_x, message.bbox.size_y)
    if not all(math.isfinite(number) for number in (*numbers, center.theta)):
        raise BoxError(
            f"expected a box of finite numbers, got centre ({numbers[0]:g}, {numbers[1]:g}), size "
            f"{numbers[2]:g} x {numbers[3]:g}, theta {center.theta:g}; draw it again"
        )
    if abs(center.theta) > MAX_ROTATION_RAD:
        raise BoxError(
            f"expected a box along the picture's axes, got theta {center.theta:g} rad; "
            "send the upright box around it"
        )
    if len(target_id) > MAX_ID_LENGTH:
        raise BoxError(
            f"expected an id of at most {MAX_ID_LENGTH} characters, got {len(target_id)}; "
            "choose a shorter one"
        )
    if not target_id.isprintable():  # it is repeated in logs and statuses
        raise BoxError(
            f"expected an id of printable characters, got {ascii(target_id)}; choose another one"
        )
    stamp_ns = nanoseconds(message.header.stamp)
    if message.bbox.size_x == 0 and message.bbox.size_y == 0:
        return InitRequest(None, stamp_ns, target_id)
    return InitRequest(_sized(Box(*numbers)), stamp_ns, target_id)


def request_from_roi(message: RegionOfInterest) -> InitRequest:
    """Read `~/init_roi`: whole pixels of the newest frame.

    Raises:
        BoxError: no width or no height.
    """
    box = Box.from_roi(message.x_offset, message.y_offset, message.width, message.height)
    return InitRequest(_sized(box))


def unknown_target(target_id: str, followed: Iterable[str]) -> BoxError:
    """Refusal of a stop for a target that is not there."""
    names = ", ".join(followed) or "none is followed"
    return BoxError(
        f"expected the id of a target to stop ({names}), got {target_id!r}; check the id, or "
        "send positive sizes to start it"
    )


class CornerPair:
    """Joins two clicks on opposite corners, at most `timeout_s` apart, into one request."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._first: tuple[float, float, int, float] | None = None  # x, y, stamp_ns, clicked at

    def waiting(self, now_s: float) -> bool:
        """Whether a first corner is held that a second one could still join."""
        first = self._first  # once: another thread may take it meanwhile
        return first is not None and now_s - first[3] <= self.timeout_s

    def click(self, x: float, y: float, now_s: float, stamp_ns: int = 0) -> InitRequest | None:
        """Take one corner in px; the request of both with the stamp of the first, or None.

        Args:
            x: pixel-centre coordinate of the corner, right.
            y: pixel-centre coordinate of the corner, down.
            now_s: steady time of the click.
            stamp_ns: of the frame that was clicked on; 0 = the newest one.

        Raises:
            BoxError: a coordinate that is not finite, or two corners that span no area; the pair
                starts afresh then.
        """
        first, self._first = self._first if self.waiting(now_s) else None, None
        if not (math.isfinite(x) and math.isfinite(y)):
            raise BoxError(
                f"expected a corner inside the picture, got ({x:g}, {y:g}); click again"
            )
        if first is None:
            self._first = (x, y, stamp_ns, now_s)
            return None
        return InitRequest(_sized(Box.from_corners(first[0], first[1], x, y)), first[2])


def _sized(box: Box) -> Box:
    if box.w <= 0 or box.h <= 0:
        raise BoxError(
            f"expected a box of positive size, got {box.w:g} x {box.h:g} px; draw it again"
        )
    return box
