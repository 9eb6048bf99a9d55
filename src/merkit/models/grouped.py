"""Layers of the same size at once, each group with its own parameters."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["GroupedLinear", "GroupedNorm"]


class GroupedLinear(nn.Module):
    """`G` linear layers as one batched product, each started as `torch.nn.Linear` starts.

    Args:
        groups: `G`.
        inside: `D`.
        outside: width of the result.

    Example:
        >>> layer = GroupedLinear(3, 4, 5)
        >>> x = torch.randn(3, 2, 4)
        >>> one = F.linear(x[1], layer.weight[1].T, layer.bias[1, 0])
        >>> [torch.allclose(y, one, atol=1e-5) for y in (layer(x)[1], layer(x[1:2], which=[1])[0])]
        [True, True]
    """

    def __init__(self, groups: int, inside: int, outside: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inside)
        self.weight = nn.Parameter(torch.empty(groups, inside, outside).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(groups, 1, outside).uniform_(-bound, bound))

    def forward(self, x: Tensor, which: Sequence[int] | None = None) -> Tensor:
        """`(G, …, D)` to `(G, …, outside)`; `which` names the groups that `x` holds, None = all."""
        weight, bias = (self.weight, self.bias) if which is None else (self.weight[which], self.bias[which])
        return torch.baddbmm(bias, x.flatten(1, -2), weight).view(*x.shape[:-1], weight.shape[-1])


class GroupedNorm(nn.Module):
    """`G` layer normalisations.

    Args:
        groups: `G`.
        width: `D`.

    Example:
        >>> GroupedNorm(2, 4)(torch.randn(2, 3, 1, 4)).mean(-1).abs().max().item() < 1e-5
        True
    """

    def __init__(self, groups: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(groups, width))
        self.bias = nn.Parameter(torch.zeros(groups, width))

    def forward(self, x: Tensor, which: Sequence[int] | None = None) -> Tensor:
        """`(G, …, D)` to the same; `which` names the groups that `x` holds, None = all."""
        weight, bias = (self.weight, self.bias) if which is None else (self.weight[which], self.bias[which])
        shape = (len(x), *[1] * (x.ndim - 2), x.shape[-1])
        return torch.addcmul(bias.view(shape), F.layer_norm(x, x.shape[-1:]), weight.view(shape))
