"""The text network: a transformer over word vectors, in which words look at the words of their own sentence."""

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from merkit.data.batch import Tokens
from merkit.models.dropout import Dropout
from merkit.models.merc2020.recurrent import Head, folded, only_present
from merkit.models.ragged import RaggedEncoder, RaggedRows
from merkit.models.streams import Standardise

__all__ = ["WordNet", "sinusoids"]


def sinusoids(count: int, width: int) -> Tensor:
    """Codes of places `(count, width)`: sines in even columns, cosines in odd ones (Vaswani et al. 2017, section 3.5).

    Example:
        >>> sinusoids(2, 4)[1].numpy().round(4).tolist()
        [0.8414999842643738, 0.5403000116348267, 0.009999999776482582, 1.0]
    """
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angle = torch.arange(count)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)[:, :width]


class WordNet(nn.Module):
    """Word vectors to a feature, their mean after the transformer, and logits: the published "transformer_12_8".

    The published one attended over the clips of a batch instead of the words of a sentence, and knew no positions; see
    docs/systems/merc2020.md.

    Args:
        classes: `K`; 0 = no linear layer.
        width: `D` of the word vectors, and of the transformer.
        layers: of the transformer.
        heads: of attention; 0 = as many as divide the width, at most four.
        feedforward: inner width.
        dropout: within layers, on the input, and before the linear layer.
        positions: how a word knows its place: `sinusoidal`, `learned`, or `none` as published.
        max_positions: of learned places; later words share the last.

    Raises:
        ConfigError: the heads do not divide the width.

    Example:
        >>> net = WordNet(7, 20, layers=2, heads=4, feedforward=16).eval()
        >>> feature, logits = net(Tokens(torch.randn(2, 1, 5, 20), torch.ones(2, 1, 5) > 0))
        >>> feature.shape, logits.shape
        (torch.Size([2, 20]), torch.Size([2, 7]))
    """

    def __init__(
        self,
        classes: int,
        width: int = 200,
        *,
        layers: int = 12,
        heads: int = 8,
        feedforward: int = 2048,
        dropout: float = 0.1,
        positions: Literal["sinusoidal", "learned", "none"] = "sinusoidal",
        max_positions: int = 128,
    ) -> None:
        super().__init__()
        self.scale = Standardise(width)
        self.place: Any = None
        self.positions = positions
        if positions == "learned":
            self.place = nn.Embedding(max_positions, width)
            nn.init.normal_(self.place.weight, std=0.02)
        self.dropout = Dropout(dropout)
        self.encoder = RaggedEncoder(width, layers, heads=heads, feedforward=feedforward, dropout=dropout)
        self.head = Head(width, classes, dropout)
        self.width = width
        self.absent = nn.Parameter(torch.zeros(width))
        nn.init.normal_(self.absent, std=0.02)

    def encode(self, x: Tensor, mask: Tensor) -> Tensor:
        """`(b, T, D)` of clips that have words to `(b, D)`."""
        clip = mask.nonzero()[:, 0]
        place = (mask.cumsum(1) - 1)[mask]
        words = self.scale(x[mask])
        if self.place is not None:
            words = words + self.place(place.clamp_max(self.place.num_embeddings - 1))
        elif self.positions == "sinusoidal":
            words = words + sinusoids(x.shape[1], self.width).to(words)[place]
        every = torch.arange(len(words), device=x.device)
        seen, _ = self.encoder(self.dropout(words), RaggedRows.of(clip, every, self.width))
        total = seen.new_zeros(len(x), self.width).index_add(0, clip, seen)
        return total / mask.sum(1, keepdim=True)

    def forward(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Words `(B, 1, T, D)` to feature `(B, D)` and logits `(B, K)`; absent text is a learned feature."""
        feature = only_present(*folded(tokens, "text"), self.absent, self.encode)
        return feature, self.head(feature)
