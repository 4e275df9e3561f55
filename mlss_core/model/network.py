"""MLSSNet: two correlation-filter similarities on one Siamese backbone."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from mlss_core.model.backbone import Backbone, Features
from mlss_core.model.correlation import CorrelationFilter, cross_correlate
from mlss_core.model.ensemble import RelativeEntropyEnsemble
from mlss_core.model.semantic import SemanticAttention
from mlss_core.model.structural import StructuralAttention
from mlss_core.network_params import NetworkParams


class Templates(NamedTuple):
    """What is kept of the exemplar: one correlation-filter template per similarity level."""

    semantic: Tensor  # conv5 level, (B, 64, 17, 17)
    structural: Tensor  # conv3 level, (B, 64, 21, 21)


class Responses(NamedTuple):
    """How much each place of the instance looks like the template, each (B, 1, 33, 33)."""

    semantic: Tensor
    structural: Tensor
    fused: Tensor


class MLSSNet(nn.Module):
    """The released network (make_net_MLSSNet.m), in PyTorch.

    Patches come as grey levels 0..255; the network scales them itself, so tracker and training
    cannot disagree. Attention acts on the exemplar alone.
    """

    def __init__(self, params: NetworkParams | None = None) -> None:
        super().__init__()
        self.params = params = params or NetworkParams()
        self.backbone = Backbone(params.input_channels)
        self.semantic_attention = SemanticAttention()
        self.structural_attention = StructuralAttention()
        filter_args = (params.template_margin, params.filter_sigma, params.filter_lambda)
        self.semantic_filter = CorrelationFilter(params.semantic_cells, *filter_args)
        self.structural_filter = CorrelationFilter(params.structural_cells, *filter_args)
        self.ensemble = RelativeEntropyEnsemble()

    def features(self, patch: Tensor) -> Features:
        """Patch (B, 1 or 3, 255, 255) in grey levels 0..255 -> Features."""
        scaled = (patch - self.params.grey_offset) / self.params.grey_scale
        if scaled.shape[1] != self.params.input_channels:  # a grey patch for the released conv1
            scaled = scaled.expand(-1, self.params.input_channels, -1, -1)
        features: Features = self.backbone(scaled)
        return features

    def make_templates(self, exemplar: Tensor) -> Templates:
        """Exemplar (B, 1 or 3, 255, 255) in grey levels 0..255 -> Templates."""
        return self.templates_from(self.features(exemplar))

    def respond(self, templates: Templates, instance: Tensor) -> Responses:
        """Responses of instances (B k, 1 or 3, 255, 255) to B templates, k instances each."""
        return self.respond_to(templates, self.features(instance))

    def forward(self, exemplar: Tensor, instance: Tensor) -> Responses:
        """Training pass: the tracker makes the same two calls, one frame apart."""
        return self.respond(self.make_templates(exemplar), instance)

    def templates_from(self, features: Features) -> Templates:
        """Features of an exemplar -> Templates, in float32."""
        return Templates(
            self.semantic_filter(self.semantic_attention(features.semantic)),
            self.structural_filter(self.structural_attention(features.structural)),
        )

    def respond_to(self, templates: Templates, features: Features) -> Responses:
        """Responses of instance features (B k, ...) to B templates, float32."""
        semantic = cross_correlate(templates.semantic, features.semantic)
        structural = cross_correlate(templates.structural, features.structural)
        return Responses(semantic, structural, self.ensemble(semantic, structural))
