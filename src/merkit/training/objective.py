"""What a run minimises: losses on logits of every target, auxiliary heads, and augmentation, in one place."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from merkit.data.batch import Batch
from merkit.schema import TargetSpec

__all__ = ["Objective"]


class Objective(nn.Module):
    """`model, batch -> loss`, for models with `outputs(batch) -> (logits, auxiliary, embedding, …)`.

    Args:
        specs: the targets that are trained.
        losses: target -> loss with `forward(logit, target, valid, weight)`.
        weights: target -> factor; 1 where it is not named.
        auxiliary: factor of the mean loss of the heads that see one modality alone (multi-task λ).
        embedding: a loss on the fused vectors, `(embedding, class index) -> loss`, and its factor.
        augment: changes the batch first.
    """

    def __init__(
        self,
        specs: Sequence[TargetSpec],
        losses: Mapping[str, nn.Module],
        *,
        weights: Mapping[str, float] | None = None,
        auxiliary: float = 0.0,
        embedding: tuple[nn.Module, float] | None = None,
        augment: Callable[[Batch, list[TargetSpec]], Batch] | None = None,
    ) -> None:
        super().__init__()
        self.specs = list(specs)
        # by place, not by name: a target may be called anything, `values` or `a.b`, and a ModuleDict may not
        self.losses = nn.ModuleList([losses[spec.name] for spec in specs])
        self.weights = dict(weights or {})
        self.auxiliary = auxiliary
        self.embedding = embedding[0] if embedding else None
        self.embedding_weight = embedding[1] if embedding else 0.0
        self.augment = augment

    def forward(self, model: Any, batch: Batch) -> Tensor:
        """The loss of one batch."""
        if self.training and self.augment is not None:
            batch = self.augment(batch, self.specs)
        if hasattr(model, "members"):
            # each network learns from its own mistakes, not from those of the mean
            return torch.stack([self._single(out, batch) for out in model.members(batch)]).mean()
        return self._single(model.outputs(batch), batch)

    def _single(self, out: Any, batch: Batch) -> Tensor:
        total = self._of(out.logits, batch)
        if self.auxiliary and out.auxiliary:
            parts = [self._of(logits, batch, out.present[name]) for name, logits in out.auxiliary.items()]
            total = total + self.auxiliary * torch.stack(parts).mean()
        if self.embedding is not None:
            name = self.specs[0].name
            classes, valid = batch.targets[name], batch.valid[name]
            classes = classes if classes.ndim == 1 else classes.argmax(-1)
            total = total + self.embedding_weight * self.embedding(out.embedding, classes, valid)
        return total

    def _of(self, logits: Mapping[str, Tensor], batch: Batch, present: Tensor | None = None) -> Tensor:
        """The losses of all targets; only over clips that have the modality, where one alone is judged."""
        parts = [
            self.weights.get(spec.name, 1.0)
            * loss(logits[spec.name], batch.targets[spec.name], _known(batch.valid[spec.name], present), batch.weight)
            for spec, loss in zip(self.specs, self.losses, strict=True)
        ]
        return torch.stack(parts).sum()


def _known(valid: Tensor, present: Tensor | None) -> Tensor:
    """`valid (B,)`, `(B, K)` or with `N` in between, and `present (B,)` or `(B, N)` where it is asked."""
    if present is None:
        return valid
    return valid & present.reshape(*present.shape, *[1] * (valid.ndim - present.ndim))
