"""The simulated camera: bits, shutter, noise and flaws of the sensor."""

import numpy as np
import pytest
from scenes import NOISELESS, SMALL, changed

from mlss_core.simulate import simulate
from mlss_core.simulate.scene import Scene


@pytest.mark.parametrize("bits", [8, 14, 16])
def test_a_freeze_repeats_the_last_picture_and_its_labels(bits):
    params = changed(SMALL, freezes=1, freeze_s=0.3, bits=bits)
    sequence = simulate(params)
    frames = list(sequence.frames)
    same = [np.array_equal(a, b) for a, b in zip(frames, frames[1:], strict=False)]
    assert sum(same) == 9
    start = same.index(True)
    assert all(same[start : start + 9])
    np.testing.assert_array_equal(
        sequence.ground_truth[start : start + 10], np.tile(sequence.ground_truth[start], (10, 1))
    )
    unfrozen = simulate(changed(params, freezes=0))
    np.testing.assert_array_equal(unfrozen.frames[39], frames[39])  # the world went on


@pytest.mark.parametrize("bits", [8, 16])
def test_a_uniform_freeze_shows_the_shutter_and_no_target(bits):
    params = changed(SMALL, freezes=1, freeze_s=0.3, freeze_uniform=True, bits=bits, dead_pixels=0)
    sequence = simulate(params)
    shut = [i for i in range(40) if sequence.frames[i].std() < 0.25 * sequence.frames[0].std()]
    assert len(shut) == 9
    assert shut == list(range(shut[0], shut[0] + 9))
    assert all(sequence.box(i) is None and sequence.visibility[i] == 0 for i in shut)
    assert sequence.box(shut[0] - 1) is not None


def test_sixteen_bits_are_centikelvin_of_plausible_temperatures():
    frame = simulate(changed(NOISELESS, bits=16)).frames[0]
    assert frame.dtype == np.uint16
    assert frame.shape == (128, 160)
    kelvin = frame / 100
    assert kelvin.min() > 230
    assert kelvin.max() < 350
    assert 262 < np.median(kelvin) < 310
    temperature = Scene(NOISELESS).temperature(0)
    assert np.corrcoef(temperature.ravel(), kelvin.ravel())[0, 1] > 0.98


def test_fourteen_bits_fit_fourteen_bits():
    frame = simulate(changed(SMALL, bits=14)).frames[0]
    assert frame.dtype == np.uint16
    assert frame.max() <= 16383
    assert np.ptp(frame.astype(int)) > 100


def test_eight_bits_are_stretched_and_may_be_black_hot():
    white, black = (
        simulate(changed(NOISELESS, bits=8, black_hot=hot)).frames[0] for hot in (False, True)
    )
    assert white.dtype == np.uint8
    assert np.ptp(white.astype(int)) > 200
    np.testing.assert_allclose(white.astype(int), 255 - black.astype(int), atol=1)


def test_temporal_noise_has_the_deviation_asked_for():
    noisy, clean = (
        simulate(changed(NOISELESS, noise_k=k)).frames[4].astype(float) for k in (0.1, 0.0)
    )
    assert (noisy - clean).std() == pytest.approx(0.1 * 100, rel=0.05)


def test_fixed_noise_is_the_same_in_every_frame_and_mostly_columns():
    dirty, clean = (simulate(changed(NOISELESS, fixed_noise_k=k)) for k in (0.2, 0.0))
    patterns = [dirty.frames[i].astype(float) - clean.frames[i] for i in (0, 20)]
    np.testing.assert_allclose(patterns[0], patterns[1], atol=1.0)
    assert patterns[0].std() == pytest.approx(0.2 * 100, rel=0.25)
    assert patterns[0].mean(axis=0).std() > 1.5 * patterns[0].mean(axis=1).std()


def test_vignetting_darkens_the_corners():
    params = changed(NOISELESS, vignetting_k=5.0)
    loss = simulate(NOISELESS).frames[0].astype(float) - simulate(params).frames[0]
    assert loss[0, 0] == pytest.approx(500, abs=2)
    assert abs(loss[64, 80]) < 2


def test_dead_pixels_stay_where_they_are():
    params = changed(NOISELESS, dead_pixels=0.002)
    dead = [
        np.nonzero(simulate(params).frames[i] != simulate(NOISELESS).frames[i]) for i in (0, 30)
    ]
    assert 30 <= len(dead[0][0]) <= 41
    np.testing.assert_array_equal(dead[0], dead[1])
