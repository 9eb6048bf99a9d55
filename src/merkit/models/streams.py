"""The first layers of every model: each modality standardised and projected, modality dropout, folding of entities."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from merkit.data.batch import Tokens
from merkit.data.moments import moments_of
from merkit.data.stored import StoredRows
from merkit.models.dropout import Dropout
from merkit.models.pooling import hide

__all__ = [
    "StreamProjection",
    "centre_and_scale",
    "drop_modalities",
    "joined",
    "over_clips",
    "over_entities",
    "rows_of",
]


def centre_and_scale(x: "np.ndarray | StoredRows") -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation `(D,)` of tokens `(R, D)`, float64; a feature that does not vary, to a millionth of its mean, has
    scale 1, however small the numbers of those that do.

    Tokens that lie in a store are all read once, block by block.

    Example:
        >>> centre_and_scale(np.array([[1.0, 5.0], [3.0, 5.0]]))
        (array([2., 5.]), array([1., 1.]))
    """
    found = moments_of(x)
    mean, deviation = found.mean, np.sqrt(found.variance)
    flat = deviation <= 1e-6 * np.maximum(1e-6, np.abs(mean))
    return mean, np.where(flat, 1.0, deviation)


class Standardise(nn.Module):
    """`(x - centre) / scale`, with buffers that `fit` sets; nothing changes before that.

    Args:
        dim: width of the features.

    Example:
        >>> layer = Standardise(3)
        >>> layer.fit(np.array([[0.0, 1.0, 5.0], [2.0, 3.0, 5.0]]))
        >>> layer(torch.tensor([[0.0, 3.0, 5.0]])).tolist()
        [[-1.0, 1.0, 0.0]]
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.centre: Tensor
        self.scale: Tensor
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))

    def fit(self, x: "np.ndarray | StoredRows") -> None:
        """Sets mean and deviation from the tokens `x (R, D)` of the training part; constant features keep scale 1."""
        if len(x):
            centre, scale = centre_and_scale(x)
            self.centre.copy_(torch.from_numpy(centre))
            self.scale.copy_(torch.from_numpy(scale))

    def forward(self, x: Tensor) -> Tensor:
        """`(…, D)` to the same."""
        return (x - self.centre) / self.scale


class StreamProjection(Standardise):
    """One modality: standardised, then dropout, a linear layer and GELU.

    Args:
        dim: width of the features.
        width: `D` that the model works in.
        dropout: on the standardised features, in training.

    Example:
        >>> tokens = Tokens(torch.randn(2, 1, 4, 3), torch.ones(2, 1, 4) > 0)
        >>> StreamProjection(3, 8)(tokens).x.shape
        torch.Size([2, 1, 4, 8])
    """

    def __init__(self, dim: int, width: int, dropout: float = 0.0) -> None:
        super().__init__(dim)
        self.dropout = Dropout(dropout)
        self.linear = nn.Linear(dim, width)

    def forward(self, tokens: Tokens) -> Tokens:  # ty: ignore[incompatible-method-override]
        """`(…, T, dim)` to `(…, T, width)`. What stands under a False mask is replaced on the way in: a NaN there would
        reach the gradient of the weights even where no result depends on it."""
        x = self.dropout(super().forward(hide(tokens.x, tokens.mask)))
        return Tokens(F.gelu(self.linear(x)), tokens.mask, tokens.times)


def drop_modalities(streams: Mapping[str, Tokens], rate: float) -> dict[str, Tokens]:
    """Takes whole modalities away from rows at random, never the last one that a row has.

    Args:
        streams: modality -> tokens folded to `(B, T, D)`.
        rate: probability for each modality that is there.

    Example:
        >>> text = Tokens(torch.ones(1, 2, 3), torch.ones(1, 2, dtype=torch.bool))
        >>> drop_modalities({"text": text}, 1.0)["text"].mask.tolist()
        [[True, True]]
    """
    present = torch.stack([tokens.present for tokens in streams.values()], 1)  # (B, M)
    luck = torch.rand(present.shape, device=present.device).masked_fill(~present, -1.0)
    # the luckiest of those that are there always stays
    stays = (luck >= rate) | (luck == luck.amax(1, keepdim=True))
    return {
        name: Tokens(tokens.x, tokens.mask & stays[:, i, None], tokens.times)
        for i, (name, tokens) in enumerate(streams.items())
    }


def over_clips(tokens: Tokens) -> Tokens:
    """`(R, N, T, D)` to `(R, N T, D)`: the tokens of all entities are tokens of the clip."""
    times = None if tokens.times is None else tokens.times.flatten(1)
    return Tokens(tokens.x.flatten(1, 2), tokens.mask.flatten(1), times)


def joined(first: Tokens, second: Tokens) -> Tokens:
    """Two token sequences of the same rows, one behind the other; times are left out.

    Example:
        >>> one = Tokens(torch.ones(2, 3, 4), torch.ones(2, 3) > 0)
        >>> joined(one, one).x.shape
        torch.Size([2, 6, 4])
    """
    return Tokens(torch.cat([first.x, second.x], 1), torch.cat([first.mask, second.mask], 1))


def rows_of(tokens: Tokens, size: int) -> Tokens:
    """The first `size` rows."""
    if len(tokens.x) == size:
        return tokens
    return Tokens(tokens.x[:size], tokens.mask[:size], None if tokens.times is None else tokens.times[:size])


def over_entities(streams: Mapping[str, Tokens]) -> tuple[dict[str, Tokens], Tensor]:
    """Every entity that is there as a row of its own.

    A stream with one entity where others have several belongs to the clip as a whole: each entity gets it.

    Args:
        streams: modality -> tokens `(B, N, T, D)`, or `(B, 1, T, D)` for streams of the clip as a whole.

    Returns:
        modality -> tokens `(F, T, D)`, and `there (B, N)` bool, which names the `F` rows in order.

    Example:
        >>> face = Tokens(torch.randn(2, 3, 1, 4), torch.tensor([[[True], [False], [True]], [[True], [False], [False]]]))
        >>> rows, there = over_entities({"face": face, "text": Tokens(torch.randn(2, 1, 5, 4), torch.ones(2, 1, 5) > 0)})
        >>> rows["text"].x.shape, there.tolist()
        (torch.Size([3, 5, 4]), [[True, False, True], [True, False, False]])
    """
    entities = max(tokens.x.shape[1] for tokens in streams.values())
    own = [tokens.present for tokens in streams.values() if tokens.x.shape[1] == entities]
    there = torch.stack(own).any(0)
    clip, entity = there.nonzero(as_tuple=True)
    folded = {}
    for name, tokens in streams.items():
        at = (clip, entity if tokens.x.shape[1] == entities else torch.zeros_like(entity))
        folded[name] = Tokens(tokens.x[at], tokens.mask[at], None if tokens.times is None else tokens.times[at])
    return folded, there
