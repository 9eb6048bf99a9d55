"""One model of several networks that see the same batches and start from different weights.

Independent networks disagree where the data say little, and their mean answer is better and better calibrated than any of
them (Lakshminarayanan et al. 2017, arXiv:1612.01474). Each member is trained on its own loss; only answers are averaged.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from merkit.data.batch import Batch
from merkit.data.table import TokenColumn
from merkit.models.classifier import FusionModel, Outputs

__all__ = ["Members"]


class Members(nn.Module):
    """`M` networks behind one face.

    Args:
        make: builds one network with fresh weights.
        members: how many.

    Example:
        >>> from merkit.data.batch import Tokens
        >>> from merkit.schema import TargetSpec
        >>> spec = TargetSpec("emotion", "single_label", ("joy", "anger"))
        >>> model = Members(lambda: FusionModel({"text": 3}, [spec], width=4), 3).eval()
        >>> batch = Batch(("a",), 1, {"text": Tokens(torch.ones(1, 1, 1, 3), torch.ones(1, 1, 1) > 0)})
        >>> each = torch.stack([net(batch)["emotion"].softmax(-1) for net in model.networks])
        >>> torch.allclose(model(batch)["emotion"].softmax(-1), each.mean(0))
        True
    """

    def __init__(self, make: Callable[[], FusionModel], members: int) -> None:
        super().__init__()
        self.networks: Any = nn.ModuleList([make() for _ in range(members)])

    def fit_standardiser(self, streams: Mapping[str, TokenColumn]) -> None:
        """Each member's centre and scale, all the same, from the TRAINING part."""
        for network in self.networks:
            network.fit_standardiser(streams)

    @property
    def projections(self) -> Any:
        """The first member's; all members standardise alike."""
        return self.networks[0].projections

    def members(self, batch: Batch) -> list[Outputs]:
        """What each member says."""
        return [network.outputs(batch) for network in self.networks]

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """target -> `(B, K)`: logits of the mean probability; the mean value for regressions."""
        return dict(self.outputs(batch).logits)

    def outputs(self, batch: Batch) -> Outputs:
        """The mean answer; embeddings side by side, the rest from the first member."""
        said = self.members(batch)
        kinds = {spec.name: spec.kind for spec in self.networks[0].specs}
        logits = {name: _mean([one.logits[name] for one in said], kind) for name, kind in kinds.items()}
        return replace(said[0], logits=logits, embedding=torch.cat([one.embedding for one in said], -1))


def _mean(logits: list[Tensor], kind: str) -> Tensor:
    stacked = torch.stack(logits)
    if kind == "regression":
        return stacked.mean(0)
    if kind == "multi_label":
        # of the mean p: log p - log(1 - p)
        yes, no = (torch.logsumexp(F.logsigmoid(side), 0) for side in (stacked, -stacked))
        return yes - no
    return torch.logsumexp(F.log_softmax(stacked, -1), 0)
