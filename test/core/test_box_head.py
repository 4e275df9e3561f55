"""The box head: says nothing of the first picture, learns to correct, stays within bounds."""

import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from training import small_crops, small_params

from mlss_core.box import Box
from mlss_core.checkpoint import load_box_head, load_network, save_checkpoint
from mlss_core.errors import CheckpointError, FrameError
from mlss_core.model.box_head import PATCH_PX, BoxHead, Correction, FirstLook, draw_boxes
from mlss_core.params import BoxParams, tracker_params
from mlss_core.presence import TrackState
from mlss_core.refine import BoxRefiner, steadied
from mlss_core.tracker import MLSSTracker
from mlss_core.train import loop
from mlss_core.train.boxes import BoxPairs, overlaps, surprise
from mlss_core.train.crops import CropLibrary
from mlss_core.train.log import read_table
from mlss_core.train.loop import train
from mlss_core.train.params import AugmentParams, PairParams
from mlss_core.train.step import batch_loss

CPU = torch.device("cpu")
STILL = AugmentParams(**dict.fromkeys(AugmentParams.__dataclass_fields__, 0.0))


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    return small_crops(tmp_path_factory.mktemp("boxes"))


def picture(box, height=200, width=240):
    """A warm, smooth rectangle with a rim of one pixel on a cool floor."""
    frame = np.full((height, width), 60, np.float32)
    y, x = np.mgrid[:height, :width]
    inside = np.minimum(
        np.clip(box.w / 2 - np.abs(x - box.cx) + 0.5, 0, 1),
        np.clip(box.h / 2 - np.abs(y - box.cy) + 0.5, 0, 1),
    )
    return frame + 120 * inside.astype(np.float32)


def rates(place, size, stiffness=0.0, aspect=None):
    """Rates of the place and of the size; those of the aspect are the size's, unless given."""
    return BoxParams(
        True, place, size, stiffness, size if aspect is None else aspect, stiffness, 0
    )


def corrected(head, box_params, start, now, estimate):
    """What a head makes of `estimate` where the target has gone from `start` to `now`."""
    params = dataclasses.replace(tracker_params(), box=box_params)
    refiner = BoxRefiner(head, params, CPU)
    look = refiner.remember(torch.from_numpy(picture(start)), start, 60.0)
    frame = torch.from_numpy(picture(now))
    (boxes,) = refiner.refine(frame, [estimate], [60.0], [look], [start])
    return boxes


def refined(params, start, now, estimate):
    return corrected(load_box_head(), params.box, start, now, estimate).kept


def test_nothing_changes_on_the_first_picture_itself():
    box = Box(100.0, 90.0, 40.0, 60.0)
    corrected = refined(tracker_params(), box, box, box)
    np.testing.assert_allclose(corrected, box, atol=1e-4)


@pytest.mark.parametrize(
    "now",
    [
        Box(100.0, 90.0, 52.0, 78.0),
        Box(100.0, 90.0, 31.0, 46.0),
        Box(100.0, 90.0, 52.0, 60.0),
        Box(104.0, 85.0, 40.0, 60.0),
    ],
    ids=["grown", "shrunk", "turned", "moved"],
)
def test_the_shipped_head_brings_the_box_nearer_to_the_target(now):
    start = Box(100.0, 90.0, 40.0, 60.0)
    whole = dataclasses.replace(tracker_params(), box=rates(1.0, 1.0))
    assert refined(whole, start, now, start).iou(now) > start.iou(now) + 0.05


def test_rates_take_over_their_share_and_zero_takes_none():
    start, now = Box(100.0, 90.0, 40.0, 60.0), Box(103.0, 90.0, 50.0, 75.0)

    def with_rates(place, size):
        params = dataclasses.replace(tracker_params(), box=rates(place, size))
        return refined(params, start, now, start)

    assert with_rates(0.0, 0.0) == start
    whole, half = with_rates(1.0, 1.0), with_rates(0.5, 0.5)
    assert math.log(half.w / start.w) == pytest.approx(math.log(whole.w / start.w) / 2)
    assert half.cx - start.cx == pytest.approx((whole.cx - start.cx) / 2)


def test_size_and_aspect_are_followed_at_rates_of_their_own():
    start, now = Box(100.0, 90.0, 40.0, 60.0), Box(100.0, 90.0, 60.0, 70.0)

    def with_rates(size, aspect):
        params = dataclasses.replace(tracker_params(), box=rates(0.0, size, aspect=aspect))
        return refined(params, start, now, start)

    grown, turned = with_rates(1.0, 0.0), with_rates(0.0, 1.0)
    assert grown.w / grown.h == pytest.approx(start.w / start.h)
    assert grown.w > 1.1 * start.w
    assert turned.w * turned.h == pytest.approx(start.w * start.h)
    assert turned.w / turned.h > 1.1 * start.w / start.h


