"""Channel attention of the semantic similarity: which channels describe this target."""

from __future__ import annotations

from torch import Tensor, nn


class SemanticAttention(nn.Module):
    """Global average and maximum through one shared bottleneck, summed, squashed (released)."""

    def __init__(self, channels: int = 64, bottleneck: int = 16) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, bottleneck, 1)
        self.expand = nn.Conv2d(bottleneck, channels, 1)
        self.relu = nn.ReLU(inplace=True)
        self.released_gradient = False  # back-propagate the maximum as a mean (training only)

    def weights(self, feature: Tensor) -> Tensor:
        """Feature (B, C, H, W) -> channel weights in 0..1, (B, C, 1, 1)."""
        mean = feature.mean(dim=(2, 3), keepdim=True)
        peak = feature.amax(dim=(2, 3), keepdim=True)
        if self.released_gradient:  # the authors' vl_nnglobalpool ignores its method backwards
            peak = mean + (peak - mean).detach()
        return (self._bottleneck(mean) + self._bottleneck(peak)).sigmoid()

    def forward(self, feature: Tensor) -> Tensor:
        """Feature (B, C, H, W) -> the same, each channel weighted."""
        return feature * self.weights(feature)

    def _bottleneck(self, pooled: Tensor) -> Tensor:
        out: Tensor = self.expand(self.relu(self.squeeze(pooled)))
        return out
