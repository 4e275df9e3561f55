"""The network as two ONNX graphs; `onnx_network` runs them.

Each graph holds its own backbone: the exemplar graph turns patches into templates, the instance
graph turns templates and patches into responses. Fourier transforms become products with constant
matrices, so that TensorRT and small runtimes need nothing but matrix products and convolutions.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from mlss_core.checkpoint import write_whole
from mlss_core.errors import ConfigError
from mlss_core.model.correlation import CorrelationFilter
from mlss_core.model.network import MLSSNet
from mlss_core.runtime import InferenceNetwork

OPSET = 17


class ExemplarGraph(nn.Module):
    """Exemplar patches (N, 1, 255, 255), grey levels 0..255 -> both templates and features."""

    def __init__(self, network: MLSSNet) -> None:
        super().__init__()
        self.offset = network.params.grey_offset
        self.backbone = network.backbone
        self.semantic_attention = network.semantic_attention
        self.structural_attention = network.structural_attention
        self.semantic_filter = MatrixFilter(network.semantic_filter)
        self.structural_filter = MatrixFilter(network.structural_filter)

    def forward(self, exemplar: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Patches -> templates (N, 64, 17 or 21, ...) and features (N, 64, 49 or 53, ...)."""
        structural, semantic = self.backbone(exemplar - self.offset)
        return (
            self.semantic_filter(self.semantic_attention(semantic)),
            self.structural_filter(self.structural_attention(structural)),
            semantic,
            structural,
        )


class InstanceGraph(nn.Module):
    """Templates of N targets and N k patches -> fused responses (N k, 1, 33, 33)."""

    def __init__(self, network: MLSSNet) -> None:
        super().__init__()
        params = network.params
        self.offset = params.grey_offset
        self.backbone = network.backbone
        self.ensemble = network.ensemble
        self.semantic = MatrixCorrelation(params.semantic_cells, params.response_cells)
        self.structural = MatrixCorrelation(params.structural_cells, params.response_cells)

    def forward(self, semantic: Tensor, structural: Tensor, instance: Tensor) -> Tensor:
        """Templates (N, 64, 17, 17) and (N, 64, 21, 21), patches (N k, 1, 255, 255)."""
        features = self.backbone(instance - self.offset)
        fused: Tensor = self.ensemble(
            self.semantic(semantic, features[1]), self.structural(structural, features[0])
        )
        return fused


class MatrixFilter(nn.Module):
    """`CorrelationFilter` in real arithmetic."""

    cosine: Tensor
    sine: Tensor
    window: Tensor
    target_real: Tensor
    target_imaginary: Tensor

    def __init__(self, source: CorrelationFilter) -> None:
        super().__init__()
        self.cells = int(source.window.shape[-1])
        self.margin, self.ridge = source.margin, source.ridge
        cosine, sine = _fourier_matrices(self.cells)
        self.register_buffer("cosine", cosine)
        self.register_buffer("sine", sine)
        self.register_buffer("window", source.window)
        half = torch.fft.irfft2(source.target_spectrum, s=(self.cells, self.cells))
        spectrum = torch.fft.fft2(half.double())
        self.register_buffer("target_real", spectrum.real.float())
        self.register_buffer("target_imaginary", spectrum.imag.float())

    def forward(self, exemplar: Tensor) -> Tensor:
        """(N, C, n, n) -> (N, C, n - 2 margin, n - 2 margin)."""
        real, imaginary = _forward_transform(exemplar * self.window, self.cosine, self.sine)
        count = self.cells**2
        energy = (real * real + imaginary * imaginary).sum(1, keepdim=True) / count + self.ridge
        alpha_real = self.target_real / (count * energy)
        alpha_imaginary = -self.target_imaginary / (count * energy)  # conjugate
        template = _inverse_transform(
            alpha_real * real - alpha_imaginary * imaginary,
            alpha_real * imaginary + alpha_imaginary * real,
            self.cosine,
            self.sine,
        )
        inner = slice(self.margin, self.cells - self.margin)
        return template[..., inner, inner]


class MatrixCorrelation(nn.Module):
    """`cross_correlate` in real arithmetic, for one size of instance feature."""

    cosine: Tensor
    sine: Tensor

    def __init__(self, cells: int, response_cells: int) -> None:
        super().__init__()
        self.template_cells = cells - response_cells + 1
        self.response_cells = response_cells
        cosine, sine = _fourier_matrices(cells)
        self.register_buffer("cosine", cosine)
        self.register_buffer("sine", sine)

    def forward(self, template: Tensor, instance: Tensor) -> Tensor:
        """(N, C, h, h) over (N k, C, n, n) -> (N k, 1, R, R)."""
        rows = slice(0, self.template_cells)  # the template is zero outside
        real, imaginary = _forward_transform(instance, self.cosine, self.sine)
        t_real, t_imaginary = _forward_transform(template, self.cosine[rows], self.sine[rows])
        batch = template.shape[0]
        shape = (batch, -1, *instance.shape[1:])
        real, imaginary = real.reshape(shape), imaginary.reshape(shape)  # (N, k, C, n, n)
        t_real, t_imaginary = t_real.unsqueeze(1), t_imaginary.unsqueeze(1)
        product_real = (real * t_real + imaginary * t_imaginary).sum(2)
        product_imaginary = (imaginary * t_real - real * t_imaginary).sum(2)
        response = _inverse_transform(product_real, product_imaginary, self.cosine, self.sine)
        valid = slice(0, self.response_cells)
        return response[..., valid, valid].reshape(-1, 1, self.response_cells, self.response_cells)


