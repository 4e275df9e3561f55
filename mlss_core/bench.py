"""Latency and throughput of the tracker, stage by stage, beside its plain path and OpenCV's."""

from __future__ import annotations

import dataclasses
import itertools
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from mlss_core import response
from mlss_core.box import Box
from mlss_core.evaluate.peers import OpenCvTracker
from mlss_core.int8 import Int8Conv2d
from mlss_core.model.network import MLSSNet
from mlss_core.online_filter import OnlineFilter
from mlss_core.params import PresenceParams, TrackerParams, tracker_params
from mlss_core.runtime import InferenceNetwork
from mlss_core.thermal import ThermalNormalizer
from mlss_core.tracker import MLSSTracker

_RECORDED = 20  # frames after which all CUDA graphs of a tracker are recorded
STAGES = ("convert", "crop", "features", "correlate", "locate", "refine", "template")


class Setting(NamedTuple):
    """One row of the benchmark."""

    path: str  # plain: network and work as released; folded: fast network, same work; robust
    precision: str
    targets: int
    bits: int
    frame_wh: tuple[int, int] = (640, 512)


@dataclasses.dataclass(frozen=True)
class Timing:
    """Milliseconds of one setting."""

    name: str
    p50: float
    p95: float
    p99: float
    frames_per_s: float
    stages: dict[str, float]  # mean of each
    floor: float | None = None  # arithmetic at the rate of a large matrix product


def bench_frames(count: int, bits: int, width: int = 640, height: int = 512) -> list[np.ndarray]:
    """Textured frames (H, W) of a slowly moving scene, uint8 or uint16 with 14-bit counts."""
    random = np.random.default_rng(0)
    scene = cv2.GaussianBlur(random.normal(128, 60, (height + 64, width + 64)), (0, 0), 3)
    scene = (scene - scene.min()) * (255 / np.ptp(scene))
    frames = []
    for i in range(count):
        shift = i % 32
        view = scene[shift : shift + height, shift : shift + width]
        noisy = np.clip(view + random.normal(0, 2, view.shape), 0, 255)
        frames.append(
            (7000 + 8 * noisy).astype(np.uint16) if bits == 16 else noisy.astype(np.uint8)
        )
    return frames


def bench_boxes(count: int, width: int = 640, height: int = 512) -> list[Box]:
    """Targets of 40 x 60 px spread over the frame."""
    random = np.random.default_rng(1)
    return [
        Box(float(random.uniform(60, width - 60)), float(random.uniform(60, height - 60)), 40, 60)
        for _ in range(count)
    ]


