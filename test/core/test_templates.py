"""What of the scene a template keeps."""

import dataclasses

import pytest
import torch
from seeded import seeded_frames, seeded_network

from mlss_core.box import Box
from mlss_core.model.network import Templates
from mlss_core.network_params import NetworkParams
from mlss_core.params import TemplateParams, TrackerParams, tracker_params
from mlss_core.target import within_box
from mlss_core.tracker import MLSSTracker

WHOLE = Templates(torch.ones(1, 2, 17, 17), torch.ones(1, 3, 21, 21))


def test_beyond_the_sides_of_the_box_a_template_fades_out():
    box = Box(50.0, 40.0, 10.0, 40.0)
    narrow = within_box(WHOLE, box, cell_px=1.0, reach=1.2)
    for level in narrow:
        middle = level.shape[-1] // 2
        kept = level[0, 0, middle, middle:].tolist()  # 0, 1, 2 ... px off the middle
        # All up to 0.6 - 0.15 sides, half at 0.6, none from 0.75 on.
        assert kept[:5] == [1.0] * 5
        assert kept[6] == pytest.approx(0.5)
        assert kept[8:] == [0.0] * len(kept[8:])
        assert bool((level[0, 0, :, middle] == 1).all())  # the box is higher than the template


def test_a_square_target_keeps_the_template_that_fits_it():
    box = Box(50.0, 40.0, 30.0, 30.0)
    kept = within_box(WHOLE, box, cell_px=30 / 16, reach=1.2).semantic
    assert float(kept[0, 0, 1:-1, 1:-1].min()) == 1.0
    assert float(kept.mean()) > 0.95


def test_no_reach_keeps_everything_and_is_the_released_tracker():
    box = Box(50.0, 40.0, 3.0, 90.0)
    assert within_box(WHOLE, box, 1.0, 0.0) is WHOLE
    assert tracker_params("reference").template.reach == 0


def test_first_and_rolling_templates_of_a_narrow_target_hold_no_scene_beside_it():
    frames, box = seeded_frames(4), Box(78.0, 64.0, 8.0, 50.0)

    def templates(reach):
        params = TrackerParams(template=TemplateParams(reach=reach, every=1, gated=False))
        tracker = MLSSTracker(seeded_network(NetworkParams(), seed=1), params, "cpu", "fp32")
        tracker.initialize(frames[0], box)
        for frame in frames[1:]:
            tracker.update(frame)
        tracker.learn()
        target = tracker._targets["target"]
        return target.first_templates, target.templates

    for kept in templates(1.2):
        for level in kept:
            edge = torch.cat([level[..., :2], level[..., -2:]], dim=-1)
            assert float(edge.abs().max()) == 0
            assert float(level.abs().max()) > 0
    for kept in templates(0.0):
        assert all(float(level[..., :2].abs().max()) > 0 for level in kept)


def test_reach_is_checked():
    with pytest.raises(Exception, match="reach"):
        dataclasses.replace(TemplateParams(), reach=-1.0)
