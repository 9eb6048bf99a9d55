"""Losses on numbers. Called as `loss(logit, target, valid, weight=None)`, all `(…, K)`; the logits are the values."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from merkit.data.table import TargetColumn
from merkit.models.losses.known import known_entries, weighted_mean
from merkit.schema import TargetSpec

__all__ = ["CCCLoss", "L1Loss", "MSELoss"]


class L1Loss(nn.Module):
    """The mean absolute error over known entries.

    Args:
        spec: the target.
        column: not used.

    Example:
        >>> loss = L1Loss(TargetSpec("va", "regression", ("valence",)))
        >>> loss(torch.zeros(2, 1), torch.tensor([[1.0], [3.0]]), torch.ones(2, 1, dtype=torch.bool)).item()
        2.0
    """

    def __init__(self, spec: TargetSpec, column: TargetColumn | None = None) -> None:
        super().__init__()

    def forward(self, logit: Tensor, target: Tensor, valid: Tensor, weight: Tensor | None = None) -> Tensor:
        """The mean over known entries."""
        value, target, entries = known_entries(logit, target, valid, weight)
        return weighted_mean(F.l1_loss(value, target, reduction="none"), entries)


class MSELoss(nn.Module):
    """The mean squared error over known entries.

    Args:
        spec: the target.
        column: not used.

    Example:
        >>> loss = MSELoss(TargetSpec("va", "regression", ("valence",)))
        >>> loss(torch.zeros(2, 1), torch.tensor([[1.0], [3.0]]), torch.ones(2, 1, dtype=torch.bool)).item()
        5.0
    """

    def __init__(self, spec: TargetSpec, column: TargetColumn | None = None) -> None:
        super().__init__()

    def forward(self, logit: Tensor, target: Tensor, valid: Tensor, weight: Tensor | None = None) -> Tensor:
        """The mean over known entries."""
        value, target, entries = known_entries(logit, target, valid, weight)
        return weighted_mean(F.mse_loss(value, target, reduction="none"), entries)


class CCCLoss(nn.Module):
    """`1 - CCC` of each dimension over the batch, the mean over dimensions (Lin 1989, "A concordance correlation
    coefficient to evaluate reproducibility", with variances over n).

    torchmetrics has the measure, but neither with a mask nor with weights, and it is NaN where nothing varies. A batch
    is a small sample: use large ones. Dimensions with fewer than two known entries are left out.

    Args:
        spec: the target.
        column: not used.

    Example:
        >>> loss, known = CCCLoss(TargetSpec("va", "regression", ("valence",))), torch.ones(3, 1, dtype=torch.bool)
        >>> truth = torch.tensor([[1.0], [2.0], [4.0]])
        >>> round(loss(truth, truth, known).item(), 5), round(loss(-truth, truth, known).item(), 3)
        (0.0, 1.125)
    """

    def __init__(self, spec: TargetSpec, column: TargetColumn | None = None) -> None:
        super().__init__()

    def forward(self, logit: Tensor, target: Tensor, valid: Tensor, weight: Tensor | None = None) -> Tensor:
        """The mean over dimensions."""
        value, target, entries = known_entries(logit, target, valid, weight)
        share = entries / entries.sum(0).clamp_min(torch.finfo(value.dtype).tiny)
        mean, mean_target = (share * value).sum(0), (share * target).sum(0)
        off, off_target = value - mean, target - mean_target
        both = (share * off * off_target).sum(0)
        spread = (share * (off.square() + off_target.square())).sum(0) + (mean - mean_target).square()
        ccc = 2 * both / spread.clamp_min(torch.finfo(value.dtype).eps)
        return weighted_mean(1 - ccc, ((entries > 0).sum(0) > 1).to(value.dtype))
