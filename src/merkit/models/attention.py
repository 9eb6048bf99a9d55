"""One transformer layer in which some tokens look at others, and the code for where a token stands."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from merkit.errors import ConfigError

__all__ = ["AttentionLayer", "PositionCode", "fitting_heads"]


def fitting_heads(width: int, heads: int, what: str) -> int:
    """`heads`, or as many as divide `width`, at most four, where `heads` is 0.

    Raises:
        ConfigError: `width` is no multiple of `heads`.

    Example:
        >>> fitting_heads(64, 0, "fusion"), fitting_heads(30, 0, "fusion"), fitting_heads(64, 8, "fusion")
        (4, 2, 8)
    """
    heads = heads or math.gcd(width, 4)
    if heads < 1 or width % heads:
        raise ConfigError(f"{what}: width {width} is no multiple of {heads} heads")
    return heads


class AttentionLayer(nn.Module):
    """Attention, residual, LayerNorm, feed-forward, residual, LayerNorm (Vaswani et al. 2017, post-norm).

    Every row must have at least one key that is not masked: callers put a learned token first.

    Args:
        width: `D`.
        heads: 0 = as many as divide the width, at most four.
        feedforward: inner width; 0 = twice the width.
        dropout: on attention weights and on both residual branches.

    Example:
        >>> layer = AttentionLayer(8).eval()
        >>> x, weights = layer(torch.randn(2, 1, 8), torch.randn(2, 5, 8), torch.tensor([[True] * 5, [True] * 2 + [False] * 3]))
        >>> x.shape, weights[1, 0, 2:].tolist()
        (torch.Size([2, 1, 8]), [0.0, 0.0, 0.0])
    """

    def __init__(self, width: int, *, heads: int = 0, feedforward: int = 0, dropout: float = 0.1) -> None:
        super().__init__()
        self.heads, self.rate = fitting_heads(width, heads, "attention"), dropout
        self.query, self.memory = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        inner = feedforward or 2 * width
        self.feedforward = nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.dropout = nn.Dropout(dropout)

    def forward(self, query: Tensor, memory: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Tokens that looked, and in evaluation mode what they looked at.

        Args:
            query: `(B, Q, D)`.
            memory: `(B, L, D)`.
            mask: `(B, L)` bool, True = may be looked at; None = all.

        Returns:
            `(B, Q, D)`, and weights `(B, Q, L)`, the mean over heads; None in training.
        """
        b, n, d = query.shape
        q = self.query(query).view(b, n, self.heads, -1).transpose(1, 2)
        k, v = self.memory(memory).view(b, memory.shape[1], 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        visible = None if mask is None else mask[:, None, None]
        found = F.scaled_dot_product_attention(q, k, v, visible, dropout_p=self.rate if self.training else 0.0)
        x = self.norms[0](query + self.dropout(self.out(found.transpose(1, 2).reshape(b, n, d))))
        x = self.norms[1](x + self.dropout(self.feedforward(x)))
        return x, None if self.training else _weights(q, k, visible)


@torch.no_grad()
def _weights(q: Tensor, k: Tensor, visible: Tensor | None) -> Tensor:
    """What the fused kernel does not give out."""
    score = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if visible is not None:
        score = score.masked_fill(~visible, -torch.inf)
    return score.softmax(-1).mean(1)


class PositionCode(nn.Module):
    """The sinusoids of Vaswani et al. 2017 (section 3.5), added by a token's place among the REAL tokens of its row, so
    that padding before, between or behind them changes nothing.

    Args:
        width: `D`.
        longest: later places share the last code.

    Example:
        >>> code = PositionCode(4)
        >>> a = code(torch.zeros(1, 2, 4), torch.tensor([[True, True]]))
        >>> b = code(torch.zeros(1, 3, 4), torch.tensor([[True, False, True]]))
        >>> bool((a[0, 1] == b[0, 2]).all())
        True
    """

    def __init__(self, width: int, longest: int = 4096) -> None:
        super().__init__()
        self.table: Tensor
        rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000) / width))
        angle = torch.arange(longest)[:, None] * rate
        table = torch.stack([angle.sin(), angle.cos()], -1).flatten(1)[:, :width]
        self.register_buffer("table", table, persistent=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`x (B, T, D)` and `mask (B, T)` to `(B, T, D)`."""
        place = (mask.cumsum(1) - 1).clamp(0, len(self.table) - 1)
        return x + F.embedding(place, self.table)
