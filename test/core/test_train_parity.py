"""Labels, loss, schedule and one training step against outputs of the authors' own code."""

from pathlib import Path

import numpy as np
import pytest
import torch
from matlab_names import FILTERS

from mlss_core.matconvnet import load_matconvnet
from mlss_core.train.labels import Labels, make_labels
from mlss_core.train.loss import response_loss
from mlss_core.train.optimizer import learning_rate, make_optimizer, multipliers
from mlss_core.train.pairs import Batch
from mlss_core.train.params import load_train_params
from mlss_core.train.step import Run, train_step, training_loss

CONFIG = Path(__file__).parents[2] / "config" / "train_reference.yaml"
ROUND_OFF = {"backbone.conv1.bias", "backbone.conv2.bias", "backbone.conv4.bias"}


@pytest.fixture(scope="module")
def params():
    return load_train_params(CONFIG)


@pytest.fixture(scope="module")
def set5(shared_dir):
    return np.load(shared_dir / "parity" / "vectors" / "set5_training.npz")


@pytest.fixture(scope="module")
def set6(shared_dir):
    return np.load(shared_dir / "parity" / "vectors" / "set6_trainstep.npz")


def batch_first(array):
    """MATLAB's (H, W, B) -> (B, 1, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1))).unsqueeze(1).float()


def relative_error(value, expected):
    return np.linalg.norm(value - expected) / np.linalg.norm(expected)


# --- set 5: labels, loss, schedule ------------------------------------------------------------


def test_labels_have_thirteen_positive_cells_and_balanced_weights():
    labels = make_labels(torch.zeros(2, 2), torch.tensor([True, False]))
    assert int((labels.sign[0] > 0).sum()) == 13
    assert int((labels.sign[1] > 0).sum()) == 0
    torch.testing.assert_close(labels.weight.sum(dim=(1, 2, 3)), torch.tensor([1.0, 0.5]))


@pytest.mark.data
def test_labels_and_weights_equal_the_authors(set5):
    positive = torch.from_numpy(set5["labels"] > 0)
    labels = make_labels(torch.zeros(4, 2), positive)
    assert torch.equal(labels.sign, batch_first(set5["eltwise_label4"]))
    torch.testing.assert_close(labels.weight, batch_first(set5["eltwise_weight4"]))


def test_labels_move_with_the_target():
    labels = make_labels(torch.tensor([[8.0, -12.0]]), torch.tensor([True]))
    rows, columns = torch.nonzero(labels.sign[0, 0] > 0, as_tuple=True)
    assert (float(rows.float().mean()), float(columns.float().mean())) == (16 - 3, 16 + 2)


@pytest.mark.data
def test_loss_and_its_gradient_equal_the_authors(set5):
    score = batch_first(set5["score4"]).requires_grad_()
    labels = Labels(batch_first(set5["eltwise_label4"]), batch_first(set5["eltwise_weight4"]))
    loss = response_loss(score, labels) * 4  # the authors divide by the batch in the solver
    loss.backward()
    assert loss.item() == pytest.approx(set5["loss4"].item(), rel=1e-6)
    assert relative_error(score.grad, batch_first(set5["g4"])) < 1e-5


def test_reference_learning_rate_is_geometric_over_fifty_epochs_then_constant(params):
    assert params.steps == 100 * 5985
    assert learning_rate(0, params) == 1e-2
    assert learning_rate(5984, params) == 1e-2
    assert learning_rate(5985, params) == pytest.approx(1e-2 * 100 ** (-1 / 49))
    assert learning_rate(25 * 5985, params) == pytest.approx(9.54e-4, rel=1e-3)
    assert learning_rate(99 * 5985, params) == pytest.approx(1e-4)


@pytest.mark.data
def test_reference_learning_rates_equal_the_authors(set5, params):
    rates = [learning_rate(epoch * params.stage_steps, params) for epoch in range(50)]
    np.testing.assert_allclose(rates, set5["lr_logspace_len_m2_m4_50_50"], rtol=1e-12)


# --- set 6: one training step on a positive and a negative pair ---------------------------------


@pytest.fixture(scope="module")
def released_step(shared_dir, set6, params):
    """Objective, gradients and the state after one step, with the authors' settings."""
    network = load_matconvnet(shared_dir / "parity" / "weights" / "mlssnet_random.mat")
    network.requires_grad_(requires_grad=True).train()
    network.semantic_attention.released_gradient = True
    batch = Batch(
        batch_first(set6["exemplar_gray"]),
        batch_first(set6["instance_gray"]),
        torch.zeros(2, 2),
        torch.from_numpy(set6["labels"] > 0),
        torch.ones(2, dtype=torch.bool),
    )
    run = Run(network, make_optimizer(network, params), torch.amp.GradScaler("cpu", enabled=False))
    figures = train_step(run, batch, params)
    gradients = {name: value.grad * 2 for name, value in network.named_parameters()}  # a sum
    return figures["loss"] * 2, gradients, network.state_dict()