def _fourier_matrices(cells: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of 2 pi j k / n, (n, n) float32."""
    step = torch.arange(cells, dtype=torch.float64)
    angle = torch.outer(step, step).remainder(cells) * (2 * math.pi / cells)
    return angle.cos().float(), angle.sin().float()


def _forward_transform(x: Tensor, cosine: Tensor, sine: Tensor) -> tuple[Tensor, Tensor]:
    """2-D Fourier transform of real (..., h, h); the matrices are (h, n)."""
    along_rows_real, along_rows_imaginary = x @ cosine, -(x @ sine)
    cosine, sine = cosine.transpose(0, 1), sine.transpose(0, 1)
    return (
        cosine @ along_rows_real + sine @ along_rows_imaginary,
        cosine @ along_rows_imaginary - sine @ along_rows_real,
    )


def _inverse_transform(real: Tensor, imaginary: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Real part of the inverse 2-D Fourier transform of (..., n, n)."""
    along_real = real @ cosine - imaginary @ sine
    along_imaginary = real @ sine + imaginary @ cosine
    return (cosine @ along_real - sine @ along_imaginary) / cosine.shape[0] ** 2


def export_onnx(network: MLSSNet, out: Path) -> tuple[Path, Path]:
    """Write OUT.exemplar.onnx and OUT.instance.onnx, batch sizes left open.

    Raises:
        ConfigError: the package onnx is missing, or `out` is a folder.
        CheckpointError: a file cannot be written.
    """
    try:
        import onnx
    except ImportError as error:
        raise ConfigError(
            "expected the package onnx, got none; pip install 'mlss_tracker_ros[export]'"
        ) from error
    if out.is_dir():
        raise ConfigError(
            f"expected a file name for the graphs, got the folder {out}; add a name to it"
        )
    folded = InferenceNetwork(network, torch.device("cpu"), "fp32").network
    patch_px = network.params.patch_px
    patches = torch.zeros(2, 1, patch_px, patch_px)
    exemplar_graph = ExemplarGraph(folded).eval()
    templates = exemplar_graph(patches)[:2]
    name = out.name.removesuffix(".onnx")
    paths = (out.with_name(f"{name}.exemplar.onnx"), out.with_name(f"{name}.instance.onnx"))
    about = {
        "network": json.dumps(network.params.__dict__, sort_keys=True),
        "weights": _digest(network),
        "ensemble": json.dumps(network.ensemble.summed()),
    }
    jobs: tuple[tuple[nn.Module, tuple[Tensor, ...], list[str], list[str]], ...] = (
        (
            exemplar_graph,
            (patches,),
            ["exemplar"],
            ["semantic", "structural", "semantic_features", "structural_features"],
        ),
        (
            InstanceGraph(folded).eval(),
            (*templates, patches),
            ["semantic", "structural", "instance"],
            ["fused"],
        ),
    )
    for path, (graph, inputs, input_names, output_names) in zip(paths, jobs, strict=True):
        traced = _trace(graph, inputs, input_names, output_names)
        model = onnx.load_from_string(traced)
        onnx.helper.set_model_props(model, about)
        onnx.checker.check_model(model)
        write_whole(path, model.SerializeToString())
    return paths


def _digest(network: MLSSNet) -> str:
    """What tells the weights from others: both graphs of an export name it."""
    sums = hashlib.sha256()
    for value in network.state_dict().values():
        sums.update(value.numpy().tobytes())
    return sums.hexdigest()


def _trace(
    graph: nn.Module,
    inputs: tuple[Tensor, ...],
    input_names: list[str],
    output_names: list[str],
) -> bytes:
    """A graph as the content of its ONNX file."""
    content = io.BytesIO()
    axes = {name: {0: "targets"} for name in input_names + output_names}
    for name in ("instance", "fused"):
        if name in axes:
            axes[name] = {0: "patches"}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # of the exporter's own deprecations
        torch.onnx.export(
            graph,
            inputs,
            content,  # type: ignore[arg-type]  # without dynamo it may be a buffer
            input_names=input_names,
            output_names=output_names,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    return content.getvalue()
