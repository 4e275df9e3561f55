"""Every tunable of the tracker: frozen dataclasses, and the two profiles.

A field's metadata is the single source for its documentation, its unit and its allowed range; the
ROS parameters are generated from it. Sources: `released` means the authors' MATLAB code
(QiaoLiuHit/MLSSNet: tracking/tracker.m, tracker_step.m, run_MLSSNet.m); none: ours, by judgement.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mlss_core.checked import Checked, param
from mlss_core.errors import ConfigError


@dataclass(frozen=True)
class SearchParams(Checked):
    """Where to look, and how a response becomes a displacement and a scale."""

    region_scale: float = param(
        255 / 127,
        "Side of the search region in target sizes s_z.",
        "s_z",
        (0.5, 8),
        source="training geometry of the shipped weights; released tracker: 1.0",
    )
    context: float = param(
        0.5,
        "Context around the box, in mean sides: s_z = sqrt((w + c)(h + c)), c = context (w + h).",
        range=(0, 2),
        source="released contextAmount",
    )
    ego_motion: bool = param(
        True,
        "Move the search with the scene when the camera pans (phase correlation).",
        source="released: off",
    )
    scales: int = param(
        2,
        "Scales searched per frame: 1, the present size; 2, also the next larger or smaller one "
        "by turns; 3, both; and so on.",
        range=(1, 9),
        source="released: 3; docs/training.md",
    )
    scale_step: float = param(
        1.0375, "Ratio of neighbouring scales.", range=(1.0, 1.5), source="released scaleStep"
    )
    scale_penalty: float = param(
        0.9745, "Factor on the peak of a changed scale.", range=(0, 1), source="released"
    )
    scale_rate: float = param(
        0.59, "Share of the new scale taken over per frame.", range=(0, 1), source="released"
    )
    scale_limit: float = param(
        5.0,
        "Largest and inverse of the smallest size, relative to the first.",
        range=(1, 100),
        source="ours; released: no limit",
    )
    response_up: int = param(
        8,
        "Up-sampling of the response before its peak is taken.",
        range=(1, 16),
        source="released",
    )
    window_influence: float = param(
        0.2625, "Weight of the Hann window on the response.", range=(0, 1), source="released"
    )
    resampling: str = param(
        "single",
        "How patches are cut: 'single' at sub-pixel windows, 'released' in two rounded steps.",
        choices=("single", "released"),
        source="released: make_scale_pyramid.m",
    )
    peak: str = param(
        "rise",
        "What scales compare and displacements use: 'rise' of the peak above its map and the "
        "winning scale's side, or 'released': the raw peak and the unscaled side.",
        choices=("rise", "released"),
        source="released: tracker_step.m",
    )


@dataclass(frozen=True)
class BoxParams(Checked):
    """How the box follows a target that grows, turns or bends."""

    refine: bool = param(
        True,
        "Correct box sides and place by the box head; off: as released.",
        source="released: off; docs/training.md",
    )
    place_rate: float = param(
        0.1,
        "Share of its correction of the place taken over per frame.",
        range=(0, 1),
        source="docs/training.md",
    )
    size_rate: float = param(
        0.01,
        "Share of its correction of the size, the root of width times height, per frame.",
        range=(0, 1),
        source="docs/training.md",
    )
    size_stiffness: float = param(
        0.4,
        "Pull of the size towards the init box's, against the head's correction: at 1 a change of "
        "up to a third is followed about half way; beyond that the pull grows no more. A target "
        "under 26 px is pulled harder: its picture says less of its size.",
        range=(0, 100),
        source="docs/training.md",
    )
    aspect_rate: float = param(
        0.02,
        "Share of its correction of the aspect, width over height, per frame.",
        range=(0, 1),
        source="docs/training.md",
    )
    aspect_stiffness: float = param(
        1.0,
        "The same pull on the aspect.",
        range=(0, 100),
        source="docs/training.md",
    )
    shown_spread: float = param(
        0.12,
        "Spread of the head's edges at which the published box shows half of the head's "
        "correction; more where it is surer. So it follows limbs and turns at once; the tracker "
        "goes on from the box of the rates above. Of the size of a target under 26 px less is "
        "shown. 0: that box is published.",
        "box sides",
        (0, 100),
        source="docs/training.md",
    )
    size_noise: float = param(
        0.25,
        "Change since the init box, of the logarithm of a side, that is taken for noise and not "
        "published where a target is a few px large; what is twice as large is published whole. "
        "It falls to nothing at 26 px.",
        range=(0, 10),
        source="docs/training.md",
    )


@dataclass(frozen=True)
class TemplateParams(Checked):
    """How the templates follow the target."""

    rate: float = param(
        0.02,
        "Share of the new template per frame, where they are mixed.",
        range=(0, 1),
        source="released zLR: 0.005; docs/training.md",
    )
    every: int = param(
        5,
        "Frames from one update to the next; where they are mixed, each counts as that many.",
        "frames",
        (1, 1000),
        source="released: 1",
    )
    gated: bool = param(
        True, "Update only while the target is tracked with confidence.", source="released: off"
    )
    online: bool = param(
        True,
        "Learn templates from the target and from what is about it, by descent; off: mix those of "
        "the network. Takes effect when a target starts.",
        source="released: off; docs/training.md",
    )


@dataclass(frozen=True)
class ThermalParams(Checked):
    """Raw camera counts to grey levels 0..255."""

    normalization: str = param(
        "auto",
        "'auto': 8-bit as it is, deeper frames by percentiles; or 'percentile', 'fixed', 'none'.",
        choices=("auto", "percentile", "fixed", "none"),
        source="ours; released: 8 bit only",
    )
    percentile_low: float = param(1.0, "Counts below are compressed, see shoulder.", "%", (0, 50))
    percentile_high: float = param(
        99.0, "Counts above are compressed, see shoulder.", "%", (50, 100)
    )
    shoulder: float = param(
        0.1,
        "Distance beyond either percentile at which counts are told apart half as finely as "
        "between them; less farther out. 0: they are cut off to black and white, as by 'fixed'.",
        "spans between the percentiles",
        (0, 10),
        source="docs/evaluation.md; reference: 0",
    )
    limit_rate: float = param(
        0.05, "Share of a new frame's limits taken over per frame.", range=(0, 1)
    )
    min_span: float = param(
        16.0, "Smallest span of counts that is stretched to black..white.", "counts", (0, 65535)
    )
    fixed_min: float = param(0.0, "Black for 'fixed'.", "counts", (-1e6, 1e6))
    fixed_max: float = param(65535.0, "White for 'fixed'.", "counts", (-1e6, 1e6))
    freeze: bool = param(
        True, "Recognise a repeated or uniform frame as a shutter freeze.", source="released: off"
    )
    dead_pixels: bool = param(
        True,
        "Replace pixels that stand out of all their neighbours in frame after frame.",
        source="released: off",
    )
    crop_top: int = param(0, "Rows cut from the top (telemetry).", "px", (0, 4096))
    crop_bottom: int = param(0, "Rows cut from the bottom (telemetry).", "px", (0, 4096))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.normalization == "fixed" and self.fixed_min > self.fixed_max:
            raise ConfigError(
                f"expected fixed_min not above fixed_max, got {self.fixed_min:g} and "
                f"{self.fixed_max:g}; exchange them"
            )


@dataclass(frozen=True)
class PresenceParams(Checked):
    """When a target counts as tracked, uncertain or lost."""

    enabled: bool = param(
        True, "Judge presence; off: always tracking, as released.", source="released: off"
    )
    uncertain_below: float = param(
        0.16,
        "Score under which a target is uncertain.",
        range=(0, 1),
        source="docs/training.md",
    )
    lost_below: float = param(
        0.07,
        "Score under which frames count towards lost.",
        range=(0, 1),
        source="docs/training.md",
    )
    lost_after: int = param(
        15,
        "Frames in a row under lost_below.",
        "frames",
        (1, 1000),
        source="ours: half a second at 30 Hz",
    )
    doubt_limit: int = param(
        60,
        "Frames in a row under uncertain_below after which a target is lost: the box clings to "
        "something else.",
        "frames",
        (1, 100_000),
        source="docs/evaluation.md",
    )
    regain_near: float = param(
        0.4, "Score that takes a lost target up again around its last place.", range=(0, 1)
    )
    regain_above: float = param(
        0.6, "Score that takes a lost target up again anywhere else.", range=(0, 1)
    )
    wide_view: float = param(
        2.0,
        "Side of a wide view in search regions. It shows others while the target is followed, and "
        "the whole picture in few steps while it is lost.",
        "search regions",
        (1, 4),
        source="docs/evaluation.md",
    )
    search_windows: int = param(
        4, "Further regions searched per frame while a target is lost.", range=(0, 64)
    )
    freeze_windows: int = param(
        16,
        "Further regions searched on the first frame after a freeze of more than six frames; wide "
        "views, where others are told.",
        range=(0, 64),
    )
    others: bool = param(
        True,
        "Tell the target from others of its kind by how they move and look; off: the highest peak "
        "is it.",
        source="docs/evaluation.md",
    )
    misfit: float = param(
        1.2,
        "How far from the expected way and speed a thing may appear to be taken for a target just "
        "hidden: the root of the squares of both, speed as the way made in 45 frames. Twice as "
        "far after 60 frames, and so on.",
        "box sides",
        (0, 100),
        source="docs/evaluation.md",
    )
    trial_frames: int = param(
        120,
        "Frames in which what was taken for a hidden target is given up for something that fits "
        "better; it is uncertain so long.",
        "frames",
        (0, 10_000),
        source="ours: 4 s at 30 Hz",
    )
    open_after: int = param(
        150,
        "Frames after which a hidden target is taken up wherever one thing like it, and not known "
        "before, is about; twice as many where there are several, and few where there was nothing "
        "like it before.",
        "frames",
        (1, 100_000),
        source="ours: 5 s at 30 Hz",
    )
    min_box_px: float = param(3.0, "Smallest side of an init box.", "px", (1, 1000))

    @property
    def tells_others(self) -> bool:
        """Whether the target is told from others of its kind."""
        return self.enabled and self.others


@dataclass(frozen=True)
class TrackerParams:
    """A profile is a value of this type."""

    search: SearchParams = field(default_factory=SearchParams)
    box: BoxParams = field(default_factory=BoxParams)
    template: TemplateParams = field(default_factory=TemplateParams)
    thermal: ThermalParams = field(default_factory=ThermalParams)
    presence: PresenceParams = field(default_factory=PresenceParams)


PROFILES = ("robust", "reference")
DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "fp32", "bf16", "fp16", "int8")


def tracker_params(profile: str = "robust") -> TrackerParams:
    """Parameters of a named profile: `robust` (default) or `reference` (the authors' tracker).

    Raises:
        ConfigError: the name is neither.
    """
    if profile == "robust":
        return TrackerParams()
    if profile == "reference":
        return TrackerParams(
            SearchParams(
                region_scale=1.0,
                ego_motion=False,
                scales=3,
                resampling="released",
                peak="released",
            ),
            BoxParams(refine=False, size_noise=0.0),
            TemplateParams(rate=0.005, every=1, gated=False, online=False),
            ThermalParams(shoulder=0.0, freeze=False, dead_pixels=False),
            PresenceParams(enabled=False),
        )
    raise ConfigError(f"expected profile robust or reference, got {profile!r}; choose one")
