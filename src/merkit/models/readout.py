"""From fused vectors to logits."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from merkit.data.batch import Tokens
from merkit.models.pooling import build_pooling
from merkit.schema import TargetSpec

__all__ = ["LabelHeads", "UnimodalHeads"]


class LabelHeads(nn.Module):
    """One linear layer a target; with one vector a label, each label has its own linear layer on its own vector.

    Args:
        width: `E`.
        specs: the targets.

    Example:
        >>> import torch
        >>> heads = LabelHeads(4, [TargetSpec("emotion", "single_label", ("joy", "anger"))])
        >>> heads(torch.randn(3, 4))["emotion"].shape, heads(torch.randn(3, 4), torch.randn(3, 2, 4))["emotion"].shape
        (torch.Size([3, 2]), torch.Size([3, 2]))
    """

    def __init__(self, width: int, specs: Sequence[TargetSpec]) -> None:
        super().__init__()
        self.specs = tuple(specs)
        self.linears = nn.ModuleList(nn.Linear(width, len(spec.labels)) for spec in specs)

    def forward(self, x: Tensor, per_label: Tensor | None = None) -> dict[str, Tensor]:
        """`x (B, E)` and, where the fusion makes them, `per_label (B, K, E)` with the labels of all targets in order."""
        if per_label is None:
            return {spec.name: linear(x) for spec, linear in zip(self.specs, self.linears, strict=True)}
        states = per_label.split([len(spec.labels) for spec in self.specs], 1)
        return {
            spec.name: (state * linear.weight).sum(-1) + linear.bias
            for spec, linear, state in zip(self.specs, self.linears, states, strict=True)
        }


class UnimodalHeads(nn.Module):
    """What each modality says alone: pooled over time, one linear layer a target.

    Args:
        modalities: their names.
        width: `D` of their tokens.
        specs: the targets.
        pooling: a name in `POOLINGS`.

    Example:
        >>> import torch
        >>> heads = UnimodalHeads(["text"], 4, [TargetSpec("emotion", "single_label", ("joy", "anger"))], "mean")
        >>> heads({"text": Tokens(torch.randn(3, 1, 4), torch.ones(3, 1) > 0)})["text"]["emotion"].shape
        torch.Size([3, 2])
    """

    def __init__(self, modalities: Sequence[str], width: int, specs: Sequence[TargetSpec], pooling: str) -> None:
        super().__init__()
        pools = {name: build_pooling(pooling, width) for name in modalities}
        modules: Any = pools
        self.pools = nn.ModuleDict(modules)
        self.heads = nn.ModuleDict({name: LabelHeads(pools[name].width, specs) for name in modalities})

    def forward(self, streams: Mapping[str, Tokens]) -> dict[str, dict[str, Tensor]]:
        """modality -> target -> logits `(B, K)`; zeros for rows that do not have the modality."""
        said = {}
        for name, pool in self.pools.items():
            here = streams[name].present[:, None]
            logits = self.heads[name](pool(streams[name].x, streams[name].mask))
            said[name] = {target: logit.masked_fill(~here, 0.0) for target, logit in logits.items()}
        return said
