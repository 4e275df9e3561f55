"""CUDA graphs: the kernels of a function recorded once, then launched all at once.

A GPU computes few patches faster than the host launches their kernels one by one. Whether PyTorch,
driver and device can record them shows only when it is tried, so what is replayed is compared with
the function itself before anything relies on it.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

LONGEST = 16  # patches of a batch; more keep the device busy, and each length costs memory
LONGEST_SMALL = 256  # the same of what is done in a moment and in little memory
KEPT = 16  # graphs of a function
SEEN = 3  # calls of the same shapes, after which it is recorded: rare ones never are
_WARM_UP = 3  # calls in which the libraries choose their kernels, as PyTorch's manual has it
_CLOSE = 0.02  # of a norm: other kernels may round bf16 otherwise

_log = logging.getLogger(__name__)
Function = Callable[..., Tensor]
Recorder = Callable[[Function, tuple[Tensor, ...], Any], Function]


class Recording:
    """Records graphs in memory that they share: they never run side by side."""

    def __init__(self) -> None:
        self._pool: Any = None
        self._stream: torch.cuda.Stream | None = None

    def __call__(self, function: Function, inputs: tuple[Tensor, ...], device: Any) -> Function:
        """Record the kernels of `function(*inputs)`.

        Returns:
            A replay for inputs of the same shapes; its result is the caller's own.

        Raises:
            RuntimeError: a kernel cannot be recorded, or memory is short.
        """
        with torch.cuda.device(device):
            if self._stream is None:
                self._pool, self._stream = torch.cuda.graph_pool_handle(), torch.cuda.Stream()
            own = [value.clone() for value in inputs]
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):  # left even where an error leaves a recording
                for _ in range(_WARM_UP):
                    function(*own)
                graph = torch.cuda.CUDAGraph()
                alone = "thread_local"  # what other threads do on the device meanwhile is no error
                with torch.cuda.graph(
                    graph, pool=self._pool, stream=self._stream, capture_error_mode=alone
                ):
                    result = function(*own)
            torch.cuda.current_stream().wait_stream(self._stream)

        def replay(*values: Tensor) -> Tensor:
            for kept, value in zip(own, values, strict=True):
                kept.copy_(value)
            graph.replay()
            return result.clone()  # the next replay writes there

        return replay


class Replayed:
    """A function of tensors, replayed from a graph for shapes that come again.

    Where that fails or computes something else: one warning, and the function as it is.
    """

    def __init__(
        self,
        function: Function,
        device: torch.device,
        longest: int = LONGEST,
        record: Recorder | None = None,
    ) -> None:
        """Wrap a function.

        Args:
            function: tensors on `device`, the first a batch, and settings by name -> a tensor;
                waits for nothing on the host.
            device: of the tensors; without CUDA, the function as it is.
            longest: batch that is recorded.
            record: makes a replay.
        """
        self.function = function
        self._device, self._longest = device, longest
        on_gpu = device.type == "cuda"
        self._record = record or (Recording() if on_gpu else None)
        self._seen: Counter[Any] = Counter()
        self._replays: OrderedDict[Any, Function] = OrderedDict()

    @torch.inference_mode()
    def __call__(self, *inputs: Tensor, **settings: Any) -> Tensor:
        """Call the function, or replay it for inputs whose shapes came SEEN times before."""
        if self._record is None or len(inputs[0]) > self._longest:
            return self.function(*inputs, **settings)
        key = (tuple(value.shape for value in inputs), tuple(settings.items()))
        replay = self._replays.get(key)
        if replay is not None:
            self._replays.move_to_end(key)
            return replay(*inputs)
        expected = self.function(*inputs, **settings)
        self._seen[key] += 1
        if self._seen[key] >= SEEN:
            self._keep(key, inputs, settings, expected)
        return expected

    def _keep(
        self, key: Any, inputs: tuple[Tensor, ...], settings: dict[str, Any], expected: Tensor
    ) -> None:
        """Record what was just called, unless the replay gives something else."""
        assert self._record is not None

        def function(*values: Tensor) -> Tensor:
            return self.function(*values, **settings)

        try:
            replay = self._record(function, inputs, self._device)
            found = replay(*inputs)
            replay(*(torch.zeros_like(value) for value in inputs))  # leaves `found` alone
            found, wanted = found.nan_to_num(), expected.nan_to_num()
            if not (found - wanted).norm() <= _CLOSE * wanted.norm():
                raise RuntimeError(f"a replay of {len(inputs[0])} rows gives other values")
        except Exception as error:  # whatever it is, the tracker can do without
            reason = " ".join(str(error).split())
            _log.warning("CUDA graphs stay unused, boxes are the same: %s", reason)
            self._record = None
            self._replays.clear()
            return
        self._seen.clear()
        self._replays[key] = replay
        if len(self._replays) > KEPT:
            self._replays.popitem(last=False)
