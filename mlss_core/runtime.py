"""Device and precision, chosen once, and the network prepared for them."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from mlss_core.errors import ConfigError, FrameError
from mlss_core.int8 import int8_computes, to_int8
from mlss_core.model.backbone import Backbone, Features
from mlss_core.model.convolution import Convolution
from mlss_core.model.network import MLSSNet, Responses, Templates
from mlss_core.params import PRECISIONS
from mlss_core.tensor_cores import TensorCoreBackbone

_DTYPES = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "int8": torch.float32,  # between the integer convolutions
}


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
    """Turn `auto` into the fastest precision that tracks as well.

    Raises:
        ConfigError: the name is none of PRECISIONS, or the device cannot compute it.
    """
    if precision not in PRECISIONS:
        raise ConfigError(
            f"expected precision {', '.join(PRECISIONS)}, got {precision!r}; choose one"
        )
    if precision == "fp16" and device.type == "cpu":
        raise ConfigError("expected fp32, bf16 or int8 on a CPU, got fp16; use precision auto")
    if precision == "int8" and (device.type != "cpu" or not cpu_multiplies_int8()):
        raise ConfigError(
            "expected a CPU with VNNI, and a PyTorch that uses it, for precision int8; use "
            "precision auto"
        )
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device)[0] >= 8 else "fp16"
    if "amx_bf16" in _cpu_flags():  # int8 was not compared there
        return "bf16"
    if cpu_multiplies_int8():
        return "int8"
    return "bf16" if "avx512_bf16" in _cpu_flags() else "fp32"


def cpu_multiplies_int8() -> bool:
    """Whether the CPU has units for integer products (VNNI), and PyTorch uses them."""
    return not _cpu_flags().isdisjoint(("avx512_vnni", "avx_vnni")) and int8_computes()


def _cpu_flags() -> frozenset[str]:
    """What Linux says that the CPU can; nothing elsewhere."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.is_file() else ""
    return frozenset(text.partition("flags")[2].partition("\n")[0].split())


class InferenceNetwork:
    """MLSSNet made fast; what it computes changes by rounding alone.

    Batch norm is folded into the convolutions, input scaling and the three equal input channels of
    a grey picture into conv1, and convolutions run channels-last in the chosen precision (`int8`:
    all but the first). Filters and responses stay in float32. `plain=True` keeps the network as it
    is: the reference path.
    """

    def __init__(
        self, network: MLSSNet, device: torch.device, precision: str, plain: bool = False
    ) -> None:
        self.device = device
        self.precision = precision
        self.params = network.params
        self.ensemble = network.ensemble.summed()
        dtype = _DTYPES[precision]
        self.network = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
        self._plain = plain
        if not plain:
            _fold(self.network)
            if device.type == "cuda" and precision != "fp32":
                dense = TensorCoreBackbone(self.network.backbone)
                self.network.backbone = dense.to(dtype)  # type: ignore[assignment]
            else:
                self.network.backbone.to(dtype)
                self.network.backbone.bn3.float()  # not folded: conv3 is also read before it
            self.network.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            if precision == "int8":
                to_int8(self.network.backbone)
        self.network.to(device)
        backbone = self.network.backbone
        self._forward = partial(_forward, backbone, self.params.grey_offset, dtype)

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
        patches = patches.to(self.device)
        if self._plain:
            return self.network.features(patches)
        if self.device.type != "cpu":
            return self._forward(patches)
        together = 1 if self.precision == "int8" else _CPU_BATCH
        parts = [self._forward(part) for part in patches.split(together)]
        return Features(*(torch.cat(levels) for levels in zip(*parts, strict=True)))

    @torch.inference_mode()
    def templates_from(self, features: Features) -> Templates:
        """Features of exemplars (N, ...) -> float32 Templates."""
        return self.network.templates_from(features)

    def exemplar_features(self, features: Features) -> Features:
        """What an online filter learns from: the features themselves."""
        return features

    @torch.inference_mode()
    def respond_to(self, templates: Templates, features: Features) -> Responses:
        """Responses (N k, 1, 33, 33) of N k instances to N templates, float32."""
        return self.network.respond_to(templates, features)


def _forward(
    backbone: Backbone, grey_offset: float, dtype: torch.dtype, patches: Tensor
) -> Features:
    """Grey patches through a folded backbone of that type -> float32 Features."""
    centred = (patches - grey_offset).to(dtype)
    structural, semantic = backbone(centred.contiguous(memory_format=torch.channels_last))
    return Features(structural.float(), semantic.float())


def _fold(network: MLSSNet) -> None:
    """Fold batch norms, the input scale and equal input channels into the convolutions, in place.

    Folded so, conv1 takes one channel of grey levels less `grey_offset`.
    """
    backbone = network.backbone
    first = backbone.conv1
    weight = first.weight.double().sum(dim=1, keepdim=True) / network.params.grey_scale
    backbone.conv1 = Convolution(1, first.out_channels, first.kernel_size, first.stride)  # type: ignore[arg-type]
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
