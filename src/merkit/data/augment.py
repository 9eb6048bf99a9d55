"""Changes made to a batch while training, never in evaluation: they live in the objective, which evaluation does not call."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from merkit.data.batch import Batch, Tokens
from merkit.errors import ConfigError
from merkit.schema import TargetSpec

__all__ = ["Mixup"]


@dataclass(frozen=True, slots=True)
class Mixup:
    """Mixes pairs of clips with one weight over all streams and targets (Zhang et al. 2018, arXiv:1710.09412, eq. 1).

    One weight and one partner per clip; single labels become distributions. Where only one of a pair has a token, the
    mixture has that token, unmixed: half of nothing is not a feature.

    Args:
        alpha: of the Beta distribution.
        prob: share of batches that are mixed.

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

    def __call__(self, batch: Batch, specs: list[TargetSpec]) -> Batch:
        """The mixed batch, drawn from torch's random numbers.

        Raises:
            ConfigError: the batch has dialogue context or targets per entity, whose mixture would mean nothing.
        """
        if batch.context is not None or any(spec.per_entity for spec in specs):
            raise ConfigError("mixup pairs clips that stand alone: not with dialogue context or targets per entity")
        if self.prob < 1 and float(torch.rand(())) >= self.prob:
            return batch
        size = batch.size
        partner = torch.randperm(size)
        share = torch.distributions.Beta(self.alpha, self.alpha).sample((size,))
        targets, valid = {}, {}
        for spec in specs:
            value, known = batch.targets[spec.name], batch.valid[spec.name]
            if spec.kind == "single_label":
                value = F.one_hot(value.clamp_min(0), len(spec.labels)).float()
            targets[spec.name] = _mix(value, value[partner], share)
            valid[spec.name] = known & known[partner]
        tokens = {name: _mixed(stream, partner, share) for name, stream in batch.tokens.items()}
        return replace(batch, tokens=tokens, targets=targets, valid=valid)


def _mix(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    weight = share.to(a.device).reshape(-1, *[1] * (a.ndim - 1))
    return weight * a + (1 - weight) * b


def _mixed(stream: Tokens, partner: Tensor, share: Tensor) -> Tokens:
    other_x, other_mask = stream.x[partner], stream.mask[partner]
    both = (stream.mask & other_mask)[..., None]
    one = torch.where(stream.mask[..., None], stream.x, other_x)
    return Tokens(torch.where(both, _mix(stream.x, other_x, share), one), stream.mask | other_mask, stream.times)
