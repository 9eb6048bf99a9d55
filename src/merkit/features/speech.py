"""Speech tokens: hidden states of Whisper's encoder over exactly the voice there is."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from merkit.features.extractor import catalogue_hashes, extractor_id
from merkit.networks.whisper import WIDTH, Whisper, load_whisper

__all__ = ["SpeechExtractor", "SpeechStatisticsExtractor"]

SAMPLE_RATE = 16_000
_STATES_PER_S = 50
_MAX_S = 30.0


class SpeechExtractor:
    """Whisper tiny.en's encoder: `(T, D)` states of the chosen layers side by side, 50 a second or averaged down.

    Middle layers carry tone of voice best, the last one words (see docs/first-model.md). Each utterance runs alone and
    unpadded, so its states do not depend on what else is in the batch; more than 30 s is encoded in equal parts.

    Args:
        layers: which hidden states, 0 (input of the first block) to 4 (normalised output).
        rate_hz: 50, or a divisor of it: states are averaged over each 1 / rate_hz.

    Example:
        >>> extractor = SpeechExtractor(layers=(2,))
        >>> extractor.width, extractor.rate_hz
        (384, 50)
    """

    name = "whisper-encoder"
    version = 1
    modality = "speech"
    weights = ("whisper-tiny-en",)

    def __init__(self, layers: Sequence[int] = (1, 2, 3, 4), rate_hz: int = _STATES_PER_S) -> None:
        if not layers or not set(layers) <= set(range(5)):
            raise ValueError(f"layers are 0 to 4; got {tuple(layers)}")
        if rate_hz < 1 or _STATES_PER_S % rate_hz:
            raise ValueError(f"rate_hz must divide {_STATES_PER_S}; got {rate_hz}")
        self.layers = tuple(layers)
        self.rate_hz = rate_hz
        self.width = WIDTH * len(self.layers)
        self.params = {"layers": list(self.layers), "rate_hz": rate_hz}

    @cached_property
    def id(self) -> str:
        return extractor_id(self.name, self.version, self.params, catalogue_hashes(self.weights))

    @cached_property
    def _model(self) -> Whisper:
        return load_whisper()

    def __call__(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Tokens of each utterance.

        Args:
            inputs: `(n,)` float32 mono at 16 kHz in [-1, 1], one per utterance.

        Returns:
            `(T_i, D)` float32 per utterance.
        """
        return [self._one(wave) for wave in inputs]

    def _one(self, wave: np.ndarray) -> np.ndarray:
        parts = np.array_split(wave, max(1, int(np.ceil(len(wave) / (_MAX_S * SAMPLE_RATE)))))
        states = [np.concatenate([layers[i] for i in self.layers], 1) for layers in map(self._model.states, parts)]
        tokens = np.concatenate(states)
        pool = _STATES_PER_S // self.rate_hz
        if pool > 1:
            edges = np.arange(0, len(tokens), pool)
            counts = np.diff(np.append(edges, len(tokens)))[:, None]
            tokens = np.add.reduceat(tokens, edges) / counts
        return np.ascontiguousarray(tokens, np.float32)


class SpeechStatisticsExtractor:
    """One token per utterance: mean and standard deviation over time of the encoder's states (Snyder et al. 2018, 2).

    What a head over whole utterances needs, in a four-hundredth of the memory: an hour of talk is 4 MB instead of 800.

    Args:
        layers: as for `SpeechExtractor`.

    Example:
        >>> SpeechStatisticsExtractor(layers=(1, 2, 3)).width
        2304
    """

    name = "whisper-statistics"
    version = 1
    modality = "speech"
    rate_hz = None
    weights = ("whisper-tiny-en",)

    def __init__(self, layers: Sequence[int] = (1, 2, 3)) -> None:
        self._states = SpeechExtractor(layers)
        self.width = 2 * self._states.width
        self.params = {"layers": list(self._states.layers)}

    @cached_property
    def id(self) -> str:
        return extractor_id(self.name, self.version, self.params, catalogue_hashes(self.weights))

    def __call__(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """`(1, D)` float32 per utterance: means of all layers, then deviations.

        Args:
            inputs: `(n,)` float32 mono at 16 kHz in [-1, 1], one per utterance.
        """
        return [_statistics(self._states([wave])[0]) for wave in inputs]


def _statistics(states: np.ndarray) -> np.ndarray:
    return np.concatenate([states.mean(0), states.std(0)])[None]
