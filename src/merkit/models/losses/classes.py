"""Losses on classes that exclude one another: targets are class indices or distributions (soft labels, mixup).

Every class here is called as `loss(logit (…, K), target (…,) or (…, K), valid, weight (B,) = None)` and gives a scalar:
the mean over what is known, by weight.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from merkit.data.table import TargetColumn
from merkit.errors import ConfigError
from merkit.models.losses.balance import class_weights
from merkit.models.losses.known import known_rows, weighted_mean
from merkit.schema import TargetSpec

__all__ = ["CrossEntropyLoss", "FocalLoss", "KLLoss"]

ClassWeight = Literal["none", "balanced", "root"] | Sequence[float]


def _distribution(target: Tensor, labels: int, dtype: torch.dtype) -> Tensor:
    """`(n,)` class indices as `(n, K)` one-hot; distributions as they are."""
    return target if target.is_floating_point() else F.one_hot(target, labels).to(dtype)


class CrossEntropyLoss(nn.Module):
    """`-Σ_k y_k w_k log p_k`, with classes weighted as `torch.nn.CrossEntropyLoss` does for class indices: the mean is
    over `Σ y_k w_k`. For distributions torch divides by the number of rows; here a one-hot distribution and its class
    index give the same loss.

    Args:
        spec: the target.
        column: the training part, for `balanced`.
        smoothing: share ε in [0, 1] of every target that is spread evenly.
        spread: over `all` classes, as torch does, so that the true one keeps `1 - ε + ε / K`; or over the `others`, so that
            it keeps `1 - ε` and each other one gets `ε / (K - 1)`.
        class_weight: `none`, `balanced`, `root` (of balanced), or `K` numbers.

    Raises:
        ConfigError: a share that cannot be.

    Example:
        >>> loss = CrossEntropyLoss(TargetSpec("e", "single_label", ("a", "b")))
        >>> known = torch.tensor([True, False])
        >>> round(loss(torch.zeros(2, 2), torch.tensor([0, 1]), known).item(), 4)
        0.6931
    """

    def __init__(
        self,
        spec: TargetSpec,
        column: TargetColumn | None = None,
        *,
        smoothing: float = 0.0,
        spread: Literal["all", "others"] = "all",
        class_weight: ClassWeight = "none",
    ) -> None:
        super().__init__()
        self.class_weight: Tensor | None
        labels = len(spec.labels)
        if spread == "others" and smoothing:
            # y (1 - ε) + (1 - y) ε / (K - 1) is torch's y (1 - s) + s / K with s = ε K / (K - 1), soft targets included
            smoothing = smoothing * labels / max(labels - 1, 1)
        if not 0 <= smoothing <= 1 or spread not in ("all", "others"):
            raise ConfigError(
                f"target {spec.name}: smoothing over {spread!r} of {labels} classes: over 'all' at most 1, over the 'others' "
                f"at most {(labels - 1) / labels:.3g}, which leaves every class the same"
            )
        self.smoothing = smoothing
        self.register_buffer("class_weight", class_weights(spec, class_weight, column))

    def forward(self, logit: Tensor, target: Tensor, valid: Tensor, weight: Tensor | None = None) -> Tensor:
        """The mean over known rows."""
        logit, target, rows = known_rows(logit, target, valid, weight)
        loss = F.cross_entropy(
            logit, target, weight=self.class_weight, label_smoothing=self.smoothing, reduction="none"
        )
        if self.class_weight is None:
            return weighted_mean(loss, rows)
        share = _distribution(target, logit.shape[-1], logit.dtype) @ self.class_weight
        return (loss * rows).sum() / (share * rows).sum().clamp_min(torch.finfo(loss.dtype).tiny)


class FocalLoss(nn.Module):
    """`-Σ_k y_k w_k (1 - p_k)^γ log p_k` for each row on its own (Lin et al. 2017, "Focal loss for dense object
    detection", eq. 5, over a softmax). With γ = 0 it is `CrossEntropyLoss`.

    Args:
        spec: the target.
        column: the training part, for `balanced`.
        gamma: how much less a row counts that is answered well.
        class_weight: `none`, `balanced`, `root` (of balanced), or `K` numbers (the paper's α).
        reduction: `weighted_mean` divides by the sum of class weights, as `CrossEntropyLoss` does; `mean` by the number of rows,
            as the paper's authors and most who use it do; `sum` by nothing. Without class weights the first two are one.

    Example:
        >>> loss = FocalLoss(TargetSpec("e", "single_label", ("a", "b")), gamma=2.0)
        >>> round(loss(torch.zeros(1, 2), torch.tensor([0]), torch.tensor([True])).item(), 4)
        0.1733
    """

    def __init__(
        self,
        spec: TargetSpec,
        column: TargetColumn | None = None,
        *,
        gamma: float = 2.0,
        class_weight: ClassWeight = "none",
        reduction: Literal["weighted_mean", "mean", "sum"] = "weighted_mean",
    ) -> None:
        super().__init__()
        self.class_weight: Tensor | None
        if reduction not in ("weighted_mean", "mean", "sum"):
            raise ConfigError(f"target {spec.name}: reduction={reduction!r}; there are weighted_mean, mean, sum")
        self.gamma, self.reduction = gamma, reduction
        self.register_buffer("class_weight", class_weights(spec, class_weight, column))

    def forward(self, logit: Tensor, target: Tensor, valid: Tensor, weight: Tensor | None = None) -> Tensor:
        """The mean over known rows, or their sum."""
        logit, target, rows = known_rows(logit, target, valid, weight)
        y = _distribution(target, logit.shape[-1], logit.dtype)
        y = y if self.class_weight is None else y * self.class_weight
        log_prob = F.log_softmax(logit, -1)
        loss = -(y * _focus(-torch.expm1(log_prob), self.gamma) * log_prob).sum(-1)
        if self.reduction != "weighted_mean":
            return (loss * rows).sum() if self.reduction == "sum" else weighted_mean(loss, rows)
        return (loss * rows).sum() / (y.sum(-1) * rows).sum().clamp_min(torch.finfo(loss.dtype).tiny)


def _focus(miss: Tensor, gamma: float) -> Tensor:
    """`miss ** gamma` for probabilities; the floor keeps the slope finite at 0 where γ < 1."""
    return miss.clamp_min(torch.finfo(miss.dtype).eps) ** gamma


class KLLoss(nn.Module):
    """`Σ_k y_k (log y_k - log p_k)`: cross entropy without the part that no model can remove.

    Args:
        spec: the target.
        column: not used.

    Example:
        >>> loss = KLLoss(TargetSpec("e", "soft_label", ("a", "b")))
        >>> loss(torch.zeros(1, 2), torch.tensor([[0.5, 0.5]]), torch.ones(1, 2, dtype=torch.bool)).item()
        0.0
    """

    def __init__(self, spec: TargetSpec, column: TargetColumn | None = None) -> None:
        super().__init__()

    def forward(self, logit: Tensor, target: Tensor, valid: Tensor, weight: Tensor | None = None) -> Tensor:
        """The mean over known rows."""
        logit, target, rows = known_rows(logit, target, valid, weight)
        y = _distribution(target, logit.shape[-1], logit.dtype)
        return weighted_mean(F.kl_div(F.log_softmax(logit, -1), y, reduction="none").sum(-1), rows)
