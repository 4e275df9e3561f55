"""Ensemble of the two similarities."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Ensemble(NamedTuple):
    """The numbers of an ensemble: the gain of each response, and the sum of both biases."""

    semantic: float
    structural: float
    bias: float


class RelativeEntropyEnsemble(nn.Module):
    """Learnt gain and bias per response, then the sum.

    Read two non-negative responses as distributions P_1, P_2 over the cells, trusted with weights
    w_1, w_2. The ensemble Q is to be as close as possible to both in relative entropy:

        minimise  sum_i w_i KL(P_i || Q)   subject to  sum_j Q_j = 1.

    Only -sum_i w_i sum_j P_ij log Q_j depends on Q; with a Lagrange multiplier m for the
    constraint, -sum_i w_i P_ij / Q_j + m = 0, so Q_j is proportional to sum_i w_i P_ij: the
    weighted mean of the responses. An offset common to all cells moves no peak, so each map may
    bring its own bias. The weights are what the released network learns as two 1x1 convolutions
    (fin_adjust, fin_adjust3) before its plain sum; both start at gain 1, bias -0.5.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(2))  # semantic, structural
        self.bias = nn.Parameter(torch.full((2,), -0.5))

    def forward(self, semantic: Tensor, structural: Tensor) -> Tensor:
        """Two responses (B, 1, R, R) -> their ensemble (B, 1, R, R)."""
        return self.gain[0] * semantic + self.bias[0] + self.gain[1] * structural + self.bias[1]

    def summed(self) -> Ensemble:
        """The gains, and both biases together."""
        semantic, structural = self.gain.tolist()
        return Ensemble(semantic, structural, sum(self.bias.tolist()))
