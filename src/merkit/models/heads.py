"""The shipped emotion heads: small calibrated networks behind frozen extractors, each with a card.

A head is two files beside each other: `NAME.safetensors` (arrays) and `NAME.json` (what it is, what it was trained
behind, its temperature, its measured figures). Its native classes may be finer than the seven labels: their
probabilities are summed into the label they belong to, and classes without a place are left out before that.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import load

from merkit.errors import WeightError
from merkit.labels import EKMAN7
from merkit.models.pooled import PooledClassifier, pad

__all__ = ["EmotionHead", "HeadOutput"]

# Inputs judged together: tokens times width, padding counted. Half a million numbers are 2 MB, and so stay the copies that
# standardising and pooling make of them.
_BATCH_NUMBERS = 500_000


@dataclass(frozen=True, slots=True, eq=False)
class HeadOutput:
    """Calibrated log-probabilities over EKMAN7.

    Args:
        log_prob: `(n, 7)` of the head as trained on everything.
        members: `(n, M, 7)` of `M` refits of its last layer on resampled training data.
    """

    log_prob: np.ndarray
    members: np.ndarray


class EmotionHead:
    """One modality's judge.

    Args:
        facts: the content of the JSON file.
        state: the arrays.
        sha256: of the safetensors file.
        on: `clips` for the temperature measured on clips where the record has one, `valid` for that of the valid part.

    Example:
        >>> head = EmotionHead.load("text")
        >>> head.modality, head.labels[3], head.permissive
        ('text', 'joy', True)
    """

    labels = EKMAN7.labels

    def __init__(
        self, facts: Mapping[str, Any], state: Mapping[str, torch.Tensor], sha256: str, on: str = "clips"
    ) -> None:
        self.facts = facts
        self.name: str = facts["name"]
        self.version: str = facts["version"]
        self.modality: str = facts["modality"]
        self.licence: str = facts["licence"]
        self.non_commercial: bool = facts["non_commercial"]
        self.permissive: bool = facts["permissive"]
        self.extractor_name: str = facts["extractor"]["name"]
        self.extractor_params: dict[str, Any] = dict(facts["extractor"]["params"])
        self.extractor_id: str = facts["extractor"]["id"]
        self.skill: float = facts["skill"]
        self.sha256 = sha256
        self._temperature: float = facts["temperature"]
        if on == "clips" and "on_clips" in facts:
            self._temperature = facts["on_clips"]["temperature"]
        net = facts["network"]
        self._net = PooledClassifier(
            net["width"], len(facts["classes"]), pooling=net["pooling"], hidden=net["hidden"], heads=net["heads"]
        )
        parameters = {key: value.float() for key, value in state.items()}
        self._weight = parameters.pop("members.weight")  # (M, K', E)
        self._bias = parameters.pop("members.bias")  # (M, K')
        self._net.load_state_dict(parameters)
        self._net.eval().requires_grad_(False)
        self._to_label = np.array([-1 if label is None else EKMAN7.index(label) for label in facts["to_label"]])

    @classmethod
    def load(cls, name: str, *, on: Literal["clips", "valid"] = "clips") -> "EmotionHead":
        """A head that ships with merkit.

        Raises:
            WeightError: there is none of this name, or its files do not belong together.
        """
        folder = files("merkit.weights") / "shipped"
        try:
            facts = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
            data = (folder / f"{name}.safetensors").read_bytes()
        except FileNotFoundError:
            raise WeightError(f"no shipped head {name!r}") from None
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 != facts["sha256"]:
            raise WeightError(f"head {name}: the weights are not those that its record describes (sha256 differs)")
        return cls(facts, load(data), sha256, on)

    @torch.inference_mode()
    def __call__(self, sequences: Sequence[np.ndarray] | np.ndarray) -> HeadOutput:
        """Judges every input on its own.

        Args:
            sequences: `(T_i, D)` token arrays, one per utterance; or `(n, D)` for heads over single tokens (faces).
        """
        if isinstance(sequences, np.ndarray):
            sequences = sequences[:, None]
        n, m = len(sequences), len(self._weight)
        point, members = np.zeros((n, 7), np.float32), np.zeros((n, m, 7), np.float32)
        order = sorted(range(n), key=lambda i: len(sequences[i]))
        first = 0
        while first < n:
            # rows are in order of length, so the last one that fits says how much padding there is
            last = first + 1
            while last < n and (last + 1 - first) * sequences[order[last]].size <= _BATCH_NUMBERS:
                last += 1
            rows = order[first:last]
            first = last
            embedded = self._net.embed(*pad([sequences[i] for i in rows]))
            point[rows] = self._labelled(self._net.out(embedded))
            members[rows] = self._labelled(torch.einsum("be,mke->bmk", embedded, self._weight) + self._bias)
        return HeadOutput(point, members)

    def _labelled(self, logit: torch.Tensor) -> np.ndarray:
        """`(..., K')` native logits to `(..., 7)` calibrated log-probabilities."""
        kept = self._to_label >= 0
        native = torch.log_softmax(logit[..., torch.from_numpy(kept)] / self._temperature, -1).numpy()
        out = np.full((*native.shape[:-1], len(EKMAN7)), -np.inf, np.float32)
        for column, label in enumerate(self._to_label[kept]):
            out[..., label] = np.logaddexp(out[..., label], native[..., column])
        # a class that a head does not know is very unlikely, not impossible: a log-opinion pool would never recover
        return np.maximum(out, np.log(1e-6))
