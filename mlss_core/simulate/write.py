"""Sequences to disk, in the layout of OTB that `load_sequence` reads."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from mlss_core.errors import SequenceError
from mlss_core.simulate import SceneParams, simulate


def write_scene(
    params: SceneParams, root: Path, progress: Callable[[], object] = lambda: None
) -> Path:
    """Render a scene to `root`/NAME: img/0001.png ..., groundtruth_rect.txt, visibility.txt.

    scene.json holds the parameters. The labels come last: a folder that has them is complete.

    Args:
        params: the scene.
        root: folder for the sequence's folder.
        progress: called after every frame.

    Returns:
        The folder of the sequence.

    Raises:
        SequenceError: a complete sequence is there already, or a file cannot be written.
    """
    sequence = simulate(params)
    folder = root / sequence.name
    labels = folder / "groundtruth_rect.txt"
    if labels.exists():
        raise SequenceError(
            f"expected no sequence in {folder}, got one; remove it, or choose another seed"
        )
    try:
        (folder / "img").mkdir(parents=True, exist_ok=True)
        for old in (folder / "img").iterdir():
            old.unlink()  # of a run that was broken off
        for number, frame in enumerate(sequence.frames, start=1):
            path = folder / "img" / f"{number:04d}.png"
            path.write_bytes(cv2.imencode(".png", frame)[1].tobytes())
            progress()
        (folder / "scene.json").write_text(json.dumps(dataclasses.asdict(params), indent=2) + "\n")
        np.savetxt(folder / "visibility.txt", np.asarray(sequence.visibility), "%.3f")
        partial = folder / f"{labels.name}.part"
        np.savetxt(partial, np.asarray(sequence.ground_truth), "%.2f", delimiter=",")
        partial.replace(labels)
    except OSError as error:
        raise SequenceError(
            f"expected to write {folder}, got: {error.strerror or error}; check the folder and "
            "its free space"
        ) from error
    return folder
