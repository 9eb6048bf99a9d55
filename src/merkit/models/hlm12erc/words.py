"""Vectors of words, averaged: the plainest reading of what was said."""

import numpy as np
import torch
from torch import Tensor, nn

from merkit.data.batch import Batch, Tokens
from merkit.models.hlm12erc.turns import cut_turns, turns_of

__all__ = ["WordMean"]


class WordMean(nn.Module):
    """Numbers of words -> the mean of their vectors, `(B, D)`; the vectors learn along.

    The mean is over words that have a vector (the published one divided by the padded length, and broke where none has
    one). Earlier turns count where the batch brings them; the words of a turn are added up once.

    Args:
        vectors: `(V, D)`.
        limit: words at most, by whole turns, the clip's own the last of them; 0 = all.

    Example:
        >>> words = WordMean(np.array([[1.0, 0.0], [0.0, 1.0]]))
        >>> tokens = Tokens(torch.tensor([[[[0.0], [1.0], [9.0]]]]), torch.tensor([[[True, True, False]]]))
        >>> words(tokens, Batch(("a",), 1, {}))[0].tolist()
        [[0.5, 0.5]]
    """

    def __init__(self, vectors: np.ndarray, limit: int = 0) -> None:
        super().__init__()
        self.table = nn.Embedding.from_pretrained(torch.from_numpy(np.array(vectors, np.float32)), freeze=False)
        self.width, self.limit = vectors.shape[1], limit

    def forward(self, tokens: Tokens, batch: Batch) -> tuple[Tensor, Tensor]:
        """Numbers `(R, N, T, 1)` -> `(B, D)`, zeros where no word is known, and `(B,)` bool."""
        mask = tokens.mask.flatten(1)
        row, _ = mask.nonzero(as_tuple=True)
        known = self.table(tokens.x.flatten(1)[mask].long())
        sums = known.new_zeros(len(mask), self.width).index_add(0, row, known)
        counts = mask.sum(1)
        lengths = counts.tolist()
        turns = [cut_turns(own, lengths, self.limit or sum(lengths)) for own in turns_of(batch, lengths)]
        clip = torch.tensor([c for c, own in enumerate(turns) for _ in own], dtype=torch.int64, device=mask.device)
        rows = torch.tensor([r for own in turns for r in own], dtype=torch.int64, device=mask.device)
        total = sums.new_zeros(batch.size, self.width).index_add(0, clip, sums[rows])
        count = counts.new_zeros(batch.size).index_add(0, clip, counts[rows])
        return total / count[:, None].clamp_min(1), count > 0
