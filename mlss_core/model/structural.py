"""Spatial attention of the structural similarity: which places describe this target."""

from __future__ import annotations

from torch import Tensor, nn


class StructuralAttention(nn.Module):
    """An hourglass of two convolutions and two transposed ones (released net): 53 -> 20 -> 53."""

    def __init__(self, channels: int = 64, bottleneck: int = 16) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, bottleneck, 7, stride=2)
        self.conv2 = nn.Conv2d(bottleneck, 1, 5)
        self.deconv1 = nn.ConvTranspose2d(1, 1, 5)
        self.deconv2 = nn.ConvTranspose2d(1, 1, 7, stride=2)
        self.relu = nn.ReLU(inplace=True)

    def weights(self, feature: Tensor) -> Tensor:
        """Feature (B, C, 53, 53) -> place weights in 0..1, (B, 1, 53, 53)."""
        x = self.relu(self.conv1(feature))  # (B, 16, 24, 24)
        x = self.relu(self.conv2(x))  # (B, 1, 20, 20)
        x = self.relu(self.deconv1(x))  # (B, 1, 24, 24)
        x = self.deconv2(x)  # (B, 1, 53, 53)
        return x.sigmoid()

    def forward(self, feature: Tensor) -> Tensor:
        """Feature (B, C, 53, 53) -> the same, each place weighted."""
        return feature * self.weights(feature)
