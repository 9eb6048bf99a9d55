"""Features that others have made, as one vector a clip."""

from typing import Any

from torch import Tensor, nn

from merkit.data.batch import Batch, Tokens
from merkit.models.pooling import build_pooling, hide
from merkit.models.streams import Standardise, over_clips, rows_of

__all__ = ["StoredFeatures"]


class StoredFeatures(nn.Module):
    """Standardised, pooled over time and over the persons of a clip, and brought to a width where one is asked.

    Args:
        dim: width of the features.
        pooling: a name in `POOLINGS`.
        out: width of the vector; 0 = as it comes.

    Example:
        >>> import torch
        >>> tokens = Tokens(torch.randn(2, 1, 3, 4), torch.tensor([[[True, True, False]], [[False] * 3]]))
        >>> x, present = StoredFeatures(4, "mean_max")(tokens, Batch(("a", "b"), 2, {}))
        >>> x.shape, present.tolist()
        (torch.Size([2, 8]), [True, False])
    """

    def __init__(self, dim: int, pooling: str = "mean", out: int = 0) -> None:
        super().__init__()
        self.scale = Standardise(dim)
        self.pool: Any = build_pooling(pooling, dim)
        self.project: Any = nn.Linear(self.pool.width, out) if out else nn.Identity()
        self.width = out or self.pool.width

    def fit(self, x: Any) -> None:
        """Sets centre and scale from the training tokens `(R, D)`."""
        self.scale.fit(x)

    def forward(self, tokens: Tokens, batch: Batch) -> tuple[Tensor, Tensor]:
        """`(R, N, T, D)` -> `(B, width)`, zeros where a clip has none, and `(B,)` bool."""
        own = rows_of(over_clips(tokens), batch.size)
        x = self.project(self.pool(self.scale(hide(own.x, own.mask)), own.mask))
        return hide(x, own.present), own.present
