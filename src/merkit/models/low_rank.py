"""Low-rank adaptation of linear layers (Hu et al. 2022, "LoRA: Low-rank adaptation of large language models", section 4.1)."""

import math
from collections.abc import Collection

import torch
from torch import Tensor, nn

from merkit.errors import ConfigError
from merkit.models.dropout import Dropout

__all__ = ["LowRankLinear", "adapt"]


class LowRankLinear(nn.Module):
    """`W x + b + (α / r) B A x` with `W` and `b` as they were; only `A (r, in)` and `B (out, r)` learn.

    `B` starts at zero, so that an adapted network begins as the one that it adapts.

    Args:
        base: the layer.
        rank: `r`.
        alpha: `α`.
        dropout: on what `A` reads, in training.

    Example:
        >>> layer = nn.Linear(4, 3)
        >>> adapted = LowRankLinear(layer, rank=2)
        >>> x = torch.randn(5, 4)
        >>> torch.equal(adapted(x), layer(x)), [name for name, p in adapted.named_parameters() if p.requires_grad]
        (True, ['down', 'up'])
    """

    def __init__(self, base: nn.Linear, *, rank: int = 8, alpha: float = 32.0, dropout: float = 0.0) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Parameter(torch.empty(rank, base.in_features))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))  # as torch starts any linear layer
        self.factor, self.dropout = alpha / rank, Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """`(…, in)` to `(…, out)`."""
        return self.base(x) + self.factor * (self.dropout(x) @ self.down.T) @ self.up.T

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """One plain layer that gives the same in evaluation mode."""
        layer = nn.Linear(self.base.in_features, self.base.out_features, bias=self.base.bias is not None)
        layer.weight.copy_(self.base.weight + self.factor * self.up @ self.down)
        if self.base.bias is not None:
            layer.bias.copy_(self.base.bias)
        return layer


def adapt(
    module: nn.Module, names: Collection[str], *, rank: int = 8, alpha: float = 32.0, dropout: float = 0.0
) -> list[str]:
    """Freezes a network and adapts those of its linear layers that have one of the names, in place.

    Args:
        module: the network.
        names: last parts of names, such as `q_proj` and `v_proj`, which are what LoRA's authors found to pay.
        rank: see `LowRankLinear`.
        alpha: see `LowRankLinear`.
        dropout: see `LowRankLinear`.

    Returns:
        The full names of the layers.

    Raises:
        ConfigError: no linear layer has such a name, or the rank is above what one of them has.

    Example:
        >>> network = nn.ModuleDict({"query": nn.Linear(4, 4), "key": nn.Linear(4, 4)})
        >>> adapt(network, ["query"], rank=2), sum(p.numel() for p in network.parameters() if p.requires_grad)
        (['query'], 16)
    """
    found = [
        name
        for name, part in module.named_modules()
        if isinstance(part, nn.Linear) and name.rpartition(".")[2] in names
    ]
    if not found:
        there = {name.rpartition(".")[2] for name, part in module.named_modules() if isinstance(part, nn.Linear)}
        raise ConfigError(f"no linear layer is called {' or '.join(names)}; there are {', '.join(sorted(there))}")
    module.requires_grad_(False)
    for name in found:
        parent, _, last = name.rpartition(".")
        base = module.get_submodule(name)
        assert isinstance(base, nn.Linear)
        if not 1 <= rank <= min(base.in_features, base.out_features):
            raise ConfigError(f"rank {rank}: {name} is {base.in_features} by {base.out_features}")
        module.get_submodule(parent).add_module(last, LowRankLinear(base, rank=rank, alpha=alpha, dropout=dropout))
    return found