def time_tracker(
    network: MLSSNet, setting: Setting, device: torch.device, repeats: int, peak_flops: float
) -> Timing:
    """Time `update` and `learn` together, then each stage in a second pass."""
    tracker = make_tracker(network, setting, device)
    frames = bench_frames(8, setting.bits, *setting.frame_wh)
    for n, box in enumerate(bench_boxes(setting.targets, *setting.frame_wh)):
        tracker.initialize(frames[0], box, str(n))

    turn = itertools.count(1)  # a repeated picture would count as a shutter freeze

    def step(_: int) -> None:
        tracker.update(frames[next(turn) % len(frames)])
        tracker.learn()

    times = time_calls(step, repeats, device)
    policy = tracker.params.template
    steps = max(repeats // 2, policy.every)
    with staged(tracker, device) as stages:
        for i in range(steps):
            step(i)
    width, height = setting.frame_wh
    macs = patch_macs(3 if setting.path == "plain" else 1)
    patches = setting.targets * (tracker.params.search.scales + 1 / policy.every)
    return summarise(
        f"{setting.path} {setting.precision}, {setting.targets} target(s), {setting.bits} bit"
        + (f", {width}x{height}" if (width, height) != (640, 512) else ""),
        times,
        {name: 1e3 * sum(values) / steps for name, values in stages.items()},
        1e3 * 2 * macs * patches / peak_flops,
    )


def time_opencv(kind: str, repeats: int) -> Timing:
    """Time an OpenCV tracker on the same 8-bit frames with one target."""
    frames, (box,) = bench_frames(8, 8), bench_boxes(1)
    tracker = OpenCvTracker(kind)
    tracker.initialize(frames[0], box)
    times = time_calls(lambda i: tracker.update(frames[i % 8]), repeats, torch.device("cpu"))
    return summarise(f"OpenCV {kind.upper()}, 1 target(s), 8 bit", times, {}, None)


def make_tracker(network: MLSSNet, setting: Setting, device: torch.device) -> MLSSTracker:
    """A tracker that never loses its targets, so that every update does all the work."""
    params: TrackerParams = dataclasses.replace(
        tracker_params("robust"), presence=PresenceParams(enabled=False)
    )
    if setting.path != "robust":  # three scales and a new exemplar in every frame
        released = tracker_params("reference")
        params = dataclasses.replace(
            params,
            search=dataclasses.replace(params.search, scales=released.search.scales),
            box=released.box,
            template=dataclasses.replace(
                params.template, every=released.template.every, online=released.template.online
            ),
        )
    tracker = MLSSTracker(network, params, str(device), setting.precision)
    if setting.path == "plain":
        wide = with_three_channels(network)
        tracker._network = InferenceNetwork(wide, device, "fp32", plain=True)
        tracker._look = tracker._look_now  # type: ignore[assignment]
    return tracker


def with_three_channels(network: MLSSNet) -> MLSSNet:
    """The same function as a network of three input channels, as the released one has."""
    if network.params.input_channels == 3:
        return network
    wide = MLSSNet(dataclasses.replace(network.params, input_channels=3)).eval()
    state = dict(network.state_dict())
    state["backbone.conv1.weight"] = state["backbone.conv1.weight"].expand(-1, 3, -1, -1) / 3
    wide.load_state_dict(state)
    return wide


def time_calls(call: Callable[[int], Any], repeats: int, device: torch.device) -> list[float]:
    """Seconds of each call after a warm-up, the device's work included."""
    for i in range(_RECORDED if device.type == "cuda" else min(5, repeats)):
        call(i)
    times = []
    for i in range(repeats):
        start = time.perf_counter()
        call(i)
        synchronise(device)
        times.append(time.perf_counter() - start)
    return times


@contextmanager
def staged(tracker: MLSSTracker, device: torch.device) -> Iterator[dict[str, list[float]]]:
    """Collect seconds of every call of each stage while the block runs.

    A search's CUDA graph holds several stages: meanwhile its kernels are launched one by one.
    """
    stages: dict[str, list[float]] = defaultdict(list)

    def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            result = call(*args, **kwargs)
            synchronise(device)
            stages[name].append(time.perf_counter() - start)
            return result

        return wrapper

    inner = tracker._network
    wrapped: list[tuple[str, Any, str]] = [
        ("convert", ThermalNormalizer, "__call__"),
        ("crop", tracker, "_cut"),
        ("features", inner, "features"),
        ("correlate", inner, "respond_to"),
        ("template", inner, "templates_from"),
        ("template", OnlineFilter, "see"),
        ("template", OnlineFilter, "learn"),
        ("locate", response, "find_peaks"),
        ("refine", tracker, "_refine_boxes"),
    ]
    originals = [getattr(owner, key) for _, owner, key in wrapped]
    replayed, tracker._look = tracker._look, tracker._look_now  # type: ignore[assignment]
    for (name, owner, key), original in zip(wrapped, originals, strict=True):
        setattr(owner, key, timed(name, original))
    try:
        yield stages
    finally:
        tracker._look = replayed
        for (_, owner, key), original in zip(wrapped, originals, strict=True):
            setattr(owner, key, original)


def patch_macs(input_channels: int) -> int:
    """Multiply-accumulates of one 255 px patch through the backbone and one correlation."""
    network = MLSSNet()
    total = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        assert isinstance(module, nn.Conv2d)
        channels = input_channels if module is network.backbone.conv1 else module.in_channels
        kernel = module.kernel_size[0] * module.kernel_size[1] * channels // module.groups
        total += output.numel() * kernel

    for module in network.backbone.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    with torch.no_grad():
        network.features(torch.zeros(1, 1, 255, 255))
    params = network.params
    for cells in (params.semantic_cells, params.structural_cells):
        template = cells - 2 * params.template_margin
        total += 64 * (template * params.response_cells) ** 2
    return total


def measure_peak_flops(precision: str, device: torch.device) -> float:
    """Operations per second of a large matrix product: what this machine can reach."""
    size = 8192 if device.type == "cuda" else 1536
    if precision == "int8":
        product = Int8Conv2d(nn.Conv2d(size, size, 1), signed=True)
        levels = torch.randint(256, (1, size, size // 32, 32), dtype=torch.uint8)
        levels = levels.to(memory_format=torch.channels_last)
        times = time_calls(lambda _: product.multiply(levels, 1.0), 10, device)
    else:
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        matrix = torch.randn(size, size, device=device).to(dtype)
        times = time_calls(lambda _: matrix @ matrix, 10, device)
    return 2 * size**3 / min(times)


def synchronise(device: torch.device) -> None:
    """Wait for the device's work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def summarise(
    name: str, times: list[float], stages: dict[str, float], floor: float | None
) -> Timing:
    """Percentiles of a list of seconds, in ms."""
    p50, p95, p99 = (float(value) for value in np.percentile(np.array(times) * 1e3, (50, 95, 99)))
    return Timing(name, p50, p95, p99, 1.0 / statistics.fmean(times), stages, floor)


def machine(device: torch.device) -> dict[str, str | int]:
    """What the figures were measured on."""
    processor = platform.processor() or platform.machine()
    try:
        lines = open("/proc/cpuinfo", encoding="utf-8").read().splitlines()  # noqa: SIM115, PTH123
        processor = next(x.split(":")[1].strip() for x in lines if x.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {
        "processor": processor,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "opencv": cv2.__version__,
    }
