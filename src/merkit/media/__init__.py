"""Bytes to arrays: video, audio, words and physiology on one clock in seconds per clip; no model inside."""

from merkit.media.chunks import SAMPLE_RATE, AudioChunk, StreamReport, VideoChunk
from merkit.media.header import AudioInfo, MediaInfo, VideoInfo
from merkit.media.limits import LIMITS, Limits
from merkit.media.physiology import SIGNALS, Signal, read_physiology
from merkit.media.preview import PreviewFile, write_preview
from merkit.media.probe import probe
from merkit.media.reader import read_clip
from merkit.media.words import Cue, read_text

__all__ = [
    "LIMITS",
    "SAMPLE_RATE",
    "SIGNALS",
    "AudioChunk",
    "AudioInfo",
    "Cue",
    "Limits",
    "MediaInfo",
    "PreviewFile",
    "Signal",
    "StreamReport",
    "VideoChunk",
    "VideoInfo",
    "probe",
    "read_clip",
    "read_physiology",
    "read_text",
    "write_preview",
]
