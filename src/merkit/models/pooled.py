"""The network of the shipped heads: tokens pooled over time, one hidden layer, classes."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["PooledClassifier", "Pooling", "pad"]

Pooling = Literal["mean", "statistics", "attention"]


class PooledClassifier(nn.Module):
    """`(B, T, D)` tokens with a mask to `(B, K)` logits.

    Pooling is `mean`, `statistics` (mean and standard deviation over time; Snyder et al. 2018,
    x-vectors, section 2) or `attention` (`heads` learned queries weigh the tokens, beside the mean; Lin et al. 2017,
    "A structured self-attentive sentence embedding", eq. 6).

    Args:
        width: `D`.
        classes: `K`.
        pooling: how tokens become one vector.
        hidden: width of the hidden layer; 0 leaves it out.
        heads: learned queries of `attention`.
        dropout: on the pooled vector and on the hidden layer, in training.

    Example:
        >>> net = PooledClassifier(4, 3, pooling="statistics", hidden=8).eval()
        >>> tokens, mask = pad([np.ones((2, 4), np.float32), np.ones((5, 4), np.float32)])
        >>> net(tokens, mask).shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        width: int,
        classes: int,
        *,
        pooling: Pooling = "statistics",
        hidden: int = 0,
        heads: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.centre: Tensor
        self.scale: Tensor
        self.pooled_centre: Tensor
        self.pooled_scale: Tensor
        self.pooling = pooling
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.query: Any = nn.Linear(width, heads) if pooling == "attention" else None
        pooled = {"mean": width, "statistics": 2 * width, "attention": (heads + 1) * width}[pooling]
        # the pooled vector is standardised with training statistics, so that one learning rate suits every extractor
        self.register_buffer("pooled_centre", torch.zeros(pooled))
        self.register_buffer("pooled_scale", torch.ones(pooled))
        self.dropout = nn.Dropout(dropout)
        self.hidden: Any = nn.Linear(pooled, hidden) if hidden else None
        self.out = nn.Linear(hidden or pooled, classes)

    def pool(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """`(B, T, D)` and `(B, T)` (True = real) to `(B, P)`; padding counts for nothing."""
        x = (tokens - self.centre) / self.scale
        real = mask[..., None].to(x.dtype)
        count = real.sum(1).clamp_min(1.0)
        mean = (x * real).sum(1) / count
        if self.pooling == "mean":
            return mean
        if self.pooling == "statistics":
            spread = (((x - mean[:, None]) * real).square().sum(1) / count).clamp_min(1e-8).sqrt()
            return torch.cat([mean, spread], -1)
        weight = self.query(x).masked_fill(~mask[..., None], -torch.inf).softmax(1)  # (B, T, H)
        return torch.cat([mean, torch.einsum("bth,btd->bhd", weight, x).flatten(1)], -1)

    def embed(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """What the last layer sees: `(B, E)`."""
        x = self.dropout((self.pool(tokens, mask) - self.pooled_centre) / self.pooled_scale)
        return x if self.hidden is None else self.dropout(F.gelu(self.hidden(x)))

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """`(B, K)` logits."""
        return self.out(self.embed(tokens, mask))


def pad(sequences: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Ragged `(T_i, D)` arrays as `(B, T, D)` float32 and `(B, T)` mask, True = real.

    Example:
        >>> pad([np.ones((1, 2)), np.ones((3, 2))])[1]
        tensor([[ True, False, False],
                [ True,  True,  True]])
    """
    lengths = np.array([len(sequence) for sequence in sequences])
    tokens = np.zeros((len(sequences), int(lengths.max()), sequences[0].shape[1]), np.float32)
    mask = np.arange(tokens.shape[1]) < lengths[:, None]
    tokens[mask] = np.concatenate(sequences)
    return torch.from_numpy(tokens), torch.from_numpy(mask)
