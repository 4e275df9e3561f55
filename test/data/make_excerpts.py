"""Write parity_excerpts.npz: what of the parity vectors fits into the repository.

Run `python test/data/make_excerpts.py ../shared/parity`. The crops, response maps, tracker states
and filter cases are the authors' outputs, thinned out. The `seeded_*` arrays come from this
project's network with weights that a seed makes, once it had passed the full vectors: they notice
a change, they do not prove the port.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "core"))
from seeded import seeded_network, seeded_patches, seeded_track

HERE = Path(__file__).parent
CROP_CASES = ("b08", "b09", "b10", "b11")
FRAMES = [0, 1, 9, 10, 18, 19, 28]  # of 29; pairs give a state before and after


def main(parity: Path) -> None:
    """Collect the arrays and write them beside this file."""
    vectors = parity / "vectors"
    out: dict[str, np.ndarray] = {}
    crops = np.load(vectors / "set3_crops.npz")
    out["image"] = crops["syn_image_uint8"][:, :, 0]
    for case in CROP_CASES:
        for name in ("pos_yx", "in_side_scaled", "avgChans"):
            out[f"{case}_{name}"] = crops[f"{case}_{name}"]
        out[f"{case}_pyramid"] = crops[f"{case}_pyramid"][::12, ::12, 0, :]
    track = np.load(vectors / "set4_tracker30.npz")
    out["track_frames"] = np.array(FRAMES)
    for name in ("best_scale_1based", "peak_rc_1based", "responseMaps"):
        out[f"track_{name}"] = track[name][FRAMES]
    for name in ("s_x", "s_z", "pos_yx", "targetSize_hw"):
        out[f"track_{name}"] = track[name]
    training = np.load(vectors / "set5_training.npz")
    for name in ("cx", "cy", "cf_w"):
        out[f"filter_{name}"] = training[name]
    network = seeded_network()
    exemplar, instance = seeded_patches()
    responses = network(exemplar, instance)
    out["seeded_semantic"] = responses.semantic.numpy()
    out["seeded_structural"] = responses.structural.numpy()
    out["seeded_fused"] = responses.fused.numpy()
    out["seeded_boxes"] = seeded_track()
    np.savez_compressed(HERE / "parity_excerpts.npz", **out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
