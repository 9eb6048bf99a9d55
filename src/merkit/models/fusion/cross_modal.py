"""Cross-modal attention: each modality looks at each other one, and the pairs are combined."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from merkit.data.batch import Tokens
from merkit.errors import ConfigError
from merkit.models.attention import AttentionLayer, PositionCode
from merkit.models.fusion.contract import Fused
from merkit.models.pooling import hide

__all__ = ["CrossModalFusion"]


class CrossModalFusion(nn.Module):
    """Self-attention stages within each modality, inter-modal attention for each ordered pair, and a combination
    (Siriwardhana et al. 2020, "Multimodal emotion recognition with transformer-based self supervised feature fusion").

    Each modality gets a learned summary token in front. After the self stages, the summary of `m` looks at all tokens of
    `n`, for every `n`; what it brings back from all `n` is multiplied (`hadamard`) or laid side by side (`concat`). In
    inter-modal attention the tokens of `m` never meet, so only the summary is computed: the result is the same as
    computing all of them and keeping the first, at a fraction of the cost.

    Absent modalities: a pair whose other side is absent is 1 in the product and zeros in a concatenation. A modality
    that has nobody to look at answers with its own summary; one that is absent itself answers with a learned vector.

    Args:
        widths: modality -> `D_m`; each is projected to `width` where it differs.
        width: `D`.
        labels: ignored.
        dropout: in the layers.
        heads: 0 = as many as divide `width`, at most four.
        self_layers: self stages within each modality.
        cross_layers: stages a pair.
        feedforward: inner width of a layer; 0 = twice the width.
        combine: `hadamard` or `concat`.
        positions: tokens carry a code for their place in time.

    Raises:
        ConfigError: `combine` is neither.

    Example:
        >>> fusion = CrossModalFusion({"text": 8, "speech": 6}, width=8).eval()
        >>> tokens = {name: Tokens(torch.randn(2, 3, d), torch.ones(2, 3, dtype=torch.bool))
        ...     for name, d in (("text", 8), ("speech", 6))}
        >>> fused = fusion(tokens)
        >>> fused.x.shape, {pair: tuple(weights.shape) for pair, weights in fused.attention.items()}
        (torch.Size([2, 16]), {'text>speech': (2, 4), 'speech>text': (2, 4)})
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        *,
        width: int = 64,
        labels: int = 1,
        dropout: float = 0.1,
        heads: int = 0,
        self_layers: int = 1,
        cross_layers: int = 1,
        feedforward: int = 0,
        combine: Literal["hadamard", "concat"] = "hadamard",
        positions: bool = True,
    ) -> None:
        super().__init__()
        if combine not in ("hadamard", "concat"):
            raise ConfigError(f"cross-modal fusion: combine is {combine!r}; it can be hadamard or concat")

        def stages(count: int) -> nn.ModuleList:
            return nn.ModuleList(
                AttentionLayer(width, heads=heads, feedforward=feedforward, dropout=dropout) for _ in range(count)
            )

        self.modalities, self.combine = tuple(widths), combine
        self.inward = nn.ModuleDict(
            {name: nn.Identity() if size == width else nn.Linear(size, width) for name, size in widths.items()}
        )
        self.position = PositionCode(width) if positions else None
        self.summary = nn.ParameterDict({name: torch.randn(1, 1, width) * 0.02 for name in widths})
        self.within: Any = nn.ModuleDict({name: stages(self_layers) for name in widths})
        self.pairs = [(m, n) for m in widths for n in widths if m != n]
        self.between: Any = nn.ModuleDict({f"{m}>{n}": stages(cross_layers) for m, n in self.pairs})
        answers = max(len(widths) - 1, 1) if combine == "concat" else 1
        self.absent = nn.ParameterDict({name: torch.zeros(answers * width) for name in widths})
        self.width = len(widths) * answers * width

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """See `Fusion`. Attention: `m>n` -> `(B, 1 + T_n)`, the first column is the summary token of `n`."""
        states, masks, attention = {}, {}, {}
        for name in self.modalities:
            states[name], masks[name] = self._within(name, tokens[name])
        answers = []
        for m in self.modalities:
            found, there = [], []
            for n in (other for other in self.modalities if other != m):
                x = states[m][:, :1]
                for layer in self.between[f"{m}>{n}"]:
                    x, weights = layer(x, states[n], masks[n])
                    if weights is not None:
                        attention[f"{m}>{n}"] = weights[:, 0]
                found.append(x[:, 0])
                there.append(tokens[n].present)
            answer = self._combined(states[m][:, 0], found, there)
            answers.append(torch.where(tokens[m].present[:, None], answer, self.absent[m]))
        return Fused(torch.cat(answers, -1), attention=attention)

    def _within(self, name: str, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Summary and tokens after the self stages, `(B, 1 + T, D)`, and their mask."""
        x = self.inward[name](hide(tokens.x, tokens.mask))
        x = x if self.position is None else self.position(x, tokens.mask)
        x = torch.cat([self.summary[name].expand(len(x), -1, -1), x], 1)
        mask = torch.cat([torch.ones_like(tokens.mask[:, :1]), tokens.mask], 1)
        for layer in self.within[name]:
            x, _ = layer(x, x, mask)
        return x, mask

    def _combined(self, own: Tensor, found: list[Tensor], there: list[Tensor]) -> Tensor:
        """What a modality brings back from the others; `own (B, D)` where there are none."""
        if not found:
            return own
        here = torch.stack(there, 1)[..., None]  # (B, M - 1, 1)
        pairs, alone = torch.stack(found, 1), ~here.any(1)
        if self.combine == "hadamard":
            return torch.where(alone, own, torch.where(here, pairs, 1.0).prod(1))
        # side by side, a lonely modality answers in every place that the others would have filled
        return torch.where(here, pairs, own[:, None] * alone[:, None]).flatten(1)
