"""CutMix over the pictures of a clip."""

from dataclasses import dataclass, replace
from typing import Literal

import torch

from merkit.data.augment.mixing import check_pairs, mixed_targets, shares
from merkit.data.augment.steps import checked, square_side, tokens_in
from merkit.data.batch import Batch, Tokens
from merkit.errors import ConfigError
from merkit.schema import TargetSpec

__all__ = ["CutMix3D"]


@dataclass(frozen=True, slots=True)
class CutMix3D:
    """A box of another clip's pictures laid over a clip's own (Yun et al. 2019, arXiv:1905.04899, section 3).

    The box is the same in every picture of a clip, and only pictures that both clips have are cut. Answers are mixed by the
    share of own pixels that are left, counted after the box is clipped at the edges. uint8 stays uint8.

    Args:
        beta: of the Beta distribution that the box's size is drawn from.
        prob: share of batches that are cut.
        per: a partner for every clip, with a box for each (`clip`) or one for all (`batch`).
        stream: which modality.

    Raises:
        ConfigError: a number out of its range; tokens that are no pictures; a batch with other streams, dialogue context or
            targets per entity: the answers would be mixed and what they are about would not.

    Example:
        >>> spec = TargetSpec("emotion", "single_label", ("joy", "anger"))
        >>> x = torch.stack([torch.zeros(1, 1, 108), torch.ones(1, 1, 108)])
        >>> batch = Batch(("a", "b"), 2, {"face": Tokens(x, torch.ones(2, 1, 1, dtype=torch.bool))},
        ...     targets={"emotion": torch.tensor([0, 1])}, valid={"emotion": torch.ones(2, dtype=torch.bool)})
        >>> cut = CutMix3D()(batch, [spec])
        >>> torch.allclose(cut.tokens["face"].x.mean((1, 2, 3)), cut.targets["emotion"][:, 1])
        True
    """

    beta: float = 1.0
    prob: float = 1.0
    per: Literal["clip", "batch"] = "clip"
    stream: str = "face"

    def __post_init__(self) -> None:
        checked(self.prob, "cutmix")
        if self.beta <= 0 or self.per not in ("clip", "batch"):
            raise ConfigError(f"cutmix has beta above 0 and one box per clip or per batch: {self}")

    def __call__(self, batch: Batch, specs: list[TargetSpec]) -> Batch:
        """The cut batch; the one that is given keeps its pictures."""
        check_pairs(batch, specs, "cutmix", (self.stream,))
        tokens = tokens_in(batch, self.stream)
        side = square_side(tokens.x.shape[-1], self.stream)
        if self.prob < 1 and float(torch.rand(())) >= self.prob:
            return batch
        size = batch.size
        partner = torch.randperm(size)
        share = shares(self.beta, size, self.per)
        count = 1 if self.per == "batch" else size
        middle = (torch.rand(2, count) * side).floor().expand(2, size)
        edge = (side * (1 - share).sqrt()).floor()
        first = (middle - (edge / 2).floor()).clamp(0, side)
        end = (middle - (edge / 2).floor() + edge).clamp(0, side)
        box = torch.cat([first, end]).long().T  # (B, 4): top, left, bottom, right
        both = tokens.mask & tokens.mask[partner]
        x = tokens.x.clone()
        source, pictures = (part.unflatten(-1, (side, side, 3)) for part in (tokens.x, x))
        for b, (other, (top, left, bottom, right)) in enumerate(zip(partner.tolist(), box.tolist(), strict=True)):
            inside = pictures[b, ..., top:bottom, left:right, :]
            cut = source[other, ..., top:bottom, left:right, :]
            inside.copy_(torch.where(both[b, ..., None, None, None], cut, inside))
        # pixels that are another clip's, over pixels that there are
        area = (end - first).prod(0) / side**2
        kept = 1 - area * both.sum((1, 2)).cpu() / tokens.mask.sum((1, 2)).cpu().clamp_min(1)
        targets, valid = mixed_targets(batch, specs, partner, kept)
        changed = {self.stream: Tokens(x, tokens.mask, tokens.times)}
        return replace(batch, tokens=changed, targets=targets, valid=valid)
