"""Dice: overlap between what is answered and what is true, per class over a batch."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from merkit.data.table import TargetColumn
from merkit.models.losses.known import known_entries, known_rows
from merkit.schema import TargetSpec

__all__ = ["DiceLoss"]


class DiceLoss(nn.Module):
    """`1 - mean_c 2 TP_c / (2 TP_c + FP_c + FN_c)` with `TP_c = Σ p y`, `FP_c = Σ p (1 - y)`, `FN_c = Σ (1 - p) y`
    (Milletari et al. 2016, "V-Net", with counts over rows), so that rare classes count as much as frequent ones.

    A class that no row has is no evidence of a failure: it is left out of the mean. In small batches that would leave
    rare classes out nearly always; with `momentum` the counts run on from batch to batch, older ones fading, and the
    batch moves them. The gradient flows through the batch's own counts. Evaluation (`eval()`) asks each batch on its own:
    counts of training would be most of its answer.

    Args:
        spec: the target. Classes that exclude one another go through a softmax, labels through a sigmoid.
        column: not used.
        momentum: share in [0, 1) of the running counts that a batch inherits; 0 = each batch on its own.

    Example:
        >>> loss = DiceLoss(TargetSpec("e", "single_label", ("a", "b")))
        >>> sure = torch.tensor([[99.0, 0.0], [0.0, 99.0]])
        >>> known = torch.ones(2, dtype=torch.bool)
        >>> round(loss(sure, torch.tensor([0, 1]), known).item(), 4), round(loss(sure, torch.tensor([1, 0]), known).item(), 4)
        (0.0, 1.0)
    """

    def __init__(self, spec: TargetSpec, column: TargetColumn | None = None, *, momentum: float = 0.0) -> None:
        super().__init__()
        self.running: Tensor
        self.many: bool = spec.kind == "multi_label"
        self.momentum = momentum
        # overlap (TP) and mass (2 TP + FP + FN = Σ p + Σ y), and how much of the latter is truth
        self.register_buffer("running", torch.zeros(3, len(spec.labels)))

    def forward(self, logit: Tensor, target: Tensor, valid: Tensor, weight: Tensor | None = None) -> Tensor:
        """One minus the mean over classes that were seen; 0 where none was."""
        if self.many:
            logit, y, entries = known_entries(logit, target, valid, weight)
            prob = logit.sigmoid()
        else:
            logit, y, rows = known_rows(logit, target, valid, weight)
            prob, entries = logit.softmax(-1), rows[:, None]
            y = y if y.is_floating_point() else F.one_hot(y, logit.shape[-1]).to(logit.dtype)
        counts = torch.stack([(entries * x).sum(0) for x in (prob * y, prob + y, y)])
        if self.momentum and self.training:
            counts = self.momentum * self.running.to(counts.dtype) + counts
            self.running.copy_(counts.detach())
        overlap, mass, truth = counts
        seen = truth > 0
        dice = 2 * overlap / mass.masked_fill(~seen, 1.0)
        return ((1 - dice) * seen).sum() / seen.sum().clamp_min(1)
