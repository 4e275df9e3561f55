import cv2
import numpy as np
import pytest
import torch
from seeded import seeded_network

from mlss_core import online_filter
from mlss_core.box import Box
from mlss_core.cuda_graphs import Replayed
from mlss_core.model.backbone import Features
from mlss_core.model.ensemble import Ensemble
from mlss_core.model.network import Templates
from mlss_core.online_filter import OnlineFilter, descend
from mlss_core.params import TemplateParams, TrackerParams
from mlss_core.tracker import MLSSTracker

CHANNELS, CELLS = 4, 9  # of the response: 13 - 5 + 1 = 17 - 9 + 1
ENSEMBLE = Ensemble(semantic=2.0, structural=3.0, bias=-1.5)
CPU = torch.device("cpu")


def random_features(seed=0):
    generator = torch.Generator().manual_seed(seed)
    semantic, structural = (
        torch.randn(1, CHANNELS, cells, cells, generator=generator) for cells in (13, 17)
    )
    return Features(semantic=semantic, structural=structural)


def responses(templates, features):
    network = seeded_network()
    with torch.no_grad():
        network.ensemble.gain.copy_(torch.tensor(ENSEMBLE[:2]))
        network.ensemble.bias.copy_(torch.tensor([-0.5, -1.0]))
        return network.respond_to(templates, features).fused[0, 0]


def learner(features=None, box_cells=(4.0, 4.0)):
    empty = Templates(*(torch.zeros(1, CHANNELS, size, size) for size in (5, 9)))
    first = features or random_features()
    return OnlineFilter(empty, first, box_cells, ENSEMBLE, Replayed(descend, CPU))


def test_the_target_is_answered_to_and_what_is_beside_it_is_not():
    features = random_features()
    response = responses(learner(features).templates, features)
    assert response[3:6, 3:6].max() == response.max()
    assert response[4, 4] > 0.9 * online_filter._HEIGHT
    off = torch.hypot(*torch.meshgrid(torch.arange(9) - 4.0, torch.arange(9) - 4.0, indexing="ij"))
    assert response[off >= 2].max() < 0.2


def test_something_else_that_was_answered_to_is_no_more_once_it_was_seen():
    first, other = random_features(0), random_features(1)
    twin = Features(*((a + b) / 2 for a, b in zip(first, other, strict=True)))
    online = learner(first)
    before = responses(online.templates, twin)[4, 4]
    online.see(twin, off_cells=(20.0, 0.0))
    for _ in range(10):
        online.learn()
    after = responses(online.templates, twin)[4, 4]
    assert before > 0.5
    assert after < 0.5 * before
    assert responses(online.templates, first)[4, 4] > 0.7 * online_filter._HEIGHT


def test_a_target_beside_something_else_is_not_unlearnt_with_it():
    online = learner()
    picture = random_features(3)
    online.see(picture, off_cells=(-3.0, 2.0))  # the target is 3 cells left of, 2 below the middle
    for _ in range(5):
        online.learn()
    response = responses(online.templates, picture)
    assert response[6, 1] > 0.8 * online_filter._HEIGHT
    assert response[4, 4] < 0


def test_outside_of_the_box_templates_stay_empty():
    templates = learner(box_cells=(3.0, 5.0)).templates.structural.abs().amax(dim=(0, 1))
    assert templates[:, [0, -1]].max() < 0.2 * templates[:, 4].max()  # the box ends 2.5 before
    assert templates[[2, -3]].max() > 0.5 * templates[4].max()


