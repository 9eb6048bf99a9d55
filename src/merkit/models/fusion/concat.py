"""Concatenation: every modality pooled over time, side by side."""

from collections.abc import Mapping

import torch
from torch import nn

from merkit.data.batch import Tokens
from merkit.models.dropout import Dropout
from merkit.models.fusion.contract import Fused
from merkit.models.fusion.pooled_streams import PooledStreams

__all__ = ["ConcatFusion"]


class ConcatFusion(nn.Module):
    """Pooled vectors side by side; an absent modality is a learned vector of its own.

    The plainest fusion and the baseline for all others. A hidden layer that lets modalities interact belongs to the
    model around it (`hidden=`).

    Args:
        widths: modality -> `D_m`.
        width: ignored: concatenation keeps the widths it is given.
        labels: ignored.
        dropout: on the joint vector.
        pooling: a name in `POOLINGS`, or modality -> name.

    Example:
        >>> fusion = ConcatFusion({"text": 4, "speech": 6}, pooling="mean_max")
        >>> tokens = {name: Tokens(torch.randn(2, 3, d), torch.ones(2, 3, dtype=torch.bool))
        ...     for name, d in (("text", 4), ("speech", 6))}
        >>> fusion(tokens).x.shape, fusion.width
        (torch.Size([2, 20]), 20)
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        *,
        width: int = 64,
        labels: int = 1,
        dropout: float = 0.1,
        pooling: str | Mapping[str, str] = "mean",
    ) -> None:
        super().__init__()
        self.streams = PooledStreams(widths, pooling)
        self.width = sum(self.streams.widths.values())
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """See `Fusion`; `E` is the sum of the pooled widths."""
        return Fused(self.dropout(torch.cat(list(self.streams(tokens).values()), -1)))
