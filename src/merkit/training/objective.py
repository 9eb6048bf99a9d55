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
        out = model.outputs(batch)
        total = self._of(out.logits, batch)
        if self.auxiliary and out.auxiliary:
            parts = [self._of(logits, batch) for logits in out.auxiliary.values()]
            total = total + self.auxiliary * torch.stack(parts).mean()
        if self.embedding is not None:
            classes = batch.targets[self.specs[0].name]
            classes = classes if classes.ndim == 1 else classes.argmax(-1)
            total = total + self.embedding_weight * self.embedding(out.embedding, classes)
        return total

    def _of(self, logits: Mapping[str, Tensor], batch: Batch) -> Tensor:
        parts = [
            self.weights.get(spec.name, 1.0)
            * loss(logits[spec.name], batch.targets[spec.name], batch.valid[spec.name], batch.weight)
            for spec, loss in zip(self.specs, self.losses, strict=True)
        ]
        return torch.stack(parts).sum()
