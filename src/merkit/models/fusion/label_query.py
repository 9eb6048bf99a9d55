"""Label queries: one learned vector a label looks for its own evidence among the tokens of all modalities."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from merkit.data.batch import Tokens
from merkit.models.attention import AttentionLayer, PositionCode
from merkit.models.fusion.contract import Fused
from merkit.models.fusion.pooled_streams import to_one_width
from merkit.models.pooling import hide

__all__ = ["LabelQueryFusion"]


class LabelQueryFusion(nn.Module):
    """`K` learned queries attend over the joint sequence of all tokens, each with a code for its modality (after EmoTx:
    Srivastava et al. 2023, "How you feelin'? Learning emotions and mental states in movie scenes").

    By default the queries look at the tokens and the tokens stay as they are: the cost grows with `K L`. With `joint`,
    queries and tokens are one sequence in which everyone looks at everyone, as published: `(K + L)^2`.

    Absent modalities are not looked at. A learned token that is always there takes what a label finds nowhere.

    Args:
        widths: modality -> `D_m`; each is projected to `width` where it differs.
        width: `D`.
        labels: `K`, over all targets.
        dropout: in the layers.
        heads: 0 = as many as divide `width`, at most four.
        layers: how often the queries look.
        feedforward: inner width of a layer; 0 = the width.
        joint: tokens look as well.
        positions: tokens carry a code for their place in time.

    Example:
        >>> fusion = LabelQueryFusion({"text": 8, "speech": 6}, width=8, labels=5).eval()
        >>> tokens = {name: Tokens(torch.randn(2, 3, d), torch.ones(2, 3, dtype=torch.bool))
        ...     for name, d in (("text", 8), ("speech", 6))}
        >>> fused = fusion(tokens)
        >>> fused.x.shape, fused.per_label.shape, fused.attention["speech"].shape
        (torch.Size([2, 8]), torch.Size([2, 5, 8]), torch.Size([2, 5, 3]))
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        *,
        width: int = 64,
        labels: int = 1,
        dropout: float = 0.1,
        heads: int = 0,
        layers: int = 1,
        feedforward: int = 0,
        joint: bool = False,
        positions: bool = True,
    ) -> None:
        super().__init__()
        self.inward = to_one_width(widths, width)
        self.code = nn.ParameterDict({name: torch.randn(width) * 0.02 for name in widths})
        self.position = PositionCode(width) if positions else None
        self.always = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.queries = nn.Parameter(torch.randn(1, labels, width))
        self.layers = nn.ModuleList(
            AttentionLayer(width, heads=heads, feedforward=feedforward, dropout=dropout) for _ in range(layers)
        )
        self.joint, self.width = joint, width

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """See `Fusion`; `x` is the mean over labels. Attention of the last layer: modality -> `(B, K, T_m)`."""
        rows, labels = len(next(iter(tokens.values())).x), self.queries.shape[1]
        parts, masks = [self.always.expand(rows, -1, -1)], []
        for name, inward in self.inward.items():
            x = inward(hide(tokens[name].x, tokens[name].mask)) + self.code[name]
            parts.append(x if self.position is None else self.position(x, tokens[name].mask))
            masks.append(tokens[name].mask)
        memory = torch.cat(parts, 1)
        mask = torch.cat([torch.ones_like(masks[0][:, :1]), *masks], 1)
        x, weights = self.queries.expand(rows, -1, -1), None
        if self.joint:
            sequence = torch.cat([x, memory], 1)
            mask = torch.cat([torch.ones_like(mask[:, :1]).expand(-1, labels), mask], 1)
            for layer in self.layers:
                sequence, weights = layer(sequence, sequence, mask)
            x = sequence[:, :labels]
        else:
            for layer in self.layers:
                x, weights = layer(x, memory, mask)
        return Fused(x.mean(1), x, {} if weights is None else self._by_modality(weights[:, :labels], tokens))

    def _by_modality(self, weights: Tensor, tokens: Mapping[str, Tokens]) -> dict[str, Tensor]:
        """`(B, K, … + Σ T_m)` cut into modalities; what went to queries and the learned token is left out."""
        lengths = [tokens[name].mask.shape[1] for name in self.inward]
        cut = weights[..., -sum(lengths) :].split(lengths, -1)
        return dict(zip(self.inward, cut, strict=True))
