"""The AlexNet-like branch that exemplar and instance share."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from mlss_core.model.batch_norm import BatchNorm
from mlss_core.model.convolution import Convolution


class Features(NamedTuple):
    """What both similarities look at, for a 255 px patch."""

    structural: Tensor  # raw conv3 reduced to 64 channels, (B, 64, 53, 53)
    semantic: Tensor  # raw conv5, (B, 64, 49, 49)


class Backbone(nn.Module):
    """Five convolutions without padding, total stride 4 (released make_branch_alexnet.m).

    The structural level leaves before conv3's batch norm and ReLU, through the 1x1 reduction that
    both branches share; the semantic level is conv5 itself, without batch norm or ReLU.
    """

    def __init__(self, input_channels: int = 3) -> None:
        super().__init__()
        self.conv1 = Convolution(input_channels, 96, 11, stride=2)
        self.bn1 = BatchNorm(96)
        self.conv2 = Convolution(96, 256, 5, groups=2)
        self.bn2 = BatchNorm(256)
        self.conv3 = nn.Conv2d(256, 384, 3)
        self.bn3 = BatchNorm(384)
        self.conv4 = Convolution(384, 384, 3, groups=2)
        self.bn4 = BatchNorm(384)
        self.conv5 = Convolution(384, 64, 3, groups=2)
        self.reduce = nn.Conv2d(384, 64, 1)
        self.pool1 = nn.MaxPool2d(3, stride=2)
        self.pool2 = nn.MaxPool2d(3, stride=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, patch: Tensor) -> Features:
        """Network input (B, C, 255, 255) -> Features."""
        x = self.pool1(self.relu(self.bn1(self.conv1(patch))))  # (B, 96, 61, 61)
        x = self.pool2(self.relu(self.bn2(self.conv2(x))))  # (B, 256, 55, 55)
        conv3 = self.conv3(x)  # (B, 384, 53, 53)
        structural = self.reduce(conv3)  # (B, 64, 53, 53)
        x = self.relu(self.bn3(conv3))
        x = self.relu(self.bn4(self.conv4(x)))  # (B, 384, 51, 51)
        return Features(structural, self.conv5(x))  # semantic (B, 64, 49, 49)
