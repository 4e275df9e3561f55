"""The port against outputs of the authors' own code.

With the full vectors at hand they are used; the committed excerpts keep the checks alive anywhere.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from seeded import seeded_network, seeded_patches, seeded_track

from mlss_core.box import Box
from mlss_core.checkpoint import load_network
from mlss_core.cli import main
from mlss_core.model import MLSSNet, Templates
from mlss_core.model.correlation import CorrelationFilter, gaussian_target
from mlss_core.params import SearchParams, tracker_params
from mlss_core.patch import crop_pyramid_as_released
from mlss_core.response import locate
from mlss_core.tracker import MLSSTracker

EXCERPTS = Path(__file__).parents[1] / "data" / "parity_excerpts.npz"
RELEASED_OFFSET = 1.5  # the authors' position of a box less our centre, px


@pytest.fixture(scope="module")
def excerpts():
    return np.load(EXCERPTS)


@pytest.fixture(scope="module")
def vectors(shared_dir):
    return lambda name: np.load(shared_dir / "parity" / "vectors" / f"{name}.npz")


@pytest.fixture(scope="module")
def released_network(shared_dir, tmp_path_factory):
    """The authors' checkpoint through `mlss convert`."""
    converted = tmp_path_factory.mktemp("parity") / "released.safetensors"
    source = shared_dir / "parity" / "weights" / "mlssnet_random.mat"
    assert main(["convert", str(source), str(converted)]) == 0
    return load_network(converted)


def relative_error(value, expected):
    value, expected = np.asarray(value, np.float64), np.asarray(expected, np.float64)
    return np.linalg.norm(value - expected) / np.linalg.norm(expected)


def height_width_channel(tensor):
    return tensor[0].permute(1, 2, 0).numpy()


def cut_case(image, case, arrays, channel):
    row, column = arrays[f"{case}_pos_yx"]
    return crop_pyramid_as_released(
        torch.from_numpy(np.ascontiguousarray(image)).float(),
        (column - RELEASED_OFFSET, row - RELEASED_OFFSET),
        list(arrays[f"{case}_in_side_scaled"]),
        255,
        float(arrays[f"{case}_avgChans"][channel]),
    )[:, 0].permute(1, 2, 0)


# --- set 1: exemplar branch -------------------------------------------------------------------


@pytest.mark.data
def test_exemplar_branch_reproduces_every_recorded_variable(released_network, vectors):
    expected = vectors("set1_exemplar")
    recorded = {}
    backbone = released_network.backbone
    names = {
        "conv1": "br1_x1",
        "bn1": "br1_x2",
        "pool1": "br1_x4",
        "conv2": "br1_x5",
        "bn2": "br1_x6",
        "pool2": "br1_x8",
        "conv3": "br1_x9",
        "bn3": "br1_x10",
        "conv4": "br1_x12",
        "bn4": "br1_x13",
    }
    hooks = [
        backbone.get_submodule(module).register_forward_hook(
            lambda _module, _inputs, output, name=name: recorded.update({name: output.clone()})
        )
        for module, name in names.items()
    ]
    exemplar = torch.from_numpy(expected["exemplar_gray"])[None, None]
    features = released_network.features(exemplar)
    for hook in hooks:
        hook.remove()
    for name, value in recorded.items():
        thinned = height_width_channel(value)[3::7, 2::7, 1::5]
        assert relative_error(thinned, expected[f"{name}__sub"]) < 1e-5, name
    semantic, structural = (
        released_network.semantic_attention,
        released_network.structural_attention,
    )
    full = {
        "br1_out": features.semantic,
        "join_conv3_dimred": features.structural,
        "join_br1_sigmoid_2": semantic.weights(features.semantic),
        "join_br1_Wfeat5": semantic(features.semantic),
        "join_br1_Wfeat": structural(features.structural),
    }
    for name, value in full.items():
        assert relative_error(height_width_channel(value), expected[name]) < 1e-5, name
    place_weights = structural.weights(features.structural)[0, 0]
    assert relative_error(place_weights, expected["join_br1_sigmoid_1"]) < 1e-5
    templates = released_network.templates_from(features)
    for value, name in zip(templates, ("join_tmpl_cropped", "join_tmpl_cropped3"), strict=True):
        assert relative_error(height_width_channel(value), expected[name]) < 1e-5


# --- set 2: instance branch -------------------------------------------------------------------


@pytest.mark.data
def test_instance_branch_reproduces_features_and_scores(released_network, vectors):
    expected = vectors("set2_instance")
    instances = torch.from_numpy(expected["instance_gray"]).permute(2, 0, 1)[:, None]
    features = released_network.features(instances)
    for value, name in (
        (features.semantic, "br2_out"),
        (features.structural, "br2_conv3_dimred"),
    ):
        assert relative_error(value.permute(2, 3, 1, 0).numpy(), expected[name]) < 1e-5
    templates = Templates(
        *(
            torch.from_numpy(expected[name]).permute(2, 0, 1)[None]
            for name in ("join_tmpl_cropped", "join_tmpl_cropped3")
        )
    )
    responses = released_network.respond_to(templates, features)
    for value, name in zip(responses, ("join_out", "join_out3", "Sumscore"), strict=True):
        got = value.permute(2, 3, 1, 0).numpy()
        np.testing.assert_allclose(got, expected[name], rtol=0, atol=1e-5)


