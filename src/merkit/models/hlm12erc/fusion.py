"""Attention between the modalities of a clip, after each got its share of the width."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from merkit.data.batch import Tokens
from merkit.errors import ConfigError
from merkit.models.fusion import Fused, PooledStreams

__all__ = ["MultiHeadedFusion", "heads_of_degree", "proportional_widths"]


def proportional_widths(widths: Sequence[int], total: int) -> list[int]:
    """Shares of `total` in proportion to `widths`, rounded down; what remains goes to the largest. None is 0.

    Raises:
        ConfigError: less than one each.

    Example:
        >>> proportional_widths([768, 2048, 1536], 512)
        [90, 242, 180]
    """
    if total < len(widths):
        raise ConfigError(f"fusion_width={total} is not enough for {len(widths)} modalities")
    shares = [max(total * width // sum(widths), 1) for width in widths]
    shares[max(range(len(widths)), key=lambda i: widths[i])] += total - sum(shares)
    return shares


def heads_of_degree(width: int, degree: int) -> int:
    """The number of heads that a published degree means: the `degree`-th number that divides the width, from 1 on.

    Raises:
        ConfigError: the width has fewer divisors.

    Example:
        >>> heads_of_degree(512, 3), heads_of_degree(300, 5)
        (4, 5)
    """
    divisors = [n for n in range(1, width + 1) if width % n == 0]
    if not 1 <= degree <= len(divisors):
        raise ConfigError(f"a width of {width} has {len(divisors)} divisors; there is no degree {degree}")
    return divisors[degree - 1]


class MultiHeadedFusion(nn.Module):
    """Modalities look at one another, `(B, M, D)`, never one clip at another: the published form handed `(B, D)` to an
    attention that takes `(L, D)`, and so attended over the batch.

    Each modality is projected to its share `s_m` of `out_features` (`proportional_widths`). Attention needs one width:
    shares are projected to `D = out_features`, look at one another, and are projected back. Then, as published, a residual
    and one LayerNorm over all shares side by side, `LN(x + attended)`, `E = out_features`.

    An absent modality is looked at by nobody; it looks itself, from a learned vector, so its share holds what the others
    say in its place.

    Args:
        widths: modality -> `D_m`.
        width: `out_features`, `E`.
        labels: ignored.
        dropout: on the attention weights.
        heads: must divide the width.
        pooling: a name in `POOLINGS`, or modality -> name.

    Raises:
        ConfigError: a width that heads do not divide, or too small for all modalities.

    Example:
        >>> fusion = MultiHeadedFusion({"text": 4, "speech": 6}, width=8, heads=2).eval()
        >>> tokens = {name: Tokens(torch.randn(2, 1, d), torch.tensor([[True], [name == "text"]]))
        ...     for name, d in (("text", 4), ("speech", 6))}
        >>> fused = fusion(tokens)
        >>> fused.x.shape, fused.attention["modalities"].shape, fused.attention["modalities"][1, :, 1].tolist()
        (torch.Size([2, 8]), torch.Size([2, 2, 2]), [0.0, 0.0])
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        *,
        width: int = 512,
        labels: int = 1,
        dropout: float = 0.0,
        heads: int = 4,
        pooling: str | Mapping[str, str] = "mean",
    ) -> None:
        super().__init__()
        if width % heads:
            raise ConfigError(f"fusion_width={width} is no multiple of fusion_heads={heads}")
        self.streams = PooledStreams(widths, pooling, learned=False)
        self.shares = dict(zip(widths, proportional_widths(list(self.streams.widths.values()), width), strict=True))
        self.project = nn.ModuleDict({name: nn.Linear(self.streams.widths[name], s) for name, s in self.shares.items()})
        self.absent: Any = nn.ParameterDict({name: torch.zeros(s) for name, s in self.shares.items()})
        self.up = nn.ModuleDict({name: nn.Linear(s, width) for name, s in self.shares.items()})
        self.down = nn.ModuleDict({name: nn.Linear(width, s) for name, s in self.shares.items()})
        self.attention = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.width = width

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """See `Fusion`. Attention: `modalities (B, M, M)`, who looks (rows) at whom (columns), the mean over heads."""
        pooled = self.streams(tokens)
        present = torch.stack([tokens[name].present for name in pooled], 1)  # (B, M)
        shares = [
            torch.where(tokens[name].present[:, None], self.project[name](x), self.absent[name])
            for name, x in pooled.items()
        ]
        x = torch.stack([self.up[name](share) for name, share in zip(pooled, shares, strict=True)], 1)  # (B, M, D)
        # attention over nothing is not a number: where all are absent, they look at their learned vectors
        hidden = ~(present | ~present.any(1, keepdim=True))
        found, weights = self.attention(x, x, x, key_padding_mask=hidden, need_weights=not self.training)
        back = [self.down[name](found[:, m]) for m, name in enumerate(pooled)]
        fused: Tensor = self.norm(torch.cat(shares, 1) + torch.cat(back, 1))
        return Fused(fused, attention={} if weights is None else {"modalities": weights})
