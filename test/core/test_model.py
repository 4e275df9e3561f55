import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from mlss_core.model import MLSSNet
from mlss_core.model.convolution import Convolution
from mlss_core.model.correlation import (
    CorrelationFilter,
    cross_correlate,
    gaussian_target,
)
from mlss_core.model.ensemble import RelativeEntropyEnsemble
from mlss_core.network_params import NetworkParams, released_network_params


def correlate_one_by_one(template, instance):
    shared = len(instance) // len(template)
    return torch.cat(
        [F.conv2d(instance[n : n + 1], template[n // shared][None]) for n in range(len(instance))]
    )


@pytest.mark.parametrize("cells", [13, 16, 49])
@pytest.mark.parametrize(("batch", "shared"), [(1, 1), (1, 3), (4, 1), (2, 3)])
def test_batched_correlation_equals_the_per_sample_loop(batch, shared, cells):
    generator = torch.Generator().manual_seed(0)
    template = torch.randn(batch, 8, 5, 5, generator=generator)
    instance = torch.randn(batch * shared, 8, cells, cells, generator=generator)
    expected = correlate_one_by_one(template, instance)
    torch.testing.assert_close(cross_correlate(template, instance), expected, rtol=1e-4, atol=1e-4)


def test_derived_sizes_are_those_of_the_paper():
    params = NetworkParams()
    sizes = (params.structural_cells, params.semantic_cells, params.response_cells)
    assert sizes == (53, 49, 33)


def test_network_gives_the_sizes_that_its_parameters_derive():
    network = MLSSNet().eval()
    patches = torch.zeros(2, 1, 255, 255)
    templates = network.make_templates(patches)
    assert templates.semantic.shape == (2, 64, 17, 17)
    assert templates.structural.shape == (2, 64, 21, 21)
    for response in network.respond(templates, patches):
        assert response.shape == (2, 1, 33, 33)


def test_released_network_has_the_papers_number_of_learnt_scalars():
    network = MLSSNet(released_network_params())
    learnt = sum(parameter.numel() for parameter in network.parameters())
    moments = sum(b.numel() for name, b in network.named_buffers() if "running" in name)
    assert learnt == 2_081_793
    assert moments == 2_240


def test_forward_is_the_trackers_two_steps():
    torch.manual_seed(0)
    network = MLSSNet().eval()
    exemplar, instance = torch.rand(2, 1, 255, 255) * 255, torch.rand(2, 1, 255, 255) * 255
    composed = network.respond(network.make_templates(exemplar), instance)
    torch.testing.assert_close(network(exemplar, instance).fused, composed.fused)


def test_grey_patch_equals_three_equal_channels():
    torch.manual_seed(0)
    network = MLSSNet(released_network_params()).eval()
    grey = torch.rand(1, 1, 255, 255) * 255
    torch.testing.assert_close(
        network.features(grey).semantic, network.features(grey.expand(-1, 3, -1, -1)).semantic
    )


def test_correlation_filter_answers_its_own_exemplar_with_the_target():
    exemplar = torch.randn(1, 4, 21, 21, generator=torch.Generator().manual_seed(1))
    module = CorrelationFilter(21, margin=0, sigma=2.0, ridge=1e-6)
    template = module(exemplar)
    windowed = exemplar * module.window
    answer = torch.fft.irfft2(
        (torch.fft.rfft2(template).conj() * torch.fft.rfft2(windowed)).sum(1), s=(21, 21)
    )
    torch.testing.assert_close(answer[0], gaussian_target(21, 2.0), rtol=0, atol=1e-3)


def test_ensemble_weighs_each_response():
    ensemble = RelativeEntropyEnsemble()
    with torch.no_grad():
        ensemble.gain.copy_(torch.tensor([2.0, 3.0]))
        ensemble.bias.copy_(torch.tensor([0.5, -1.0]))
    fused = ensemble(torch.full((1, 1, 2, 2), 10.0), torch.full((1, 1, 2, 2), 100.0))
    torch.testing.assert_close(fused, torch.full((1, 1, 2, 2), 2 * 10 + 3 * 100 - 0.5))


def test_weighted_mean_minimises_the_summed_relative_entropy():
    """The derivation in RelativeEntropyEnsemble, against a numerical search."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(2, 6, generator=generator).softmax(1)
    weights = torch.tensor([0.7, 1.9])

    def cost(q):
        return (weights[:, None] * maps * (maps.log() - q.log())).sum()

    best = (weights[:, None] * maps).sum(0) / weights.sum()
    for _ in range(200):
        other = (best.log() + 0.1 * torch.randn(6, generator=generator)).softmax(0)
        assert cost(other) >= cost(best)


@pytest.mark.parametrize(
    "conv", [Convolution(2, 8, 11, stride=2), Convolution(8, 12, 5, groups=2)], ids=str
)
def test_a_gpus_form_of_a_convolution_has_its_values_and_gradients(conv):
    x = torch.randn(2, conv.in_channels, 31, 31, generator=torch.Generator().manual_seed(0))
    found = []
    for form in (conv.forward, conv.dense):
        conv.zero_grad()
        own = x.clone().requires_grad_()
        y = form(own)
        y.square().sum().backward()
        found.append((y.detach(), own.grad, conv.weight.grad.clone(), conv.bias.grad.clone()))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
