"""A fusion of one's own in one file: each modality is weighed by a gate that looks at all of them.

    merkit train fusion data.root=… model.fusion=examples/gated_fusion.py:GatedFusion

Gated multimodal units: Arevalo et al. 2017 (arXiv:1702.01992, section 3.1), for any number of modalities.
"""

from collections.abc import Mapping

import torch
from torch import nn

from merkit.data.batch import Tokens
from merkit.models import Fused
from merkit.models.pooling import build_pooling


class GatedFusion(nn.Module):
    """Sum over modalities of gate · tanh(projection); an absent modality's gate is closed."""

    def __init__(self, widths: Mapping[str, int], *, width: int = 64, labels: int = 1, dropout: float = 0.1) -> None:
        super().__init__()
        self.width = width
        self.pools = nn.ModuleDict({name: build_pooling("mean", dim) for name, dim in widths.items()})
        self.values = nn.ModuleDict({name: nn.Linear(dim, width) for name, dim in widths.items()})
        self.gate = nn.Linear(sum(widths.values()), width * len(widths))
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        pooled = [pool(tokens[name].x, tokens[name].mask) for name, pool in self.pools.items()]  # each (B, D_m)
        values = torch.stack([layer(x).tanh() for layer, x in zip(self.values.values(), pooled, strict=True)], 1)
        gates = self.gate(torch.cat(pooled, -1)).unflatten(-1, (len(pooled), self.width))  # (B, M, E)
        present = torch.stack([tokens[name].present for name in self.pools], 1)[..., None]  # (B, M, 1)
        gates = gates.masked_fill(~present, -1e9).softmax(1)  # modalities compete for every component
        x = (gates * values * present).sum(1)
        return Fused(self.dropout(x), attention={} if self.training else {"gate": gates.mean(-1)})
