import tracemalloc

import cv2
import numpy as np
import pytest

from mlss_core.errors import FrameError
from mlss_core.params import ThermalParams
from mlss_core.thermal import ThermalNormalizer, grey_counts, is_frozen


def counts(seed=0, low=29_000, high=31_000, shape=(60, 80)):
    return np.random.default_rng(seed).integers(low, high, shape).astype(np.uint16)


def test_eight_bit_frame_passes_as_it_is():
    frame = np.random.default_rng(0).integers(0, 256, (40, 50)).astype(np.uint8)
    np.testing.assert_array_equal(ThermalNormalizer(ThermalParams())(frame), frame)


def test_colour_with_equal_channels_is_that_grey_and_false_colour_its_luminance():
    grey = np.random.default_rng(0).integers(0, 256, (40, 50)).astype(np.uint8)
    np.testing.assert_array_equal(grey_counts(np.dstack([grey] * 3)), grey)
    false = cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO)
    np.testing.assert_array_equal(grey_counts(false), cv2.cvtColor(false, cv2.COLOR_BGR2GRAY))


@pytest.mark.parametrize("settings", [{}, {"normalization": "fixed", "fixed_max": 0.0}])
def test_a_uniform_frame_is_black_where_no_span_is_asked_for(settings):
    normalize = ThermalNormalizer(ThermalParams(min_span=0.0, **settings))
    frame = np.full((40, 50), 0 if settings else 30_000, np.uint16)
    np.testing.assert_array_equal(normalize(frame), np.zeros((40, 50)))
    assert normalize.frozen


def test_a_frame_that_is_cut_off_at_its_percentiles_has_black_and_white():
    grey = ThermalNormalizer(ThermalParams(shoulder=0.0))(counts())
    assert (grey.min(), grey.max()) == (0, 255)


def test_deep_frame_is_stretched_between_its_percentiles():
    frame = counts()
    grey = ThermalNormalizer(ThermalParams())(frame)
    assert grey.dtype == np.float32
    assert (grey.min(), grey.max()) == pytest.approx((0, 255), abs=1e-3)
    low, high = np.percentile(frame[::2, ::2], (1, 99))
    middle = np.argmin(np.abs(frame - (low + high) / 2))
    assert grey.flat[middle] == pytest.approx(127.5, abs=1)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("percentiles", [(1.0, 99.0), (0.0, 100.0), (2.7, 60.0)])
def test_limits_are_the_percentiles_of_numpy(percentiles, dtype):
    frame = counts().astype(dtype)
    low, high = np.percentile(frame[::2, ::2].astype(float), percentiles)
    expected = np.clip((frame - low) / (high - low) * 255, 0, 255)
    params = ThermalParams(
        percentile_low=percentiles[0], percentile_high=percentiles[1], shoulder=0.0
    )
    np.testing.assert_allclose(ThermalNormalizer(params)(frame), expected, atol=1e-3)


def small_target(temperatures=(36_000, 38_000)):
    """A frame with a hot target in two parts: 0.08 % of its pixels."""
    frame = counts(shape=(240, 320))
    hot = np.zeros((6, 10), np.uint16)
    hot[:3], hot[3:] = temperatures
    frame[60:66, 80:90] = hot
    return frame


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_a_small_hot_target_keeps_its_structure(dtype):
    frame = small_target().astype(dtype)
    grey = ThermalNormalizer(ThermalParams())(frame)
    upper, lower = grey[60:63, 80:90], grey[63:66, 80:90]
    assert 4 < lower.min() - upper.max() < 40
    around = np.median(grey)
    assert upper.min() > around + 80
    cut_off = ThermalNormalizer(ThermalParams(shoulder=0.0))(frame)
    assert cut_off[60:66, 80:90].min() == cut_off[60:66, 80:90].max() == 255


@pytest.mark.parametrize("shoulder", [1e-300, 1e-8, 10.0])
def test_any_shoulder_gives_grey_levels(shoulder):
    grey = ThermalNormalizer(ThermalParams(shoulder=shoulder))(small_target())
    assert grey.min() >= 0
    assert grey.max() == pytest.approx(255, abs=1e-3)


