"""Device and precision, chosen once, and the network prepared for them."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import Tensor, nn

from mlss_core.errors import ConfigError, FrameError
from mlss_core.model.backbone import Features
from mlss_core.model.network import MLSSNet, Responses, Templates
from mlss_core.params import PRECISIONS

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


_CPU_BATCH = 4  # patches: oneDNN keeps some 20 MB for every batch size it has seen


def choose_device(device: str) -> torch.device:
    """Turn `auto`, `cpu`, `cuda` or `cuda:N` into a device.

    Raises:
        ConfigError: another name, or CUDA is asked for where there is none.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device != "cpu" and not device.startswith("cuda"):
        raise ConfigError(f"expected device auto, cpu, cuda or cuda:N, got {device!r}; choose one")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    there = ["cuda", *(f"cuda:{n}" for n in range(count))] if count else []
    if device not in ("cpu", *there):
        raise ConfigError(
            f"expected a CUDA device for {device!r}, got {', '.join(there) or 'none'}; use device "
            "cpu or auto"
        )
    return torch.device(device)


def choose_precision(precision: str, device: torch.device) -> str:
    """Turn `auto` into the fastest precision that tracks as well: bf16 where it multiplies fast.

    Raises:
        ConfigError: the name is none of auto, fp32, bf16, fp16, or fp16 is asked of a CPU.
    """
    if precision not in PRECISIONS:
        raise ConfigError(
            f"expected precision {', '.join(PRECISIONS)}, got {precision!r}; choose one"
        )
    if precision == "fp16" and device.type == "cpu":
        raise ConfigError("expected fp32 or bf16 on a CPU, got fp16; use precision auto")
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device)[0] >= 8 else "fp16"
    return "bf16" if _cpu_multiplies_bf16() else "fp32"


def _cpu_multiplies_bf16() -> bool:
    """Whether the CPU has AMX or AVX512-BF16 units (Linux)."""
    info = Path("/proc/cpuinfo")
    flags = info.read_text().split("flags", 2)[1].split("\n", 1)[0] if info.is_file() else ""
    return "amx_bf16" in flags or "avx512_bf16" in flags


class InferenceNetwork:
    """MLSSNet made fast without changing what it computes.

    Batch norm is folded into the convolutions, input scaling and the three equal input channels of
    a grey picture into conv1, and convolutions run channels-last in the chosen precision. Filters
    and responses stay in float32. `plain=True` keeps the network as it is: the reference path.
    """

    def __init__(
        self, network: MLSSNet, device: torch.device, precision: str, plain: bool = False
    ) -> None:
        self.device = device
        self.precision = precision
        self.params = network.params
        self._dtype = _DTYPES[precision]
        self.network = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
        self._plain = plain
        if not plain:
            _fold(self.network)
            self.network.backbone.to(self._dtype)
            self.network.backbone.bn3.float()  # not folded: conv3 is also read before it
            self.network.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network.to(device)

    @torch.inference_mode()
    def features(self, patches: Tensor) -> Features:
        """Grey patches (B, 1, 255, 255), 0..255 -> float32 Features.

        Raises:
            FrameError: another number of dimensions or channels.
        """
        if patches.ndim != 4 or patches.shape[1] != 1:
            raise FrameError(
                f"expected grey patches (B, 1, H, W), got {tuple(patches.shape)}; cut grey patches"
            )
        if self._plain:
            return self.network.features(patches.to(self.device))
        centred = (patches.to(self.device) - self.params.grey_offset).to(self._dtype)
        centred = centred.contiguous(memory_format=torch.channels_last)
        together = _CPU_BATCH if self.device.type == "cpu" else len(centred)
        parts = [self.network.backbone(part) for part in centred.split(together)]
        return Features(
            torch.cat([part.structural.float() for part in parts]),
            torch.cat([part.semantic.float() for part in parts]),
        )

    @torch.inference_mode()
    def templates_from(self, features: Features) -> Templates:
        """Features of exemplars (N, ...) -> float32 Templates."""
        return self.network.templates_from(features)

    @torch.inference_mode()
    def respond_to(self, templates: Templates, features: Features) -> Responses:
        """Responses (N k, 1, 33, 33) of N k instances to N templates, float32."""
        return self.network.respond_to(templates, features)


def _fold(network: MLSSNet) -> None:
    """Fold batch norms, the input scale and equal input channels into the convolutions, in place.

    Folded so, conv1 takes one channel of grey levels less `grey_offset`.
    """
    backbone = network.backbone
    first = backbone.conv1
    weight = first.weight.double().sum(dim=1, keepdim=True) / network.params.grey_scale
    backbone.conv1 = nn.Conv2d(1, first.out_channels, first.kernel_size, first.stride)  # type: ignore[arg-type]
    backbone.conv1.weight.data = weight.float()
    backbone.conv1.bias.data = first.bias.data.clone()  # type: ignore[union-attr]
    for conv_name, norm_name in (("conv1", "bn1"), ("conv2", "bn2"), ("conv4", "bn4")):
        conv, norm = getattr(backbone, conv_name), getattr(backbone, norm_name)
        gain = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        conv.weight.data = (conv.weight.double() * gain.reshape(-1, 1, 1, 1)).float()
        bias = (conv.bias.double() - norm.running_mean.double()) * gain + norm.bias.double()
        conv.bias.data = bias.float()
        setattr(backbone, norm_name, nn.Identity())
    backbone.requires_grad_(requires_grad=False)
