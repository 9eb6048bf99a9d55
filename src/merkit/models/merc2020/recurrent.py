"""A recurrent reader of frames, with frame attention on top: what the speech and the face network share."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from merkit.data.batch import Tokens
from merkit.errors import ConfigError
from merkit.models.dropout import Dropout
from merkit.models.merc2020.frame_attention import FrameAttention
from merkit.models.pooling import hide

__all__ = ["AttentiveBiLSTM", "Head", "folded", "only_present"]


class Head(nn.Module):
    """Dropout and a linear layer; without classes, logits `(B, 0)` and no parameter.

    Args:
        width: `F`.
        classes: `K`.
        dropout: on the feature.

    Example:
        >>> Head(4, 7)(torch.zeros(2, 4)).shape, Head(4, 0)(torch.zeros(2, 4)).shape
        (torch.Size([2, 7]), torch.Size([2, 0]))
    """

    def __init__(self, width: int, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.linear = nn.Linear(width, classes) if classes else None

    def forward(self, x: Tensor) -> Tensor:
        """`(B, F)` to `(B, K)`."""
        return x[:, :0] if self.linear is None else self.linear(self.dropout(x))


class AttentiveBiLSTM(nn.Module):
    """One LSTM forwards and one backwards over the real frames alone, frame attention, dropout, a linear layer.

    Frames under a False mask are left out before either direction reads: the backward one begins at the last real frame.

    Args:
        width: `D` of the frames.
        hidden: `h` of each direction.
        classes: `K`; 0 = no linear layer.
        dropout: before the linear layer.
        mode: of `FrameAttention`.

    Example:
        >>> reader = AttentiveBiLSTM(4, 3, 7)
        >>> feature, logits = reader(torch.randn(2, 5, 4), torch.tensor([[True] * 5, [True] * 2 + [False] * 3]))
        >>> feature.shape, logits.shape
        (torch.Size([2, 6]), torch.Size([2, 7]))
    """

    def __init__(
        self,
        width: int,
        hidden: int,
        classes: int,
        dropout: float = 0.2,
        mode: Literal["self", "relation"] = "self",
    ) -> None:
        super().__init__()
        self.encoder = nn.LSTM(width, hidden, batch_first=True, bidirectional=True)
        self.attention = FrameAttention(2 * hidden, mode)
        self.width = self.attention.width
        self.head = Head(self.width, classes, dropout)

    def feature(self, x: Tensor, mask: Tensor) -> Tensor:
        """`(B, T, D)` and `mask (B, T)` to `(B, width)`; zeros for a row without any frame."""
        lengths = mask.sum(1)
        longest = max(int(lengths.max()), 1)
        # real frames first, in their order
        order = torch.argsort((~mask).to(torch.uint8), dim=1, stable=True)[:, :longest]
        x = hide(x, mask).gather(1, order[..., None].expand(-1, -1, x.shape[2]))
        packed = pack_padded_sequence(x, lengths.clamp_min(1).cpu(), batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.encoder(packed)[0], batch_first=True)
        return self.attention(states, torch.arange(longest, device=x.device) < lengths[:, None])

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """`(B, T, D)` and `mask (B, T)`, True = real, to feature `(B, width)` and logits `(B, K)`."""
        feature = self.feature(x, mask)
        return feature, self.head(feature)


def folded(tokens: Tokens, what: str) -> tuple[Tensor, Tensor]:
    """Tokens `(B, 1, T, D)` or `(B, T, D)` as `x (B, T, D)` and `mask (B, T)`.

    Raises:
        ConfigError: there are several entities: whose frames they are must be chosen before.
    """
    if tokens.x.ndim == 3:
        return tokens.x, tokens.mask
    if tokens.x.shape[1] != 1:
        raise ConfigError(f"{what}: {tokens.x.shape[1]} persons in a clip; this network reads one, so choose before")
    return tokens.x[:, 0], tokens.mask[:, 0]


def only_present(x: Tensor, mask: Tensor, absent: Tensor, encode: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """What `encode` makes of the rows that have any token; the others get `absent` and cost it nothing.

    Args:
        x: `(B, T, D)`.
        mask: `(B, T)`.
        absent: `(F,)`.
        encode: `(b, T, D)` and `(b, T)` to `(b, F)`, for the `b` rows that are there.

    Example:
        >>> x, mask = torch.tensor([[[2.0]], [[9.0]]]), torch.tensor([[True], [False]])
        >>> only_present(x, mask, torch.tensor([-1.0]), lambda x, mask: x.sum(1)).tolist()
        [[2.0], [-1.0]]
    """
    here = mask.any(1)
    rows = here.nonzero()[:, 0]
    out = absent.expand(len(x), -1)
    if not len(rows):
        return out.clone()
    # the whole batch as it is where everybody is there: pictures are large
    taken = (x, mask) if len(rows) == len(x) else (x[rows], mask[rows])
    return out.index_copy(0, rows, encode(*taken).to(out.dtype))
