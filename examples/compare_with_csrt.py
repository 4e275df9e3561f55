"""Success and precision of this tracker beside OpenCV's CSRT, sequence by sequence.

    python examples/compare_with_csrt.py SEQUENCES [WEIGHTS]

SEQUENCES is a folder of labelled sequences. `mlss eval` does the same for many trackers, on all
cores, with a report; this shows the parts it is made of.
"""

import sys
from pathlib import Path

from mlss_core.evaluate.metrics import first_valid_row, score_sequence
from mlss_core.evaluate.run import track
from mlss_core.evaluate.trackers import TrackerOptions, TrackerSpec, build_tracker
from mlss_core.sequences import find_sequences, load_sequence

folder, *weights = sys.argv[1:] or sys.exit(__doc__)
options = TrackerOptions(Path(weights[0]) if weights else None)
print(f"{'sequence':24} {'tracker':8} success precision  fps")
for path in find_sequences(folder):
    sequence = load_sequence(path)
    start = first_valid_row(sequence.ground_truth)
    for name in ("mlssnet", "csrt"):
        tracker = build_tracker(TrackerSpec.parse(name), options)
        boxes, _, fps = track(tracker, sequence)
        curves = score_sequence(boxes[start:], sequence.ground_truth[start:])
        print(
            f"{sequence.name:24} {name:8} {curves.success_auc:7.3f} {curves.precision_20px:9.3f} "
            f"{fps:4.1f}"
        )