def test_the_size_of_a_target_of_few_pixels_is_held_more_firmly():
    def pulled(side):
        start, grown = Box(100.0, 90.0, side, side), Box(100.0, 90.0, 1.2 * side, 1.2 * side)
        firm = rates(0.0, 0.1, stiffness=0.1)
        kept, _ = corrected(_Insists([0.0, 0.0, 0.0, 0.0]), firm, start, grown, grown)
        return math.log(grown.w / kept.w)

    assert pulled(80.0) == pytest.approx(pulled(40.0))
    assert pulled(10.0) > 3 * pulled(40.0)


class _Insists(BoxHead):
    """Asks for the same change whatever it sees, as surely as it is told."""

    def __init__(self, change, spread=(0.0, 0.0)):
        super().__init__()
        self.correction = Correction(torch.tensor([change]), torch.tensor([spread]))

    def forward(self, first, patch, sides):
        return Correction(*(part.expand(len(patch), -1) for part in self.correction))


SHOWN = dataclasses.replace(rates(0.0, 0.0), shown_spread=0.1)


@pytest.mark.parametrize(("spread", "share"), [(0.0, 1.0), (0.1, 0.5), (0.3, 0.1)])
def test_the_shown_box_takes_over_what_the_head_is_sure_of_and_the_kept_one_does_not(
    spread, share
):
    start = Box(100.0, 90.0, 40.0, 40.0)
    head = _Insists([0.2, 0.0, 0.2, 0.0], (spread, 9.0))
    kept, shown = corrected(head, SHOWN, start, start, start)
    assert kept == start
    assert shown.cx == pytest.approx(start.cx + share * 0.2 * start.w)
    assert math.log(shown.w / start.w) == pytest.approx(share * 0.2)
    assert shown[1::2] == pytest.approx(start[1::2])


def test_each_axis_is_shown_by_its_own_spread_and_none_where_that_is_off():
    start, head = Box(100.0, 90.0, 40.0, 40.0), _Insists([0.2, 0.2, 0.2, 0.2], (0.3, 0.1))
    _, shown = corrected(head, SHOWN, start, start, start)
    assert shown.cy - start.cy == pytest.approx(5 * (shown.cx - start.cx))
    assert math.log(shown.h / start.h) == pytest.approx(5 * math.log(shown.w / start.w))
    off = dataclasses.replace(SHOWN, shown_spread=0.0)
    assert corrected(_Insists([0.2] * 4), off, start, start, start).shown == start


def test_the_shipped_head_is_surer_of_a_plain_outline_than_of_noise():
    head, box = load_box_head(), Box(100.0, 90.0, 40.0, 60.0)
    refiner = BoxRefiner(head, tracker_params(), CPU)
    look = refiner.remember(torch.from_numpy(picture(box)), box, 60.0)
    noise = np.random.default_rng(0).normal(90, 30, picture(box).shape).astype(np.float32)

    def spread(frame):
        estimate = box._replace(w=box.w * 1.1, h=box.h * 1.1)
        return head(look, *refiner._see(torch.from_numpy(frame), [estimate], [60.0])).spread

    assert spread(picture(box)).max() < 0.6 * spread(noise).max()


def test_less_of_the_size_is_shown_where_there_are_few_pixels():
    def wider(side):
        start = Box(100.0, 90.0, side, side)
        _, shown = corrected(_Insists([0.0, 0.0, 0.2, 0.2]), SHOWN, start, start, start)
        return math.log(shown.w / start.w)

    assert wider(80.0) == pytest.approx(wider(40.0))
    assert 0 < wider(13.0) < 0.1 * wider(40.0)


def test_a_small_target_shows_a_changed_size_only_once_it_is_plain():
    start = Box(100.0, 90.0, 10.0, 14.0)

    def shown(factor):
        grown = start._replace(cx=103.0, w=start.w * factor)
        box = steadied(grown, start, 0.25)
        assert box[:2] == grown[:2]
        assert box.h == pytest.approx(start.h)
        return box.w / start.w

    assert shown(1.2) == shown(0.85) == 1.0
    assert 1.0 < shown(1.4) < 1.4
    assert 0.7 < shown(0.7) < 1.0
    assert shown(1.7) == pytest.approx(1.7)
    assert shown(0.55) == pytest.approx(0.55)
    ratios = [shown(math.exp(0.01 * n)) for n in range(-80, 81)]
    assert all(0 <= later - one < 0.06 for one, later in pairwise(ratios))


