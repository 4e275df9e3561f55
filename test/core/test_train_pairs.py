"""Pairs: the target is where the label says, and nothing but (seed, step, number) decides."""

import cv2
import numpy as np
import pytest
import torch
from training import small_crops, small_params, write_otb

from mlss_core.errors import ConfigError
from mlss_core.network_params import NetworkParams
from mlss_core.train import augment
from mlss_core.train.crops import CropLibrary
from mlss_core.train.curate import CurateParams, curate
from mlss_core.train.labels import make_labels
from mlss_core.train.loss import hit_share
from mlss_core.train.pairs import PairDataset
from mlss_core.train.params import AugmentParams, PairParams

STILL = AugmentParams(**dict.fromkeys(AugmentParams.__dataclass_fields__, 0.0))


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    return small_crops(tmp_path_factory.mktemp("pairs"))


def dataset(crops, augmentation=STILL, rank=0, world=1, **pairs):
    params = small_params(crops, crops, augment=augmentation, pairs=PairParams(**pairs))
    return PairDataset(CropLibrary(crops), params, rank, world)


def bright_middle(patch):
    rows, columns = np.nonzero(patch > 105)
    return np.median(columns), np.median(rows)


def test_a_bent_object_lies_in_the_middle_and_its_size_is_told():
    alpha = np.zeros((352, 352), np.float32)
    alpha[112:240, 140:212] = 1.0
    image = np.full((352, 352), 100.0, np.float32)
    for seed in range(8):
        bent = augment.bend(image, alpha, np.random.default_rng(seed))
        again = augment.bend(image, alpha, np.random.default_rng(seed))
        np.testing.assert_array_equal(bent.image, again.image)
        object_ = bent.alpha > 0.5
        assert (object_ != (alpha > 0.5)).mean() > 0.005
        for axis, told in enumerate(bent.size):
            places = np.flatnonzero(object_.any(axis=axis))
            assert (places[0] + places[-1]) / 2 == pytest.approx(175.5, abs=1)
            assert places[-1] - places[0] + 1 == pytest.approx(told, abs=2)
        assert 0.05 < np.log(bent.image[object_]).std() < 0.5  # the light
    assert augment.bend(image, np.zeros_like(alpha), np.random.default_rng(0)) is None


def test_target_of_the_instance_is_where_the_shift_says(crops):
    pairs = dataset(crops, mix={"tracklets": 1.0}, hard_negative=0.0, shift_px=20.0, tightness=0.0)
    for step in range(6):
        batch = pairs[step]
        for number in range(4):
            x, y = bright_middle(cv2.blur(batch.instance[number, 0].numpy(), (9, 9)))
            expected = 67 + batch.shift_px[number].numpy()
            assert np.hypot(x - expected[0], y - expected[1]) < 3
            x, y = bright_middle(cv2.blur(batch.exemplar[number, 0].numpy(), (9, 9)))
            assert np.hypot(x - 67, y - 67) < 3


def test_mirroring_keeps_the_target_where_the_shift_says(crops):
    flip = AugmentParams(**{**dict.fromkeys(AugmentParams.__dataclass_fields__, 0.0), "flip": 1.0})
    pairs = dataset(
        crops, flip, mix={"tracklets": 1.0}, hard_negative=0.0, shift_px=20.0, tightness=0.0
    )
    plain = dataset(
        crops, STILL, mix={"tracklets": 1.0}, hard_negative=0.0, shift_px=20.0, tightness=0.0
    )
    mirrored, straight = pairs[0], plain[0]
    assert torch.equal(mirrored.shift_px, straight.shift_px)
    torch.testing.assert_close(mirrored.exemplar.flip(3), straight.exemplar, atol=0.5, rtol=0)
    x, y = bright_middle(cv2.blur(mirrored.instance[0, 0].numpy(), (9, 9)))
    assert np.hypot(*(np.array([x, y]) - 67 - mirrored.shift_px[0].numpy())) < 3


def test_batches_depend_on_seed_and_step_alone(crops):
    first, again = dataset(crops, AugmentParams())[3], dataset(crops, AugmentParams())[3]
    other = dataset(crops, AugmentParams())[4]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.exemplar, other.exemplar)


def test_processes_share_the_batch_of_one(crops):
    whole = dataset(crops, AugmentParams())[5]
    shares = [dataset(crops, AugmentParams(), rank, 2)[5] for rank in range(2)]
    for index, part in enumerate(whole):
        joined = torch.cat([share[index] for share in shares])
        torch.testing.assert_close(joined, part)


def test_easy_negatives_show_another_track_and_hard_ones_its_background(crops):
    easy = dataset(crops, mix={"tracklets": 1.0}, hard_negative=0.0, easy_negative=1.0)[0]
    hard = dataset(crops, mix={"tracklets": 1.0}, hard_negative=1.0)[0]
    assert not easy.positive.any()
    assert not hard.positive.any()
    middle = (slice(None), slice(None), slice(55, 80), slice(55, 80))
    assert float(easy.exemplar[middle].mean()) > 120  # a target
    assert float(hard.exemplar[middle].mean()) < 120  # background
    assert float(hard.instance[middle].mean()) > 120


def one_track(folder):
    write_otb(folder / "own" / "walk")
    curate([folder / "own"], folder / "crops", CurateParams(crop_px=176, val_fraction=0, every=1))
    return folder / "crops"


def test_of_a_single_track_no_pair_is_called_another(tmp_path):
    pairs = dataset(one_track(tmp_path), hard_negative=0.0, easy_negative=1.0)
    assert pairs[0].positive.all()
    assert (pairs[0].tracks == 0).all()