# --- set 3: crops -----------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize("number", range(12))
def test_pyramid_reproduces_the_authors_crops(vectors, number):
    expected, case = vectors("set3_crops"), f"b{number:02d}"
    image = expected["syn_image_uint8"]
    if expected[f"{case}_set"] == 1:
        image = vectors("frames_airplane30")["frames"][0][:, :, None]
    pyramid = expected[f"{case}_pyramid"]
    pyramid = pyramid if pyramid.ndim == 4 else pyramid[:, :, None]
    for channel in range(image.shape[2]):
        got = cut_case(image[:, :, channel], case, expected, channel)
        np.testing.assert_allclose(got, pyramid[:, :, channel], rtol=0, atol=1e-3)


@pytest.mark.parametrize("case", ["b08", "b09", "b10", "b11"])
def test_pyramid_reproduces_the_excerpt_of_the_authors_crops(excerpts, case):
    got = cut_case(excerpts["image"], case, excerpts, channel=0)[::12, ::12]
    np.testing.assert_allclose(got, excerpts[f"{case}_pyramid"], rtol=0, atol=1e-3)


# --- set 4: the tracker -----------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.slow
def test_reference_profile_reproduces_all_thirty_boxes_scales_and_peaks(released_network, vectors):
    expected, frames = vectors("set4_tracker30"), vectors("frames_airplane30")["frames"]
    tracker = MLSSTracker(released_network, tracker_params("reference"), device="cpu")
    tracker.initialize(frames[0], Box.from_ltwh(*expected["bboxes_xywh"][0]))
    for i, frame in enumerate(frames[1:]):
        (result,) = tracker.update(frame)
        (peak,) = tracker.last_peaks
        np.testing.assert_allclose(
            result.box.to_ltwh(), expected["bboxes_xywh"][i + 1], rtol=0, atol=1e-3
        )
        assert peak.scale_index + 1 == expected["best_scale_1based"][i]
        assert (peak.row + 1, peak.column + 1) == tuple(expected["peak_rc_1based"][i])


def test_locate_finds_the_recorded_scale_peak_and_displacement(excerpts):
    search = SearchParams(peak="released")
    maps = torch.from_numpy(excerpts["track_responseMaps"]).permute(0, 3, 1, 2)
    s_x, pos_yx = excerpts["track_s_x"], excerpts["track_pos_yx"]
    peaks = locate(maps, search)
    for k, frame in enumerate(excerpts["track_frames"]):
        assert peaks[k].scale_index + 1 == excerpts["track_best_scale_1based"][k]
        assert (peaks[k].row + 1, peaks[k].column + 1) == tuple(
            excerpts["track_peak_rc_1based"][k]
        )
        if frame > 0:
            moved_yx = pos_yx[frame] - pos_yx[frame - 1]
            to_frame = 4 * s_x[frame - 1] / 255
            got_yx = np.array(peaks[k].offset_xy[::-1]) * to_frame
            np.testing.assert_allclose(got_yx, moved_yx, rtol=0, atol=1e-6)


# --- set 5: the correlation filter (labels, loss and schedule: test_train_*.py) ---------------


def test_correlation_filter_reproduces_the_authors_filter(excerpts):
    exemplar = torch.from_numpy(excerpts["filter_cx"]).permute(3, 2, 0, 1).float()
    module = CorrelationFilter(exemplar.shape[-1], margin=0, sigma=2.0, ridge=10.0)
    module.window = torch.ones_like(module.window)
    module.target_spectrum = torch.fft.rfft2(torch.from_numpy(excerpts["filter_cy"]).float())
    got = module(exemplar).permute(2, 3, 1, 0).numpy()
    np.testing.assert_allclose(got, excerpts["filter_cf_w"], rtol=0, atol=1e-7)


@pytest.mark.data
def test_windows_and_filter_targets_are_the_authors_constants(vectors):
    expected = vectors("set5_training")
    network = MLSSNet()
    for module, cells in ((network.semantic_filter, 49), (network.structural_filter, 53)):
        np.testing.assert_allclose(module.window, expected[f"win{cells}"], rtol=0, atol=1e-6)
        target = gaussian_target(cells, network.params.filter_sigma)
        np.testing.assert_allclose(target, expected[f"cft{cells}"], rtol=0, atol=1e-6)


# --- anywhere: what the verified port gave with weights from a seed ----------------------------


def test_seeded_network_still_gives_the_verified_responses(excerpts):
    responses = seeded_network()(*seeded_patches())
    for value, name in zip(responses, ("semantic", "structural", "fused"), strict=True):
        np.testing.assert_allclose(value, excerpts[f"seeded_{name}"], rtol=0, atol=1e-5)


def test_seeded_reference_tracker_still_gives_the_verified_boxes(excerpts):
    np.testing.assert_allclose(seeded_track(), excerpts["seeded_boxes"], rtol=0, atol=1e-3)
