"""Dialogue context: what the turns before and after a clip add to it."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from merkit.data.batch import Tokens
from merkit.errors import ConfigError
from merkit.models.attention import AttentionLayer
from merkit.models.dropout import Dropout
from merkit.models.pooling import build_pooling, hide

__all__ = ["CONTEXTS", "AttentionContext", "DialogueContext", "RecurrentContext", "StreamContext"]


class RecurrentContext(nn.Module):
    """A bidirectional GRU or LSTM over the turns that are there, read at the clip's own place (bc-LSTM: Poria et al.
    2017, "Context-dependent sentiment analysis in user-generated videos").

    Where the clip's own turn is absent, the state after the last turn before it and the state of the first turn after
    it are read: nothing in between is made up.

    Args:
        width: `D`.
        kind: `gru` or `lstm`.
        dropout: on the result.

    Example:
        >>> module = RecurrentContext(4, "gru", 0.0)
        >>> turns, around = torch.randn(3, 4), torch.tensor([[-1, 0, 1], [0, 1, 2]])
        >>> module(turns, torch.ones(3, dtype=torch.bool), around, torch.tensor([[-1, 0, 1]] * 2)).shape
        torch.Size([2, 4])
    """

    def __init__(self, width: int, kind: str, dropout: float) -> None:
        super().__init__()
        cell: Any = {"gru": nn.GRU, "lstm": nn.LSTM}[kind]
        self.cell = cell(width, width, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * width, width)
        self.dropout = Dropout(dropout)

    def forward(self, rows: Tensor, present: Tensor, context: Tensor, position: Tensor) -> Tensor:
        """See `DialogueContext`."""
        # clips that see the same turns (a whole dialogue as context) are read once
        shared, which = torch.unique(context, dim=0, return_inverse=True)
        real = (shared >= 0) & present[shared.clamp_min(0)]  # (U, C)
        length = real.sum(1)
        # the turns that are there move to the front, in their order: a gap is no step of the network
        order = (~real).to(torch.uint8).argsort(dim=1, stable=True)
        turns = hide(rows[shared.clamp_min(0).gather(1, order)], real.gather(1, order))
        packed = pack_padded_sequence(turns, length.clamp_min(1).cpu(), batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.cell(packed)[0], batch_first=True, total_length=context.shape[1])
        forward, backward = states.chunk(2, -1)  # (U, C, D) each

        mine = real[which]
        last = (mine & (position <= 0)).sum(1) - 1  # last turn up to the clip's own, among those that are there
        first = (mine & (position < 0)).sum(1)  # first turn from the clip's own on
        read = torch.cat([_at(forward, which, last, length), _at(backward, which, first, length)], -1)
        return self.dropout(torch.tanh(self.out(read)))


def _at(states: Tensor, which: Tensor, place: Tensor, length: Tensor) -> Tensor:
    """`states[which, place]`, zeros where the place lies outside `[0, length)`."""
    inside = (place >= 0) & (place < length[which])
    return states[which, place.clamp(0, states.shape[1] - 1)].masked_fill(~inside[:, None], 0.0)


class AttentionContext(nn.Module):
    """One transformer layer whose query is the clip and whose keys are the turns around it, each with a code for how
    far it is away (Shaw et al. 2018, "Self-attention with relative position representations").

    Only the clip's own row is asked for, so only it is a query: the cost grows with the turns, not with their square.

    Args:
        width: `D`.
        dropout: on attention and on the result.
        heads: attention heads; 0 = as many as divide the width, at most four.
        farthest: turns further away than this share one code.

    Example:
        >>> module = AttentionContext(4, 0.0, heads=2)
        >>> turns, around = torch.randn(3, 4), torch.tensor([[-1, 0, 1], [0, 1, 2]])
        >>> module(turns, torch.ones(3, dtype=torch.bool), around, torch.tensor([[-1, 0, 1]] * 2)).shape
        torch.Size([2, 4])
    """

    def __init__(self, width: int, dropout: float, *, heads: int = 0, farthest: int = 16) -> None:
        super().__init__()
        self.farthest = farthest
        self.code = nn.Embedding(2 * farthest + 1, width)
        nn.init.normal_(self.code.weight, std=0.02)
        # what the clip asks with where its own turn is absent, and what it finds where nobody else is there
        self.unheard, self.nobody = (nn.Parameter(torch.randn(1, width) * 0.02) for _ in range(2))
        self.layer = AttentionLayer(width, heads=heads, dropout=dropout)

    def forward(self, rows: Tensor, present: Tensor, context: Tensor, position: Tensor) -> Tensor:
        """See `DialogueContext`."""
        real = (context >= 0) & present[context.clamp_min(0)]
        turns = hide(rows[context.clamp_min(0)], real)
        itself = real & (position == 0)
        own = torch.where(itself.any(1, keepdim=True), hide(turns, itself).sum(1), self.unheard)
        turns = turns + self.code(position.clamp(-self.farthest, self.farthest) + self.farthest)
        seen = torch.cat([self.nobody.expand(len(own), 1, -1), turns], 1)
        mask = torch.cat([torch.ones_like(real[:, :1]), real], 1)
        return self.layer(own[:, None], seen, mask)[0][:, 0]


CONTEXTS = ("gru", "lstm", "attention")


class DialogueContext(nn.Module):
    """The turns around each clip as one vector.

    Args:
        width: `D`.
        kind: `gru`, `lstm` (`RecurrentContext`) or `attention` (`AttentionContext`).
        dropout: in training.

    Raises:
        ConfigError: there is no such kind.

    Example:
        >>> module = DialogueContext(4, kind="lstm").eval()
        >>> turns, here = torch.randn(2, 4), torch.ones(2, dtype=torch.bool)
        >>> module(turns, here, torch.tensor([[0, 1]]), torch.tensor([[0, 1]])).shape
        torch.Size([1, 4])
    """

    def __init__(self, width: int, *, kind: str = "gru", dropout: float = 0.1) -> None:
        super().__init__()
        if kind not in CONTEXTS:
            raise ConfigError(f"no dialogue context {kind!r}; there are {', '.join(CONTEXTS)}")
        self.reader = (
            AttentionContext(width, dropout) if kind == "attention" else RecurrentContext(width, kind, dropout)
        )

    def forward(self, rows: Tensor, present: Tensor, context: Tensor, position: Tensor) -> Tensor:
        """`(B, D)`: what each clip's dialogue says, its own turn included.

        Args:
            rows: `(R, D)`, one vector a turn.
            present: `(R,)` bool; turns that are not there count for nothing, whatever their row holds.
            context: `(B, C)` int64 rows around each clip in order of time, itself included; -1 = none.
            position: `(B, C)` int64 turns relative to the clip.
        """
        return self.reader(rows, present, context, position)


class StreamContext(nn.Module):
    """The dialogue as one more token of one modality: each turn's tokens pooled, the turns read around each clip.

    Args:
        width: `D`.
        pooling: a name in `POOLINGS`.
        kind: as in `DialogueContext`.
        dropout: in training.

    Example:
        >>> module = StreamContext(4, pooling="max", kind="gru", dropout=0.0)
        >>> turns = Tokens(torch.randn(3, 5, 4), torch.ones(3, 5, dtype=torch.bool))
        >>> module(turns, torch.tensor([[-1, 0, 1]]), torch.tensor([[-1, 0, 1]])).x.shape
        torch.Size([1, 1, 4])
    """

    def __init__(self, width: int, *, pooling: str, kind: str, dropout: float) -> None:
        super().__init__()
        pool = build_pooling(pooling, width)
        self.pool: Any = pool
        self.narrow = nn.Identity() if pool.width == width else nn.Linear(pool.width, width)
        self.dialogue = DialogueContext(width, kind=kind, dropout=dropout)

    def forward(self, tokens: Tokens, context: Tensor, position: Tensor) -> Tokens:
        """`(R, T, D)` to `(B, 1, D)`; masked where no turn of the dialogue has the modality."""
        present = tokens.present
        x = self.dialogue(self.narrow(self.pool(tokens.x, tokens.mask)), present, context, position)
        known = ((context >= 0) & present[context.clamp_min(0)]).any(1, keepdim=True)
        return Tokens(hide(x[:, None], known), known)
