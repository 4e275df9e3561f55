"""Damage at rising levels: what each kind does to frames and labels."""

import cv2
import numpy as np
import pytest
from eval_sequences import write_sequence

from mlss_core.commands.eval import parse_corruptions
from mlss_core.errors import ConfigError
from mlss_core.evaluate.corrupt import LEVELS, Corruption, corrupt
from mlss_core.evaluate.sources import open_source


@pytest.fixture(scope="module")
def sequence(tmp_path_factory):
    return open_source(write_sequence(tmp_path_factory.mktemp("data"), "walk", 130, 0.4)).sequence


@pytest.fixture(scope="module")
def deep_sequence(tmp_path_factory):
    folder = write_sequence(tmp_path_factory.mktemp("deep"), "walk", 130, 0.4)
    for path in (folder / "img").iterdir():
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.uint16)
        cv2.imwrite(str(path), 28000 + 7 * pixels)
    return open_source(folder).sequence


def frames_of(sequence, kind, level, seed=0) -> list:
    return list(corrupt(sequence, Corruption(kind, level, seed)).frames)


@pytest.mark.parametrize("kind", LEVELS)
def test_every_kind_is_repeatable_and_spares_the_first_frame(sequence, kind):
    first, second = (frames_of(sequence, kind, 5) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    np.testing.assert_array_equal(first[0], sequence.frames[0])
    assert any(
        not np.array_equal(a, b) for a, b in zip(first, sequence.frames, strict=False)
    )  # and changes the others
    assert {f.dtype for f in first} == {np.dtype(np.uint8)}


@pytest.mark.parametrize("kind", ["noise", "contrast", "blur", "occlusion"])
def test_a_higher_level_changes_more(sequence, kind):
    changes = [
        np.abs(frames_of(sequence, kind, level)[50].astype(float) - sequence.frames[50]).mean()
        for level in range(1, 6)
    ]
    assert changes == sorted(changes)
    assert changes[0] > 0
    assert len(set(changes)) == 5


def test_noise_has_the_stated_spread_and_follows_the_seed(sequence):
    difference = frames_of(sequence, "noise", 2)[10].astype(float) - sequence.frames[10]
    assert difference.std() == pytest.approx(10, rel=0.05)
    other = frames_of(sequence, "noise", 2, seed=1)[10]
    assert not np.array_equal(other, frames_of(sequence, "noise", 2)[10])


def test_noise_on_deep_pictures_is_scaled_to_their_spread(sequence, deep_sequence):
    frame = corrupt(deep_sequence, Corruption("noise", 2)).frames[10]
    assert frame.dtype == np.uint16
    difference = frame.astype(float) - deep_sequence.frames[10]
    low, high = np.percentile(deep_sequence.frames[0], (0.5, 99.5))
    assert difference.std() == pytest.approx(10 * (high - low) / 255, rel=0.05)


def test_contrast_keeps_the_mean_and_shrinks_the_spread(sequence):
    before, after = sequence.frames[20], frames_of(sequence, "contrast", 3)[20]
    assert after.mean() == pytest.approx(before.mean(), abs=0.5)
    assert after.std() == pytest.approx(0.25 * before.std(), rel=0.05)


def test_polarity_switches_back_and_forth(sequence):
    frames = frames_of(sequence, "polarity", 3)  # every 30 frames
    for i in (1, 29, 60, 89, 120):
        np.testing.assert_array_equal(frames[i], sequence.frames[i])
    for i in (30, 59, 90, 119):
        np.testing.assert_array_equal(frames[i], 255 - sequence.frames[i])


def test_a_freeze_repeats_one_frame_and_ends(sequence):
    frames = frames_of(sequence, "freeze", 3)  # 12 of every 60
    for i in (47, 60, 100, 120):
        np.testing.assert_array_equal(frames[i], sequence.frames[i])
    for i in range(48, 60):
        np.testing.assert_array_equal(frames[i], sequence.frames[47])
    assert corrupt(sequence, Corruption("freeze", 3)).ground_truth is sequence.ground_truth


def test_a_full_occlusion_hides_the_whole_target_for_a_while(sequence):
    frames = frames_of(sequence, "occlusion", 5)
    for i in (44, 60):
        np.testing.assert_array_equal(frames[i], sequence.frames[i])
    x, y, w, h = (int(v) for v in sequence.ground_truth[50])
    target = np.s_[y - 1 : y - 1 + h, x - 1 : x - 1 + w]
    assert sequence.frames[50][target].std() > 10
    assert frames[50][target].std() == 0
    half = frames_of(sequence, "occlusion", 3)[50][target]
    assert half[:, : w // 2].std() == 0
    assert half[:, -w // 4 :].std() > 5


def test_dropped_frames_take_their_labels_with_them(sequence):
    kept = corrupt(sequence, Corruption("drop", 3))
    assert len(kept.frames) == len(kept.ground_truth) == len(kept)
    assert 0.2 * 130 < len(kept) < 0.6 * 130
    for frame, row in zip(kept.frames, kept.ground_truth, strict=True):
        i = int(np.flatnonzero((sequence.ground_truth == row).all(axis=1))[0])
        np.testing.assert_array_equal(frame, sequence.frames[i])


def test_no_corruption_gives_the_sequence_itself(sequence):
    assert corrupt(sequence, None) is sequence


@pytest.mark.parametrize(("kind", "level"), [("fog", 1), ("noise", 0), ("noise", 6)])
def test_unknown_damage_is_refused(kind, level):
    with pytest.raises(ConfigError, match="expected a"):
        Corruption(kind, level)


@pytest.mark.parametrize("kinds", ["noise,blur", "noise, blur,noise", "noise,noise,blur,blur"])
def test_a_kind_named_twice_counts_once(kinds):
    expected = [Corruption("noise", 1), Corruption("noise", 3)]
    expected += [Corruption("blur", 1), Corruption("blur", 3)]
    assert parse_corruptions(kinds, "3,1,1", 0) == expected
