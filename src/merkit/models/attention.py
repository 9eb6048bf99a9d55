"""One transformer layer in which some tokens look at others, and the code for where a token stands."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from merkit.errors import ConfigError
from merkit.models.dropout import Dropout
from merkit.models.grouped import GroupedLinear, GroupedNorm

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

    With `groups` it is `G` layers of the same size at once, each with its own parameters: one matrix product in place
    of `G`, and as few parameters for the optimiser to visit as one layer has.

    Args:
        width: `D`.
        heads: 0 = as many as divide the width, at most four.
        feedforward: inner width; 0 = the width.
        dropout: on both residual branches.
        attention_dropout: on the attention weights. 0 unless asked for: torch's fused kernel for the CPU has none, and
            the way around it costs more than the rest of the layer.
        activation: `relu`, or `gelu`, which costs several times as much on a CPU.
        groups: `G`; 0 = one plain layer.

    Example:
        >>> layer = AttentionLayer(8).eval()
        >>> x, weights = layer(torch.randn(2, 1, 8), torch.randn(2, 5, 8), torch.tensor([[True] * 5, [True] * 2 + [False] * 3]))
        >>> x.shape, weights[1, 0, 2:].tolist()
        (torch.Size([2, 1, 8]), [0.0, 0.0, 0.0])
        >>> AttentionLayer(8, groups=3)(torch.randn(3, 2, 1, 8), torch.randn(3, 2, 5, 8))[0].shape
        torch.Size([3, 2, 1, 8])
    """

    def __init__(
        self,
        width: int,
        *,
        heads: int = 0,
        feedforward: int = 0,
        dropout: float = 0.1,
        attention_dropout: float = 0.0,
        activation: Literal["relu", "gelu"] = "relu",
        groups: int = 0,
    ) -> None:
        super().__init__()
        self.heads, self.attention_dropout = fitting_heads(width, heads, "attention"), attention_dropout
        inner = feedforward or width
        linear: Any = partial(GroupedLinear, groups) if groups else nn.Linear
        norm: Any = partial(GroupedNorm, groups) if groups else nn.LayerNorm
        self.grouped = groups > 0
        self.query, self.memory, self.out = linear(width, width), linear(width, 2 * width), linear(width, width)
        self.inner, self.outer = linear(width, inner), linear(inner, width)
        self.norms: Any = nn.ModuleList([norm(width), norm(width)])
        self.activation = {"relu": F.relu, "gelu": F.gelu}[activation]
        self.dropout = Dropout(dropout)

    def forward(
        self, query: Tensor, memory: Tensor, mask: Tensor | None = None, which: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Tokens that looked, and in evaluation mode what they looked at.

        Args:
            query: `(B, Q, D)`, grouped `(G, B, Q, D)`.
            memory: `(B, L, D)`, grouped `(G, B, L, D)`.
            mask: `(B, L)` bool, True = may be looked at, grouped `(G, B, L)`; None = all.
            which: the groups that are given; None = all of them.

        Returns:
            The shape of `query`, and weights `(…, Q, L)`, the mean over heads; None in training.
        """
        own: dict[str, Any] = {"which": which} if self.grouped else {}
        *rows, n, width = query.shape
        length = memory.shape[-2]
        q = self.query(query, **own).reshape(-1, n, self.heads, width // self.heads)
        k, v = self.memory(memory, **own).reshape(-1, length, 2, self.heads, width // self.heads).unbind(2)
        visible = None if mask is None else mask.reshape(-1, length)
        found = self._attend(q, k, v, visible)
        x = self.norms[0](query + self.dropout(self.out(found.reshape(query.shape), **own)), **own)
        inner = self.activation(self.inner(x, **own))
        x = self.norms[1](x + self.dropout(self.outer(inner, **own)), **own)
        return x, None if self.training else _weights(q, k, visible).reshape(*rows, n, length)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, visible: Tensor | None) -> Tensor:
        """`(R, Q, H, d)` and `(R, L, H, d)` to `(R, Q, H, d)`."""
        rate = self.attention_dropout if self.training else 0.0
        if q.shape[1] * k.shape[1] <= 8 and not rate:
            # Among so few tokens the fused kernel spends its time on getting started, row by row.
            score = (q[:, :, None] * k[:, None]).sum(-1) / math.sqrt(q.shape[-1])  # (R, Q, L, H)
            if visible is not None:
                score = score.masked_fill(~visible[:, None, :, None], -torch.inf)
            return (score.softmax(2)[..., None] * v[:, None]).sum(2)
        seen = None if visible is None else visible[:, None, None]
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v, seen, dropout_p=rate).transpose(1, 2)


@torch.no_grad()
def _weights(q: Tensor, k: Tensor, visible: Tensor | None) -> Tensor:
    """`(R, Q, L)`, which the fused kernel does not give out."""
    score = torch.einsum("rqhd,rlhd->rhql", q, k) / math.sqrt(q.shape[-1])
    if visible is not None:
        score = score.masked_fill(~visible[:, None, None], -torch.inf)
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
        if x.shape[1] == 1:
            return x + self.table[0]
        place = (mask.cumsum(1) - 1).clamp(0, len(self.table) - 1)
        return x + F.embedding(place, self.table)
