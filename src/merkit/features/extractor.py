"""What every extractor is: a named, versioned, pure function from a modality's inputs to tokens."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from merkit.schema import Modality

__all__ = ["Extractor", "extractor_id"]


class Extractor(Protocol):
    """A pure function: the same input gives the same tokens, alone or in any batch.

    Sequence-like modalities (text, speech) take a list of inputs and give one `(T_i, D)` float32 array for each.
    Frame-like modalities (face, scene) take one `(n, H, W, 3)` uint8 array and give `(n, D)` float32, one token each.
    Physiology takes one clip's signals, which carry their own times, and gives a `TokenSequence`.

    A speech extractor may also have `timed`, which gives a `TokenSequence` for each input with the seconds from its first
    sample that each token is made of, and `least_s`, the seconds below which there is none. Tokens of others are spread
    evenly over their utterance. A face extractor may have `crop_px`, the side of the crops that it wants; else 112.

    Attributes:
        name: what configs, heads and the store call it.
        version: raised whenever the same input would give other numbers.
        modality: what it reads.
        width: `D`.
        rate_hz: tokens a second; None where tokens follow the input (words, frames).
        params: what it was made with, JSON types only.
        weights: catalogue names of the pretrained weights it stands on.
        id: `name@12 hex digits` over all of that and the weights' hashes: the key of the store.
    """

    name: str
    version: int
    modality: Modality
    width: int
    rate_hz: float | None
    params: Mapping[str, Any]
    weights: tuple[str, ...]

    @property
    def id(self) -> str: ...
    def __call__(self, inputs: Any, /) -> Any: ...


def extractor_id(name: str, version: int, params: Mapping[str, Any], weights_sha256: Sequence[str] = ()) -> str:
    """Identity of what an extractor computes.

    Example:
        >>> extractor_id("minilm", 1, {"pool": "mean"}) == extractor_id("minilm", 1, {"pool": "mean"})
        True
        >>> extractor_id("minilm", 1, {"pool": "mean"}) == extractor_id("minilm", 2, {"pool": "mean"})
        False
    """
    text = json.dumps([name, version, dict(params), list(weights_sha256)], sort_keys=True)
    return f"{name}@{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def catalogue_hashes(names: Sequence[str]) -> list[str]:
    """The sha256 of every file of these catalogue entries, as the catalogue pins them."""
    from merkit.weights import CATALOGUE

    return [file.sha256 for name in names for file in CATALOGUE[name].files]
