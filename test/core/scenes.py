"""Scenes that the simulator's tests begin with."""

import dataclasses

from mlss_core.simulate import SceneParams

SMALL = SceneParams(width=160, height=128, frames=40, target_px=40.0, seed=3)


NOISELESS = dataclasses.replace(
    SMALL, noise_k=0.0, fixed_noise_k=0.0, vignetting_k=0.0, dead_pixels=0.0
)


def changed(params: SceneParams, **changes) -> SceneParams:
    return dataclasses.replace(params, **changes)
