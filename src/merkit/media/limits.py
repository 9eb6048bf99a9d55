"""What merkit is willing to read, stated once and checked from the header before anything is decoded."""

from dataclasses import dataclass

__all__ = ["LIMITS", "Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds for one input. They protect memory and time; raise them where you know your material.

    Args:
        max_pixels: width times height of a frame.
        max_fps: frames a second as the header states them; clips of variable rate often state 1000.
        max_duration_s: seconds, by the header and by the decoded timestamps.
        max_frames: decoded frames.
        max_channels: audio channels.
        max_rate_hz: audio sample rate in Hz.
        max_text_bytes: size of a subtitle file or transcript.
        max_table_bytes: size of a physiology table.

    Example:
        >>> LIMITS.max_pixels == 7680 * 4320
        True
    """

    max_pixels: int = 7680 * 4320
    max_fps: float = 2000.0
    max_duration_s: float = 6 * 3600.0
    max_frames: int = 6 * 3600 * 120
    max_channels: int = 32
    max_rate_hz: int = 384_000
    max_text_bytes: int = 16 * 2**20
    max_table_bytes: int = 512 * 2**20


LIMITS = Limits()
