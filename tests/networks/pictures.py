"""Fixed pictures for the comparisons with the original networks: integer arithmetic only, so alike on every machine."""

import numpy as np

__all__ = ["pictures"]


def pictures(count: int, size: int, channels: int = 3) -> np.ndarray:
    """`(count, size, size, channels)` uint8: crossing triangle waves of several periods, different in every channel."""
    n, y, x, c = np.meshgrid(*map(np.arange, (count, size, size, channels)), indexing="ij")
    coarse = np.abs((x * (5 + n) + y * (3 + c) + 37 * c + 91 * n) % 256 - 128)
    fine = np.abs((x * x // (2 + c) - y * (29 + 2 * n) + x * y // 8) % 256 - 128)
    return ((3 * coarse + fine) // 2).clip(0, 255).astype(np.uint8)
