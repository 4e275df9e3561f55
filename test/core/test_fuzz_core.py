"""Any box, frame and parameter: a value within its bounds, or one of the project's errors."""

import dataclasses
import math
import os
from functools import reduce

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlss_core.box import Box, check_box
from mlss_core.errors import BoxError, ConfigError, FrameError
from mlss_core.network_params import NetworkParams
from mlss_core.params import TrackerParams, tracker_params
from mlss_core.patch import crop_patches
from mlss_core.presence import TrackState, UsualPeak, next_state, peak_score
from mlss_core.recovery import Region, regions_around
from mlss_core.simulate import SceneParams
from mlss_core.thermal import ThermalNormalizer, grey_counts

fuzzed = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "60")), deadline=None, print_blob=True
)
any_number = st.floats() | st.integers(-(2**70), 2**70)
anything = (
    any_number
    | st.booleans()
    | st.none()
    | st.text(max_size=20)
    | st.binary(max_size=9)
    | st.lists(st.floats(), max_size=5)
)
pixels = st.floats(-1e4, 1e4)
sizes = st.floats(0.01, 1e4)
boxes = st.builds(Box, pixels, pixels, sizes, sizes)


def assert_one_line(error):
    assert "\n" not in str(error)


@fuzzed
@given(boxes, boxes)
def test_box_conversions_are_inverse_and_overlap_is_a_share(box, other):
    x, y, w, h = box.to_ltwh()
    assert Box.from_ltwh(x, y, w, h) == pytest.approx(box, abs=1e-6)
    left, top, right, bottom = box.corners()
    assert Box.from_corners(right, top, left, bottom) == pytest.approx(box, abs=1e-6)
    assert 0 <= box.iou(other) <= 1 + 1e-9
    assert box.iou(other) == pytest.approx(other.iou(box), abs=1e-9)
    assert box.iou(box) == pytest.approx(1, abs=1e-6)


@fuzzed
@given(
    st.builds(Box, st.floats(), st.floats(), st.floats(), st.floats()),
    st.tuples(st.integers(16, 4096), st.integers(16, 4096)),
)
def test_a_box_is_refused_or_can_start_a_track(box, frame_hw):
    try:
        assert check_box(box, frame_hw) is box
    except BoxError as refusal:
        assert_one_line(refusal)
        return
    assert all(math.isfinite(number) for number in box)
    assert 3 <= box.w <= 2 * frame_hw[1]
    assert 3 <= box.h <= 2 * frame_hw[0]
    assert -0.5 <= box.cx <= frame_hw[1] - 0.5
    assert -0.5 <= box.cy <= frame_hw[0] - 0.5


@st.composite
def raw_frames(draw):
    """Arrays of wrong and right types and shapes, with extreme pixels where the type has them."""
    dtype = np.dtype(
        draw(st.sampled_from(["u1", "u2", "f4", "f8", "f2", "i2", "i8", "?", "c8", "S1", "O"]))
    )
    shape = draw(
        st.tuples(st.integers(0, 40), st.integers(0, 40))
        | st.tuples(st.integers(15, 20), st.integers(15, 20), st.integers(0, 5))
        | st.lists(st.integers(0, 5), max_size=4).map(tuple)
    )
    if dtype.kind in "SO":
        return np.zeros(shape, dtype)
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    if dtype.kind in "fc":
        size = draw(st.sampled_from([1.0, 255.0, 65535.0, 3e38, 1e300]))
        with np.errstate(over="ignore"):
            frame = rng.uniform(-size, size, shape).astype(dtype)
        spoilt = draw(st.sampled_from([0.0, 0.1, 1.0]))
        frame[rng.uniform(size=shape) < spoilt] = draw(st.sampled_from([np.nan, np.inf, -np.inf]))
        return frame
    return rng.integers(0, 2, shape).astype(dtype) * draw(st.sampled_from([0, 1, 127]))


@fuzzed
@given(
    raw_frames() | anything,
    st.sampled_from(["auto", "percentile", "fixed", "none"]),
    st.integers(0, 20),
)
def test_any_array_is_refused_or_becomes_grey_levels(raw, normalization, crop):
    params = dataclasses.replace(
        tracker_params().thermal, normalization=normalization, crop_top=crop, crop_bottom=crop // 2
    )
    normalize = ThermalNormalizer(params)
    try:
        with np.errstate(over="ignore"):
            greys = [normalize(raw), normalize.peek(raw)]
    except FrameError as refusal:
        assert_one_line(refusal)
        return
    for grey in greys:
        assert grey.dtype == np.float32
        assert grey.ndim == 2
        assert grey.shape == grey_counts(raw)[crop : len(raw) - crop // 2].shape
        assert grey.min() >= 0
        assert grey.max() <= 255  # NaN would fail both


@fuzzed
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.lists(st.tuples(pixels, pixels, st.floats(0.1, 1e3)), min_size=1, max_size=4),
    st.integers(1, 24),
)
def test_any_window_gives_a_patch_of_grey_levels(frame_hw, windows, out_px):
    frame = torch.rand(frame_hw, generator=torch.Generator().manual_seed(0)) * 255
    patches = crop_patches(frame, torch.tensor(windows, dtype=torch.float64), out_px, 7.0)
    assert patches.shape == (len(windows), 1, out_px, out_px)
    assert torch.isfinite(patches).all()
    assert -255 <= patches.min() <= patches.max() <= 510  # a cubic kernel overshoots


FIELDS = [
    (part, item)
    for part in (
        NetworkParams(),
        SceneParams(),
        *(getattr(tracker_params(), item.name) for item in dataclasses.fields(TrackerParams)),
    )
    for item in dataclasses.fields(part)
]


@settings(parent=fuzzed, max_examples=3 * fuzzed.max_examples)
@given(st.sampled_from(FIELDS), anything)
def test_any_value_of_any_parameter_is_refused_or_within_its_range(field, value):
    part, item = field
    try:
        changed = dataclasses.replace(part, **{item.name: value})
    except ConfigError as refusal:
        assert_one_line(refusal)
        return
    bounds, choices = item.metadata.get("range"), item.metadata.get("choices")
    kept = getattr(changed, item.name)
    assert bounds is None or bounds[0] <= kept <= bounds[1]
    assert not choices or kept in choices


@fuzzed
@given(
    st.lists(st.floats(), min_size=1, max_size=60),
    st.floats(),
    st.floats(-1e6, 1e6),
    st.floats(0, 1e6),
)
@example([0.0], math.inf, 0.0, 0.0)
def test_states_follow_any_score_and_the_score_is_a_share(scores, quality, height, more):
    presence = tracker_params().presence
    for value in (quality, quality + more):
        for usual in (UsualPeak(), UsualPeak(height, value, 1)):
            score = peak_score(value, height, usual, NetworkParams())
            assert 0 <= score <= 1 or math.isnan(value)

    def follow(before, score):
        return next_state(before[0], before[1], score, presence, near=True)

    state, low_frames = reduce(follow, scores, (TrackState.TRACKING, 0))
    assert state in TrackState
    assert 0 <= low_frames <= len(scores)


@fuzzed
@given(
    st.builds(Region, pixels, pixels, st.floats(1, 1e4)),
    st.floats(40, 1e4),
    st.tuples(st.integers(16, 1024), st.integers(16, 1024)),
    st.integers(0, 10**6),
    st.integers(1, 32),
)
def test_regions_to_search_are_as_many_as_asked_at_most(middle, reach, frame_hw, turn, count):
    regions = regions_around(middle, reach, frame_hw, turn, count)
    assert 1 <= len(regions) <= count + 1
    assert all(math.isfinite(number) for region in regions for number in region)
