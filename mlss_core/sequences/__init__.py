"""Recorded sequences: folders of pictures, videos and rosbags, with their boxes."""

from mlss_core.sequences.load import find_sequences, load_sequence
from mlss_core.sequences.sequence import LazyFrames, Sequence

__all__ = ["LazyFrames", "Sequence", "find_sequences", "load_sequence"]
