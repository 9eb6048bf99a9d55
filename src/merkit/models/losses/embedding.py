"""Losses on vectors: rows with the same answer shall lie together, or two modalities of the same row.

These go beside a loss on logits, with a factor.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["EMBEDDING_LOSSES", "AnchorLoss", "InfoNCELoss", "SupervisedContrastiveLoss", "TripletLoss"]


def _pairs(label: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    """`same` and `other`, `(B, B)` bool: pairs of different rows with the same and with another class."""
    known = torch.ones_like(label, dtype=torch.bool) if valid is None else valid
    both = known[:, None] & known
    same = label[:, None] == label
    itself = torch.eye(len(label), dtype=torch.bool, device=label.device)
    return both & same & ~itself, both & ~same


class TripletLoss(nn.Module):
    """Batch-hard triplets: for each row its farthest row of the same class and the nearest of another, which has to be
    `margin` further away (Hermans et al. 2017, "In defense of the triplet loss", eq. 5). Distances are Euclidean
    between vectors of length 1, so in [0, 2].

    Args:
        margin: in units of that distance.

    Example:
        >>> loss = TripletLoss(margin=0.5)
        >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> loss(x, torch.tensor([0, 0, 1])).item()
        0.0
    """

    def __init__(self, margin: float = 0.3) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, embedding: Tensor, label: Tensor, valid: Tensor | None = None) -> Tensor:
        """`embedding (B, E)`, `label (B,)` int64, `valid (B,)` bool: the mean over rows that have both partners."""
        x = F.normalize(embedding, dim=-1)
        same, other = _pairs(label, valid)
        with torch.no_grad():  # which rows are chosen has no slope
            distance = torch.cdist(x, x)
            far = distance.masked_fill(~same, -1.0).argmax(1)
            near = distance.masked_fill(~other, 9.0).argmin(1)
        use = same.any(1) & other.any(1)
        loss = F.triplet_margin_loss(x, x[far], x[near], margin=self.margin, reduction="none")
        return (loss * use).sum() / use.sum().clamp_min(1)


class AnchorLoss(nn.Module):
    """The triplets of HLM12ERC (Mendes 2023): of each class with two rows or more, the first is the anchor `a`, its others are
    positives `P`, all other rows negatives `N`; with `s = (1 + cosine) / 2`, the mean over those classes of
    `-log(mean_P s / (mean_P s + mean_N s))`. Where there is no negative, a class says nothing.

    Batches that hold every class several times (`trainer.balance`) give it something to compare.

    Example:
        >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
        >>> AnchorLoss()(x, torch.tensor([0, 0, 1])).item()
        0.0
    """

    def forward(self, embedding: Tensor, label: Tensor, valid: Tensor | None = None) -> Tensor:
        """`embedding (B, E)`, `label (B,)` int64, `valid (B,)` bool: the mean over classes with two known rows."""
        x = F.normalize(embedding, dim=-1)
        same, other = _pairs(label, valid)
        known = torch.ones_like(label, dtype=torch.bool) if valid is None else valid
        # no earlier row of the same class: the first of its class
        first = known & ~(same & torch.ones_like(same).tril(-1)).any(1)
        score = (1 + x @ x.T) / 2
        near = (score * same).sum(1) / same.sum(1).clamp_min(1)
        far = (score * other).sum(1) / other.sum(1).clamp_min(1)
        use = first & same.any(1) & other.any(1)
        least = torch.finfo(x.dtype).tiny
        loss = ((near + far).clamp_min(least) / near.clamp_min(least)).log().masked_fill(~use, 0.0)
        return loss.sum() / use.sum().clamp_min(1)


class SupervisedContrastiveLoss(nn.Module):
    """Khosla et al. 2020, "Supervised contrastive learning", eq. 2 (L_out): the mean over rows of the mean over their
    partners of the same class of `-log softmax(cosine / temperature)` among all other rows.

    Args:
        temperature: of the cosine similarities.

    Example:
        >>> loss = SupervisedContrastiveLoss(temperature=0.1)
        >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> round(loss(x, torch.tensor([0, 0, 1])).item(), 4)
        0.0
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, embedding: Tensor, label: Tensor, valid: Tensor | None = None) -> Tensor:
        """`embedding (B, E)`, `label (B,)` int64, `valid (B,)` bool: the mean over rows that have a partner."""
        x = F.normalize(embedding, dim=-1)
        same, other = _pairs(label, valid)
        # the lowest finite number instead of -inf: a row without partners must not make NaN on the way back
        score = (x @ x.T / self.temperature).masked_fill(~(same | other), torch.finfo(x.dtype).min)
        log_prob = F.log_softmax(score, -1)
        partners = same.sum(1)
        loss = -log_prob.masked_fill(~same, 0.0).sum(1) / partners.clamp_min(1)
        return loss.sum() / (partners > 0).sum().clamp_min(1)


class InfoNCELoss(nn.Module):
    """Two modalities of the same row find each other among all rows of the batch, both ways (van den Oord et al. 2018,
    "Contrastive predictive coding"; symmetric as in Radford et al. 2021, "CLIP", figure 3).

    Args:
        temperature: of the cosine similarities.
        learned: the temperature is a parameter (kept as its inverse's logarithm, at most ln 100, as in CLIP).

    Example:
        >>> round(InfoNCELoss(temperature=0.1)(torch.eye(3), torch.eye(3)).item(), 4)
        0.0001
    """

    def __init__(self, temperature: float = 0.07, *, learned: bool = False) -> None:
        super().__init__()
        scale = torch.tensor(-math.log(temperature))
        self.log_scale: Tensor
        if learned:
            self.log_scale = nn.Parameter(scale)
        else:
            self.register_buffer("log_scale", scale)

    def forward(self, first: Tensor, second: Tensor, present: Tensor | None = None) -> Tensor:
        """`first (B, E)`, `second (B, E)`; `present (B,)` bool where both modalities are there."""
        if present is not None:
            first, second = first[present], second[present]
        if not len(first):
            return (first.sum() + second.sum()) * 0.0
        score = F.normalize(first, dim=-1) @ F.normalize(second, dim=-1).T
        score = score * self.log_scale.clamp(max=math.log(100)).exp()
        own = torch.arange(len(score), device=score.device)
        return (F.cross_entropy(score, own) + F.cross_entropy(score.T, own)) / 2


EMBEDDING_LOSSES: dict[str, Callable[..., nn.Module]] = {
    "triplet": TripletLoss,
    "anchor": AnchorLoss,
    "supervised_contrastive": SupervisedContrastiveLoss,
    "info_nce": InfoNCELoss,
}
