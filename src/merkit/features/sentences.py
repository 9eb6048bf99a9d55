"""One vector per text, from MiniLM as it is or from a copy that was tuned further."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from merkit.errors import WeightError
from merkit.networks.minilm import MiniLM, load_minilm

__all__ = ["SentenceEncoder", "sentence_encoder"]


@dataclass(frozen=True)
class SentenceEncoder:
    """Mean of MiniLM's token states after some layers.

    Args:
        folder: `encoder.safetensors` and `encoder.json` (what it was tuned on, which layers); None = the catalogue's.
    """

    folder: Path | None = None

    @cached_property
    def facts(self) -> dict:
        """The card of a tuned encoder.

        Raises:
            WeightError: the folder holds no encoder, or its weights are not those of the card.
        """
        if self.folder is None:
            return {"layers": [6], "tuned_on": []}
        try:
            facts = json.loads((self.folder / "encoder.json").read_text(encoding="utf-8"))
            data = (self.folder / "encoder.safetensors").read_bytes()
        except (OSError, ValueError) as error:
            raise WeightError(f"{self.folder}: no text encoder ({error})") from None
        if hashlib.sha256(data).hexdigest() != facts["sha256"]:
            raise WeightError(f"{self.folder}: the weights are not those that encoder.json describes")
        return facts

    @property
    def id(self) -> str:
        """Name and the start of the weights' hash."""
        return "minilm" if self.folder is None else f"minilm-tuned@{self.facts['sha256'][:12]}"

    def fitted_on(self, corpus: str) -> tuple[str, ...]:
        """Splits of `corpus` whose labels the encoder was tuned on."""
        return tuple(split for name, split in self.facts["tuned_on"] if name == corpus)

    @cached_property
    def model(self) -> MiniLM:
        """The network, in evaluation mode."""
        model = load_minilm()
        if self.folder is not None:
            model.load_state_dict(
                {key: value.float() for key, value in load_file(self.folder / "encoder.safetensors").items()}
            )
        return model.eval()

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """`(n, D)` float32, D = 384 for each layer."""
        layers = tuple(self.facts["layers"])
        states = self.model.token_states(texts, layers)  # each (T, L, 384)
        return np.stack([state.mean(0).flatten().numpy() for state in states])


@lru_cache(maxsize=4)
def sentence_encoder(name: str) -> SentenceEncoder:
    """`minilm`, or a folder with a tuned encoder; loaded once a process.

    Example:
        >>> sentence_encoder("minilm").id
        'minilm'
    """
    return SentenceEncoder(None if name == "minilm" else Path(name))
