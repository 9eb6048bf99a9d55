"""Attention as a tracer can follow it: padded sequences with a mask, whatever their lengths, and no short cuts for short ones."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from merkit.models.attention import AttentionLayer
from merkit.models.inter_modal import InterModalStack
from merkit.models.pooling import hide
from merkit.models.ragged import RaggedEncoder
from merkit.models.stages import AttentionStages

__all__ = ["TracedAttentionLayer", "TracedAttentionStages", "look", "seen_by", "within"]


def seen_by(mask: Tensor) -> Tensor:
    """`(B, T)` what may be looked at: what is real, or everything where nothing is, whose answers are thrown away."""
    return mask | ~mask.any(-1, keepdim=True)


class TracedAttentionLayer(AttentionLayer):
    """`AttentionLayer` without the other way for few tokens, and without weights to look at."""

    def forward(
        self, query: Tensor, memory: Tensor, mask: Tensor | None = None, which: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """The tokens that looked, and None."""
        own = {"which": which} if self.grouped else {}
        n, width, length = query.shape[-2], query.shape[-1], memory.shape[-2]
        size = width // self.heads
        q = self.query(query, **own).reshape(-1, n, self.heads, size).transpose(1, 2)
        k, v = self.memory(memory, **own).reshape(-1, length, 2, self.heads, size).unbind(2)
        seen = None if mask is None else mask.reshape(-1, length)[:, None, None]
        found = F.scaled_dot_product_attention(q, k.transpose(1, 2), v.transpose(1, 2), seen).transpose(1, 2)
        x = self.norms[0](query + self.out(found.reshape(query.shape), **own), **own)
        return self.norms[1](x + self.outer(self.activation(self.inner(x, **own)), **own), **own), None


class TracedAttentionStages(AttentionStages):
    """`AttentionStages` stack by stack: which sequences are of one length is not known when a graph is made."""

    def forward(
        self, queries: Sequence[Tensor], memories: Sequence[Tensor] | None, masks: Sequence[Tensor]
    ) -> tuple[list[Tensor], list[Tensor | None]]:
        """States, and no weights."""
        states: list[Tensor] = []
        for i, query in enumerate(queries):
            x = query[None]
            for layer in self.layers:
                memory = x if memories is None else memories[i][None]
                x, _ = layer(x, memory, masks[i][None], [i])
            states.append(x[0])
        return states, [None] * self.groups


def within(encoder: RaggedEncoder, x: Tensor, mask: Tensor) -> Tensor:
    """What `RaggedEncoder` makes of the rows of `B` sequences, padded.

    Args:
        encoder: its layers.
        x: `(B, T, D)`.
        mask: `(B, T)`, True = real. Sequences without any give numbers that mean nothing.

    Example:
        >>> from merkit.models.ragged import RaggedRows
        >>> encoder, x = RaggedEncoder(8, 2).eval(), torch.randn(2, 3, 8)
        >>> mask = torch.tensor([[True, True, True], [True, False, True]])
        >>> rows = RaggedRows.of(mask.nonzero()[:, 0], torch.arange(5), 8)
        >>> torch.allclose(within(encoder, x, mask)[mask], encoder(x[mask], rows)[0], atol=1e-6)
        True
    """
    x, seen = hide(x, mask), seen_by(mask)[:, None, None]
    for layer in encoder.layers:
        own: Any = layer
        q, (key, value) = own.query(x), own.memory(x).chunk(2, -1)
        q, k, v = (each.unflatten(-1, (own.heads, -1)).transpose(1, 2) for each in (q, key, value))
        found = F.scaled_dot_product_attention(q, k, v, seen).transpose(1, 2).flatten(2)
        x = own.norms[0](x + own.out(found))
        x = own.norms[1](x + own.outer(own.activation(own.inner(x))))
    return x


def look(stack: InterModalStack, x: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
    """What `InterModalStack` finds in padded tokens.

    Args:
        stack: its layers.
        x: `(B, D_m)`.
        memory: `(B, T, D_n)`.
        mask: `(B, T)`.

    Example:
        >>> stack, x, memory = InterModalStack(8, 6, 2).eval(), torch.randn(2, 8), torch.randn(2, 3, 6)
        >>> mask = torch.tensor([[True, True, False], [True, False, False]])
        >>> torch.allclose(look(stack, x, memory, mask), stack(x, memory[mask], torch.tensor([0, 0, 1])), atol=1e-6)
        True
    """
    memory = hide(memory, mask)
    real = mask[:, None].to(x.dtype)  # (B, 1, T)
    for layer in stack.layers:
        own: Any = layer
        key, value = own.memory.weight.unflatten(0, (2, own.heads, -1)).unbind(0)
        query = own.query(x).unflatten(-1, (own.heads, -1)) / math.sqrt(key.shape[1])
        score = torch.einsum("bhd,hdn->bhn", query, key) @ memory.transpose(1, 2)  # (B, H, T)
        weight = score.masked_fill(~mask[:, None], torch.finfo(score.dtype).min).softmax(-1) * real
        found = torch.einsum("bhn,hdn->bhd", weight @ memory, value).flatten(1)
        found = found + mask.any(1, keepdim=True).to(x.dtype) * own.memory.bias[x.shape[1] :]
        x = own.norms[0](x + own.out(found))
        x = own.norms[1](x + own.outer(F.gelu(own.inner(x))))
    return x
