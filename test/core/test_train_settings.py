"""Settings of a training run: the project's own files load, mistakes are named."""

from pathlib import Path

import pytest
import torch

from mlss_core.errors import ConfigError
from mlss_core.model.network import MLSSNet
from mlss_core.network_params import NetworkParams
from mlss_core.train.params import load_train_params


@pytest.mark.parametrize(
    ("name", "batch"),
    [
        ("train.yaml", 24),
        ("fine_tune.yaml", 48),
        ("train_reference.yaml", 8),
        ("box_head.yaml", 64),
    ],
)
def test_configs_of_the_project_load(name, batch):
    assert load_train_params(Path(__file__).parents[2] / "config" / name).batch == batch


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bach: 8", "bach"),
        ("pairs: {shift: 3}", "shift"),
        ("batch: many", "batch"),
        ("batch: 1.5", "batch"),
        ("batch: true", "batch"),
        ("precision: int8", "fp32"),
        ("clip: -1", "clip"),
        ("pairs: 3", "mapping"),
        ("[1, 2]", "mapping"),
        ("a: b: c", "YAML"),
        ("{1: 2, bach: 8}", "1, bach"),
        ("pairs: {mix: {ddd_ir: much}}", "mix"),
        ("pairs: {mix: {ddd_ir: 0.5, hit_uav: 0}}", "mix"),
        ("pairs: {mix: {ddd_ir: -0.5}}", "mix"),
        ("pairs: {mix: {ddd_ir: .nan}}", "mix"),
        ("pairs: {mix: [ddd_ir]}", "mapping"),
        ("clips: build/crops/held_out.txt", "list"),
        ("pairs: {easy_negative: 0.6, hard_negative: 0.3, vanished: 0.2}", "1 together, got 1.1"),
        ("network: {patch_px: 139}", "patch_px .* got 139; choose 143"),
        ("network: {template_margin: 25}", "template_margin of at most 24"),
    ],
)
def test_mistakes_in_a_config_are_named(tmp_path, text, message):
    path = tmp_path / "train.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_train_params(path)


def test_missing_config_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match=r"nothing\.yaml"):
        load_train_params(tmp_path / "nothing.yaml")


def test_a_config_that_is_no_text_is_named(tmp_path):
    (tmp_path / "last.safetensors").write_bytes(b"\x90\xff\x00")
    with pytest.raises(ConfigError, match=r"YAML in .*last\.safetensors"):
        load_train_params(tmp_path / "last.safetensors")


@pytest.mark.parametrize("patch_px", [135, 138, 143, 200, 271])
def test_patches_of_every_size_that_is_taken_go_through_the_network(patch_px):
    network = MLSSNet(NetworkParams(patch_px=patch_px, template_margin=6)).eval()
    patch = torch.zeros(1, 1, patch_px, patch_px)
    assert network(patch, patch).fused.shape == (1, 1, 13, 13)
