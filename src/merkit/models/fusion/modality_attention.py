"""Attention over modalities: each modality is one token, and they look at one another."""

from collections.abc import Mapping

import torch
from torch import nn

from merkit.data.batch import Tokens
from merkit.models.attention import AttentionLayer
from merkit.models.fusion.contract import Fused
from merkit.models.fusion.pooled_streams import PooledStreams

__all__ = ["ModalityAttentionFusion"]


class ModalityAttentionFusion(nn.Module):
    """Multi-head attention over `(B, M, D)`, the modalities of one row, never over rows (the published form of this
    fusion feeds `(B, D)` and so attends over the batch).

    Nobody looks at an absent modality. It looks itself, from a learned vector, so that its place in the result holds
    what the others say about it. A learned token that is always there keeps attention defined where all are absent.

    Args:
        widths: modality -> `D_m`.
        width: `D` of the modality tokens.
        labels: ignored.
        dropout: in the layers.
        pooling: a name in `POOLINGS`, or modality -> name.
        heads: 0 = as many as divide `width`, at most four.
        layers: how often they look.
        feedforward: inner width of a layer; 0 = the width.

    Example:
        >>> fusion = ModalityAttentionFusion({"text": 4, "speech": 6}, width=8).eval()
        >>> tokens = {name: Tokens(torch.randn(2, 3, d), torch.ones(2, 3, dtype=torch.bool))
        ...     for name, d in (("text", 4), ("speech", 6))}
        >>> fused = fusion(tokens)
        >>> fused.x.shape, fused.attention["modalities"].shape
        (torch.Size([2, 16]), torch.Size([2, 2, 3]))
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        *,
        width: int = 64,
        labels: int = 1,
        dropout: float = 0.1,
        pooling: str | Mapping[str, str] = "mean",
        heads: int = 0,
        layers: int = 1,
        feedforward: int = 0,
    ) -> None:
        super().__init__()
        self.streams = PooledStreams(widths, pooling)
        self.inward = nn.ModuleDict({name: nn.Linear(size, width) for name, size in self.streams.widths.items()})
        self.always = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.layers = nn.ModuleList(
            AttentionLayer(width, heads=heads, feedforward=feedforward, dropout=dropout) for _ in range(layers)
        )
        self.width = len(widths) * width

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """See `Fusion`; `E = M D`. Attention: `modalities (B, M, 1 + M)`, the first column is the learned token."""
        pooled = self.streams(tokens)
        x = torch.stack([self.inward[name](vector) for name, vector in pooled.items()], 1)
        present = torch.stack([tokens[name].present for name in pooled], 1)
        visible = torch.cat([torch.ones_like(present[:, :1]), present], 1)
        weights = None
        for layer in self.layers:
            x, weights = layer(x, torch.cat([self.always.expand(len(x), -1, -1), x], 1), visible)
        return Fused(x.flatten(1), attention={} if weights is None else {"modalities": weights})
