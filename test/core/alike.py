"""Two things of the same looks: one goes behind a wall, or they pass each other."""

from collections.abc import Sequence

import numpy as np

from mlss_core.box import Box

Place = tuple[int, int]  # left and top, px


def alike_scene(count: int = 84) -> tuple[list[np.ndarray], list[Box]]:
    """Frames (120, 200) uint8 and boxes of 18 x 12 px.

    The target walks 1 px right a frame and is hidden whole from frame 32 to 40 px further on; its
    double comes from the right, 20 px below, and stays in the open.
    """
    places = [((20 + i, 50), (150 - i // 2, 70)) for i in range(10, 10 + count)]
    return _scene(places, 200, seed=5, wall=(slice(40, 66), slice(60, 108)))


def passing_scene(count: int = 90) -> tuple[list[np.ndarray], list[Box]]:
    """Frames (120, 240) uint8 and boxes of 18 x 12 px: the target walks right by 1.2 px a frame.

    Its double comes towards it, 15 px below, and they pass each other about frame 45.
    """
    steps = [1.2 * i for i in range(count)]
    places = [((round(50 + step), 50), (round(158 - step), 65)) for step in steps]
    return _scene(places, 240, seed=6)


def _scene(
    places: Sequence[tuple[Place, Place]],
    width: int,
    seed: int,
    wall: tuple[slice, slice] | None = None,
) -> tuple[list[np.ndarray], list[Box]]:
    """Frames with the target and its double at these places, and the target's boxes."""
    random = np.random.RandomState(seed)  # noqa: NPY002  its stream never changes
    ground = random.randint(60, 70, (120, width)).astype(np.uint8)
    body = np.full((12, 18), 190, np.uint8)
    body[3:6, 4:14] = 230
    body[8:, 2:6] = body[8:, 12:16] = 120
    frames, boxes = [], []
    for own, double in places:
        frame = ground.copy()
        for left, top in (double, own):
            frame[top : top + 12, left : left + 18] = body
        if wall is not None:
            frame[wall] = 75
        frames.append(frame + random.randint(0, 3, frame.shape).astype(np.uint8))
        boxes.append(Box.from_roi(*own, 18, 12))
    return frames, boxes
