"""The graphs of `mlss export` under ONNX Runtime, for a tracker to run on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlss_core.errors import CheckpointError, ConfigError
from mlss_core.model.backbone import Features
from mlss_core.model.ensemble import Ensemble
from mlss_core.model.network import Responses, Templates
from mlss_core.network_params import NetworkParams


class OnnxNetwork:
    """The two graphs under ONNX Runtime, in the place of a tracker's `InferenceNetwork`.

    Every graph has its own backbone, so what `features` returns are the patches themselves.
    """

    def __init__(
        self,
        stem: str | Path,
        providers: Sequence[str | tuple[str, dict[str, Any]]] | None = None,
    ) -> None:
        """Open STEM.exemplar.onnx and STEM.instance.onnx.

        Args:
            stem: path without `.exemplar.onnx`.
            providers: of ONNX Runtime, with options or without, the first choice first; None: CPU.

        Raises:
            CheckpointError: a file is missing, no graph of `export_onnx`, or of another export.
            ConfigError: the package onnxruntime is missing, or has no such provider.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise ConfigError(
                "expected the package onnxruntime, got none; "
                "pip install 'mlss_tracker_ros[export]'"
            ) from error
        there = onnxruntime.get_available_providers()  # ONNX Runtime would take the CPU instead
        for provider in providers or []:
            name = provider if isinstance(provider, str) else provider[0]
            if name not in there:
                raise ConfigError(
                    f"expected ONNX Runtime with {name}, got {', '.join(there)}; install a build "
                    "that has it, or leave it out"
                )
        sessions, weights = [], []
        for branch in ("exemplar", "instance"):
            path = Path(f"{stem}.{branch}.onnx")
            if not path.is_file():
                raise CheckpointError(
                    f"expected a graph at {path}, got no file; write it with mlss export"
                )
            try:
                session = onnxruntime.InferenceSession(
                    str(path), providers=providers or ["CPUExecutionProvider"]
                )
                props = session.get_modelmeta().custom_metadata_map
                self.params = NetworkParams(**json.loads(props["network"]))
                self.ensemble = Ensemble(*json.loads(props["ensemble"]))
                weights.append(props["weights"])
            except Exception as error:  # onnxruntime raises types of its own
                raise CheckpointError(
                    f"expected {path} to be a graph of mlss export, got: "
                    f"{' '.join(str(error).split())[:200]}; export it again"
                ) from error
            sessions.append(session)
        if len(set(weights)) > 1:
            raise CheckpointError(
                f"expected {path} to hold the same weights as the exemplar's graph, got others; "
                "copy both files of one export"
            )
        self._exemplar, self._instance = sessions
        self.device = torch.device("cpu")
        self.precision = "fp32"

    def features(self, patches: Tensor) -> Features:
        """The patches (N, 1, 255, 255), 0..255, as they are: the graphs take them."""
        return Features(patches, patches)

    def templates_from(self, features: Features) -> Templates:
        """Run the exemplar graph on what `features` gave -> Templates of N targets, float32."""
        outputs = self._run(self._exemplar, exemplar=features.semantic)
        return Templates(outputs[0], outputs[1])

    def exemplar_features(self, features: Features) -> Features:
        """Run the exemplar graph on what `features` gave -> what its backbone sees, float32."""
        outputs = self._run(self._exemplar, exemplar=features.semantic)
        return Features(semantic=outputs[2], structural=outputs[3])

    def respond_to(self, templates: Templates, features: Features) -> Responses:
        """Run the instance graph: N templates, N k patches -> (N k, 1, 33, 33) float32.

        The single responses are not given, only their ensemble, in the place of all three.
        """
        (fused,) = self._run(
            self._instance,
            semantic=templates.semantic,
            structural=templates.structural,
            instance=features.semantic,
        )
        return Responses(fused, fused, fused)

    @staticmethod
    def _run(session: Any, **inputs: Tensor) -> list[Tensor]:
        feed = {
            name: np.ascontiguousarray(value.numpy(), np.float32) for name, value in inputs.items()
        }
        return [torch.from_numpy(output) for output in session.run(None, feed)]