def test_a_small_cold_target_is_the_negative_of_a_hot_one():
    frame = small_target()
    grey = ThermalNormalizer(ThermalParams())(frame)
    negative = ThermalNormalizer(ThermalParams())(60_000 - frame)
    np.testing.assert_allclose(negative, 255 - grey, atol=1e-3)


def test_counts_are_told_apart_half_as_finely_one_shoulder_beyond_the_limit():
    frame = small_target()
    shoulder = 0.2
    low, high = np.percentile(frame[::2, ::2], (1, 99))
    counts_there = high + shoulder * (high - low)
    frame[5, 5], frame[5, 7] = round(counts_there) - 50, round(counts_there) + 50
    frame[9, 5], frame[9, 7] = 29_950, 30_050  # odd columns: the percentiles stay
    grey = ThermalNormalizer(ThermalParams(shoulder=shoulder))(frame)
    there, between = grey[5, 7] - grey[5, 5], grey[9, 7] - grey[9, 5]
    assert there / between == pytest.approx(0.5, abs=0.01)


def test_dead_pixels_take_no_grey_levels_from_the_picture():
    frame = small_target()
    normalize, with_dead = ThermalNormalizer(ThermalParams()), ThermalNormalizer(ThermalParams())
    dead = frame.copy()
    dead[30, 30] = 65_535
    before, after = normalize(frame), with_dead(dead)
    before[30, 30] = after[30, 30] = 0
    np.testing.assert_allclose(after, before, atol=0.5)


def test_limits_follow_a_hot_intruder_slowly():
    normalize = ThermalNormalizer(ThermalParams())
    frame = counts()
    before = normalize(frame)
    hot = frame.copy()
    hot[:30] += 5000
    after = normalize(hot)
    unchanged = slice(30, None)
    assert (
        np.abs(after[unchanged] - before[unchanged]).max() < 40
    )  # a new stretch would give > 150
    settled = [normalize(hot + np.uint16(i % 2)) for i in range(200)][-1]
    assert settled[unchanged].mean() < 60  # the hot half has taken the bright end


def test_fixed_limits_and_no_normalisation():
    frame = np.full((20, 20), 1500, np.uint16)
    frame[0, 0] = 9000
    fixed = ThermalParams(normalization="fixed", fixed_min=1000, fixed_max=2000)
    grey = ThermalNormalizer(fixed)(frame)
    assert grey[5, 5] == pytest.approx(127.5)
    assert grey[0, 0] == 255
    raw = ThermalNormalizer(ThermalParams(normalization="none"))(frame.astype(np.float32))
    assert raw.max() == 255


def test_constant_deep_frame_is_not_divided_by_zero():
    grey = ThermalNormalizer(ThermalParams())(np.full((20, 20), 30_000, np.uint16))
    assert np.isfinite(grey).all()


def test_pixels_that_are_not_finite_become_the_lowest_count():
    frame = np.linspace(20, 40, 400, dtype=np.float32).reshape(20, 20)
    frame[3, 4], frame[5, 6], frame[7, 8] = np.nan, np.inf, -np.inf
    got = grey_counts(frame)
    assert got[3, 4] == got[5, 6] == got[7, 8] == 20
    assert np.isnan(frame[3, 4])  # the caller's array is untouched


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (np.zeros((0, 0), np.uint8), "at least 16 px"),
        (np.zeros((15, 100), np.uint8), "got 100x15"),
        (np.zeros((40, 50, 4), np.uint8), r"\(40, 50, 4\)"),
        (np.zeros((40, 50, 3), np.uint16), "uint16"),
        (np.zeros(40, np.uint8), "pass one picture"),
        (None, "NoneType"),
        (np.full((20, 20), np.nan, np.float32), "finite pixel"),
        (np.zeros((20, 20), dtype=complex), "complex128"),
    ],
)
def test_unusable_frame_is_refused_with_the_reason(frame, reason):
    with pytest.raises(FrameError, match=reason):
        grey_counts(frame)


