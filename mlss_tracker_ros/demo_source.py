"""What the demo's camera plays: the simulator, or a recording with labels."""

from __future__ import annotations

import argparse

from mlss_core.sequences import Sequence, load_sequence
from mlss_core.simulate import SceneParams, simulate
from mlss_tracker_ros.demo_processes import DemoError

SIMULATED_FRAMES = 240
DISTRACTORS = 1  # people beside the target: a slow CPU sees every eighth image


def open_source(options: argparse.Namespace) -> Sequence:
    """The sequence to play.

    Raises:
        DemoError: no image of a recording has a labelled box, to start on and to compare with.
        SequenceError: the recording cannot be read.
    """
    if options.source is None:
        return simulate(scene(options))
    sequence = load_sequence(options.source)
    if all(sequence.box(number) is None for number in range(len_played(options, sequence))):
        raise DemoError(
            f"expected {options.source} to come with labelled boxes, got none; give a folder its "
            "groundtruth_rect.txt or a video its .txt, or use mlss track with --box"
        )
    return sequence


def scene(options: argparse.Namespace) -> SceneParams:
    """Scene of the simulated camera: 640x512 px of 16 bit."""
    return SceneParams(
        frames=options.frames or SIMULATED_FRAMES,
        fps=options.rate,
        seed=options.seed,
        distractors=DISTRACTORS,
    )


def len_played(options: argparse.Namespace, sequence: Sequence) -> int:
    """Number of images that the camera will show."""
    return min(options.frames or len(sequence), len(sequence))
