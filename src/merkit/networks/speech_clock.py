"""When the tokens of a convolutional speech encoder happen, computed from its own kernels and strides."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["SAMPLE_RATE", "SpeechClock"]

SAMPLE_RATE = 16_000


@dataclass(frozen=True, slots=True)
class SpeechClock:
    """Which samples each token is made of.

    Token `i` sees samples `i * hop` to `i * hop + reach`, the latter excluded; samples behind the last whole token are
    seen by none. (Attention then lets every token look at all others; time is where it comes from.)

    Args:
        kernels: samples or states that each convolution spans, first to last.
        strides: its steps.

    Raises:
        ValueError: not one stride a kernel.

    Example:
        >>> clock = SpeechClock((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2))
        >>> clock.hop, clock.reach, clock.count(16_000)
        (320, 400, 49)
        >>> clock.spans_s(720)
        (array([0.  , 0.02]), array([0.025, 0.045]))
    """

    kernels: tuple[int, ...]
    strides: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.kernels or len(self.kernels) != len(self.strides):
            raise ValueError(f"one stride a kernel; got kernels {self.kernels}, strides {self.strides}")

    @classmethod
    def of(cls, kernels: Sequence[int], strides: Sequence[int]) -> "SpeechClock":
        """From the `conv_kernel` and `conv_stride` of a model's config."""
        return cls(tuple(map(int, kernels)), tuple(map(int, strides)))

    @property
    def hop(self) -> int:
        """Samples from one token to the next."""
        return int(np.prod(self.strides))

    @property
    def reach(self) -> int:
        """Samples that one token sees: a shorter clip has no token."""
        return 1 + sum((k - 1) * int(np.prod(self.strides[:i])) for i, k in enumerate(self.kernels))

    def count(self, samples: int) -> int:
        """Tokens of so many samples."""
        return max(0, (int(samples) - self.reach) // self.hop + 1)

    def spans_s(self, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """`(T,)` start and end of every token in seconds from the first sample; they overlap where `reach` exceeds `hop`."""
        first = np.arange(self.count(samples)) * self.hop
        return first / SAMPLE_RATE, (first + self.reach) / SAMPLE_RATE