@pytest.mark.parametrize(("side", "noise"), [(40.0, 0.25), (10.0, 0.0)])
def test_every_change_of_size_is_shown_of_a_large_target_and_without_noise(side, noise):
    start = Box(100.0, 90.0, side, side)
    grown = start._replace(w=1.05 * side)
    assert steadied(grown, start, noise) == grown


def test_the_published_box_of_a_small_target_keeps_its_size():
    start = Box(100.0, 90.0, 12.0, 12.0)
    tracker = MLSSTracker(load_network(), tracker_params(), "cpu", "fp32", _Insists([0.0] * 4))
    tracker.initialize(picture(start).astype(np.uint8), start)
    (target,) = tracker._targets.values()
    target.box = target.box._replace(w=13.5, h=11.0)
    (result,) = tracker.update(picture(start).astype(np.uint8) + np.uint8(1))
    assert target.box.w > 12.5
    assert result.box[2:] == start[2:]


def test_what_is_published_does_not_move_the_tracker():
    start = Box(100.0, 90.0, 40.0, 40.0)
    params = dataclasses.replace(tracker_params(), box=SHOWN)
    tracker = MLSSTracker(load_network(), params, "cpu", "fp32", _Insists([0.2, 0.0, 0.1, 0.0]))
    raw = picture(start).astype(np.uint8)
    tracker.initialize(raw, start)
    for shade in range(1, 9):
        (result,) = tracker.update(raw + np.uint8(shade % 2))
        assert result.box is not None
        assert result.box.cx == pytest.approx(start.cx + 0.2 * start.w, abs=1.5)
        assert result.box.w == pytest.approx(start.w * math.exp(0.1), rel=0.06)
    (frozen,) = tracker.update(raw)  # the picture of before: a shutter
    assert frozen.state is TrackState.FROZEN
    assert frozen.box == result.box


def test_no_box_explodes_vanishes_or_collapses():
    box = start = Box(100.0, 90.0, 40.0, 40.0)
    frame = torch.from_numpy(picture(start))
    box = dataclasses.replace(rates(1.0, 1.0), shown_spread=0.1)
    params = dataclasses.replace(tracker_params(), box=box)
    refiner = BoxRefiner(_Insists([9.0, 0.0, 9.0, -9.0]), params, CPU)
    look = refiner.remember(frame, start, 60.0)
    ((box, shown),) = refiner.refine(frame, [start], [60.0], [look], [start])
    assert box.cx == shown.cx == start.cx + 0.25 * start.w
    assert shown.w == pytest.approx(start.w * math.exp(0.5))
    for _ in range(20):
        ((box, _),) = refiner.refine(frame, [box], [60.0], [look], [start])
    assert box.w / box.h == pytest.approx(3.0, rel=1e-6)
    tracker = MLSSTracker(load_network(), params, "cpu", "fp32", _Insists([0.0, 0.0, 9.0, 9.0]))
    raw = picture(start).astype(np.uint8)
    tracker.initialize(raw, start)
    for shade in range(8):
        (result,) = tracker.update(raw + np.uint8(shade % 2))
    assert result.box is not None
    assert result.box.w <= start.w * params.search.scale_limit


def test_the_init_box_pulls_back_small_changes_and_lets_large_ones_pass():
    start = Box(100.0, 90.0, 40.0, 60.0)

    def settled(stiffness, factor):
        now = Box(100.0, 90.0, 40.0 * factor, 60.0 * factor)
        params = rates(0.2, 0.2, stiffness)
        refiner = BoxRefiner(
            load_box_head(), dataclasses.replace(tracker_params(), box=params), CPU
        )
        look = refiner.remember(torch.from_numpy(picture(start)), start, 60.0)
        frame, box = torch.from_numpy(picture(now)), start
        for _ in range(60):
            ((box, _),) = refiner.refine(frame, [box], [60.0], [look], [start])
        return math.sqrt(box.w * box.h / (start.w * start.h))

    assert 1.0 < settled(1.0, 1.2) < settled(0.0, 1.2) < 1.35
    assert settled(1.0, 2.0) > 1.4


def test_a_box_is_drawn_to_a_fraction_of_a_pixel():
    drawn = draw_boxes(torch.tensor([[0.5, 0.25], [0.3, 1.0]]))
    assert drawn.shape == (2, 1, PATCH_PX, PATCH_PX)
    areas = drawn.sum(dim=(1, 2, 3)) / PATCH_PX**2
    torch.testing.assert_close(areas, torch.tensor([0.125, 0.3]), atol=2e-3, rtol=0)