def test_repeated_or_uniform_frame_is_frozen():
    frame = counts()
    assert is_frozen(frame, frame.copy())
    assert is_frozen(np.full((20, 20), 7, np.uint8), None)
    assert not is_frozen(frame, counts(seed=1))
    assert not is_frozen(frame, None)


def test_shutter_does_not_move_the_limits():
    normalize = ThermalNormalizer(ThermalParams())
    frame = counts()
    before = normalize(frame)
    for _ in range(50):
        normalize(np.full((60, 80), 40_000, np.uint16))
        assert normalize.frozen
    np.testing.assert_allclose(normalize(frame), before, atol=5)
    assert not normalize.frozen


def test_peeking_at_a_frame_changes_nothing_of_the_stream():
    normalize = ThermalNormalizer(ThermalParams())
    frame = counts()
    before = normalize(frame)
    np.testing.assert_array_equal(normalize.peek(frame), before)
    normalize.peek(frame + np.uint16(5000))
    np.testing.assert_allclose(normalize(frame + np.uint16(1)), before, atol=1)
    assert not normalize.frozen


def test_freeze_recognition_can_be_switched_off():
    normalize = ThermalNormalizer(ThermalParams(freeze=False))
    normalize(counts())
    normalize(counts())
    assert not normalize.frozen


def test_telemetry_rows_are_cut():
    normalize = ThermalNormalizer(ThermalParams(crop_top=3, crop_bottom=2))
    frame = np.random.default_rng(0).integers(0, 256, (40, 50)).astype(np.uint8)
    np.testing.assert_array_equal(normalize(frame), frame[3:38])
    with pytest.raises(FrameError, match="crop less"):
        normalize(frame[:20])


def noisy(seed, level=100.0):
    random = np.random.default_rng(seed)
    return random.normal(level, 4, (64, 80)).clip(0, 255).astype(np.uint8)


def test_a_pixel_that_stands_out_in_frame_after_frame_is_mended():
    normalize = ThermalNormalizer(ThermalParams())
    for seed in range(6):
        frame = noisy(seed)
        frame[20, 30], frame[40, 50] = 0, 255
        mended = normalize(frame)
    assert abs(mended[20, 30] - 100) < 20
    assert abs(mended[40, 50] - 100) < 20
    rest = np.ones(frame.shape, bool)
    rest[20, 30] = rest[40, 50] = False
    np.testing.assert_array_equal(mended[rest], frame[rest])
    np.testing.assert_array_equal(normalize.peek(frame), mended)
    earlier = frame.astype(np.float32)
    np.testing.assert_array_equal(normalize.mend(earlier), mended)
    np.testing.assert_array_equal(earlier, frame)  # a copy was mended


def test_small_targets_lines_and_moving_points_are_no_dead_pixels():
    normalize = ThermalNormalizer(ThermalParams())
    for seed in range(8):
        frame = noisy(seed)
        frame[10:12, 10:12] = 250  # a target of 2 px
        frame[30, :] = 220  # a wire
        frame[50, 10 + seed] = 255  # a point that moves
        np.testing.assert_array_equal(normalize(frame), frame)


def test_repeated_frames_make_no_pixel_dead_and_mending_can_be_switched_off():
    frame = noisy(0)
    frame[20, 30] = 255
    normalize = ThermalNormalizer(ThermalParams())
    for _ in range(10):
        np.testing.assert_array_equal(normalize(frame), frame)
    normalize = ThermalNormalizer(ThermalParams(dead_pixels=False))
    for seed in range(8):
        frame = noisy(seed)
        frame[20, 30] = 255
        assert normalize(frame)[20, 30] == 255


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_normalising_the_largest_picture_that_the_node_accepts_takes_under_100_mb(dtype):
    frame = np.zeros((2048, 2048), dtype)
    frame[0, 0] = 200
    normalize = ThermalNormalizer(ThermalParams())
    tracemalloc.start()
    normalize(frame)
    normalize(frame[::-1])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6
