"""What the bytes of a picture token are: one frame, or several in one picture, one under the other.

Who reads a store must know height and width, which the length of a token does not tell. They stand in the name of what
made the tokens, so that they are known wherever the tokens go: `frames-240x426@…`, `mosaic-5x240x426@…`.
"""

import re
from dataclasses import dataclass
from math import isqrt

import numpy as np

from merkit.errors import ConfigError

__all__ = ["FrameLayout"]

_NAME = re.compile(r"(?:face-)?(?:frames-|mosaic-(\d+)x)(\d+)x(\d+)@")
_SQUARE = re.compile(r"face-pictures@")


@dataclass(frozen=True, slots=True)
class FrameLayout:
    """Pictures as tokens: RGB bytes, row by row from the top, three numbers a pixel.

    Args:
        height: of a frame, in pixels.
        width: of a frame, in pixels.
        stacked: frames of a mosaic, the first on top; 0 = a token is one frame.

    Example:
        >>> layout = FrameLayout(240, 426, stacked=5)
        >>> layout.shape, layout.token_width, layout.name
        ((1200, 426, 3), 1533600, 'mosaic-5x240x426')
    """

    height: int
    width: int
    stacked: int = 0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and colours of the picture that a token is."""
        return self.height * max(self.stacked, 1), self.width, 3

    @property
    def token_width(self) -> int:
        """`D`: bytes of a token."""
        height, width, colours = self.shape
        return height * width * colours

    @property
    def name(self) -> str:
        """As it stands in the name of what makes such tokens."""
        return (
            f"mosaic-{self.stacked}x{self.height}x{self.width}"
            if self.stacked
            else f"frames-{self.height}x{self.width}"
        )

    @classmethod
    def of(cls, source: str, width: int) -> "FrameLayout":
        """The layout of stored tokens.

        Args:
            source: id of what made them (`extractor_id` in a store's index, `source` of a table's provenance).
            width: `D`, bytes of a token.

        Raises:
            ConfigError: they are no pictures.

        Example:
            >>> FrameLayout.of("face-frames-2x3@0123456789ab", 18)
            FrameLayout(height=2, width=3, stacked=0)
            >>> FrameLayout.of("face-pictures@0123456789ab", 3 * 112 * 112).shape
            (112, 112, 3)
            >>> FrameLayout.of("minilm@0123456789ab", 384)
            Traceback (most recent call last):
            ...
            merkit.errors.ConfigError: minilm@0123456789ab: tokens of 384 numbers are no pictures (merkit prepare meld --help)
        """
        found = None
        if (said := _NAME.match(source)) is not None:
            found = cls(int(said[2]), int(said[3]), int(said[1] or 0))
        elif _SQUARE.match(source) is not None:
            side = isqrt(width // 3)
            found = cls(side, side)
        if found is None or found.token_width != width:
            raise ConfigError(f"{source}: tokens of {width} numbers are no pictures (merkit prepare meld --help)")
        return found

    def pictures(self, x: np.ndarray) -> np.ndarray:
        """Tokens `(…, D)` as pictures `(…, H, W, 3)`; nothing is copied.

        Example:
            >>> FrameLayout(2, 3).pictures(np.zeros((5, 18), np.uint8)).shape
            (5, 2, 3, 3)
        """
        return x.reshape(*x.shape[:-1], *self.shape)

    def tokens(self, frames: np.ndarray) -> np.ndarray:
        """Frames `(n, H, W, 3)` as tokens: `(n, D)`, or one, `(1, D)`, in which what is missing of a mosaic is black.

        Raises:
            ValueError: other frames than the layout says, or more than a mosaic takes.

        Example:
            >>> mosaic = FrameLayout(1, 2, stacked=3)
            >>> mosaic.tokens(np.full((2, 1, 2, 3), 7, np.uint8)).tolist()
            [[7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 0, 0, 0, 0, 0, 0]]
        """
        if frames.shape[1:] != (self.height, self.width, 3) or (self.stacked and len(frames) > self.stacked):
            raise ValueError(f"frames {frames.shape} do not fit {self}")
        flat = frames.reshape(len(frames), -1)
        if not self.stacked:
            return flat
        # frames one under the other are their bytes one behind the other
        made = np.zeros((1, self.token_width), np.uint8)
        made[0, : flat.size] = flat.ravel()
        return made
