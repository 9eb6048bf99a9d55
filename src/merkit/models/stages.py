"""Several stacks of attention layers side by side, run together where their sequences are equally long."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from merkit.models.attention import AttentionLayer

__all__ = ["AttentionStages"]


class AttentionStages(nn.Module):
    """`G` stacks of `depth` layers of the same size, each with its own parameters.

    Clips of one token a modality are the common case of tables of features: all stacks are then one. Streams of
    different lengths run one after the other, so that none is padded to the longest.

    Args:
        groups: `G`.
        depth: layers a stack.
        width: `D`.
        layer: further arguments of `AttentionLayer`.

    Example:
        >>> stages = AttentionStages(2, 1, 8).eval()
        >>> short, long = torch.randn(3, 2, 8), torch.randn(3, 5, 8)
        >>> states, _ = stages([short, long], None, [torch.ones(3, 2) > 0, torch.ones(3, 5) > 0])
        >>> [tuple(state.shape) for state in states]
        [(3, 2, 8), (3, 5, 8)]
    """

    def __init__(self, groups: int, depth: int, width: int, **layer: Any) -> None:
        super().__init__()
        self.groups = groups
        self.layers = nn.ModuleList(
            AttentionLayer(width, groups=groups, **layer) for _ in range(depth if groups else 0)
        )

    def forward(
        self, queries: Sequence[Tensor], memories: Sequence[Tensor] | None, masks: Sequence[Tensor]
    ) -> tuple[list[Tensor], list[Tensor | None]]:
        """States and, in evaluation mode, the last layer's weights.

        Args:
            queries: `G` times `(B, Q_g, D)`.
            memories: `G` times `(B, L_g, D)`, the same for every layer; None = each sequence looks at itself.
            masks: `G` times `(B, L_g)` bool.
        """
        states, weights = list(queries), [None] * self.groups
        for which in _alike([(query.shape[1], mask.shape[1]) for query, mask in zip(queries, masks, strict=True)]):
            x, mask = torch.stack([queries[i] for i in which]), torch.stack([masks[i] for i in which])
            memory = None if memories is None else torch.stack([memories[i] for i in which])
            looked = None
            for layer in self.layers:
                x, looked = layer(
                    x, x if memory is None else memory, mask, None if len(which) == self.groups else which
                )
            for place, i in enumerate(which):
                states[i], weights[i] = x[place], None if looked is None else looked[place]
        return states, weights


def _alike(sizes: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Indices in lists of equal size."""
    lists: dict[tuple[int, int], list[int]] = {}
    for i, size in enumerate(sizes):
        lists.setdefault(size, []).append(i)
    return list(lists.values())
