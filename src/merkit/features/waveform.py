"""The sound itself as tokens, for models that train a speech encoder along."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from merkit.features.extractor import extractor_id
from merkit.networks.speech_clock import SAMPLE_RATE
from merkit.schema import TokenSequence

__all__ = ["FRAME", "WaveformExtractor"]

FRAME = 320
"""Samples of a token: 20 ms, the step of wav2vec 2.0 and its kin."""


class WaveformExtractor:
    """`(T, 320)` float32 samples of each utterance in [-1, 1], 20 ms a token; what is left at its end is dropped.

    A minute is 3.8 MB, or half of that in a store of float16, whose rounding lies 70 dB below the sound.

    Example:
        >>> wave = np.arange(800, dtype=np.float32) / 800
        >>> frames, = WaveformExtractor()([wave])
        >>> frames.shape, bool((frames.ravel() == wave[:640]).all())
        ((2, 320), True)
    """

    name = "waveform"
    version = 1
    modality = "speech"
    width = FRAME
    rate_hz = SAMPLE_RATE / FRAME
    least_s = FRAME / SAMPLE_RATE
    weights: tuple[str, ...] = ()
    params: dict[str, int] = {"frame": FRAME}  # noqa: RUF012  never written

    @cached_property
    def id(self) -> str:
        return extractor_id(self.name, self.version, self.params)

    def __call__(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """`(T_i, 320)` per utterance.

        Args:
            inputs: `(n,)` float32 mono at 16 kHz in [-1, 1], one per utterance.
        """
        return [
            np.ascontiguousarray(wave[: len(wave) // FRAME * FRAME], np.float32).reshape(-1, FRAME) for wave in inputs
        ]

    def timed(self, inputs: Sequence[np.ndarray]) -> list[TokenSequence]:
        """As `__call__`, with the seconds from the utterance's first sample at which each token begins and ends."""
        made = []
        for x in self(inputs):
            edges = np.arange(len(x) + 1) * FRAME / SAMPLE_RATE
            made.append(TokenSequence(x, edges[:-1], edges[1:]))
        return made
