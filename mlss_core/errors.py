"""Errors that name what was expected, what came and what to do; all derive from MlssError."""


class MlssError(Exception):
    """Base of every error that a user of mlss_core can cause and mend."""


class FrameError(MlssError, ValueError):
    """A frame cannot be used: wrong shape, type or size, or no finite pixel."""


class BoxError(MlssError, ValueError):
    """A box cannot be used: not finite, no positive size, too small or outside the frame."""


class CheckpointError(MlssError):
    """A weights file is missing, truncated, foreign or made for another network."""


class SequenceError(MlssError):
    """A sequence folder, video or label file cannot be used."""


class ConfigError(MlssError, ValueError):
    """A parameter is unknown, of the wrong type or outside its range."""


class TrainingDivergedError(MlssError):
    """The loss of a training run is no longer finite."""
