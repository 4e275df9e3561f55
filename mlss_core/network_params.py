"""Parameters of the network: its architecture, its input scaling and what its score means.

`released` means the authors' MATLAB code (QiaoLiuHit/MLSSNet: training/make_net_MLSSNet.m).
"""

from __future__ import annotations

from dataclasses import dataclass

from mlss_core.checked import Checked, param
from mlss_core.errors import ConfigError


@dataclass(frozen=True)
class NetworkParams(Checked):
    """Architecture and input scaling of MLSSNet; stored with every checkpoint.

    The cell counts below follow from unpadded layers with a total stride of 4 (released
    make_net_MLSSNet.m) and are derived, never restated.
    """

    input_channels: int = param(
        1,
        "Channels of conv1: 1 for grey pictures, 3 as released.",
        range=(1, 3),
        source="ours; released: 3",
    )
    grey_offset: float = param(
        128.0,
        "Grey level that the network sees as zero.",
        "grey",
        (0, 255),
        source="ours: middle of 8 bit; released: 0",
    )
    grey_scale: float = param(
        64.0,
        "Grey levels per unit of network input.",
        "grey",
        (0.01, 255),
        source="ours; released: 1",
    )
    patch_px: int = param(
        255, "Side of exemplar and instance patches.", "px", (131, 1023), source="paper, figure 2"
    )
    template_margin: int = param(
        16, "Cells cut from each side of a filter.", "cells", (0, 64), source="released CropMargin"
    )
    filter_sigma: float = param(
        2.0,
        "Width of the correlation filters' Gaussian target.",
        "cells",
        (0.1, 16),
        source="released: 8 px at stride 4",
    )
    filter_lambda: float = param(
        10.0, "Ridge of the correlation filters.", range=(0, 1e6), source="released CorrFilter"
    )
    region_scale: float = param(
        255 / 127,
        "Side of a training patch in target sizes s_z; the tracker's region must match it.",
        "s_z",
        (0.5, 8),
        source="released curation: 127 px exemplar inside a 255 px crop",
    )

    score_constant: float = param(
        -2.41, "Constant of the score's logistic regression.", source="docs/model_card.md"
    )
    score_per_log_quality: float = param(
        0.0,
        "Its weight of the logarithm of the peak-to-sidelobe ratio over the target's usual one.",
        source="docs/model_card.md",
    )
    score_per_height_share: float = param(
        6.01,
        "Its weight of the peak's height as a share of the target's usual one.",
        source="docs/model_card.md",
    )

    def __post_init__(self) -> None:
        """Check what no range of a single number covers.

        Raises:
            ConfigError: a patch that the structural attention does not give back in its own size,
                or a margin that leaves nothing of the semantic feature.
        """
        super().__post_init__()
        if self.structural_cells % 2 == 0:
            raise ConfigError(
                "expected a patch_px whose conv3 feature has an odd number of cells, got "
                f"{self.patch_px}; choose {self.patch_px + self.stride_px}"
            )
        most = (self.semantic_cells - 1) // 2
        if self.template_margin > most:
            raise ConfigError(
                f"expected a template_margin of at most {most} for patch_px {self.patch_px}, got "
                f"{self.template_margin}; choose a smaller one"
            )

    @property
    def structural_cells(self) -> int:
        """Side of the conv3 feature: 53 cells for a 255 px patch."""
        after_conv1 = (self.patch_px - 11) // 2 + 1
        after_pool1 = (after_conv1 - 3) // 2 + 1
        return after_pool1 - 4 - 2 - 2  # conv2 5x5, pool2 3x3, conv3 3x3

    @property
    def semantic_cells(self) -> int:
        """Side of the conv5 feature: 49 cells for a 255 px patch."""
        return self.structural_cells - 4  # conv4 3x3, conv5 3x3

    @property
    def stride_px(self) -> int:
        """Patch px per feature cell (conv1 and pool1 halve the picture)."""
        return 4

    @property
    def response_cells(self) -> int:
        """Side of both responses: 49 - 17 + 1 = 53 - 21 + 1 = 33 cells."""
        return 2 * self.template_margin + 1


def released_network_params() -> NetworkParams:
    """Parameters of the authors' network: three channels of 0..255, no scaling."""
    return NetworkParams(input_channels=3, grey_offset=0.0, grey_scale=1.0)
