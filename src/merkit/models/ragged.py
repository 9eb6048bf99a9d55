"""Sequences of different lengths without padding: rows of all of them in one tensor, and attention group by group.

Everything that looks at one token at a time (projections, norms, feed-forward: nearly all of a transformer's arithmetic)
runs over the real rows alone. Only attention needs to know which rows belong together; it is computed for groups of
sequences of nearly one length, so that almost nothing is padded there either.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from merkit.errors import ConfigError
from merkit.models.attention import fitting_heads
from merkit.models.dropout import Dropout

__all__ = ["RaggedEncoder", "RaggedLayer", "RaggedRows", "SequenceGroup"]

# Two sequences share a group if padding the shorter one costs less arithmetic than starting one more kernel does (some
# 50 µs: a few million multiply-adds).
_WORTH_A_START = 4e6


@dataclass(frozen=True, slots=True, eq=False)
class SequenceGroup:
    """Sequences that attention handles at once.

    Args:
        rows: `(b, T)` int64: place of each token among all rows; 0 where `real` is False.
        real: `(b, T)` bool; None where all are of one length.
        asks: `(b, Q)` int64: place, among the WANTED rows, of those that belong to these sequences.
        asking: `(b, Q)` bool, or None.
    """

    rows: Tensor
    real: Tensor | None
    asks: Tensor
    asking: Tensor | None


@dataclass(frozen=True, slots=True, eq=False)
class RaggedRows:
    """Which rows make up which sequence.

    Args:
        groups: the sequences by length.
        wanted: `(W,)` int64: rows whose answers the last layer is to give.
        order: `(R,)` int64: where each row stands when the groups' real rows are put behind one another.
        wanted_order: `(W,)` int64: the same for the wanted rows.

    Example:
        >>> layout = RaggedRows.of(torch.tensor([0, 1, 0, 0, 1]), torch.tensor([2, 1]), width=8)
        >>> [group.rows.tolist() for group in layout.groups], layout.order.tolist()
        ([[[0, 2, 3], [1, 4, 0]]], [0, 3, 1, 2, 4])
    """

    groups: tuple[SequenceGroup, ...]
    wanted: Tensor
    order: Tensor
    wanted_order: Tensor

    @classmethod
    def of(cls, sequence: Tensor, wanted: Tensor, width: int) -> "RaggedRows":
        """Sorts rows into sequences.

        Args:
            sequence: `(R,)` int64: the sequence that each row belongs to, in any order.
            wanted: `(W,)` int64 rows whose answers the last layer is to give; at least one of every sequence.
            width: `D`, by which the cost of padding is judged.
        """
        lengths = torch.bincount(sequence).tolist()
        rows = torch.argsort(sequence, stable=True).split(lengths)
        asked = sequence[wanted]
        asks = torch.argsort(asked, stable=True).split(torch.bincount(asked, minlength=len(lengths)).tolist())
        together = _alike(lengths, width)
        groups = tuple(
            SequenceGroup(*_stacked([rows[i] for i in members]), *_stacked([asks[i] for i in members]))
            for members in together
        )
        everyone = [i for members in together for i in members]
        order = torch.argsort(torch.cat([rows[i] for i in everyone]))
        return cls(groups, wanted, order, torch.argsort(torch.cat([asks[i] for i in everyone])))


def _alike(lengths: Sequence[int], width: int) -> list[list[int]]:
    """Sequences in groups, longest first; empty ones are in none."""
    groups: list[list[int]] = []
    for i in sorted((i for i, n in enumerate(lengths) if n), key=lambda i: -lengths[i]):
        longest = lengths[groups[-1][0]] if groups else 0
        if groups and (longest**2 - lengths[i] ** 2) * width * 2 <= _WORTH_A_START:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def _stacked(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    """`(b, T)` row numbers, and which of them are real where the lengths differ."""
    lengths = [len(each) for each in rows]
    if min(lengths) == max(lengths):
        return torch.stack(list(rows)), None
    taken = nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
    place = torch.arange(taken.shape[1], device=taken.device)
    return taken, place < torch.tensor(lengths, device=taken.device)[:, None]


class RaggedLayer(nn.Module):
    """`torch.nn.TransformerEncoderLayer`, post-norm, over rows of ragged sequences (Vaswani et al. 2017).

    Args:
        width: `D`.
        heads: 0 = as many as divide the width, at most four.
        feedforward: inner width.
        dropout: on both residual branches and within the feed-forward.
        attention_dropout: on the attention weights; not 0 keeps the fused kernel for the CPU from being used.
        activation: of the feed-forward.

    Example:
        >>> layer = RaggedLayer(8, feedforward=16).eval()
        >>> reference = nn.TransformerEncoderLayer(8, 4, 16, batch_first=True).eval()
        >>> layer.load_torch(reference)
        >>> x = torch.randn(5, 8)
        >>> rows = RaggedRows.of(torch.tensor([0, 0, 1, 1, 1]), torch.arange(5), width=8)
        >>> alone = torch.cat([reference(x[None, :2])[0], reference(x[None, 2:])[0]])
        >>> bool(torch.allclose(layer(x, rows)[0], alone, atol=1e-5))
        True
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
    ) -> None:
        super().__init__()
        if not 0 <= attention_dropout < 1:
            raise ConfigError(f"attention_dropout must lie in [0, 1), not {attention_dropout}")
        self.heads, self.attention_dropout = fitting_heads(width, heads, "attention"), attention_dropout
        self.query, self.memory, self.out = (
            nn.Linear(width, width),
            nn.Linear(width, 2 * width),
            nn.Linear(width, width),
        )
        for linear in (self.query, self.memory):
            # as torch.nn.MultiheadAttention begins: queries, keys and values as one matrix, no bias
            bound = math.sqrt(6 / (4 * width))
            nn.init.uniform_(linear.weight, -bound, bound)
            nn.init.zeros_(linear.bias)
        nn.init.zeros_(self.out.bias)
        self.inner, self.outer = nn.Linear(width, feedforward or width), nn.Linear(feedforward or width, width)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.dropout = Dropout(dropout)
        self.activation = {"relu": F.relu, "gelu": F.gelu}[activation]

    def forward(
        self, x: Tensor, rows: RaggedRows, *, last: bool = False, weights: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        """Rows that looked at all rows of their own sequence.

        Args:
            x: `(R, D)`.
            rows: which belong together.
            last: give the wanted rows alone, `(W, D)`; no other row is computed beyond its key and value.
            weights: also give, per group, what the wanted rows looked at: `(b, Q, T)`, the mean over heads.
        """
        asked = x[rows.wanted] if last else x
        query = self.query(asked)
        key, value = self.memory(x).chunk(2, -1)
        rate = self.attention_dropout if self.training else 0.0
        found, looked = [], []
        for group in rows.groups:
            k, v = self._heads(key[group.rows]), self._heads(value[group.rows])
            at, real = (group.asks, group.asking) if last else (group.rows, group.real)
            q = self._heads(query[at])
            seen = None if group.real is None else group.real[:, None, None]
            answer = F.scaled_dot_product_attention(q, k, v, seen, dropout_p=rate).transpose(1, 2).flatten(2)
            found.append(answer.flatten(0, 1) if real is None else answer[real])
            if weights:
                looked.append(_looked(q if last else self._heads(query[rows.wanted[group.asks]]), k, seen))
        order = rows.wanted_order if last else rows.order
        y = self.norms[0](asked + self.dropout(self.out(torch.cat(found)[order])))
        y = self.norms[1](y + self.dropout(self.outer(self.dropout(self.activation(self.inner(y))))))
        return y, looked

    def _heads(self, x: Tensor) -> Tensor:
        """`(b, T, D)` to `(b, H, T, d)`."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    @torch.no_grad()
    def load_torch(self, layer: nn.TransformerEncoderLayer) -> None:
        """Takes the weights of torch's own layer of the same size."""
        width = self.query.in_features
        attention = layer.self_attn
        assert attention.in_proj_weight is not None and attention.in_proj_bias is not None
        self.query.weight.copy_(attention.in_proj_weight[:width])
        self.query.bias.copy_(attention.in_proj_bias[:width])
        self.memory.weight.copy_(attention.in_proj_weight[width:])
        self.memory.bias.copy_(attention.in_proj_bias[width:])
        self.out.load_state_dict(attention.out_proj.state_dict())
        self.inner.load_state_dict(layer.linear1.state_dict())
        self.outer.load_state_dict(layer.linear2.state_dict())
        self.norms[0].load_state_dict(layer.norm1.state_dict())
        self.norms[1].load_state_dict(layer.norm2.state_dict())


@torch.no_grad()
def _looked(q: Tensor, k: Tensor, seen: Tensor | None) -> Tensor:
    """`(b, H, Q, d)` and `(b, H, T, d)` to `(b, Q, T)`; the fused kernel does not give them out."""
    score = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    return (score if seen is None else score.masked_fill(~seen, -torch.inf)).softmax(-1).mean(1)


class RaggedEncoder(nn.Module):
    """Layers in a row. The last one answers for the wanted rows alone, which saves it most of its work.

    Args:
        width: `D`.
        layers: how many.
        heads: see `RaggedLayer`.
        feedforward: inner width.
        dropout: see `RaggedLayer`.
        attention_dropout: see `RaggedLayer`.
        activation: see `RaggedLayer`.

    Example:
        >>> encoder = RaggedEncoder(8, 2).eval()
        >>> rows = RaggedRows.of(torch.tensor([0, 0, 1]), torch.tensor([0, 2]), width=8)
        >>> answers, looked = encoder(torch.randn(3, 8), rows, weights=True)
        >>> answers.shape, [each.sum(-1).allclose(torch.ones(1)) for each in looked]
        (torch.Size([2, 8]), [True])
    """

    def __init__(
        self,
        width: int,
        layers: int,
        *,
        heads: int = 0,
        feedforward: int = 0,
        dropout: float = 0.1,
        attention_dropout: float = 0.0,
        activation: Literal["relu", "gelu"] = "relu",
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            RaggedLayer(
                width,
                heads=heads,
                feedforward=feedforward,
                dropout=dropout,
                attention_dropout=attention_dropout,
                activation=activation,
            )
            for _ in range(layers)
        )

    def forward(self, x: Tensor, rows: RaggedRows, *, weights: bool = False) -> tuple[Tensor, list[Tensor]]:
        """`(R, D)` to `(W, D)`, and the last layer's attention per group where `weights` is set."""
        looked: list[Tensor] = []
        for i, layer in enumerate(self.layers):
            last = i == len(self.layers) - 1
            x, looked = layer(x, rows, last=last, weights=weights and last)
        return x, looked
