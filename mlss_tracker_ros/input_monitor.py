"""Figures of the image stream and of the work on it, for `~/status` and `/diagnostics`."""

from __future__ import annotations

import statistics
import time
from collections import deque

from sensor_msgs.msg import CompressedImage, Image

from mlss_tracker_ros.texts import short

_MESSAGE_BYTES = 2048  # that a message object takes beside its data

WINDOW = 120  # images that the figures look back on


class InputMonitor:
    """Arrival rate, jitter, age and gaps of images; arrival times are steady, not ROS time."""

    def __init__(self) -> None:
        self._arrivals: deque[float] = deque(maxlen=WINDOW)
        self._stamps_ns: deque[int] = deque(maxlen=WINDOW)
        self._ages_ns: deque[int] = deque(maxlen=WINDOW)
        self._losses: deque[int] = deque(maxlen=WINDOW)  # `lost` when each image came
        self.received = 0
        self.lost = 0  # as the middleware reports them
        self.description = ""

    def arrived(self, stamp_ns: int, now_ns: int, description: str) -> None:
        """Note one image; `now_ns` is ROS time, as its stamp."""
        self._arrivals.append(time.monotonic())
        self._stamps_ns.append(stamp_ns)
        self._ages_ns.append(now_ns - stamp_ns)
        self._losses.append(self.lost)
        self.received += 1
        self.description = description

    @property
    def silence_s(self) -> float | None:
        """Seconds since the last image; None before the first."""
        return time.monotonic() - self._arrivals[-1] if self._arrivals else None

    def figures(self) -> dict[str, object]:
        """Received and lost images, rate, jitter, age, and the largest gap between stamps."""
        lately = self.lost - (self._losses[0] if self._losses else 0)
        figures: dict[str, object] = {
            "received": self.received,
            "lost": self.lost,
            "lost_lately": lately,
        }
        times, stamps = list(self._arrivals), list(self._stamps_ns)
        if len(times) > 2:
            gaps = [b - a for a, b in zip(times, times[1:], strict=False)]
            stamp_gaps = [(b - a) / 1e9 for a, b in zip(stamps, stamps[1:], strict=False)]
            figures["rate_hz"] = 1.0 / max(statistics.fmean(gaps), 1e-9)
            figures["jitter_ms"] = statistics.pstdev(gaps) * 1e3
            figures["age_ms"] = statistics.median(list(self._ages_ns)) / 1e6
            figures["period_ms"] = statistics.median(stamp_gaps) * 1e3
            figures["largest_gap_ms"] = max(stamp_gaps) * 1e3
        figures["image"] = self.description
        return figures


def message_bytes(message: Image | CompressedImage) -> int:
    """Memory that an image message takes; its texts may be as long as their sender likes."""
    kind = message.encoding if isinstance(message, Image) else message.format
    return len(message.data) + 4 * (len(message.header.frame_id) + len(kind)) + _MESSAGE_BYTES


def describe_image(message: Image | CompressedImage) -> str:
    """Size and encoding, or the compressed format."""
    if isinstance(message, Image):
        return f"{message.width}x{message.height} {short(message.encoding)}"
    return short(message.format.strip())


class WorkMonitor:
    """Time from an image's arrival to its detections, and the tracker's share of it."""

    def __init__(self) -> None:
        self._done: deque[tuple[float, float, float]] = deque(maxlen=WINDOW)

    def processed(self, latency_s: float, tracker_s: float) -> None:
        """Note one processed image."""
        self._done.append((time.monotonic(), latency_s, tracker_s))

    def figures(self) -> dict[str, object]:
        """Processed images a second, and medians and 95 % limits in ms."""
        done = list(self._done)
        if len(done) < 2:
            return {}
        latencies = sorted(latency for _, latency, _ in done)
        return {
            "tracker_fps": (len(done) - 1) / max(done[-1][0] - done[0][0], 1e-9),
            "latency_ms_p50": statistics.median(latencies) * 1e3,
            "latency_ms_p95": latencies[int(0.95 * (len(latencies) - 1))] * 1e3,
            "tracker_ms_p50": statistics.median(tracker for _, _, tracker in done) * 1e3,
        }


def memory_mb() -> float:
    """Resident memory of this process (Linux; 0 elsewhere)."""
    try:
        with open("/proc/self/statm") as file:  # noqa: PTH123
            return int(file.read().split()[1]) * 4096 / 1e6
    except OSError:
        return 0.0