def matlab_name(name):
    """Parameter of this project -> name in the authors' graph."""
    module, kind = name.rsplit(".", 1)
    if ".bn" in name:
        return f"br_{module.split('.')[1]}{'m' if kind == 'weight' else 'b'}"
    return FILTERS[module].format("f" if kind == "weight" else "b")


def as_matlab(value):
    """(out, in, h, w) -> (h, w, in, out) in MATLAB's memory order, flat."""
    array = value.detach().numpy()
    if array.ndim == 4:
        array = array.transpose(2, 3, 1, 0)
    return array.flatten(order="F")


def compare(set6, kind, name, value):
    """Relative error against the record, which keeps each 37th element of a large tensor."""
    matlab = matlab_name(name)
    ours = as_matlab(value)
    if f"{kind}/{matlab}" in set6.files:
        return relative_error(ours, set6[f"{kind}/{matlab}"].flatten(order="F"))
    return relative_error(ours[::37], set6[f"{kind}_sub37/{matlab}"])


def learnt(values):
    return {
        name: value
        for name, value in values.items()
        if name not in ROUND_OFF
        and not name.startswith("ensemble")
        and "running" not in name
        and "num_batches" not in name
    }


@pytest.mark.data
def test_training_step_has_the_authors_objective(released_step, set6):
    assert released_step[0] == pytest.approx(float(set6["objective"][0]), rel=1e-5)


@pytest.mark.data
def test_training_step_has_the_authors_gradients(released_step, set6):
    errors = {
        name: compare(set6, "grad", name, value)
        for name, value in learnt(released_step[1]).items()
    }
    backbone = max(error for name, error in errors.items() if name.startswith("backbone"))
    head = max(error for name, error in errors.items() if "attention" in name)
    assert backbone < 3e-4, errors
    assert head < 1e-5, errors
    for part, kind in (("gain", "f"), ("bias", "b")):
        ours = released_step[1][f"ensemble.{part}"]
        theirs = [set6[f"grad/fin_adjust{level}{kind}"].item() for level in ("", "3")]
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.data
def test_training_step_updates_weights_and_moments_as_the_authors(released_step, set6):
    state = released_step[2]
    for name, value in learnt(state).items():
        assert compare(set6, "updated", name, value) < 1e-5, name
    for number in range(1, 5):
        moments = set6[f"updated/br_bn{number}x"]
        mean = state[f"backbone.bn{number}.running_mean"]
        sigma = (state[f"backbone.bn{number}.running_var"].double() + 1e-5).sqrt()
        assert relative_error(mean.numpy(), moments[:, 0]) < 1e-5
        assert relative_error(sigma.numpy(), moments[:, 1]) < 1e-5


@pytest.mark.data
def test_true_max_pool_gradient_is_the_default(shared_dir, set6, params):
    network = load_matconvnet(shared_dir / "parity" / "weights" / "mlssnet_random.mat")
    network.requires_grad_(requires_grad=True).train()
    batch = Batch(
        batch_first(set6["exemplar_gray"]),
        batch_first(set6["instance_gray"]),
        torch.zeros(2, 2),
        torch.from_numpy(set6["labels"] > 0),
        torch.ones(2, dtype=torch.bool),
    )
    training_loss(network, batch, params).loss.backward()
    gradient = network.backbone.conv5.weight.grad * 2
    assert compare(set6, "grad_maxfix", "backbone.conv5.weight", gradient) < 3e-4
    assert compare(set6, "grad", "backbone.conv5.weight", gradient) > 0.1


def test_released_multipliers_of_rate_and_decay():
    assert multipliers("backbone.conv1.weight") == (1, 1)
    assert multipliers("backbone.conv1.bias") == (2, 0)
    assert multipliers("backbone.bn1.weight") == (2, 0)
    assert multipliers("backbone.bn1.bias") == (1, 0)
    assert multipliers("backbone.reduce.bias") == (1, 1)
    assert multipliers("structural_attention.deconv1.weight") == (1, 10)
    assert multipliers("semantic_attention.squeeze.bias") == (2, 10)
    assert multipliers("ensemble.gain") == (1, 0)
    assert multipliers("ensemble.bias") == (2, 0)
