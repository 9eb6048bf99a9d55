"""Cross-modal attention: each modality looks at each other one, and the pairs are combined."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from merkit.data.batch import Tokens
from merkit.errors import ConfigError
from merkit.models.attention import PositionCode
from merkit.models.fusion.contract import Fused
from merkit.models.fusion.pooled_streams import to_one_width
from merkit.models.pooling import hide
from merkit.models.stages import AttentionStages

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
        feedforward: inner width of a layer; 0 = the width.
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

        self.modalities, self.combine = tuple(widths), combine
        self.inward = to_one_width(widths, width)
        self.position = PositionCode(width) if positions else None
        self.summary = nn.ParameterDict({name: torch.randn(1, 1, width) * 0.02 for name in widths})
        layer = {"heads": heads, "feedforward": feedforward, "dropout": dropout}
        self.within = AttentionStages(len(widths), self_layers, width, **layer)
        self.pairs = [(m, n) for m in widths for n in widths if m != n]
        self.between = AttentionStages(len(self.pairs), cross_layers, width, **layer)
        answers = max(len(widths) - 1, 1) if combine == "concat" else 1
        self.absent = nn.ParameterDict({name: torch.zeros(answers * width) for name in widths})
        self.width = len(widths) * answers * width

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """See `Fusion`. Attention: `m>n` -> `(B, 1 + T_n)`, the first column is the summary token of `n`."""
        sequences, masks = zip(*(self._summarised(name, tokens[name]) for name in self.modalities), strict=True)
        states, _ = self.within(sequences, None, masks)
        place = {name: i for i, name in enumerate(self.modalities)}
        found, weights = self.between(
            [states[place[m]][:, :1] for m, _ in self.pairs],
            [states[place[n]] for _, n in self.pairs],
            [masks[place[n]] for _, n in self.pairs],
        )
        answers = []
        for name, state in zip(self.modalities, states, strict=True):
            brought = [x[:, 0] for (m, _), x in zip(self.pairs, found, strict=True) if m == name]
            there = [tokens[n].present for m, n in self.pairs if m == name]
            answer = self._combined(state[:, 0], brought, there)
            answers.append(torch.where(tokens[name].present[:, None], answer, self.absent[name]))
        pairs = zip(self.pairs, weights, strict=True)
        return Fused(
            torch.cat(answers, -1),
            attention={f"{m}>{n}": looked[:, 0] for (m, n), looked in pairs if looked is not None},
        )

    def _summarised(self, name: str, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """The summary token and the tokens, `(B, 1 + T, D)`, and their mask."""
        x = self.inward[name](hide(tokens.x, tokens.mask))
        x = x if self.position is None else self.position(x, tokens.mask)
        summary = self.summary[name].expand(len(x), -1, -1)
        return torch.cat([summary, x], 1), torch.cat([torch.ones_like(tokens.mask[:, :1]), tokens.mask], 1)

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
