"""What makes a B4 of a B0: EfficientNet's stages and the factors of its variants (Tan & Le 2019, arXiv:1905.11946)."""

from dataclasses import dataclass

__all__ = ["EFFICIENTNETS", "STAGES", "EfficientNetShape"]

STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Of B0: blocks, kernel, stride of the first, expansion, channels out (paper, table 1)."""


@dataclass(frozen=True, slots=True)
class EfficientNetShape:
    """How a variant differs from B0.

    Args:
        width: factor of all channels.
        depth: factor of the number of blocks.
        side: pixels of the pictures that it was published for.
        dropout: before the classifier.
        lite: no squeeze-and-excitation, ReLU6 in place of swish.
    """

    width: float
    depth: float
    side: int
    dropout: float
    lite: bool = False

    def channels(self, base: int) -> int:
        """`base` scaled to a multiple of 8 that is at most a tenth smaller than it should be.

        Example:
            >>> EFFICIENTNETS["b4"].channels(1280), EFFICIENTNETS["b2"].channels(32)
            (1792, 32)
        """
        exact = base * self.width
        rounded = max(8, int(exact + 4) // 8 * 8)
        return rounded + 8 if rounded < 0.9 * exact else rounded


EFFICIENTNETS = {
    "b0": EfficientNetShape(1.0, 1.0, 224, 0.2),
    "b1": EfficientNetShape(1.0, 1.1, 240, 0.2),
    "b2": EfficientNetShape(1.1, 1.2, 260, 0.3),
    "b3": EfficientNetShape(1.2, 1.4, 300, 0.3),
    "b4": EfficientNetShape(1.4, 1.8, 380, 0.4),
    "b5": EfficientNetShape(1.6, 2.2, 456, 0.4),
    "b6": EfficientNetShape(1.8, 2.6, 528, 0.5),
    "b7": EfficientNetShape(2.0, 3.1, 600, 0.5),
    "lite0": EfficientNetShape(1.0, 1.0, 224, 0.2, lite=True),
    "tiny": EfficientNetShape(0.25, 0.3, 64, 0.2),
}
"""Variant -> its factors, as the authors' code states them; `tiny` is ours."""
