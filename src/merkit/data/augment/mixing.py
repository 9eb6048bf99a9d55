"""Mixup: clips blended in pairs, and their answers with them."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from merkit.data.augment.steps import checked, tokens_in, unit_range
from merkit.data.batch import Batch, Tokens
from merkit.errors import ConfigError
from merkit.schema import TargetSpec

__all__ = ["Mixup", "WordMixup", "check_pairs", "mixed_targets", "shares"]


@dataclass(frozen=True, slots=True)
class Mixup:
    """Mixes pairs of clips with one weight over all streams and targets (Zhang et al. 2018, arXiv:1710.09412, eq. 1).

    One partner per clip; single labels become distributions. Where only one of a pair has a token, the
    mixture has that token, unmixed: half of nothing is not a feature.

    Args:
        alpha: of the Beta distribution.
        prob: share of batches that are mixed.
        per: a weight for each `clip`, or one for the whole `batch`.

    Raises:
        ConfigError: a number out of its range.

    Example:
        >>> spec = TargetSpec("emotion", "single_label", ("joy", "anger"))
        >>> tokens = Tokens(torch.eye(2).reshape(2, 1, 1, 2), torch.ones(2, 1, 1, dtype=torch.bool))
        >>> batch = Batch(("a", "b"), 2, {"text": tokens}, targets={"emotion": torch.tensor([0, 1])},
        ...     valid={"emotion": torch.ones(2, dtype=torch.bool)})
        >>> mixed = Mixup(alpha=1.0)(batch, [spec])
        >>> torch.equal(mixed.tokens["text"].x.reshape(2, 2), mixed.targets["emotion"])
        True
    """

    alpha: float = 1.0
    prob: float = 1.0
    per: Literal["clip", "batch"] = "clip"

    def __post_init__(self) -> None:
        checked(self.prob, "mixup")
        if self.alpha <= 0 or self.per not in ("clip", "batch"):
            raise ConfigError(f"mixup has alpha above 0 and one weight per clip or per batch: {self}")

    def __call__(self, batch: Batch, specs: list[TargetSpec]) -> Batch:
        """The mixed batch, drawn from torch's random numbers.

        Raises:
            ConfigError: the batch has dialogue context or targets per entity, whose mixture would mean nothing.
        """
        check_pairs(batch, specs, "mixup", tuple(batch.tokens))
        if self.prob < 1 and float(torch.rand(())) >= self.prob:
            return batch
        partner = torch.randperm(batch.size)
        share = shares(self.alpha, batch.size, self.per)
        targets, valid = mixed_targets(batch, specs, partner, share)
        tokens = {name: _mixed(stream, partner, share) for name, stream in batch.tokens.items()}
        return replace(batch, tokens=tokens, targets=targets, valid=valid)


@dataclass(frozen=True, slots=True)
class WordMixup:
    """Mixup of word vectors, word by word (Guo et al. 2019, arXiv:1905.08941, wordMixup), for models of words alone.

    Where one sentence of a pair is longer, its last words stay unmixed, as in `Mixup`.

    Args:
        alpha: of the Beta distribution.
        prob: share of batches that are mixed.
        per: a weight for each `clip`, or one for the whole `batch`.
        stream: which modality.

    Raises:
        ConfigError: a number out of its range.

    Example:
        >>> tokens = Tokens(torch.eye(2).reshape(2, 1, 1, 2), torch.ones(2, 1, 1, dtype=torch.bool))
        >>> WordMixup()(Batch(("a", "b"), 2, {"text": tokens}), []).tokens["text"].x.sum(-1).flatten()
        tensor([1., 1.])
    """

    alpha: float = 1.0
    prob: float = 1.0
    per: Literal["clip", "batch"] = "clip"
    stream: str = "text"

    def __post_init__(self) -> None:
        Mixup(self.alpha, self.prob, self.per)

    def __call__(self, batch: Batch, specs: list[TargetSpec]) -> Batch:
        """The mixed batch.

        Raises:
            ConfigError: as `Mixup`, or the batch has other streams, which would keep what their answers do not.
        """
        tokens_in(batch, self.stream)
        check_pairs(batch, specs, "word mixup", (self.stream,))
        return Mixup(self.alpha, self.prob, self.per)(batch, specs)


def check_pairs(batch: Batch, specs: list[TargetSpec], what: str, streams: tuple[str, ...]) -> None:
    """Raises ConfigError where clips of the batch cannot be paired, or have other streams than those that `what` changes."""
    if batch.context is not None or any(spec.per_entity for spec in specs):
        raise ConfigError(f"{what} pairs clips that stand alone: not with dialogue context or targets per entity")
    if others := [name for name in batch.tokens if name not in streams]:
        raise ConfigError(f"{what} would mix the answers of {', '.join(others)} and leave what they are about as it is")


def shares(alpha: float, size: int, per: str) -> Tensor:
    """`(B,)` from Beta(α, α): one for each clip, or the same for all of a `batch`."""
    return torch.distributions.Beta(alpha, alpha).sample((1 if per == "batch" else size,)).expand(size)


def mixed_targets(
    batch: Batch, specs: list[TargetSpec], partner: Tensor, share: Tensor
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Answers mixed with those of `partner (B,)` by the clip's own `share (B,)`, and which of them are known: both, or the
    clip's own where nothing was mixed in. Single labels become distributions."""
    targets, valid = {}, {}
    for spec in specs:
        value, known = batch.targets[spec.name], batch.valid[spec.name]
        if spec.kind == "single_label":
            value = F.one_hot(value.clamp_min(0), len(spec.labels)).float()
        targets[spec.name] = _mix(value, value[partner], share)
        whole = (share == 1).to(known.device).reshape(-1, *[1] * (known.ndim - 1))
        valid[spec.name] = known & (known[partner] | whole)
    return targets, valid


def _mix(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    return torch.lerp(b.float(), a.float(), share.to(a.device).reshape(-1, *[1] * (a.ndim - 1)))


def _mixed(stream: Tokens, partner: Tensor, share: Tensor) -> Tokens:
    other, other_mask = unit_range(stream.x[partner]), stream.mask[partner]
    weight = share.to(other.device)[:, None, None].expand(stream.mask.shape)
    weight = torch.where(stream.mask & other_mask, weight, stream.mask.to(weight))
    # indexing has copied, so the mixture can be made in the copy
    x = other.lerp_(unit_range(stream.x), weight[..., None].to(other))
    return Tokens(x, stream.mask | other_mask, stream.times)
