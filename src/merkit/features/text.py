"""Text tokens: MiniLM's states of every word piece, or one vector a sentence."""

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import numpy as np
import torch

from merkit.features.extractor import catalogue_hashes, extractor_id
from merkit.networks.minilm import MiniLM, load_minilm
from merkit.weights.shipped import shipped_sha256

__all__ = ["TextExtractor"]

_WIDTH = 384


class TextExtractor:
    """MiniLM-L6 over lines of text, batched with lines of their own length, so hardly any padding is computed.

    Args:
        pool: `token` gives `(T_i, D)` states, `[CLS]` and `[SEP]` included; `sentence` gives one unit vector, the mean.
        layers: which states, side by side, 0 (embeddings) to 6 (last); `sentence` takes only the last.
        tuned: the three upper layers as merkit tuned them on GoEmotions; the shipped text head judges behind these.

    Example:
        >>> TextExtractor(pool="token", layers=(4, 6)).width
        768
    """

    name = "minilm"
    version = 1
    modality = "text"
    rate_hz = None
    weights = ("minilm-l6",)

    def __init__(
        self, pool: Literal["token", "sentence"] = "token", layers: Sequence[int] = (6,), tuned: bool = False
    ) -> None:
        if pool not in ("token", "sentence") or not layers or not set(layers) <= set(range(7)):
            raise ValueError(f"pool is `token` or `sentence` and layers 0 to 6; got {pool!r}, {tuple(layers)}")
        if pool == "sentence" and tuple(layers) != (6,):
            raise ValueError("a sentence vector is the mean of the last layer")
        self.pool = pool
        self.layers = tuple(layers)
        self.width = _WIDTH * len(self.layers)
        self.tuned = tuned
        # not named where it is off: features stored before there was a choice keep their id
        self.params = {"pool": pool, "layers": list(self.layers)} | ({"tuned": True} if tuned else {})

    @cached_property
    def id(self) -> str:
        own = [shipped_sha256("text-net")] if self.tuned else []
        return extractor_id(self.name, self.version, self.params, [*catalogue_hashes(self.weights), *own])

    @cached_property
    def _model(self) -> MiniLM:
        return load_minilm(tuned=self.tuned)

    def __call__(self, inputs: Sequence[str]) -> list[np.ndarray]:
        """Tokens of each text; more than 256 word pieces are cut off.

        Args:
            inputs: any number of texts.

        Returns:
            `(T_i, D)` float32 per text.
        """
        if not len(inputs):
            return []
        if self.pool == "sentence":
            return list(self._model.sentences(inputs).numpy()[:, None])
        with torch.inference_mode():
            return [states.flatten(1).numpy() for states in self._model.token_states(inputs, self.layers)]

    def truncated(self, inputs: Sequence[str]) -> list[int]:
        """Which of these texts have more than 256 word pieces and so lose their end."""
        tokenizer = self._model.tokenizer
        assert tokenizer is not None  # load_minilm always gives one
        return [i for i, encoding in enumerate(tokenizer.encode_batch(list(inputs))) if encoding.overflowing]
