"""Speech tokens of any self-supervised encoder that is named: its states, with the times that its convolutions give them."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from merkit.features.extractor import extractor_id
from merkit.networks.hub_model import find_model, model_sha256
from merkit.networks.speech_encoder import MAX_S, SpeechEncoder
from merkit.networks.speech_pretrained import load_speech_encoder
from merkit.schema import TokenSequence

__all__ = ["SpeechEncoderExtractor", "named_layer"]


def named_layer(name: str) -> tuple[str, int]:
    """`facebook/hubert-base-ls960:9` -> name and layer; -1 where none is said.

    Example:
        >>> named_layer("facebook/hubert-base-ls960:9"), named_layer("wav2vec2-base")
        (('facebook/hubert-base-ls960', 9), ('wav2vec2-base', -1))
    """
    front, _, layer = name.rpartition(":")
    return (front, int(layer)) if front and layer.isdigit() else (name, -1)


class SpeechEncoderExtractor:
    """`(T, D)` states of wav2vec 2.0, HuBERT, WavLM, data2vec …, frozen, most often 50 a second.

    Args:
        encoder: a folder, a name of the catalogue, or a name on the Hugging Face hub.
        layer: 0 = input of the first block, k = output of block k, -1 = what the model gives in the end.
        download: fetch what is not on this machine.

    Raises:
        WeightError: it is not on this machine.
    """

    name = "speech-encoder"
    version = 1
    modality = "speech"
    weights: tuple[str, ...] = ()

    def __init__(self, encoder: str, layer: int = -1, download: bool = False) -> None:
        # found now, so that a name that is nowhere ends a run before it begins; loaded where it is used
        self._source = find_model(encoder, "speech encoder", download=download)
        self._encoder = encoder
        self.layer = layer
        # the name is not what states depend on: a copy in another folder is the same encoder
        self.params = {"layer": layer, "max_s": MAX_S}

    @cached_property
    def id(self) -> str:
        return extractor_id(self.name, self.version, self.params, [model_sha256(self._source)])

    @cached_property
    def model(self) -> SpeechEncoder:
        """The encoder, loaded at first use."""
        return load_speech_encoder(self._encoder, layer=self.layer)

    @property
    def width(self) -> int:
        """`D`."""
        return self.model.width

    @property
    def rate_hz(self) -> float:
        """Tokens a second."""
        from merkit.networks.speech_clock import SAMPLE_RATE

        return SAMPLE_RATE / self.model.clock.hop

    @property
    def least_s(self) -> float:
        """Seconds that a waveform must last to have a token."""
        from merkit.networks.speech_clock import SAMPLE_RATE

        return self.model.clock.reach / SAMPLE_RATE

    def __call__(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Tokens of each utterance.

        Args:
            inputs: `(n,)` float32 mono at 16 kHz in [-1, 1], one per utterance.

        Returns:
            `(T_i, D)` float32 per utterance.
        """
        return self.model.encode(inputs)

    def timed(self, inputs: Sequence[np.ndarray]) -> list[TokenSequence]:
        """As `__call__`, with the seconds from the utterance's first sample that each token is made of."""
        return [TokenSequence(x, *self.model.spans_s(len(wave))) for wave, x in zip(inputs, self(inputs), strict=True)]