def test_wrong_patches_and_files_are_refused(tmp_path):
    with pytest.raises(FrameError, match="expected grey patches"):
        BoxHead().remember(torch.zeros(1, 1, 32, 32), torch.full((1, 2), 0.4))
    save_checkpoint(tmp_path / "network.safetensors", load_network())
    with pytest.raises(CheckpointError, match="mlss-box-head-2"):
        load_box_head(tmp_path / "network.safetensors")
    with pytest.raises(CheckpointError, match="no file"):
        load_box_head(tmp_path / "none.safetensors")
    broken = BoxHead()
    broken.gains.bias.data[0] = float("nan")
    save_checkpoint(tmp_path / "broken.safetensors", broken)
    with pytest.raises(CheckpointError, match="not finite"):
        load_box_head(tmp_path / "broken.safetensors")


def test_head_survives_its_file(tmp_path):
    head = BoxHead().eval()
    save_checkpoint(tmp_path / "head.safetensors", head)
    again = load_box_head(tmp_path / "head.safetensors")
    for name, value in head.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])


def test_before_anything_is_learnt_the_estimate_stands():
    torch.manual_seed(0)
    head = BoxHead().eval()
    patches, sides = torch.rand(8, 1, PATCH_PX, PATCH_PX) * 255, torch.rand(8, 2) * 0.4 + 0.2
    change, spread = head(head.remember(patches, sides), patches.flip(0), sides)
    assert overlaps(change, torch.zeros(8, 4)).min() > 0.8
    both_edges = torch.full((8, 2), math.sqrt(2) * 0.1)  # of the patch
    torch.testing.assert_close(spread * sides, both_edges, atol=0.03, rtol=0)


