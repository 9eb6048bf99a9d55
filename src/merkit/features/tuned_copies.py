"""Answers of MiniLM copies, each tuned with one fold of a corpus left out, as features that promise no more than they hold.

A tuned encoder knows its own training texts better than it will ever know others, so features of training texts from it
would promise too much to whatever is trained on them. Here a text of fold k is described by the copies that did not see
fold k, any other text by the mean of all (stacking; Wolpert 1992). Only what the copies answer is used, a few numbers
that mean the same in every copy.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save_file

from merkit.atomic import replacing
from merkit.errors import ConfigError, WeightError
from merkit.networks.minilm import MiniLM, load_minilm

__all__ = ["TunedCopies", "save_fold", "text_key"]

_HEAD = ("head.weight", "head.bias")


def text_key(text: str) -> str:
    """What a training text is remembered by.

    Example:
        >>> text_key("Yes.")[:8]
        '5f9a2b79'
    """
    return hashlib.sha256(text.strip().encode()).hexdigest()[:32]


class TunedCopies:
    """The copies of one folder.

    Args:
        folder: `encoder.json` and one safetensors file a copy.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def facts(self) -> dict[str, Any]:
        """The card: `corpus`, `tuned_on` (splits), `answers` (names), `folds` (copies: fold, file, sha256), `fold_of`
        (text key -> fold).

        Raises:
            WeightError: the folder holds no encoder.
        """
        try:
            return json.loads((self.folder / "encoder.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise WeightError(f"{self.folder}: no tuned text encoder ({error})") from None

    @property
    def id(self) -> str:
        """Name and the start of a hash over all copies."""
        together = hashlib.sha256("".join(fold["sha256"] for fold in self.facts["folds"]).encode()).hexdigest()
        return f"minilm+tuned@{together[:12]}"

    @property
    def fitted_on(self) -> tuple[str, ...]:
        """Splits whose labels the copies were tuned on."""
        return tuple(self.facts["tuned_on"])

    @property
    def width(self) -> int:
        """How many answers a copy gives."""
        return len(self.facts["answers"])

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """`(n, A)` float32: the answers of copies that did not see the text."""
        fold_of = np.array([self.facts["fold_of"].get(text_key(text), -1) for text in texts])
        answers = np.stack([self._answers(copy, list(texts)) for copy in self.facts["folds"]])  # (copies, n, A)
        left_out = np.array([copy["fold"] for copy in self.facts["folds"]])[:, None]  # (copies, 1)
        # a text that was tuned on is described by the copies that did not see it, any other by all of them
        asked = np.where(fold_of >= 0, left_out == fold_of, True)[..., None]  # (copies, n, 1)
        return ((answers * asked).sum(0) / asked.sum(0)).astype(np.float32)

    def encode_joined(self, groups: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """Copies answer for texts by themselves.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(f"{self.folder}: tuned copies answer for one text at a time; take mode=independent")

    def _answers(self, fold: dict[str, Any], texts: list[str]) -> np.ndarray:
        path = self.folder / fold["file"]
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise WeightError(f"{path} lies outside its folder")
        try:
            data = path.read_bytes()
        except OSError as error:
            raise WeightError(f"{path}: cannot be read ({error.strerror})") from None
        if hashlib.sha256(data).hexdigest() != fold["sha256"]:
            raise WeightError(f"{path}: the weights are not those that encoder.json describes")
        state = {name: value.float() for name, value in load(data).items()}
        weight, bias = (state.pop(name).numpy() for name in _HEAD)
        model = MiniLM(load_minilm().tokenizer)
        model.load_state_dict(state)
        means = np.stack([states[:, 0].mean(0).numpy() for states in model.eval().token_states(texts)])
        return means @ weight.T + bias


def save_fold(model: MiniLM, head: torch.nn.Linear, path: Path) -> str:
    """Writes one tuned copy in half precision and gives its sha256."""
    state = {**model.state_dict(), "head.weight": head.weight, "head.bias": head.bias}
    with replacing(path) as temporary:
        save_file({name: value.detach().half().contiguous() for name, value in state.items()}, temporary)
    return hashlib.sha256(path.read_bytes()).hexdigest()
