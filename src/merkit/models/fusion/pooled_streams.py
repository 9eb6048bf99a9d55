"""Every modality as one vector a row."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from merkit.data.batch import Tokens
from merkit.models.pooling import build_pooling

__all__ = ["PooledStreams", "to_one_width"]


def to_one_width(widths: Mapping[str, int], width: int) -> Any:
    """A module for each modality that brings its tokens to `width`; one that has it already is left as it is.

    Example:
        >>> to_one_width({"text": 8, "speech": 6}, 8)["text"]
        Identity()
    """
    return nn.ModuleDict(
        {name: nn.Identity() if size == width else nn.Linear(size, width) for name, size in widths.items()}
    )


class PooledStreams(nn.Module):
    """Pools each modality over time; rows without the modality get its learned vector instead.

    That vector starts at zero and learns only from rows that lack the modality (or lost it to modality dropout).

    Args:
        widths: modality -> `D_m`.
        pooling: a name in `POOLINGS`; or modality -> name, `mean` where it is not named.
        learned: False leaves those vectors out: zeros, for fusions that have a better answer to absence.

    Example:
        >>> streams = PooledStreams({"text": 2}, "mean")
        >>> streams({"text": Tokens(torch.ones(1, 3, 2), torch.zeros(1, 3, dtype=torch.bool))})["text"].tolist()
        [[0.0, 0.0]]
    """

    def __init__(self, widths: Mapping[str, int], pooling: str | Mapping[str, str], *, learned: bool = True) -> None:
        super().__init__()
        named = {name: pooling if isinstance(pooling, str) else pooling.get(name, "mean") for name in widths}
        poolings = {name: build_pooling(named[name], width) for name, width in widths.items()}
        self.widths = {name: module.width for name, module in poolings.items()}
        modules: Any = poolings
        self.poolings = nn.ModuleDict(modules)
        self.absent: Any = None
        if learned:
            self.absent = nn.ParameterDict({name: torch.zeros(width) for name, width in self.widths.items()})

    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Tensor]:
        """`{modality: (B, P_m)}` in the order of `widths`."""
        pooled = {name: pool(tokens[name].x, tokens[name].mask) for name, pool in self.poolings.items()}
        if self.absent is None:
            return pooled
        return {name: torch.where(tokens[name].present[:, None], x, self.absent[name]) for name, x in pooled.items()}
