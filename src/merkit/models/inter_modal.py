"""Inter-modal attention: the class token of one modality looks at all tokens of another, whatever their widths.

Siriwardhana et al. 2020, "Multimodal emotion recognition with transformer-based self supervised feature fusion" (IEEE Access
8), section IV-C. Published, every position of the one modality looked at the other, and the first position alone was
read afterwards; positions do not see one another there, so the others were computed for nothing. Here only the class
token looks, and it looks at real tokens only: rows of all clips stand in one tensor without padding.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from merkit.models.attention import fitting_heads
from merkit.models.dropout import Dropout

__all__ = ["InterModalLayer", "InterModalStack", "softmax_by_row"]


def softmax_by_row(score: Tensor, row: Tensor, count: int) -> Tensor:
    """Softmax over all entries that belong to the same row.

    Args:
        score: `(R, H)`.
        row: `(R,)` int64 below `count`.
        count: how many rows there are; one without entries is nothing.

    Example:
        >>> softmax_by_row(torch.tensor([[0.0], [0.0], [5.0]]), torch.tensor([1, 1, 0]), 2).flatten().tolist()
        [0.5, 0.5, 1.0]
    """
    index = row[:, None].expand_as(score)
    highest = score.new_full((count, score.shape[1]), -torch.inf).scatter_reduce(0, index, score.detach(), "amax")
    weight = (score - highest[row]).exp()
    return weight / weight.new_zeros(highest.shape).index_add(0, row, weight)[row]


class InterModalLayer(nn.Module):
    """Attention from one vector a clip to the clip's tokens of another modality, residual, LayerNorm, feed-forward, residual,
    LayerNorm; all in the width of the one that looks.

    Args:
        width: `D_m` of the looking modality.
        other: `D_n` of the one that is looked at.
        heads: 0 = as many as divide `D_m`, at most four.
        feedforward: inner width.
        dropout: on both residual branches and within the feed-forward.
        attention_dropout: on attention weights.

    Example:
        >>> layer = InterModalLayer(8, 6).eval()
        >>> layer(torch.randn(2, 8), torch.randn(5, 6), torch.tensor([0, 0, 1, 1, 1])).shape
        torch.Size([2, 8])
    """

    def __init__(
        self,
        width: int,
        other: int,
        *,
        heads: int = 0,
        feedforward: int = 0,
        dropout: float = 0.1,
        attention_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.heads = fitting_heads(width, heads, "inter-modal attention")
        self.query, self.memory, self.out = (
            nn.Linear(width, width),
            nn.Linear(other, 2 * width),
            nn.Linear(width, width),
        )
        self.inner, self.outer = nn.Linear(width, feedforward or width), nn.Linear(feedforward or width, width)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.dropout, self.attention_dropout = Dropout(dropout), Dropout(attention_dropout)

    def forward(self, x: Tensor, memory: Tensor, row: Tensor) -> Tensor:
        """What each clip found.

        Args:
            x: `(B, D_m)`.
            memory: `(R, D_n)` tokens of all clips.
            row: `(R,)` int64: the clip of each token. A clip without tokens keeps what it has, but for the feed-forward.
        """
        key, value = self.memory(memory).unflatten(-1, (2, self.heads, -1)).unbind(1)
        query = self.query(x).unflatten(-1, (self.heads, -1))
        score = (query[row] * key).sum(-1) / math.sqrt(key.shape[-1])  # (R, H)
        weight = self.attention_dropout(softmax_by_row(score, row, len(x)))
        found = torch.zeros_like(query).index_add(0, row, weight[..., None] * value)
        x = self.norms[0](x + self.dropout(self.out(found.flatten(1))))
        return self.norms[1](x + self.dropout(self.outer(self.dropout(F.gelu(self.inner(x))))))


class InterModalStack(nn.Module):
    """Layers in a row; each looks at the same tokens, as they were before the first.

    Args:
        width: `D_m`.
        other: `D_n`.
        layers: how many.
        heads: see `InterModalLayer`.
        feedforward: see `InterModalLayer`.
        dropout: see `InterModalLayer`.
        attention_dropout: see `InterModalLayer`.

    Example:
        >>> stack = InterModalStack(8, 6, 2, feedforward=16).eval()
        >>> stack(torch.randn(1, 8), torch.randn(3, 6), torch.zeros(3, dtype=torch.int64)).shape
        torch.Size([1, 8])
    """

    def __init__(
        self,
        width: int,
        other: int,
        layers: int,
        *,
        heads: int = 0,
        feedforward: int = 0,
        dropout: float = 0.1,
        attention_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            InterModalLayer(
                width,
                other,
                heads=heads,
                feedforward=feedforward,
                dropout=dropout,
                attention_dropout=attention_dropout,
            )
            for _ in range(layers)
        )

    def forward(self, x: Tensor, memory: Tensor, row: Tensor) -> Tensor:
        """`(B, D_m)`, `(R, D_n)`, `(R,)` to `(B, D_m)`."""
        for layer in self.layers:
            x = layer(x, memory, row)
        return x
