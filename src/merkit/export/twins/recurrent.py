"""Recurrent networks as a tracer can follow them: one step, scanned over padded sequences of any length.

torch unrolls an LSTM into as many copies as the example has steps; a scan stays one step, in ONNX too. The backward
direction reads each row's real steps from its own end, as packing does.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan

from merkit.models.context import RecurrentContext
from merkit.models.merc2020.recurrent import AttentiveBiLSTM
from merkit.models.pooling import hide

__all__ = ["TracedBiLSTM", "TracedRecurrentContext", "both_ways", "to_front"]


def to_front(mask: Tensor) -> Tensor:
    """`(B, T)` int64: where the real places of each row are, those first and in their order; 0 behind them.

    Example:
        >>> to_front(torch.tensor([[False, True, True], [True, False, False]])).tolist()
        [[1, 2, 0], [0, 0, 0]]
    """
    steps = mask.shape[1]
    place = mask.long().cumsum(1) - 1
    at = torch.where(mask, place, torch.full_like(place, steps))  # the others land on one spare place
    order = torch.zeros_like(torch.cat([place, place[:, :1]], 1))
    numbers = torch.arange(steps, device=mask.device).expand(mask.shape[0], steps)
    return order.scatter(1, at, numbers)[:, :steps]


def both_ways(cell: nn.LSTM | nn.GRU, x: Tensor, length: Tensor) -> Tensor:
    """States of one bidirectional layer, forwards and backwards side by side: `(B, T, 2 h)`.

    Args:
        cell: of one layer.
        x: `(B, T, D)`, real steps first.
        length: `(B,)` how many are real; what stands behind them means nothing in the result either.

    Example:
        >>> cell, x = nn.GRU(3, 4, batch_first=True, bidirectional=True), torch.randn(1, 5, 3)
        >>> torch.allclose(both_ways(cell, x, torch.tensor([3]))[:, :3], cell(x[:, :3])[0], atol=1e-6)
        True
    """
    step = torch.arange(x.shape[1], device=x.device)
    back = (length[:, None] - 1 - step).clamp_min(0)  # (B, T): the same steps from behind
    forward = _one_way(cell, x, "")
    backward = _one_way(cell, _taken(x, back), "_reverse")
    return torch.cat([forward, _taken(backward, back)], -1)


def _taken(x: Tensor, at: Tensor) -> Tensor:
    return x.gather(1, at[..., None].expand(-1, -1, x.shape[2]))


def _one_way(cell: Any, x: Tensor, which: str) -> Tensor:
    weight, bias = getattr(cell, f"weight_hh_l0{which}"), getattr(cell, f"bias_hh_l0{which}")
    inside = x @ getattr(cell, f"weight_ih_l0{which}").T + getattr(cell, f"bias_ih_l0{which}")
    begin = x.new_zeros(x.shape[0], cell.hidden_size)

    def lstm(carry: tuple[Tensor, Tensor], own: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
        h, c = carry
        into, forget, new, out = (own + h @ weight.T + bias).chunk(4, -1)
        c = forget.sigmoid() * c + into.sigmoid() * new.tanh()
        h = out.sigmoid() * c.tanh()
        return (h, c), h.clone()

    def gru(h: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        reset, update, new = own.chunk(3, -1)
        reset_h, update_h, new_h = (h @ weight.T + bias).chunk(3, -1)
        keep = (update + update_h).sigmoid()
        made = (new + (reset + reset_h).sigmoid() * new_h).tanh()
        h = made + keep * (h - made)
        return h, h.clone()

    steps = inside.transpose(0, 1)
    step, carry = (lstm, (begin, begin.clone())) if isinstance(cell, nn.LSTM) else (gru, begin)
    if torch.compiler.is_compiling() or torch.compiler.is_exporting():
        return scan(step, carry, steps)[1].transpose(0, 1)
    states = []  # outside of a graph, a scan would be compiled before it runs
    for own in steps:
        carry, state = step(carry, own)  # ty: ignore[invalid-argument-type]
        states.append(state)
    return torch.stack(states, 1)


class TracedBiLSTM(AttentiveBiLSTM):
    """`AttentiveBiLSTM` over padded frames."""

    def feature(self, x: Tensor, mask: Tensor) -> Tensor:
        """`(B, T, D)` and `mask (B, T)` to `(B, width)`."""
        x = _taken(hide(x, mask), to_front(mask))
        length = mask.long().sum(1)
        real = torch.arange(x.shape[1], device=x.device) < length[:, None]
        return self.attention(both_ways(self.encoder, x, length), real)


class TracedRecurrentContext(RecurrentContext):
    """`RecurrentContext`, reading the turns of every clip, also of those that see the same."""

    def forward(self, rows: Tensor, present: Tensor, context: Tensor, position: Tensor) -> Tensor:
        """`(B, D)`."""
        real = (context >= 0) & present[context.clamp_min(0)]  # (B, C)
        order = to_front(real)
        length = real.long().sum(1)
        there = torch.arange(real.shape[1], device=rows.device) < length[:, None]
        turns = hide(rows[context.clamp_min(0).gather(1, order)], there)
        forward, backward = both_ways(self.cell, turns, length).chunk(2, -1)
        last = (real & (position <= 0)).long().sum(1) - 1
        first = (real & (position < 0)).long().sum(1)
        read = torch.cat([_at(forward, last, length), _at(backward, first, length)], -1)
        return torch.tanh(self.out(read))


def _at(states: Tensor, place: Tensor, length: Tensor) -> Tensor:
    inside = (place >= 0) & (place < length)
    at = place.clamp_min(0).minimum((length - 1).clamp_min(0))
    return _taken(states, at[:, None])[:, 0].masked_fill(~inside[:, None], 0.0)
