"""The camera's side of a picture: optics, noise, counts, automatic gain, shutter."""

from __future__ import annotations

import cv2
import numpy as np

from mlss_core.simulate.brush import fractal
from mlss_core.simulate.params import SceneParams

_ZERO_CELSIUS_K = 273.15
_CENTIKELVIN = 100.0  # counts per K of the radiometric output, 0.01 K as FLIR's TLinear
_COUNTS_PER_K = 28.0  # raw counts per K of a 14-bit core in its high-gain state
_COUNTS_AT_ZERO = 7400.0  # raw counts of a 0 degree scene
_BLUR_PX = 0.6  # deviation of the optics' and pixel's blur
_AGC_TAILS = (0.5, 99.5)  # percentiles that 8-bit black and white show
_AGC_MARGIN = 0.03  # of the range, kept free at both ends
_AGC_LEAST_K = 3.0  # narrowest range, so that noise does not fill an empty scene


class Sensor:
    """Turns temperatures into the frames of one camera."""

    def __init__(self, params: SceneParams, air_c: float) -> None:
        self._params = params
        self._air_c = air_c
        size = (params.height, params.width)
        rng = np.random.default_rng([params.seed, 3])
        rows, columns = np.mgrid[-1.0 : 1.0 : size[0] * 1j, -1.0 : 1.0 : size[1] * 1j]
        self._fixed: np.ndarray = (-params.vignetting_k / 2 * (rows**2 + columns**2)).astype(
            np.float32
        )
        stripes = rng.standard_normal((1, size[1])) + 0.4 * rng.standard_normal((size[0], 1))
        speckle = 0.5 * rng.standard_normal(size) + 0.5 * fractal(rng, size, size[0] / 3)
        pattern = 0.75 * params.fixed_noise_k * (stripes + speckle)
        self._fixed = self._fixed + pattern.astype(np.float32)
        count = round(params.dead_pixels * size[0] * size[1])
        self._dead = rng.integers(0, size[0], count), rng.integers(0, size[1], count)
        self._dead_k = rng.choice([-15.0, 25.0], count).astype(np.float32)

    def expose(self, scene_k: np.ndarray, index: int) -> np.ndarray:
        """Make the frame of a scene.

        Args:
            scene_k: (H, W) float32 temperature above the air, K.
            index: frame number; the temporal noise follows from it.

        Returns:
            (H, W) uint8, or uint16 for 14 and 16 bits.
        """
        params = self._params
        seen = cv2.GaussianBlur(scene_k, (0, 0), _BLUR_PX) + self._fixed
        if params.noise_k:
            rng = np.random.default_rng([params.seed, 4, index])
            noise = rng.standard_normal(seen.shape, dtype=np.float32)
            seen = seen + noise * np.float32(params.noise_k)
        seen[self._dead] = self._dead_k
        if params.bits == 8:
            return self._gain(seen)
        celsius = seen + self._air_c
        if params.bits == 16:
            counts = (celsius + _ZERO_CELSIUS_K) * _CENTIKELVIN
            return np.clip(counts + 0.5, 0, 65535).astype(np.uint16)
        return np.clip(celsius * _COUNTS_PER_K + _COUNTS_AT_ZERO, 0, 16383).astype(np.uint16)

    def shutter(self, index: int) -> np.ndarray:
        """Make the frame of the closed shutter: one temperature, and the temporal noise."""
        params = self._params
        if params.bits == 8:
            return np.full((params.height, params.width), 128, np.uint8)
        return self.expose(np.zeros((params.height, params.width), np.float32), index)

    def _gain(self, seen: np.ndarray) -> np.ndarray:
        """Stretch every frame by its own percentiles, as cameras do."""
        low, high = np.percentile(seen[::4, ::4], _AGC_TAILS)
        middle, half = (low + high) / 2, max(high - low, _AGC_LEAST_K) / 2 * (1 + _AGC_MARGIN)
        gain = 127.5 / half
        grey = seen * np.float32(gain) + np.float32(127.5 - middle * gain)
        if self._params.black_hot:
            grey = 255 - grey
        return np.clip(grey + 0.5, 0, 255).astype(np.uint8)
