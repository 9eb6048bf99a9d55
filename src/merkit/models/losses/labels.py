"""Losses on labels that are each on or off. Called as `loss(logit, target, valid, weight=None)`, all `(…, K)`."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from merkit.data.table import TargetColumn
from merkit.models.losses.balance import positive_weights
from merkit.models.losses.known import known_entries, weighted_mean
from merkit.schema import TargetSpec

__all__ = ["BCELoss", "MultilabelFocalLoss", "MultilabelSoftMarginLoss"]


class BCELoss(nn.Module):
    """Binary cross entropy on logits, the mean over all known labels.

    Args:
        spec: the target.
        column: the training part, for `auto`.
        pos_weight: what a label that is on weighs: `none`, `auto` (off / on in training), or `K` numbers.

    Example:
        >>> loss = BCELoss(TargetSpec("e", "multi_label", ("a", "b")), pos_weight=[3.0, 1.0])
        >>> round(loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), torch.tensor([[True, False]])).item(), 4)
        2.0794
    """

    def __init__(
        self,
        spec: TargetSpec,
        column: TargetColumn | None = None,
        *,
        pos_weight: Literal["none", "auto"] | Sequence[float] = "none",
    ) -> None:
        super().__init__()
        self.pos_weight: Tensor | None
        self.register_buffer("pos_weight", positive_weights(spec, pos_weight, column))

    def forward(self, logit: Tensor, target: Tensor, valid: Tensor, weight: Tensor | None = None) -> Tensor:
        """The mean over known entries."""
        logit, target, entries = known_entries(logit, target, valid, weight)
        loss = F.binary_cross_entropy_with_logits(logit, target, pos_weight=self.pos_weight, reduction="none")
        return weighted_mean(loss, entries)


class MultilabelSoftMarginLoss(nn.Module):
    """`torch.nn.MultiLabelSoftMarginLoss` with a mask: the mean over the known labels of a row, then over rows. Where
    all labels are known it equals `BCELoss` without weights.

    Args:
        spec: the target.
        column: not used.

    Example:
        >>> loss = MultilabelSoftMarginLoss(TargetSpec("e", "multi_label", ("a", "b")))
        >>> round(loss(torch.zeros(1, 2), torch.ones(1, 2), torch.ones(1, 2, dtype=torch.bool)).item(), 4)
        0.6931
    """

    def __init__(self, spec: TargetSpec, column: TargetColumn | None = None) -> None:
        super().__init__()

    def forward(self, logit: Tensor, target: Tensor, valid: Tensor, weight: Tensor | None = None) -> Tensor:
        """The mean over rows with at least one known label."""
        logit, target, entries = known_entries(logit, target, valid, weight)
        loss = F.binary_cross_entropy_with_logits(logit, target, reduction="none")
        known = (entries > 0).to(loss.dtype)
        row = (loss * known).sum(-1) / known.sum(-1).clamp_min(1.0)
        return weighted_mean(row, entries.amax(-1))


class MultilabelFocalLoss(nn.Module):
    """`-α_t (1 - p_t)^γ log p_t` for each label on its own (Lin et al. 2017, eq. 5). With γ = 0 and no α it is
    `BCELoss`.

    Args:
        spec: the target.
        column: not used.
        gamma: how much less an entry counts that is answered well.
        alpha: weight in [0, 1] of labels that are on; those that are off weigh `1 - alpha`. None = 1 for both.

    Example:
        >>> loss = MultilabelFocalLoss(TargetSpec("e", "multi_label", ("a",)))
        >>> round(loss(torch.zeros(1, 1), torch.ones(1, 1), torch.ones(1, 1, dtype=torch.bool)).item(), 4)
        0.1733
    """

    def __init__(
        self, spec: TargetSpec, column: TargetColumn | None = None, *, gamma: float = 2.0, alpha: float | None = None
    ) -> None:
        super().__init__()
        self.gamma, self.alpha = gamma, alpha

    def forward(self, logit: Tensor, target: Tensor, valid: Tensor, weight: Tensor | None = None) -> Tensor:
        """The mean over known entries."""
        logit, target, entries = known_entries(logit, target, valid, weight)
        # both sides of a label, so that soft targets (mixup) are split between them
        on, off = F.logsigmoid(logit), F.logsigmoid(-logit)
        floor = torch.finfo(logit.dtype).eps  # keeps the slope finite at 0 where γ < 1
        loss_on = -on * off.exp().clamp_min(floor) ** self.gamma
        loss_off = -off * on.exp().clamp_min(floor) ** self.gamma
        weight_on, weight_off = (1.0, 1.0) if self.alpha is None else (self.alpha, 1 - self.alpha)
        return weighted_mean(weight_on * target * loss_on + weight_off * (1 - target) * loss_off, entries)
