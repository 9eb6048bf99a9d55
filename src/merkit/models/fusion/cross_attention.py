"""Cross-attention: every token of a modality looks at the tokens of each other one, and what comes of it is pooled."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from merkit.data.batch import Tokens
from merkit.models.attention import AttentionLayer, PositionCode
from merkit.models.dropout import Dropout
from merkit.models.fusion.contract import Fused
from merkit.models.fusion.pooled_streams import PooledStreams, to_one_width
from merkit.models.pooling import hide

__all__ = ["CrossAttentionFusion"]


class CrossAttentionFusion(nn.Module):
    """Cross-modal transformers both ways (Tsai et al. 2019, "Multimodal transformer for unaligned multimodal language
    sequences", MulT, section 3.1, with post-norm layers), as the Tensor Mixer Network was compared with.

    `CrossModalFusion` lets one summary of a modality look; here all its tokens do, and are pooled afterwards: by their
    mean, or, of a text encoder, at the first token. Of several others, what they bring is averaged, so that every modality
    has `D` places however many there are.

    Absent modalities: what a modality brings from others counts those alone that are there; one that has nobody to look at
    answers with its own pooled tokens; one that is absent itself with a learned vector.

    Args:
        widths: modality -> `D_m`; each is projected to `width` where it differs.
        width: `D`.
        labels: ignored.
        dropout: on the joint vector.
        pooling: a name in `POOLINGS`, or modality -> name.
        heads: 0 = as many as divide `width`, at most four. Published: 8.
        layers: how often a modality looks at another. Published: 1.
        feedforward: inner width of a layer; 0 = four times the width.
        attention_dropout: on both branches of a layer. Published: none.
        positions: tokens carry a code for their place in time.

    Example:
        >>> fusion = CrossAttentionFusion({"text": 8, "speech": 6}, width=8).eval()
        >>> tokens = {name: Tokens(torch.randn(2, 3, d), torch.ones(2, 3, dtype=torch.bool))
        ...     for name, d in (("text", 8), ("speech", 6))}
        >>> fused = fusion(tokens)
        >>> fused.x.shape, {pair: tuple(weights.shape) for pair, weights in fused.attention.items()}
        (torch.Size([2, 16]), {'text>speech': (2, 3), 'speech>text': (2, 3)})
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        *,
        width: int = 64,
        labels: int = 1,
        dropout: float = 0.1,
        pooling: str | Mapping[str, str] = "mean",
        heads: int = 0,
        layers: int = 1,
        feedforward: int = 0,
        attention_dropout: float = 0.0,
        positions: bool = True,
    ) -> None:
        super().__init__()
        self.modalities = tuple(widths)
        self.inward: Any = to_one_width(widths, width)
        self.position = PositionCode(width) if positions else None
        self.pairs: Any = nn.ModuleDict(
            {
                f"{one}_from_{other}": nn.ModuleList(
                    AttentionLayer(width, heads=heads, feedforward=feedforward or 4 * width, dropout=attention_dropout)
                    for _ in range(layers)
                )
                for one in widths
                for other in widths
                if one != other
            }
        )
        self.streams = PooledStreams(dict.fromkeys(widths, width), pooling)
        self.width = sum(self.streams.widths.values())
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """See `Fusion`. Attention: `m>n` -> `(B, T_n)`, the mean over the tokens of `m`."""
        own = {name: self._placed(name, tokens[name]) for name in self.modalities}
        answers: dict[str, Tokens] = {}
        looked: dict[str, Tensor] = {}
        for name in self.modalities:
            found, there = [], []
            for other in self.modalities:
                if other != name:
                    x, weights = self._look(f"{name}_from_{other}", own[name], own[other], tokens[other])
                    found.append(x)
                    there.append(tokens[other].present)
                    if weights is not None:
                        looked[f"{name}>{other}"] = _seen(weights, tokens[name], tokens[other])
            answers[name] = Tokens(_mean(own[name], found, there), tokens[name].mask)
        return Fused(self.dropout(torch.cat(list(self.streams(answers).values()), -1)), attention=looked)

    def _placed(self, name: str, tokens: Tokens) -> Tensor:
        x = self.inward[name](hide(tokens.x, tokens.mask))
        return x if self.position is None else self.position(x, tokens.mask)

    def _look(self, pair: str, x: Tensor, memory: Tensor, other: Tokens) -> tuple[Tensor, Tensor | None]:
        """`(B, T_m, D)` after looking at `memory (B, T_n, D)`, and the weights of the last look."""
        # attention over nothing is no number: a clip without the other modality looks at padding and it does not count
        visible, weights = other.mask | ~other.present[:, None], None
        for layer in self.pairs[pair]:
            x, weights = layer(x, memory, visible)
        return x, weights


def _mean(own: Tensor, found: list[Tensor], there: list[Tensor]) -> Tensor:
    """What is brought, `(B, T, D)`, over those that are there `(B,)`; what one has itself where nobody is."""
    if not found:
        return own
    here = torch.stack(there)[..., None, None]  # (M - 1, B, 1, 1)
    total = torch.where(here, torch.stack(found), 0.0).sum(0) / here.sum(0).clamp_min(1)
    return torch.where(here.any(0), total, own)


def _seen(weights: Tensor, one: Tokens, other: Tokens) -> Tensor:
    """`(B, T_m, T_n)` as the mean over real tokens; zeros where either is absent."""
    share = one.mask / one.mask.sum(1, keepdim=True).clamp_min(1)
    return (share[:, :, None] * weights).sum(1) * other.present[:, None]
