"""The folded backbone in the forms that a GPU's matrix units compute fastest."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mlss_core.model.backbone import Backbone, Features
from mlss_core.model.convolution import HALVES, dense_weight, odd_sides, pixels_by_twos


class TensorCoreBackbone(nn.Module):
    """What a folded `Backbone` computes, up to rounding.

    Two groups become one with zeros between them. conv1, of stride 2 and one channel, reads four
    channels: pixels by twos. The 1x1 reduction is a part of a second conv3, whose batch norm is
    folded into the first, so that every ReLU directly follows a convolution and costs nothing.
    """

    def __init__(self, folded: Backbone) -> None:
        """Take over the weights of a backbone that `InferenceNetwork` folded."""
        super().__init__()
        self._pad = odd_sides(folded.conv1)
        self.pool1, self.pool2 = folded.pool1, folded.pool2
        weight, bias = _learnt(folded.conv1)
        self.conv1 = _convolution(pixels_by_twos(weight, self._pad), bias)
        self.conv2, self.conv4, self.conv5 = (
            _convolution(dense_weight(conv.weight.detach(), conv.groups), _learnt(conv)[1])
            for conv in (folded.conv2, folded.conv4, folded.conv5)
        )
        weight, bias = _learnt(folded.conv3)
        norm, (gain, shift) = folded.bn3, _learnt(folded.bn3)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        gain = gain / (norm.running_var.double() + norm.eps).sqrt()
        shift = (bias - norm.running_mean) * gain + shift
        self.conv3 = _convolution(weight * gain.reshape(-1, 1, 1, 1), shift)
        mix, added = _learnt(folded.reduce)
        mix = mix.flatten(1)  # (64, 384)
        weight = torch.einsum("dc,cikl->dikl", mix, weight)
        self.reduced_conv3 = _convolution(weight, mix @ bias + added)
        self.requires_grad_(requires_grad=False)

    def forward(self, patch: Tensor) -> Features:
        """Patches (B, 1, 255, 255) in grey levels less the offset -> Features."""
        x = pixels_by_twos(patch, self._pad).contiguous(memory_format=torch.channels_last)
        x = self.pool1(_rectified(self.conv1, x))
        x = self.pool2(_rectified(self.conv2, x))
        structural = self.reduced_conv3(x)
        x = _rectified(self.conv4, _rectified(self.conv3, x))
        return Features(structural, self.conv5(x))


def _learnt(layer: nn.Conv2d | nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    assert layer.bias is not None
    return layer.weight.detach().double(), layer.bias.detach().double()


def _convolution(weight: Tensor, bias: Tensor) -> nn.Conv2d:
    conv = nn.Conv2d(weight.shape[1], weight.shape[0], (weight.shape[2], weight.shape[3]))
    conv.weight.data, conv.bias.data = weight.float(), bias.float()  # type: ignore[union-attr]
    return conv


def _rectified(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Convolution, bias and ReLU, on a GPU as one kernel."""
    if x.is_cuda and x.dtype in HALVES:
        return torch.cudnn_convolution_relu(x, conv.weight, conv.bias, [1, 1], [0, 0], [1, 1], 1)
    return conv(x).relu_()
