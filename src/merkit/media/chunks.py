"""What decoding yields: pieces of pictures and sound on one clock."""

from dataclasses import dataclass

import numpy as np

__all__ = ["SAMPLE_RATE", "AudioChunk", "StreamReport", "VideoChunk"]

SAMPLE_RATE = 16_000


@dataclass(frozen=True, slots=True, eq=False)
class VideoChunk:
    """Sampled frames.

    Args:
        frames: `(T, H, W, 3)` uint8 RGB, upright.
        times_s: `(T,)` float64, the frames' own timestamps in seconds on the clip's clock.
    """

    frames: np.ndarray
    times_s: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class AudioChunk:
    """Sound without gaps inside.

    Args:
        samples: `(T,)` float32 mono in [-1, 1] at 16 kHz.
        start_s: seconds on the clip's clock of the first sample.
    """

    samples: np.ndarray
    start_s: float


@dataclass(frozen=True, slots=True)
class StreamReport:
    """The last thing a reader yields: how the decoding went.

    Args:
        frames: frames decoded (sampled or not).
        samples: audio samples delivered at 16 kHz.
        warnings: damage that was passed over, in words.
    """

    frames: int
    samples: int
    warnings: tuple[str, ...] = ()
