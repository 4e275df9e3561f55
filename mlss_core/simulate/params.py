"""Parameters of a synthetic scene, and a random draw of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mlss_core.checked import Checked, param
from mlss_core.errors import ConfigError

KINDS = ("person", "vehicle", "drone", "animal", "mixed")
BACKDROPS = ("auto", "street", "field", "sky", "aerial", "indoor")
_SHORTEST_PX = 10.0  # longer side of the smallest target that is drawn


@dataclass(frozen=True)
class SceneParams(Checked):
    """A scene: camera, target, what else moves, what gets in the way, and the sensor.

    The defaults make the demo: a walking person of about 40x90 px among people like it, seen by
    a moving 640x512 px radiometric camera, partly hidden for a moment.
    """

    width: int = param(640, "Columns of a frame.", "px", (32, 4096))
    height: int = param(512, "Rows of a frame.", "px", (32, 4096))
    frames: int = param(300, "Length of the sequence.", "frames", (1, 100_000))
    fps: float = param(30.0, "Frame rate.", "Hz", (1.0, 240.0))
    seed: int = param(0, "Everything random follows from it.", range=(0, 2**31 - 1))
    bits: int = param(
        16,
        "Output: 16 = temperature in 0.01 K, 14 = raw counts of a core, both uint16; 8 = after "
        "the camera's automatic gain, uint8.",
        choices=(8, 14, 16),
    )
    kind: str = param("person", "What the target is; mixed: drawn by the seed.", choices=KINDS)
    backdrop: str = param(
        "auto",
        "What is behind it; auto: one that suits the kind. An animal in the sky is a bird.",
        choices=BACKDROPS,
    )
    target_px: float = param(
        90.0, "Longer side of the target in the first frame.", "px", (8.0, 2048.0)
    )
    distractors: int = param(3, "How many others of the target's kind there are.", "", (0, 32))
    lookalikes: int = param(0, "How many of them look exactly like the target.", "", (0, 32))
    keep_apart: float = param(
        2.5,
        "How near to the target they come, in widths of its broadest side; 0: across its path.",
        range=(0.0, 10.0),
    )
    speed: float = param(
        1.0, "Speed of everything that moves; 1: natural for its kind and size.", range=(0.0, 4.0)
    )
    camera_motion: float = param(
        0.5, "0: a fixed camera; 1: it pans, shakes and zooms strongly.", range=(0.0, 1.0)
    )
    leave_frame: bool = param(
        False, "Whether the camera loses the target once, for 2 s or a third of the sequence."
    )
    occlusion: float = param(
        0.35,
        "Largest part of the target that foreground objects hide; only at 1 do distractors pass "
        "before it too.",
        range=(0.0, 1.0),
    )
    occlusions: int = param(1, "How many foreground objects it passes.", range=(0, 20))
    occlusion_s: float = param(0.8, "How long each one hides that part.", "s", (0.1, 10.0))
    contrast_k: float = param(
        7.0, "Mean of the target above the air; below 0: a cold target.", "K", (-40.0, 60.0)
    )
    crossover: float = param(
        0.0,
        "Thermal crossover: by mid-sequence the contrast has lost 1.6 times this part; at 1 it "
        "is inverted.",
        range=(0.0, 1.0),
    )
    clutter: float = param(1.0, "Strength of the backdrop's temperatures.", range=(0.0, 3.0))
    noise_k: float = param(
        0.06, "Temporal noise of a pixel (standard deviation).", "K", (0.0, 5.0),
        source="uncooled microbolometers: 0.03 to 0.1 K",
    )  # fmt: skip
    fixed_noise_k: float = param(
        0.06, "Fixed-pattern noise, mostly of columns (standard deviation).", "K", (0.0, 5.0)
    )
    vignetting_k: float = param(0.8, "Darkening of the corners.", "K", (0.0, 20.0))
    dead_pixels: float = param(0.0002, "Share of pixels that are stuck.", range=(0.0, 0.05))
    black_hot: bool = param(False, "Whether 8-bit output shows warm things dark.")
    freezes: int = param(0, "How often the shutter closes.", range=(0, 50))
    freeze_s: float = param(1.0, "How long it stays closed.", "s", (0.05, 10.0))
    freeze_uniform: bool = param(
        False, "Whether the frames of a freeze show the shutter, instead of the last picture."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        largest = 0.75 * min(self.width, self.height)
        if self.target_px > largest:
            raise ConfigError(
                f"expected target_px of at most {largest:g} (three quarters of the shorter side "
                f"of the frame), got {self.target_px:g}; choose a smaller target"
            )


def random_scene(seed: int, **overrides: Any) -> SceneParams:
    """Draw a varied scene: size, kind, difficulty, sensor. `overrides` replace what was drawn.

    Raises:
        ConfigError: an override is unknown or out of range.
    """
    SceneParams(seed=seed)  # refuses a bad seed
    rng = np.random.default_rng([seed, 20])
    width, height = [(320, 256), (384, 288), (640, 512)][rng.choice(3, p=[0.6, 0.2, 0.2])]
    width, height = overrides.get("width", width), overrides.get("height", height)
    kind = rng.choice(KINDS[:4], p=[0.4, 0.25, 0.15, 0.2])
    longest = max((0.3 if kind == "drone" else 0.5) * min(width, height), _SHORTEST_PX)
    drawn: dict[str, Any] = {
        "width": width,
        "height": height,
        "frames": 120,
        "seed": seed,
        "bits": int(rng.choice([8, 14, 16], p=[0.6, 0.15, 0.25])),
        "kind": str(kind),
        "target_px": float(np.exp(rng.uniform(np.log(_SHORTEST_PX), np.log(longest)))),
        "distractors": int(rng.integers(0, 7)),
        "lookalikes": int(rng.integers(0, 4)),
        "keep_apart": float(rng.choice([0.0, rng.uniform(0.3, 2.0)], p=[0.7, 0.3])),
        "speed": float(rng.uniform(0.5, 1.8)),
        "camera_motion": float(rng.choice([0.0, rng.uniform(0.1, 1.0)], p=[0.15, 0.85])),
        "occlusion": float(rng.choice([0.0, rng.uniform(0.2, 0.8), 1.0], p=[0.25, 0.4, 0.35])),
        "occlusions": int(rng.integers(1, 4)),
        "occlusion_s": float(rng.uniform(0.2, 1.2)),
        "contrast_k": float(
            rng.choice([rng.uniform(1.5, 14), -rng.uniform(1.5, 8)], p=[0.8, 0.2])
        ),
        "crossover": float(rng.choice([0.0, rng.uniform(0.2, 1.0)], p=[0.75, 0.25])),
        "clutter": float(rng.uniform(0.3, 1.8)),
        "noise_k": float(rng.uniform(0.02, 0.25)),
        "fixed_noise_k": float(rng.uniform(0.0, 0.2)),
        "vignetting_k": float(rng.uniform(0.0, 2.0)),
        "dead_pixels": float(rng.choice([0.0, 0.0005])),
        "black_hot": bool(rng.random() < 0.15),
    }
    known = SceneParams.__dataclass_fields__
    unknown = sorted(set(overrides) - set(known))
    if unknown:
        raise ConfigError(
            f"expected scene parameters among {', '.join(known)}, got {', '.join(unknown)}"
        )
    return SceneParams(**{**drawn, **overrides})
