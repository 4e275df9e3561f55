"""Channel attention of the semantic similarity: which channels describe this target."""

from __future__ import annotations

from torch import Tensor, nn


class SemanticAttention(nn.Module):
    """Global average and maximum through one shared bottleneck, summed, squashed (released net)."""

    def __init__(self, channels: int = 64, bottleneck: int = 16) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, bottleneck, 1)
        self.expand = nn.Conv2d(bottleneck, channels, 1)
        self.relu = nn.ReLU(inplace=True)

    def weights(self, feature: Tensor) -> Tensor:
        """Feature (B, C, H, W) -> channel weights in 0..1, (B, C, 1, 1)."""
        average = self._bottleneck(feature.mean(dim=(2, 3), keepdim=True))
        maximum = self._bottleneck(feature.amax(dim=(2, 3), keepdim=True))
        return (average + maximum).sigmoid()

    def forward(self, feature: Tensor) -> Tensor:
        """Feature (B, C, H, W) -> the same, each channel weighted."""
        return feature * self.weights(feature)

    def _bottleneck(self, pooled: Tensor) -> Tensor:
        out: Tensor = self.expand(self.relu(self.squeeze(pooled)))
        return out
