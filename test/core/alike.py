"""Two things of the same looks, one of which goes behind a wall."""

import numpy as np

from mlss_core.box import Box


def alike_scene(count: int = 84) -> tuple[list[np.ndarray], list[Box]]:
    """Frames (120, 200) uint8 and boxes of 18 x 12 px.

    The target walks 1 px right a frame and is hidden whole from frame 32 to 40 px further on; its
    double comes from the right, 20 px below, and stays in the open.
    """
    random = np.random.RandomState(5)  # noqa: NPY002  its stream never changes
    ground = random.randint(60, 70, (120, 200)).astype(np.uint8)
    body = np.full((12, 18), 190, np.uint8)
    body[3:6, 4:14] = 230
    body[8:, 2:6] = body[8:, 12:16] = 120
    frames, boxes = [], []
    for i in range(10, 10 + count):
        frame = ground.copy()
        double = 150 - i // 2
        frame[70:82, double : double + 18] = body
        frame[50:62, 20 + i : 38 + i] = body
        frame[40:66, 60:108] = 75  # the wall
        frames.append(frame + random.randint(0, 3, frame.shape).astype(np.uint8))
        boxes.append(Box.from_roi(20 + i, 50, 18, 12))
    return frames, boxes


def passing_scene(count: int = 90) -> tuple[list[np.ndarray], list[Box]]:
    """Frames (120, 240) uint8 and boxes of 18 x 12 px: the target walks right by 1.2 px a frame.

    Its double comes towards it, 15 px below, and they pass each other about frame 45.
    """
    random = np.random.RandomState(6)  # noqa: NPY002  its stream never changes
    ground = random.randint(60, 70, (120, 240)).astype(np.uint8)
    body = np.full((12, 18), 190, np.uint8)
    body[3:6, 4:14] = 230
    body[8:, 2:6] = body[8:, 12:16] = 120
    frames, boxes = [], []
    for i in range(count):
        frame = ground.copy()
        own, double = round(50 + 1.2 * i), round(158 - 1.2 * i)
        frame[65:77, double : double + 18] = body
        frame[50:62, own : own + 18] = body
        frames.append(frame + random.randint(0, 3, frame.shape).astype(np.uint8))
        boxes.append(Box.from_roi(own, 50, 18, 12))
    return frames, boxes
