import subprocess
import sys

import numpy as np
import pytest
from scenes import NOISELESS, SMALL, changed

from mlss_core.errors import ConfigError
from mlss_core.simulate import SceneParams, random_scene, simulate
from mlss_core.simulate.params import KINDS
from mlss_core.simulate.scene import Scene


def target_heat(params: SceneParams, frame: int) -> np.ndarray:
    """By how much a hot target differs from a cold one, pixel by pixel, K: above 0 where it shows.

    Distractors would change alike, so there must be none.
    """
    assert params.distractors == 0
    hot, cold = (Scene(changed(params, contrast_k=k)).temperature(frame) for k in (40.0, -40.0))
    return np.abs(hot - cold)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_parameters_give_the_same_bytes_in_any_order(kind):
    params = changed(SMALL, kind=kind, frames=12, bits=8)
    one, two = simulate(params), simulate(params)
    forwards = [frame.copy() for frame in one.frames]
    for i in (11, 3, 7, 0):
        np.testing.assert_array_equal(two.frames[i], forwards[i])
    np.testing.assert_array_equal(one.ground_truth, two.ground_truth)
    np.testing.assert_array_equal(one.visibility, two.visibility)


def test_another_seed_gives_another_scene():
    one, two = simulate(changed(SMALL, seed=1)), simulate(changed(SMALL, seed=2))
    assert (one.frames[0] != two.frames[0]).mean() > 0.5
    assert not np.allclose(one.ground_truth[0], two.ground_truth[0])


@pytest.mark.parametrize("target_px", [12.0, 60.0])
@pytest.mark.parametrize(
    ("kind", "backdrop"),
    [
        ("person", "street"),
        ("person", "aerial"),
        ("vehicle", "field"),
        ("vehicle", "aerial"),
        ("drone", "sky"),
        ("animal", "indoor"),
        ("animal", "sky"),
    ],
)
def test_boxes_are_the_extents_of_the_rendered_target(kind, backdrop, target_px):
    params = changed(
        NOISELESS,
        kind=kind,
        backdrop=backdrop,
        target_px=target_px,
        distractors=0,
        occlusion=0.0,
        camera_motion=1.0,
    )
    sequence = simulate(params)
    for i in (0, 17, 39):
        rows, columns = np.nonzero(target_heat(params, i) > 3.0)
        edges = columns.min() - 0.5, rows.min() - 0.5, columns.max() + 0.5, rows.max() + 0.5
        # a pixel, and the quarter of one by which OpenCV's outlines widen what they fill
        np.testing.assert_allclose(sequence.box(i).corners(), edges, atol=1.25)


@pytest.mark.parametrize("kind", KINDS[:4])
@pytest.mark.parametrize("target_px", [8.0, 64.0])
def test_the_target_has_the_size_asked_for_in_the_first_frame(kind, target_px):
    box = simulate(changed(SMALL, kind=kind, target_px=target_px, frames=5)).box(0)
    assert max(box.w, box.h) == pytest.approx(target_px, rel=0.01)


@pytest.mark.parametrize("occlusion", [0.5, 1.0])
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_visibility_is_the_share_of_the_target_that_shows(occlusion, seed):
    large = changed(NOISELESS, width=256, height=200, target_px=110.0, distractors=0)
    params = changed(large, frames=90, seed=seed, occlusion=occlusion)
    visibility = simulate(params).visibility
    whole = changed(params, occlusion=0.0)
    for i in (0, int(visibility.argmin()), int(np.abs(visibility - 0.6).argmin())):
        unhidden = target_heat(whole, i)
        shows = target_heat(params, i) > 0.5 * unhidden
        share = shows[unhidden > 5.0].mean()
        assert visibility[i] == pytest.approx(share, abs=0.07)


@pytest.mark.parametrize("seed", range(6))
def test_full_occlusion_hides_the_target_for_the_time_asked_for(seed):
    params = changed(SMALL, frames=240, seed=seed, distractors=0, occlusion=1.0, occlusion_s=1.5)
    hidden = simulate(params).visibility < 0.05
    assert 1.0 <= hidden.sum() / params.fps <= 4.0
    assert not hidden[:15].any()


@pytest.mark.parametrize("seed", range(6))
def test_partial_occlusion_hides_about_the_part_asked_for(seed):
    params = changed(SMALL, frames=240, seed=seed, distractors=6, keep_apart=0.0, occlusion=0.5)
    assert 0.3 < simulate(params).visibility.min() < 0.75


@pytest.mark.parametrize("kind", KINDS[:4])
@pytest.mark.parametrize("camera_motion", [0.0, 1.0])
def test_without_occlusion_the_target_stays_in_full_view(kind, camera_motion):
    params = changed(
        SMALL,
        kind=kind,
        frames=150,
        occlusion=0.0,
        camera_motion=camera_motion,
        distractors=6,
        keep_apart=0.0,
    )
    assert (simulate(params).visibility > 0.99).all()


