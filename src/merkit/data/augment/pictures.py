"""Pictures mirrored and rotated, all pictures of a clip alike.

A token is a flattened `(S, S, 3)` picture in RGB: uint8, or float in [0, 1].
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn import functional as F

from merkit.data.augment.steps import checked, chosen, square_side, tokens_in, unit_range, with_x
from merkit.data.batch import Batch
from merkit.errors import ConfigError
from merkit.schema import TargetSpec

__all__ = ["Flip", "Rotation"]


@dataclass(frozen=True, slots=True)
class Flip:
    """Left and right exchanged. uint8 stays uint8.

    Args:
        prob: share of sequences that are mirrored.
        stream: which modality.

    Raises:
        ConfigError: no probability, no such stream, or its tokens are no pictures.

    Example:
        >>> from merkit.data.batch import Tokens
        >>> face = Tokens(torch.arange(12.0).reshape(1, 1, 1, 12), torch.ones(1, 1, 1, dtype=torch.bool))
        >>> Flip(prob=1.0)(Batch(("a",), 1, {"face": face}), []).tokens["face"].x.reshape(2, 2, 3)[0]
        tensor([[3., 4., 5.],
                [0., 1., 2.]])
    """

    prob: float = 0.5
    stream: str = "face"

    def __post_init__(self) -> None:
        checked(self.prob, "flip")

    def __call__(self, batch: Batch, specs: list[TargetSpec]) -> Batch:
        """The batch with `stream` mirrored in part."""
        tokens = tokens_in(batch, self.stream)
        side = square_side(tokens.x.shape[-1], self.stream)
        hit = chosen(tuple(tokens.mask.shape[:2]), self.prob)
        x = tokens.x.clone()
        for row, entity in hit.nonzero().tolist():
            x[row, entity] = tokens.x[row, entity].unflatten(-1, (side, side, 3)).flip(-2).flatten(-3)
        return with_x(batch, self.stream, x)


@dataclass(frozen=True, slots=True)
class Rotation:
    """Rotated about the middle by an even draw from ±`degrees`, counterclockwise where positive; bilinear. uint8 becomes float.

    Args:
        degrees: at most, in [0, 180].
        prob: share of sequences that are rotated.
        fill: what comes in at the corners: black (`zeros`), the picture's edge drawn out (`border`), or its mirror image
            (`reflection`).
        stream: which modality.

    Raises:
        ConfigError: a number out of its range, no such stream, or its tokens are no pictures.

    Example:
        >>> from merkit.data.batch import Tokens
        >>> face = Tokens(torch.ones(1, 1, 1, 27), torch.ones(1, 1, 1, dtype=torch.bool))
        >>> turned = Rotation(degrees=30.0, prob=1.0)(Batch(("a",), 1, {"face": face}), []).tokens["face"].x
        >>> round(turned.reshape(3, 3, 3)[1, 1, 0].item(), 4)  # the middle stays
        1.0
    """

    degrees: float = 30.0
    prob: float = 0.7
    fill: Literal["zeros", "border", "reflection"] = "zeros"
    stream: str = "face"

    def __post_init__(self) -> None:
        checked(self.prob, "rotation")
        if not 0 <= self.degrees <= 180 or self.fill not in ("zeros", "border", "reflection"):
            raise ConfigError(f"rotation by at most 0 to 180 degrees, filled by zeros, border or reflection: {self}")

    def __call__(self, batch: Batch, specs: list[TargetSpec]) -> Batch:
        """The batch with `stream` rotated in part, as float in [0, 1]."""
        tokens = tokens_in(batch, self.stream)
        side = square_side(tokens.x.shape[-1], self.stream)
        shape = tuple(tokens.mask.shape[:2])
        angle = torch.deg2rad((2 * torch.rand(shape) - 1) * self.degrees)
        hit = chosen(shape, self.prob)
        source = unit_range(tokens.x)
        x = source.clone() if source is tokens.x else source
        # one clip at a time: a few pictures fit into the cache, a batch of clips does not
        for row, entity in hit.nonzero().tolist():
            cos, sin = angle[row, entity].cos().item(), angle[row, entity].sin().item()
            matrix = torch.tensor([[[cos, -sin, 0.0], [sin, cos, 0.0]]]).to(x)
            grid = F.affine_grid(matrix, [1, 1, side, side], align_corners=False)
            clip = x[row, entity].unflatten(-1, (side, side, 3)).permute(0, 3, 1, 2)
            grid = grid.expand(len(clip), -1, -1, -1)
            clip = F.grid_sample(clip, grid, mode="bilinear", padding_mode=self.fill, align_corners=False)
            x[row, entity] = clip.permute(0, 2, 3, 1).flatten(1)
        return with_x(batch, self.stream, x)
