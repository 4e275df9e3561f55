"""Follow one target through a recording.

    python examples/track_video.py SOURCE X,Y,W,H

SOURCE is a video, a folder of pictures or a rosbag2; the box is the target in the first frame:
left and top px counted from 1, width, height.
"""

import sys

from mlss_core.box import Box
from mlss_core.sequences import load_sequence
from mlss_core.tracker import MLSSTracker

source, box = sys.argv[1:] or sys.exit(__doc__)
frames = load_sequence(source).frames
tracker = MLSSTracker()
tracker.initialize(frames[0], Box.from_ltwh(*map(float, box.split(","))))
for number in range(1, len(frames)):
    (result,) = tracker.update(frames[number])
    print(number + 1, result.state.value, f"{result.score:.2f}", result.box)