@pytest.mark.parametrize("seed", range(8))
def test_the_target_shows_at_the_start(seed):
    params = changed(
        SMALL, frames=120, seed=seed, distractors=6, keep_apart=0.0, occlusion=1.0, occlusions=3
    )
    assert (simulate(params).visibility[:5] > 0.9).all()


def test_a_moving_camera_moves_the_backdrop_and_a_fixed_one_does_not():
    still, moving = (
        Scene(changed(NOISELESS, camera_motion=motion, distractors=0, occlusion=0.0, seed=5))
        for motion in (0.0, 1.0)
    )

    def corner_change(scene):
        return np.abs(scene.temperature(0)[:20, :20] - scene.temperature(30)[:20, :20]).mean()

    assert corner_change(still) == 0.0
    assert corner_change(moving) > 0.05


@pytest.mark.parametrize("seed", range(4))
def test_the_camera_loses_the_target_when_asked_to(seed):
    params = changed(SMALL, frames=240, seed=seed, leave_frame=True, occlusion=0.0)
    sequence = simulate(params)
    gone = np.isnan(sequence.ground_truth).any(axis=1)
    assert 1.0 <= gone.sum() / params.fps <= 4.0
    assert (sequence.visibility[gone] == 0).all()
    assert (sequence.visibility[~gone] > 0).any()
    assert sequence.box(0) is not None
    assert sequence.box(239) is not None
    assert sequence.box(int(gone.argmax())) is None


def test_distractors_add_warm_things_like_the_target():
    params = changed(NOISELESS, contrast_k=40.0, occlusion=0.0, frames=2)
    alone, crowd = (
        (
            Scene(changed(params, distractors=n, lookalikes=n, keep_apart=0.0)).temperature(0)
            > 15.0
        ).sum()
        for n in (0, 8)
    )
    assert crowd > 1.8 * alone


@pytest.mark.parametrize("kind", KINDS[:4])
def test_lookalikes_have_the_limbs_and_clothes_of_the_target_and_others_do_not(kind):
    scene = Scene(changed(SMALL, kind=kind, distractors=2, lookalikes=1, frames=2))
    solids = [actor.pose(0.7) for actor in (scene._target, *scene._others[:2])]
    looks = [(solid.limbs, [warmth for _, warmth in solid.faces]) for solid in solids]
    assert looks[0] == looks[1]
    assert looks[0] != looks[2]


@pytest.mark.parametrize("seed", range(3))
def test_distractors_keep_the_distance_asked_for_or_cross_the_path(seed):
    params = changed(SMALL, frames=200, seed=seed, distractors=4, width=320, height=256)

    def nearest(scene):
        target = scene._target.path.x
        return min(np.abs(actor.path.x - target).min() for actor in scene._others[:4])

    assert nearest(Scene(changed(params, keep_apart=0.0))) < 5.0
    broadest = max(simulate(params).ground_truth[:, 2])
    assert nearest(Scene(changed(params, keep_apart=2.0))) > 1.2 * broadest


def test_crossover_inverts_the_contrast_by_mid_sequence():
    params = changed(NOISELESS, distractors=0, occlusion=0.0, crossover=1.0)
    hot, cold = (Scene(changed(params, contrast_k=k)) for k in (20.0, -20.0))

    def sign(frame):
        difference = hot.temperature(frame) - cold.temperature(frame)
        return np.sign(difference[np.abs(difference) > 2.0].mean())

    assert sign(0) == 1
    assert sign(20) == -1


@pytest.mark.parametrize(
    "change",
    [
        {"width": 8},
        {"frames": 0},
        {"fps": 0.0},
        {"bits": 12},
        {"kind": "cat"},
        {"backdrop": "moon"},
        {"occlusion": 1.5},
        {"noise_k": -1.0},
        {"noise_k": float("nan")},
        {"target_px": 100.0},
        {"seed": -1},
    ],
)
def test_a_parameter_out_of_range_is_refused_by_name(change):
    with pytest.raises(ConfigError, match=f"expected {next(iter(change))} "):
        changed(SMALL, **change)


def test_random_scenes_are_varied_repeatable_and_take_overrides():
    drawn = [random_scene(seed) for seed in range(60)]
    assert {scene.kind for scene in drawn} == set(KINDS[:4])
    assert {scene.bits for scene in drawn} == {8, 14, 16}
    assert min(scene.target_px for scene in drawn) < 15
    assert max(scene.target_px for scene in drawn) > 100
    assert random_scene(7) == random_scene(7)
    small = random_scene(7, width=64, height=48, kind="vehicle", frames=3)
    assert (small.width, small.height, small.kind, small.frames) == (64, 48, "vehicle", 3)
    assert simulate(small).frames[2].shape == (48, 64)
    for seed in range(20):  # of every kind
        assert random_scene(seed, width=32, height=32).target_px >= 8
    with pytest.raises(ConfigError, match="got colour"):
        random_scene(7, colour=3)
    with pytest.raises(ConfigError, match="expected seed"):
        random_scene(-1)


def test_the_simulator_needs_neither_torch_nor_ros():
    probe = (
        "import sys, mlss_core.simulate; "
        "sys.exit('torch' in sys.modules or 'rclpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0
