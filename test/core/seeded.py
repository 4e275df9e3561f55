"""Networks, patches and frames that a seed makes, the same on every machine."""

import numpy as np
import torch

from mlss_core.box import Box
from mlss_core.model import MLSSNet
from mlss_core.network_params import NetworkParams, released_network_params
from mlss_core.params import tracker_params
from mlss_core.tracker import MLSSTracker


def seeded_network(params: NetworkParams | None = None, seed: int = 0) -> MLSSNet:
    """A network with well-behaved random weights from NumPy's frozen legacy generator."""
    random = np.random.RandomState(seed)  # noqa: NPY002  its stream never changes
    network = MLSSNet(params or released_network_params())
    state = network.state_dict()
    for name, value in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        numbers = torch.from_numpy(random.standard_normal(tuple(value.shape))).float()
        if value.ndim == 4:
            numbers /= np.sqrt(value[0].numel())
        elif name.endswith(("running_var", "gain")) or ("bn" in name and name.endswith("weight")):
            numbers = 1 + 0.1 * numbers.abs()
        else:
            numbers *= 0.1
        value.copy_(numbers)
    state["backbone.conv1.weight"] /= 40  # grey levels to about unit variance
    network.load_state_dict(state)
    return network.eval().requires_grad_(requires_grad=False)


def seeded_frames(count: int = 12, width: int = 200, height: int = 160) -> list[np.ndarray]:
    """A textured warm target of 36 x 28 px moving 2 px right and 1 px down a frame, uint8."""
    random = np.random.RandomState(7)  # noqa: NPY002
    background = random.randint(40, 90, (height, width)).astype(np.uint8)
    target = random.randint(120, 250, (28, 36)).astype(np.uint8)
    frames = []
    for i in range(count):
        frame = background.copy()
        frame[50 + i : 78 + i, 60 + 2 * i : 96 + 2 * i] = target
        frames.append(frame)
    return frames


def seeded_box(index: int = 0) -> Box:
    """Where the target of `seeded_frames` is."""
    return Box.from_roi(60 + 2 * index, 50 + index, 36, 28)


def seeded_patches() -> tuple[torch.Tensor, torch.Tensor]:
    """Exemplar (1, 1, 255, 255) and two instances (2, 1, 255, 255), grey levels 0..255."""
    random = np.random.RandomState(3)  # noqa: NPY002
    patches = torch.from_numpy(random.randint(0, 256, (3, 1, 255, 255))).float()
    return patches[:1], patches[1:]


def seeded_track() -> np.ndarray:
    """Boxes (11, 4) x, y, w, h of the reference tracker with the seeded network."""
    tracker = MLSSTracker(seeded_network(), tracker_params("reference"), device="cpu")
    frames = seeded_frames()
    tracker.initialize(frames[0], seeded_box())
    boxes = []
    for frame in frames[1:]:
        (result,) = tracker.update(frame)
        assert result.box is not None
        boxes.append(result.box.to_ltwh())
    return np.array(boxes)
