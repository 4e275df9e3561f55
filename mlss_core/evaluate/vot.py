"""A TraX tracker, so that the VOT toolkit runs ours (or a peer) unchanged.

`python -m mlss_core.evaluate.vot` speaks TraX on its standard streams; `docs/evaluation.md` shows
the entry of `trackers.ini`. Needs `vot-trax`; the toolkit itself lives in another environment.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mlss_core.box import Box
from mlss_core.errors import ConfigError, FrameError, MlssError
from mlss_core.evaluate.trackers import Tracker, TrackerOptions, TrackerSpec, build_tracker


def main(argv: Sequence[str] | None = None) -> int:
    """Serve one TraX client until it quits; return 2 when the tracker cannot be made."""
    parser = argparse.ArgumentParser(prog="python -m mlss_core.evaluate.vot", description=__doc__)
    parser.add_argument("--tracker", default="mlssnet", help="a name as `mlss eval --trackers`")
    parser.add_argument("--channel", default="color", choices=("color", "ir"), help="to read")
    parser.add_argument("--weights", type=Path, help="default: the shipped ones")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    args = parser.parse_args(argv)
    try:
        spec = TrackerSpec.parse(args.tracker)
        options = TrackerOptions(args.weights, args.device, args.precision)
        serve(build_tracker(spec, options), args.channel, spec.label)
    except MlssError as error:
        print(f"mlss vot: error: {error}", file=sys.stderr)
        return 2
    return 0


def serve(tracker: Tracker, channel: str, name: str) -> None:
    """Answer initialize and frame requests.

    VOT asks for a box in every frame: without one the last box is repeated, and the confidence,
    sent with every box, says that it is worth little.

    Raises:
        ConfigError: vot-trax is not installed.
        FrameError, BoxError: the toolkit named a picture or a box that cannot be used.
    """
    try:
        import trax
        from trax.image import Image
        from trax.region import Rectangle, Region
        from trax.server import Server
    except ImportError as error:
        raise ConfigError("expected vot-trax, got none; pip install vot-trax==4.0.2") from error

    last: Any = None
    with Server([Region.RECTANGLE], [Image.PATH], [channel], name) as server:
        while True:
            request = server.wait()
            if request.type == trax.TraxStatus.QUIT:
                return
            frame = _read(request.image[channel].path())
            if request.type == trax.TraxStatus.INITIALIZE:
                last = request.objects[0][0]
                tracker.initialize(frame, Box.from_roi(*last.bounds()))
                score = 1.0
            else:
                estimate = tracker.update(frame)
                score = estimate.score
                if estimate.box is not None:
                    last = Rectangle.create(*to_vot(estimate.box))
            server.status([(last, {"confidence": f"{score:.6f}"})])


def to_vot(box: Box) -> tuple[float, float, float, float]:
    """Left, top (0-based first pixel, as the toolkit rasterises), width, height."""
    return box.cx - (box.w - 1) / 2, box.cy - (box.h - 1) / 2, box.w, box.h


def _read(path: str) -> np.ndarray:
    """Raw picture: (H, W) of any depth, or (H, W, 3) BGR."""
    frame = cv2.imread(path, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR)
    if frame is None:
        raise FrameError(
            f"expected a picture at {path}, got none that can be read; check the data"
        )
    return frame


if __name__ == "__main__":
    sys.exit(main())
