"""One vector per text from any text encoder: as it came, tuned by a run, or tuned copies that never saw the text.

What an encoder said is kept on disk by its id and the text, so that frozen features are computed once.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
import torch

from merkit.errors import ConfigError
from merkit.features.kept_vectors import KeptVectors
from merkit.features.tuned_copies import TunedCopies, save_fold, text_key
from merkit.features.tuned_runs import is_run, load_tuned
from merkit.networks.text_encoder import TextPooling
from merkit.networks.text_pretrained import load_text_encoder
from merkit.weights.cache import cache_root

__all__ = ["SentenceEncoder", "UtteranceMode", "save_fold", "sentence_encoder", "text_key"]

UtteranceMode = Literal["independent", "concat"]
# Texts that are lost at most when a long encoding is interrupted.
_PART = 1024


class _Reads(Protocol):
    """What makes vectors: `TextEncoder` or `TunedCopies`."""

    @property
    def id(self) -> str: ...
    @property
    def width(self) -> int: ...
    @property
    def fitted_on(self) -> tuple[str, ...]: ...
    def encode(self, texts: Sequence[str]) -> np.ndarray: ...
    def encode_joined(self, groups: Sequence[Sequence[str]]) -> list[np.ndarray]: ...


class _Utterance(Protocol):
    """As `merkit.corpora.utterances.Said`."""

    @property
    def clip(self) -> str: ...
    @property
    def text(self) -> str: ...


class SentenceEncoder:
    """Texts to vectors, with a memory.

    Args:
        reader: makes the vectors; its `fitted_on` goes into `Provenance`, by which the leakage check judges features.
        cache: folder that remembers what was said; a subfolder for every id.
    """

    def __init__(self, reader: _Reads, cache: Path | None = None) -> None:
        self._reader = reader
        self.id, self.width, self.fitted_on = reader.id, reader.width, reader.fitted_on
        own = hashlib.sha256(self.id.encode()).hexdigest()[:16]
        self._kept = KeptVectors((cache or cache_root() / "sentences") / own, self.width)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """`(n, D)` float32; zeros for blank texts."""
        texts = [str(text) for text in texts]
        found = np.zeros((len(texts), self.width), np.float32)
        said = list(dict.fromkeys(text for text in texts if text.strip()))
        known = self._kept.get(said)
        # in order of length, so that a part holds texts that can share a batch
        missing = sorted((i for i in range(len(said)) if i not in known), key=lambda i: len(said[i]))
        for first in range(0, len(missing), _PART):
            part = missing[first : first + _PART]
            made = self._reader.encode([said[i] for i in part])
            self._kept.put([said[i] for i in part], made)
            known |= dict(zip(part, made, strict=True))
        vector = {text: known[i] for i, text in enumerate(said)}
        for row, text in enumerate(texts):
            if text in vector:
                found[row] = vector[text]
        return found

    def per_utterance(self, utterances: Sequence[_Utterance], mode: UtteranceMode = "independent") -> np.ndarray:
        """One vector an utterance, `(n, D)` float32.

        `independent` reads each alone. `concat` reads all utterances of a clip as one text, in the given order, and gives
        each the mean of its own tokens' states, so that it is understood from what was said around it; a clip longer than
        the encoder takes is read in windows of whole utterances.

        Args:
            utterances: of any clips, those of a clip in order of time, as `read_utterances` gives them.
            mode: how they are read.

        Raises:
            ConfigError: no such mode, or tuned copies, which cannot read jointly.
        """
        if mode not in get_args(UtteranceMode):
            raise ConfigError(f"utterances are read {' or '.join(get_args(UtteranceMode))}, not {mode}")
        if mode == "independent":
            return self([each.text for each in utterances])
        rows: dict[str, list[int]] = {}
        for i, each in enumerate(utterances):
            rows.setdefault(each.clip, []).append(i)
        found = np.zeros((len(utterances), self.width), np.float32)
        missing: list[tuple[list[int], list[str]]] = []
        for own in rows.values():
            keys = _joint_keys([utterances[i].text for i in own])
            known = self._kept.get(keys)
            if len(known) == len(own):
                found[own] = np.stack([known[i] for i in range(len(own))])
            else:
                missing.append((own, keys))
        for first in range(0, len(missing), _PART // 8):
            part = missing[first : first + _PART // 8]
            made = self._reader.encode_joined([[utterances[i].text for i in own] for own, _ in part])
            for (own, _), vectors in zip(part, made, strict=True):
                found[own] = vectors
            self._kept.put([key for _, keys in part for key in keys], np.concatenate(made))
        return found


def _joint_keys(texts: list[str]) -> list[str]:
    """What the utterances of one clip are remembered by: all of them, in order, and which one it is."""
    whole = "\0".join(["joined", *texts])
    return [f"{whole}\0{i}" for i in range(len(texts))]


@lru_cache(maxsize=2)
def sentence_encoder(
    name: str, *, max_tokens: int = 0, download: bool = False, cache: Path | None = None
) -> SentenceEncoder:
    """The encoder of that name.

    Args:
        name: `minilm`; a folder with a Hugging Face model or its name on the hub, either with `:pooler`, `:cls`, `:mean`
            or `:last` behind it (none = mean); a run of `text_encoder`, whose pooling is that of its training; or a folder
            with tuned copies.
        max_tokens: tokens of a text at most; 0 = as many as the encoder takes. Of a run: that of its training.
        download: fetch a hub name that is not on this machine.
        cache: where vectors are remembered; None = beside a run or copies, else in merkit's cache folder.

    Raises:
        WeightError: not on this machine, not finished, or damaged.
        ConfigError: a pooling that it does not have, or options that a tuned encoder has settled.

    Example:
        >>> sentence_encoder("roberta-base:pooler").width  # doctest: +SKIP
        768
    """
    folder = Path(name).expanduser()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if (folder / "encoder.json").is_file() or is_run(folder):
        if max_tokens:
            raise ConfigError(f"{name}: max_tokens is that of its training")
        if (folder / "encoder.json").is_file():
            return SentenceEncoder(TunedCopies(folder), cache=cache or folder / "said")
        return SentenceEncoder(load_tuned(folder).to(device), cache=cache or folder / "said")
    name, pooling = _split(name)
    encoder = load_text_encoder(name, pooling=pooling, max_tokens=max_tokens, download=download)
    return SentenceEncoder(encoder.to(device), cache=cache)


def _split(name: str) -> tuple[str, Any]:
    """`roberta-base:pooler` -> name and pooling."""
    front, _, pooling = name.rpartition(":")
    return (front, pooling) if front and pooling in get_args(TextPooling) else (name, "mean")