def test_a_step_descends_along_the_gradient_to_where_the_loss_is_least():
    online = learner()
    online.see(random_features(1), (1.0, 0.0))
    templates, anchor = torch.randn(2, 1, 8, 9, 9, generator=torch.Generator().manual_seed(5))
    spectra, ridge, support = online._spectra, online._ridge, torch.ones_like(anchor)
    asked = online._asked * torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1, 1)  # to be high
    asked[:, 1, :2, 0, 0] = 1e-9  # what tells that a picture is there
    bias = -1000.0  # all that are asked are missing: the loss is quadratic

    def loss(at):
        response = online_filter._respond(at, spectra, online._fast, CELLS) + bias
        missing = (online_filter._HEIGHT - response).relu().square()
        return (asked[:, 0] * missing).sum() + 2 * ridge * (at - anchor).square().sum()

    at = templates.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(at), at)
    how = {"bias": bias, "fast": online._fast, "steps": 1}
    moved = descend(templates, anchor, support, spectra, asked, ridge, **how)
    step = moved - templates
    cosine = torch.nn.functional.cosine_similarity(step.flatten(), -gradient.flatten(), dim=0)
    assert cosine > 0.9999
    assert loss(moved) < loss(templates)
    assert loss(moved) <= min(loss(templates + share * step) for share in (0.9, 1.1))


def test_targets_are_learnt_together_as_each_alone():
    one, other = learner(random_features(0)), learner(random_features(1))
    parts = [
        (o._packed, o._anchor, o._support, o._spectra, o._asked, o._ridge) for o in (one, other)
    ]
    how = {"bias": ENSEMBLE.bias, "fast": one._fast, "steps": 2}
    together = descend(*(torch.cat(each) for each in zip(*parts, strict=True)), **how)
    alone = torch.cat([descend(*each, **how) for each in parts])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("others", [False, True])
def test_new_pictures_take_the_place_of_the_oldest_but_the_first_stays(others):
    online = learner()
    begun = online._spectra.clone()
    for n in range(online_filter._OWN + online_filter._OTHERS):
        online.see(random_features(10 + n), (3.0, 0.0) if others else None)
    changed = (online._spectra != begun).flatten(3).any(dim=3).any(dim=1)[0]
    kept = [False] + [not others] * (online_filter._OWN - 1) + [others] * online_filter._OTHERS
    assert changed.tolist() == kept
    latest = learner(random_features(10 + online_filter._OWN + online_filter._OTHERS - 1))
    there = (online._spectra == latest._spectra[:, :, :1]).all(dim=3).all(dim=1)[0]
    assert there.sum() == 1


def frames_with_a_twin(count):
    """A patterned target that walks to the right, and another of its shape that walks above it."""
    random = np.random.default_rng(3)
    scene = cv2.GaussianBlur(random.normal(90, 40, (200, 240)), (0, 0), 3)
    target, twin = (
        cv2.GaussianBlur(random.normal(170, 150, (36, 24)), (0, 0), 4) for _ in range(2)
    )
    for n in range(count):
        frame = scene.copy()
        frame[120:156, 60 + n : 84 + n] = target
        frame[74:110, 60 + n : 84 + n] = twin
        yield frame.clip(0, 255).astype(np.uint8), Box.from_roi(60 + n, 120, 24, 36)


@pytest.mark.parametrize("online", [True, False])
def test_a_twin_beside_the_target_is_told_by_the_tracker_that_learns_online(online):
    """The shipped network: both are as warm and of one shape."""
    params = TrackerParams(template=TemplateParams(online=online))
    tracker = MLSSTracker(params=params, device="cpu")
    for n, (frame, box) in enumerate(frames_with_a_twin(31)):
        if n == 0:
            tracker.initialize(frame, box)
        else:
            (result,) = tracker.update(frame)
    assert result.box.iou(box) > 0.7
    tracker.learn()
    target, grey = tracker._targets["target"], tracker._upload(frame.astype(np.float32))
    heights = []
    for there in (box, box._replace(cy=box.cy - 46)):
        patch = tracker._cut([tracker._exemplar_at(there, target.size_px)], [target.fill], grey)
        fused = tracker._network.respond_to(
            target.templates, tracker._network.features(patch)
        ).fused
        heights.append(float(fused[0, 0, 14:19, 14:19].max()))
    assert heights[0] > 3
    assert (heights[1] < 0.1 * heights[0]) == online, heights
