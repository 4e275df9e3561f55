"""Follow several targets through a recording; all of them share one pass through the network.

    python examples/follow_several.py SOURCE NAME=X,Y,W,H NAME=X,Y,W,H ...

Boxes are in the first frame: left and top px counted from 1, width, height. A target that has been
lost for 30 frames in a row is given up.
"""

import sys
from collections import Counter

from mlss_core.box import Box
from mlss_core.sequences import load_sequence
from mlss_core.tracker import MLSSTracker

PATIENCE_FRAMES = 30

source, *targets = sys.argv[1:] or sys.exit(__doc__)
frames = load_sequence(source).frames
tracker = MLSSTracker()
for target in targets:
    name, box = target.split("=")
    tracker.initialize(frames[0], Box.from_ltwh(*map(float, box.split(","))), name)

missing: Counter[str] = Counter()  # target -> frames in a row without a box
for number in range(1, len(frames)):
    for result in tracker.update(frames[number]):
        print(number + 1, result.target_id, result.state.value, result.box or "")
        missing[result.target_id] = 0 if result.box else missing[result.target_id] + 1
        if missing[result.target_id] == PATIENCE_FRAMES:
            tracker.remove(result.target_id)
