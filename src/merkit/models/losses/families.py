"""The losses on logits by name, and weighted sums of them."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn

from merkit.data.table import TargetColumn
from merkit.errors import ConfigError
from merkit.models.losses.classes import CrossEntropyLoss, FocalLoss, KLLoss
from merkit.models.losses.dice import DiceLoss
from merkit.models.losses.labels import BCELoss, MultilabelFocalLoss, MultilabelSoftMarginLoss
from merkit.models.losses.values import CCCLoss, L1Loss, MSELoss
from merkit.schema import TargetKind, TargetSpec

__all__ = ["LOSSES", "WeightedSumLoss", "build_loss"]

LOSSES: dict[str, Mapping[TargetKind, Callable[..., nn.Module]]] = {
    "cross_entropy": {"single_label": CrossEntropyLoss, "soft_label": CrossEntropyLoss},
    "kl": {"single_label": KLLoss, "soft_label": KLLoss},
    "focal": {"single_label": FocalLoss, "soft_label": FocalLoss, "multi_label": MultilabelFocalLoss},
    "dice": {"single_label": DiceLoss, "soft_label": DiceLoss, "multi_label": DiceLoss},
    "bce": {"multi_label": BCELoss},
    "multilabel_soft_margin": {"multi_label": MultilabelSoftMarginLoss},
    "l1": {"regression": L1Loss},
    "mse": {"regression": MSELoss},
    "ccc": {"regression": CCCLoss},
}
"""name -> kind of target -> class, called as `(spec, column, **params)`."""

_AUTO: dict[TargetKind, str] = {
    "single_label": "cross_entropy",
    "soft_label": "cross_entropy",
    "multi_label": "bce",
    "regression": "mse",
}


class WeightedSumLoss(nn.Module):
    """`Σ factor · loss`.

    Args:
        losses: each is called with the same arguments.
        factors: as many.

    Example:
        >>> spec = TargetSpec("va", "regression", ("valence",))
        >>> loss = WeightedSumLoss([L1Loss(spec), MSELoss(spec)], [1.0, 0.5])
        >>> loss(torch.zeros(1, 1), torch.tensor([[2.0]]), torch.tensor([[True]])).item()
        4.0
    """

    def __init__(self, losses: Sequence[nn.Module], factors: Sequence[float]) -> None:
        super().__init__()
        self.losses = nn.ModuleList(losses)
        self.factors = tuple(factors)

    def forward(self, logit: Tensor, target: Tensor, valid: Tensor, weight: Tensor | None = None) -> Tensor:
        """A scalar."""
        parts = [
            factor * loss(logit, target, valid, weight) for factor, loss in zip(self.factors, self.losses, strict=True)
        ]
        return torch.stack(parts).sum()


def build_loss(spec: TargetSpec, name: str = "auto", column: TargetColumn | None = None, **params: Any) -> nn.Module:
    """A loss for one target, called as `loss(logit, target, valid, weight=None)`.

    Args:
        spec: the target.
        name: in `LOSSES`; `auto` = cross entropy, BCE or MSE by kind; or a weighted sum such as
            `0.5*cross_entropy + 0.5*dice`.
        column: the TRAINING part, for weights that are counted in it.
        params: the loss's own; in a sum each goes to the losses that have it.

    Raises:
        ConfigError: no such loss for this kind of target, or a parameter that none of them has.

    Example:
        >>> loss = build_loss(TargetSpec("e", "single_label", ("a", "b")), "0.7*focal + 0.3*dice", gamma=1.0)
        >>> loss.factors, loss.losses[0].gamma
        ((0.7, 0.3), 1.0)
    """
    parts = [_part(spec, part) for part in name.split("+")]
    known: set[str] = set()
    built = []
    for _, loss in parts:
        takes = set(inspect.signature(loss).parameters) - {"spec", "column"}
        known |= takes
        built.append((loss, {key: value for key, value in params.items() if key in takes}))
    if unknown := sorted(params.keys() - known):
        near = get_close_matches(unknown[0], sorted(known), 1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; it takes {', '.join(sorted(known)) or 'none'}"
        # a preset's parameters of another loss are the commonest cause
        raise ConfigError(
            f"target {spec.name}: loss {name!r} has no parameter {', '.join(map(repr, unknown))}{hint} "
            "(a mapping that is given whole replaces a preset's: loss_params={})"
        )
    losses = [loss(spec, column, **own) for loss, own in built]
    factors = [factor for factor, _ in parts]
    return losses[0] if factors == [1.0] else WeightedSumLoss(losses, factors)


def _part(spec: TargetSpec, text: str) -> tuple[float, Callable[..., nn.Module]]:
    """`0.5*dice` as its factor and its class."""
    factor, _, name = text.rpartition("*")
    name = name.strip()
    name = _AUTO[spec.kind] if name == "auto" else name
    if name not in LOSSES or spec.kind not in LOSSES[name]:
        fitting = ", ".join(key for key, kinds in LOSSES.items() if spec.kind in kinds)
        raise ConfigError(f"target {spec.name} is {spec.kind}: there is no loss {name!r} for it, but {fitting}")
    try:
        return float(factor or 1.0), LOSSES[name][spec.kind]
    except ValueError:
        raise ConfigError(f"target {spec.name}: {factor.strip()!r} is no factor in {text.strip()!r}") from None