def test_another_track_than_the_only_one_of_a_source_comes_from_the_others(crops):
    pairs = dataset(crops, mix={"tracklets": 1.0, "cutouts": 1e-9})
    pairs.crops.sources["tracklets"] = [0]
    rng = np.random.default_rng(0)
    assert {pairs._draw_track(rng, other_than=0) for _ in range(20)} == {
        pairs.crops.sources["cutouts"][0]
    }


def test_a_batch_says_which_tracks_its_pairs_show(crops):
    pairs = dataset(crops, mix={"tracklets": 1.0}, easy_negative=0.5, hard_negative=0.2)
    tracks = []
    draw = pairs._draw

    def watch(rng):
        drawn = draw(rng)
        tracks.append(drawn.tracks)
        return drawn

    pairs._draw = watch
    seen = []
    for step in range(12):
        tracks.clear()
        assert pairs[step].tracks.tolist() == [list(pair) for pair in tracks]
        seen += [first == second for first, second in tracks]
    assert {True, False} == set(seen)


def test_pasted_neighbours_are_those_of_other_tracks(crops):
    pairs = dataset(crops, mix={"tracklets": 1.0})
    asked = []
    pairs._draw_track = lambda rng, other_than=-1: asked.append(other_than) or 0
    item = int(pairs.crops.tracks[2][0])
    pairs._object(np.random.default_rng(0), item, 1.0)
    assert asked == [2]


def test_crops_smaller_than_a_patch_are_refused(crops):
    params = small_params(crops, crops, network=NetworkParams())
    with pytest.raises(ConfigError, match="expected crops of at least 255 px.*got 176; curate"):
        PairDataset(CropLibrary(crops), params)


def test_a_vanished_target_leaves_its_scene_behind(crops):
    same = {"mix": {"tracklets": 1.0}, "hard_negative": 0.0, "tightness": 0.0, "shift_px": 0.0}
    there, gone = dataset(crops, **same), dataset(crops, vanished=1.0, **same)
    middle = (slice(None), slice(None), slice(55, 80), slice(55, 80))
    border = (slice(None), slice(None), slice(0, 15))
    differences = []
    for step in range(4):
        seen, hidden = there[step], gone[step]
        assert seen.positive.all()
        assert not hidden.positive.any()
        torch.testing.assert_close(hidden.exemplar, seen.exemplar)
        torch.testing.assert_close(hidden.instance[border], seen.instance[border])
        differences.append(seen.instance[middle] - hidden.instance[middle])
    assert float(torch.stack(differences).mean()) > 15  # targets are brighter than what hides them


def test_frames_of_a_pair_lie_within_the_range(crops):
    pairs = dataset(crops, mix={"tracklets": 1.0}, frame_range=1)
    library = pairs.crops
    rng = np.random.default_rng(0)
    for _ in range(50):
        first, second = pairs._draw_frames(0, rng)
        assert abs(library.frame[first] - library.frame[second]) == 1


def test_cutouts_move_to_other_pictures(crops):
    same = {"mix": {"cutouts": 1.0}, "hard_negative": 0.0, "tightness": 0.0}
    stay = dataset(crops, cutout_on_other=0.0, **same)[0]
    move = dataset(crops, cutout_on_other=1.0, **same)[0]
    middle = (slice(None), slice(None), slice(55, 80), slice(55, 80))
    border = (slice(None), slice(None), slice(0, 15))
    torch.testing.assert_close(stay.exemplar[middle], move.exemplar[middle], atol=2, rtol=0)
    assert float((stay.exemplar[border] - move.exemplar[border]).abs().mean()) > 5


def test_unknown_source_in_the_mix_is_an_error(crops):
    with pytest.raises(ConfigError, match="nothing"):
        dataset(crops, mix={"nothing": 1.0})


def test_look_without_strength_changes_nothing():
    rng = np.random.default_rng(0)
    patch = rng.uniform(0, 255, (64, 64)).astype(np.float32)
    look = augment.draw_look(rng, STILL)
    np.testing.assert_allclose(augment.apply_look(patch, look, rng, STILL), patch, atol=1e-3)


@pytest.mark.parametrize("name", ["invert", "contrast", "brightness", "blur", "noise", "stripes"])
def test_every_augmentation_changes_the_patch(name):
    strength = AugmentParams.__dataclass_fields__[name].metadata["range"][1]
    params = AugmentParams(
        **{**dict.fromkeys(AugmentParams.__dataclass_fields__, 0.0), name: strength}
    )
    rng = np.random.default_rng(0)
    patch = rng.uniform(60, 190, (64, 64)).astype(np.float32)
    looks = [augment.draw_look(rng, params) for _ in range(20)]
    changed = [augment.apply_look(patch, look, rng, params) for look in looks]
    assert max(float(np.abs(one - patch).mean()) for one in changed) > 5


def test_paste_is_clipped_at_the_border_and_leaves_the_scene_alone():
    scene = np.zeros((20, 20), np.float32)
    out = augment.paste(scene, np.full((6, 6), 9, np.float32), np.ones((6, 6), np.float32), (0, 0))
    assert out.sum() == 9 * out.astype(bool).sum()
    assert 0 < out.astype(bool).sum() < 36
    assert not scene.any()
    far = augment.paste(scene, np.ones((4, 4), np.float32), np.ones((4, 4), np.float32), (50, 50))
    assert not far.any()


def test_hits_count_positive_pairs_only():
    labels = make_labels(
        torch.tensor([[8.0, 0], [0, 0], [0, 0]]), torch.tensor([True, True, False])
    )
    score = torch.zeros(3, 1, 33, 33)
    score[0, 0, 16, 18] = 1  # on the target
    score[1, 0, 16, 20] = 1  # four cells beside it
    score[2, 0, 16, 16] = 1
    assert hit_share(score, labels).item() == 0.5
