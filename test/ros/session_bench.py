"""A session on a bench: a tracker that writes down what it is asked, and numbered pictures."""

from dataclasses import replace

import numpy as np

from mlss_core.box import Box, check_box
from mlss_core.errors import FrameError
from mlss_core.presence import TrackState
from mlss_core.tracker import TrackResult
from mlss_tracker_ros.node_params import NodeParams
from mlss_tracker_ros.session import Session

S = 10**9


MS = 10**6


BOX = Box(30, 20, 10, 10)


class WritingTracker:
    """Boxes stay where they were drawn; `calls` lists (what, picture number, targets)."""

    def __init__(self):
        self.targets = {}
        self.calls = []
        self.on_update = lambda: None

    @property
    def target_ids(self):
        return tuple(self.targets)

    def initialize(self, frame, box, target_id):
        self.targets[target_id] = check_box(box, frame.shape)
        self.calls.append(("initialize", int(frame[0, 0]), (target_id,)))

    def update(self, frame, only=None):
        if frame[0, 0] == 255:
            raise FrameError("expected a picture, got nothing; check the camera")
        ids = [name for name in self.targets if only is None or name in only]
        self.calls.append(("update", int(frame[0, 0]), tuple(ids)))
        self.on_update()
        return [TrackResult(name, self.targets[name], 0.9, TrackState.TRACKING) for name in ids]

    def remove(self, target_id):
        self.targets.pop(target_id, None)

    def clear(self):
        self.targets.clear()


class Bench:
    """A session with its tracker; pictures are numbered by their first pixel."""

    def __init__(self, **params):
        self.tracker = WritingTracker()
        self.said = []
        self.session = Session(
            self.tracker, self.decode, replace(NodeParams(), **params), self.said.append
        )
        self.pictures = 0

    @staticmethod
    def decode(picture):
        if picture is None:
            raise FrameError("expected an image with pixels, got none; check the camera driver")
        return picture

    def send(self, stamp_ns, size=(48, 64), dtype=np.uint8):
        picture = np.full(size, self.pictures, dtype)
        self.pictures += 1
        self.session.buffer.add(stamp_ns, picture, picture.nbytes)

    def send_many(self, count, start_s=1.0, period_s=0.1):
        for n in range(count):
            self.send(round((start_s + n * period_s) * S))

    def run(self):
        """Everything there is to do; numbers of the pictures published, with their target ids."""
        published = []
        for _ in range(1000):
            if not self.session.has_work:
                return published
            step = self.session.step()
            if step is not None and step.publish:
                ids = tuple(result.target_id for result in step.results)
                published.append((step.kept.number, ids))
        raise AssertionError("the session never comes to rest")

    def run_each(self, count, **kwargs):
        """Send frames one by one as a slow camera does, and run after each."""
        published = []
        for n in range(count):
            self.send(round((kwargs.get("start_s", 1.0) + n * 0.1) * S))
            published += self.run()
        return published
