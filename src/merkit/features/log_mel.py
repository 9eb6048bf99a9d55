"""A voice as a picture: 128 log-mel bands every 16 ms, as the speech network of the MERC2020 entry reads them.

Silence at both ends is cut off, the rest is denoised (Wiener), and each column is scaled by its own largest value, so that
what is left is the shape of the spectrum, not its loudness. The published code handed the complex spectrum to the mel
filters, which added up phases before it took the magnitude; here the filters get the magnitude.
"""

import warnings
from collections.abc import Sequence
from functools import cached_property, lru_cache

import numpy as np

from merkit.features.extractor import extractor_id
from merkit.media import SAMPLE_RATE
from merkit.networks.mel import mel_filters

__all__ = ["BANDS", "HOP", "LogMelExtractor", "log_mel_columns", "voiced_range"]

BANDS = 128
WINDOW = 512  # 32 ms
HOP = 256  # 16 ms
LOW_HZ, HIGH_HZ = 80.0, 8000.0
TOP_DB = 20.0  # below the loudest moment: silence
RANGE_DB = 80.0  # of the spectrum, below its loudest point
_LEAST_AMPLITUDE = 1e-5
_TINY = 1e-10


def voiced_range(samples: np.ndarray, top_db: float = TOP_DB) -> tuple[int, int]:
    """The samples from the first to the last moment that is less than `top_db` below the loudest one.

    Loudness is the mean square of 512 samples every 256 (reflected at the ends). What lies between stays, silent or not.

    Args:
        samples: `(n,)` mono at 16 kHz.
        top_db: decibels.

    Returns:
        First sample, and one behind the last; `(0, 0)` for nothing at all.

    Example:
        >>> wave = np.zeros(16_000)
        >>> wave[8000:12_000] = 0.5
        >>> voiced_range(wave)
        (7936, 12288)
    """
    if not len(samples):
        return 0, 0
    energy = np.square(_frames(samples)).mean(1)
    level = 10.0 * np.log10(np.maximum(energy, _TINY))
    loud = np.flatnonzero(level - level.max() > -top_db)
    return int(loud[0]) * HOP, min(len(samples), (int(loud[-1]) + 1) * HOP)


def log_mel_columns(samples: np.ndarray) -> np.ndarray:
    """`(T, 128)` float32 in [0, 1] of a waveform without silence at its ends, one column every 256 samples.

    Wiener filter over 3 samples, Hann window of 512, magnitude, 128 mel bands from 80 to 8000 Hz, decibels no lower than 80
    below the loudest point; each column `x / max |x|`, then `(x + 1) / 2`.

    Args:
        samples: `(n,)` mono at 16 kHz in [-1, 1], n at least 2.

    Example:
        >>> tone = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000)
        >>> picture = log_mel_columns(tone)
        >>> picture.shape, int(picture[30].argmax())
        ((63, 128), 39)
    """
    from scipy.signal import wiener  # 0.3 s to import

    wave = np.asarray(samples, np.float64)
    wave = np.where(wave == 0.0, _TINY, wave)
    with warnings.catch_warnings():
        # a stretch without any change has no variance to divide by; scipy takes the local mean there
        warnings.simplefilter("ignore", RuntimeWarning)
        clean = np.nan_to_num(wiener(wave))
    magnitude = np.abs(np.fft.rfft(_frames(clean) * _window(), axis=1))
    mel = magnitude @ _filters().T
    level = 20.0 * np.log10(np.maximum(mel, _LEAST_AMPLITUDE))
    level = np.maximum(level, level.max() - RANGE_DB)
    largest = np.abs(level).max(1, keepdims=True)
    return ((level / np.where(largest > 0.0, largest, 1.0) + 1.0) / 2.0).astype(np.float32)


class LogMelExtractor:
    """Waveforms to log-mel columns, silence at the ends cut off.

    Example:
        >>> LogMelExtractor().width, LogMelExtractor().rate_hz
        (128, 62.5)
    """

    name = "log-mel-128"
    version = 1
    modality = "speech"
    width = BANDS
    rate_hz = SAMPLE_RATE / HOP
    weights = ()
    # a column takes a whole window; what is shorter is a click
    least_s = WINDOW / SAMPLE_RATE

    def __init__(self, top_db: float = TOP_DB) -> None:
        self.top_db = top_db
        self.params = {"top_db": top_db, "window": WINDOW, "hop": HOP, "hz": [LOW_HZ, HIGH_HZ], "denoise": "wiener"}

    @cached_property
    def id(self) -> str:
        return extractor_id(self.name, self.version, self.params)

    def __call__(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """`(T_i, 128)` float32 per waveform `(n_i,)` of 16 kHz."""
        return [log_mel_columns(wave[slice(*voiced_range(wave, self.top_db))]) for wave in inputs]


def _frames(samples: np.ndarray) -> np.ndarray:
    """`(T, 512)`: windows around every 256th sample, the ends reflected: `T = 1 + n // 256`."""
    padded = np.pad(np.asarray(samples, np.float64), WINDOW // 2, mode="reflect")
    return np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]


@lru_cache(maxsize=1)
def _window() -> np.ndarray:
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(WINDOW) / WINDOW)  # periodic


@lru_cache(maxsize=1)
def _filters() -> np.ndarray:
    return mel_filters(BANDS, WINDOW, SAMPLE_RATE, LOW_HZ, HIGH_HZ).astype(np.float64)
