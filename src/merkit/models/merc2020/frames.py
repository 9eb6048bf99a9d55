"""Frames that somebody has encoded already, e.g. states of a speech encoder: straight into BiLSTM and frame attention."""

from typing import Literal

import torch
from torch import Tensor, nn

from merkit.data.batch import Tokens
from merkit.models.merc2020.recurrent import AttentiveBiLSTM, Head, folded, only_present
from merkit.models.pooling import hide
from merkit.models.streams import Standardise

__all__ = ["FrameNet"]


class FrameNet(nn.Module):
    """What stands on the backbone of the speech and face network, without a backbone: for frame-level features.

    Args:
        classes: `K`; 0 = no linear layer.
        width: `D` of the features.
        hidden: `h` of each direction of the LSTM.
        dropout: before the linear layer.
        mode: of `FrameAttention`.
        what: modality, for messages.

    Example:
        >>> net = FrameNet(7, 384, hidden=8).eval()
        >>> feature, logits = net(Tokens(torch.rand(2, 1, 50, 384), torch.ones(2, 1, 50) > 0))
        >>> feature.shape, logits.shape
        (torch.Size([2, 16]), torch.Size([2, 7]))
    """

    def __init__(
        self,
        classes: int,
        width: int,
        *,
        hidden: int = 512,
        dropout: float = 0.2,
        mode: Literal["self", "relation"] = "self",
        what: str = "speech",
    ) -> None:
        super().__init__()
        self.what, self.scale = what, Standardise(width)
        self.recurrent = AttentiveBiLSTM(width, hidden, 0, mode=mode)
        self.width = self.recurrent.width
        self.head = Head(self.width, classes, dropout)
        self.absent = nn.Parameter(torch.zeros(self.width))
        nn.init.normal_(self.absent, std=0.02)

    def encode(self, x: Tensor, mask: Tensor) -> Tensor:
        """`(b, T, D)` of clips that have any to `(b, width)`."""
        return self.recurrent.feature(hide(self.scale(x), mask), mask)

    def forward(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Frames `(B, 1, T, D)` to feature `(B, width)` and logits `(B, K)`; an absent stream is a learned feature."""
        feature = only_present(*folded(tokens, self.what), self.absent, self.encode)
        return feature, self.head(feature)