def test_rows_and_columns_are_treated_alike():
    torch.manual_seed(1)
    head, turned = BoxHead().eval(), BoxHead().eval()
    state = head.state_dict()
    for name, value in state.items():
        other = (
            name.replace("across", "ALONG").replace("along", "across").replace("ALONG", "along")
        )
        turned.state_dict()[other].copy_(value.mT if value.dim() == 4 else value)
    first, now = torch.rand(2, 4, 1, PATCH_PX, PATCH_PX) * 255
    sides, estimate = torch.rand(2, 4, 2) * 0.4 + 0.2
    one = head(head.remember(first, sides), now, estimate)
    other = turned(turned.remember(first.mT, sides.flip(1)), now.mT, estimate.flip(1))
    torch.testing.assert_close(other.change[:, [1, 0, 3, 2]], one.change, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(other.spread.flip(1), one.spread, atol=1e-4, rtol=1e-3)


def test_training_pairs_say_where_the_target_really_is(crops):
    params = small_params(
        crops, crops, trains="box_head", batch=16, augment=STILL,
        pairs=PairParams(mix={"tracklets": 1.0}),
    )  # fmt: skip
    batch = BoxPairs(CropLibrary(crops), params)[0]
    checked = 0
    for n in range(16):
        bright = batch.patch[n, 0].numpy() > 105
        columns, rows = (
            np.flatnonzero(bright.mean(0) > 0.15),
            np.flatnonzero(bright.mean(1) > 0.15),
        )
        right, down, wider, higher = batch.change[n].tolist()
        w, h = (batch.sides[n] * PATCH_PX).tolist()
        middle = (PATCH_PX - 1) / 2
        size = np.array([w * math.exp(wider), h * math.exp(higher)])
        center = np.array([middle + right * w, middle + down * h])
        if (np.abs(center - middle) + size / 2 > middle).any():
            continue  # partly outside of the patch
        found = np.array([columns[[0, -1]], rows[[0, -1]]])
        # Labels are loosened by up to 0.15, turned by up to 8 degrees; pixels are random there.
        assert np.abs(found.mean(axis=1) - center).max() < 3.5
        ratio = (found[:, 1] - found[:, 0] + 1) / size
        assert np.abs(np.log(ratio)).max() < 0.35
        checked += 1
    assert checked >= 8


def test_overlap_of_changes_is_that_of_the_boxes():
    estimate = Box(50.0, 40.0, 20.0, 10.0)
    one, other = torch.tensor([[0.1, -0.2, 0.3, 0.1]]), torch.tensor([[-0.1, 0.1, -0.2, 0.2]])

    def changed(change):
        x, y, w, h = change[0].tolist()
        return Box(
            estimate.cx + x * estimate.w, estimate.cy + y * estimate.h,
            estimate.w * math.exp(w), estimate.h * math.exp(h),
        )  # fmt: skip

    assert overlaps(one, other).item() == pytest.approx(changed(one).iou(changed(other)), rel=1e-5)


def test_the_least_surprise_is_a_spread_as_large_as_the_error():
    error = torch.tensor([[0.05, -0.2, -0.1, 0.4]])
    honest = torch.tensor([[0.1, 0.4]])
    spread = honest.clone().requires_grad_()
    surprise(error, spread).backward()
    torch.testing.assert_close(spread.grad, torch.zeros(1, 2), atol=1e-6, rtol=0)
    for factor in (0.5, 2.0):
        assert surprise(error, factor * honest) > surprise(error, honest) + 0.1


def test_a_run_teaches_the_head_how_large_its_errors_are(crops):
    params = small_params(
        crops, crops, trains="box_head", batch=16, pairs=PairParams(mix={"tracklets": 1.0})
    )
    head = _Insists([0.0] * 4, (0.01, 5.0))
    head.correction.spread.requires_grad_()
    batch_loss(head, BoxPairs(CropLibrary(crops), params)[0], params).loss.backward()
    too_small, too_large = head.correction.spread.grad[0]
    assert too_small < 0 < too_large


def test_cut_outs_bend_between_the_pictures_and_their_boxes_with_them(crops):
    params = small_params(crops, crops, trains="box_head", pairs=PairParams(mix={"cutouts": 1.0}))
    pairs = BoxPairs(CropLibrary(crops), params)
    (item,) = pairs.crops.tracks[pairs.crops.sources["cutouts"][0]]
    drawn = [pairs._views(item, item, np.random.default_rng(seed)) for seed in range(20)]
    label = pairs.crops.size[item]
    bent = [(*size,) for _, _, size in drawn if tuple(size) != tuple(label)]
    assert 8 <= len(bent) < 20
    assert len(set(bent)) > 4
    assert np.abs(np.log(np.array(bent) / label)).max() < 0.5


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_the_head_is_trained_in_the_precision_of_the_run(crops, precision, dtype):
    params = small_params(
        crops, crops, trains="box_head", batch=4, precision=precision,
        pairs=PairParams(mix={"tracklets": 1.0}),
    )  # fmt: skip
    head, seen = BoxHead(), []
    head.finest.register_forward_hook(lambda module, given, code: seen.append(given[0].dtype))
    terms = batch_loss(head, BoxPairs(CropLibrary(crops), params)[0], params)
    assert seen == [dtype, dtype]
    assert terms.loss.dtype == torch.float32


def test_a_run_learns_logs_and_continues_bit_for_bit(crops, tmp_path):
    settings = {
        "trains": "box_head", "steps": 12, "batch": 16, "learning_rate": 2e-3,
        "augment": STILL, "pairs": PairParams(), "validate_every": 12,
    }  # fmt: skip
    whole = small_params(crops, tmp_path / "whole", **settings)
    train(whole)
    rows = read_table(tmp_path / "whole" / "log.csv")
    before = [row["overlap"] - row["estimate"] for row in rows]
    assert np.mean(before[-3:]) > np.mean(before[:3])
    assert read_table(tmp_path / "whole" / "validation.csv")[0]["overlap"] > 0
    assert isinstance(load_box_head(tmp_path / "whole" / loop.BEST), BoxHead)
    cut = small_params(crops, tmp_path / "cut", **settings)

    def stop(step, figures):
        if step == 7:  # its checkpoint is not yet written
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(cut, on_step=stop)
    train(cut, resume=True)
    ends = [load_box_head(tmp_path / name / loop.LAST) for name in ("whole", "cut")]
    for name, value in ends[0].state_dict().items():
        assert torch.equal(value, ends[1].state_dict()[name]), name


def test_first_looks_of_many_targets_are_one_batch():
    head = load_box_head()
    patches, sides = torch.rand(3, 1, PATCH_PX, PATCH_PX) * 255, torch.full((3, 2), 0.4)
    together = head(head.remember(patches, sides), patches.flip(0), sides)
    for n in range(3):
        one = head.remember(patches[n : n + 1], sides[:1])
        assert isinstance(one, FirstLook)
        alone = head(one, patches.flip(0)[n : n + 1], sides[:1])
        for own, others in zip(alone, together, strict=True):
            torch.testing.assert_close(own[0], others[n], atol=1e-5, rtol=0)


def test_boxes_may_hold_numpy_numbers():
    start, now = Box(100.0, 90.0, 40.0, 60.0), Box(103.0, 90.0, 44.0, 60.0)
    numpy_start = Box(*np.array(start))
    assert refined(tracker_params(), numpy_start, now, numpy_start) == refined(
        tracker_params(), start, now, start
    )
