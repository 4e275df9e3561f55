"""Synthetic thermal sequences with exact boxes: what the demo films and training widens with."""

from mlss_core.sequences import Sequence
from mlss_core.simulate.params import SceneParams, random_scene
from mlss_core.simulate.scene import Scene

__all__ = ["SceneParams", "random_scene", "simulate"]


def simulate(params: SceneParams) -> Sequence:
    """Make the sequence of a scene: frames rendered when asked for, in any order, boxes at once.

    The same parameters give the same bytes. A box holds the whole target, hidden parts included;
    its row is NaN where no part of it lies in the frame or the closed shutter is shown.
    `visibility` is the share of the target's silhouette that is in the frame and not hidden.
    """
    scene = Scene(params)
    boxes, visibility = scene.truth()
    return Sequence(f"{params.kind}_{params.seed:04d}", scene, boxes, params.fps, visibility)
