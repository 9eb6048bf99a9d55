"""What a run minimises: losses on logits of every target, auxiliary heads, and augmentation, in one place."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from merkit.data.batch import Batch
from merkit.errors import ConfigError
from merkit.schema import TargetSpec

__all__ = ["Objective"]


class Objective(nn.Module):
    """`model, batch -> loss`, for models with `outputs(batch) -> (logits, auxiliary, embedding, …)`.

    Args:
        specs: the targets that are trained.
        losses: target -> loss with `forward(logit, target, valid, weight)`.
        weights: target -> factor; 1 where it is not named.
        auxiliary: factor of the mean loss of the heads that see one modality alone (multi-task λ).
        embedding: a loss on the fused vectors, `(embedding, class index, known) -> loss`, and its factor. Of the first target
            whose classes exclude one another; of soft labels the likeliest counts.
        augment: changes the batch first.

    Raises:
        ConfigError: a loss on the fused vectors, and no such target.
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
        self.compared = _compared(self.specs) if embedding else ""
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
            classes, valid = batch.targets[self.compared], batch.valid[self.compared]
            classes = classes if classes.ndim == 1 else classes.argmax(-1)
            valid = valid if valid.ndim == 1 else valid.all(-1)
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


def _compared(specs: Sequence[TargetSpec]) -> str:
    """The target whose classes say which rows shall lie together."""
    for spec in specs:
        if spec.kind in ("single_label", "soft_label") and not spec.per_entity:
            return spec.name
    kinds = ", ".join(f"{spec.name} ({spec.kind})" for spec in specs)
    raise ConfigError(
        f"a loss on fused vectors (contrast) needs a target whose classes exclude one another; there is {kinds}"
    )


def _known(valid: Tensor, present: Tensor | None) -> Tensor:
    """`valid (B,)`, `(B, K)` or with `N` in between, and `present (B,)` or `(B, N)` where it is asked."""
    if present is None:
        return valid
    return valid & present.reshape(*present.shape, *[1] * (valid.ndim - present.ndim))
