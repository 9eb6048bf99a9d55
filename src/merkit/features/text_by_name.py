"""Text tokens of any text encoder that is named: RoBERTa's states of every word piece, frozen."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch

from merkit.features.extractor import extractor_id
from merkit.networks.minilm import batches_by_length
from merkit.networks.text_encoder import TextEncoder
from merkit.networks.text_pretrained import load_text_encoder
from merkit.networks.text_source import find_text_source

__all__ = ["TextEncoderExtractor"]


class TextEncoderExtractor:
    """`(T, D)` last states of every token of a line, those that the tokenizer puts around it (`<s>`, `</s>`) included.

    Args:
        encoder: `minilm` or `roberta-base` of the catalogue, a folder, or a name on the Hugging Face hub.
        max_tokens: tokens of a line at most; 0 = as many as the encoder takes. What is beyond is cut off.
        download: fetch what is not on this machine.

    Raises:
        WeightError: it is not on this machine.
    """

    name = "text-encoder"
    version = 1
    modality = "text"
    rate_hz = None
    weights: tuple[str, ...] = ()

    def __init__(self, encoder: str, max_tokens: int = 0, download: bool = False) -> None:
        self._source = find_text_source(encoder, download=download)
        self._encoder = encoder
        self.params = {"max_tokens": max_tokens}

    @cached_property
    def id(self) -> str:
        hashes = [self._source.weights_sha256, self._source.tokenizer_sha256]
        return extractor_id(self.name, self.version, self.params, hashes)

    @cached_property
    def model(self) -> TextEncoder:
        """The encoder, loaded at first use."""
        return load_text_encoder(self._encoder, pooling="mean", max_tokens=self.params["max_tokens"])

    @property
    def width(self) -> int:
        """`D`."""
        return self.model.width

    @torch.inference_mode()
    def __call__(self, inputs: Sequence[str]) -> list[np.ndarray]:
        """`(T_i, D)` float32 per text, batched with texts of its own length; no row for a blank one."""
        model = self.model
        tokens = model.tokeniser(list(inputs)).ids
        found = [np.zeros((0, model.width), np.float32) for _ in tokens]
        kept = [i for i, ids in enumerate(tokens) if ids]
        for batch in batches_by_length([len(tokens[i]) for i in kept]):
            rows = [kept[i] for i in batch]
            ids = torch.full((len(rows), max(len(tokens[i]) for i in rows)), model.pad_id)
            mask = torch.zeros(ids.shape, dtype=torch.bool)
            for row, i in enumerate(rows):
                ids[row, : len(tokens[i])], mask[row, : len(tokens[i])] = torch.tensor(tokens[i]), True
            states = model.states(ids, mask).float().numpy()
            for i, state in zip(rows, states, strict=True):
                found[i] = np.ascontiguousarray(state[: len(tokens[i])])
        return found
