"""Inter-modal attention: the class token of one modality looks at all tokens of another, whatever their widths.

Siriwardhana et al. 2020, "Multimodal emotion recognition with transformer-based self supervised feature fusion" (IEEE Access
8), section IV-C. Published, every position of the one modality looked at the other, and the first position alone was
read afterwards; positions do not see one another there, so the others were computed for nothing. Here only the class
token looks, and it looks at real tokens only: rows of all clips stand in one tensor without padding.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from merkit.models.attention import fitting_heads
from merkit.models.dropout import Dropout

__all__ = ["InterModalLayer", "InterModalStack"]

# clips whose tokens are looked at in one product
_TOGETHER = 8


class InterModalLayer(nn.Module):
    """Attention from one vector a clip to the clip's tokens of another modality, residual, LayerNorm, feed-forward, residual,
    LayerNorm; all in the width of the one that looks.

    Args:
        width: `D_m` of the looking modality.
        other: `D_n` of the one that is looked at.
        heads: 0 = as many as divide `D_m`, at most four.
        feedforward: inner width.
        dropout: on both residual branches and within the feed-forward.
        attention_dropout: on attention weights.

    Example:
        >>> layer = InterModalLayer(8, 6).eval()
        >>> layer(torch.randn(2, 8), torch.randn(5, 6), torch.tensor([0, 0, 1, 1, 1])).shape
        torch.Size([2, 8])
    """

    def __init__(
        self,
        width: int,
        other: int,
        *,
        heads: int = 0,
        feedforward: int = 0,
        dropout: float = 0.1,
        attention_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.heads = fitting_heads(width, heads, "inter-modal attention")
        self.query, self.memory, self.out = (
            nn.Linear(width, width),
            nn.Linear(other, 2 * width),
            nn.Linear(width, width),
        )
        self.inner, self.outer = nn.Linear(width, feedforward or width), nn.Linear(feedforward or width, width)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.dropout, self.attention_dropout = Dropout(dropout), Dropout(attention_dropout)

    def forward(self, x: Tensor, memory: Tensor, row: Tensor) -> Tensor:
        """What each clip found.

        Keys are never made: `q · (K m) = (Kᵀ q) · m`, so the one query of a clip goes through `K` in place of all tokens,
        and what it found through `V` once, in place of all tokens again. The key's bias adds the same to every token of a
        clip, which a softmax does not notice.

        Args:
            x: `(B, D_m)`.
            memory: `(R, D_n)` tokens of all clips, clip after clip.
            row: `(R,)` int64, rising: the clip of each token. A clip without tokens keeps what it has, but for the
                feed-forward.
        """
        key, value = self.memory.weight.unflatten(0, (2, self.heads, -1))  # (H, d, D_n) each
        query = self.query(x).unflatten(-1, (self.heads, -1)) / math.sqrt(key.shape[1])
        query = torch.einsum("bhd,hdn->bhn", query, key)
        seen = torch.cat(
            [
                self._seen(query[clips], memory[rows], row[rows] - clips.start)
                for clips, rows in self._chunks(row, len(x))
            ]
        )  # (B, H, D_n): the mean token, by what each head looked at
        found = torch.einsum("bhn,hdn->bhd", seen, value).flatten(1)
        there = torch.zeros(len(x), 1, dtype=x.dtype, device=x.device).index_fill(0, row, 1.0)
        found = found + there * self.memory.bias[x.shape[1] :]
        x = self.norms[0](x + self.dropout(self.out(found)))
        return self.norms[1](x + self.dropout(self.outer(self.dropout(F.gelu(self.inner(x))))))

    def _chunks(self, row: Tensor, count: int) -> list[tuple[slice, slice]]:
        """Clips, and their rows, that one product handles: every query meets the tokens of all of them, and most of that is
        thrown away, so they must be few.
        """
        firsts = list(range(0, count, _TOGETHER))
        begins = torch.searchsorted(row, torch.tensor(firsts, device=row.device)).tolist() if len(firsts) > 1 else [0]
        ends = [*begins[1:], len(row)]
        return [
            (slice(first, min(first + _TOGETHER, count)), slice(begin, end))
            for first, begin, end in zip(firsts, begins, ends, strict=True)
        ]

    def _seen(self, query: Tensor, memory: Tensor, row: Tensor) -> Tensor:
        """`(b, H, D_n)`, `(r, D_n)` and `(r,)` to `(b, H, D_n)`: 0 for clips without tokens."""
        score = query @ memory.T  # (b, H, r)
        own = (row == torch.arange(len(query), device=row.device)[:, None])[:, None]
        # the least number in place of -inf: a clip without tokens then has an even softmax, taken off afterwards
        weight = score.masked_fill(~own, torch.finfo(score.dtype).min).softmax(-1) * own
        return self.attention_dropout(weight) @ memory


class InterModalStack(nn.Module):
    """Layers in a row; each looks at the same tokens, as they were before the first.

    Args:
        width: `D_m`.
        other: `D_n`.
        layers: how many.
        heads: see `InterModalLayer`.
        feedforward: see `InterModalLayer`.
        dropout: see `InterModalLayer`.
        attention_dropout: see `InterModalLayer`.

    Example:
        >>> stack = InterModalStack(8, 6, 2, feedforward=16).eval()
        >>> stack(torch.randn(1, 8), torch.randn(3, 6), torch.zeros(3, dtype=torch.int64)).shape
        torch.Size([1, 8])
    """

    def __init__(
        self,
        width: int,
        other: int,
        layers: int,
        *,
        heads: int = 0,
        feedforward: int = 0,
        dropout: float = 0.1,
        attention_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            InterModalLayer(
                width,
                other,
                heads=heads,
                feedforward=feedforward,
                dropout=dropout,
                attention_dropout=attention_dropout,
            )
            for _ in range(layers)
        )

    def forward(self, x: Tensor, memory: Tensor, row: Tensor) -> Tensor:
        """`(B, D_m)`, `(R, D_n)`, `(R,)` to `(B, D_m)`."""
        for layer in self.layers:
            x = layer(x, memory, row)
        return x
