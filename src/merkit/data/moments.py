"""Mean and deviation of tokens, in blocks: the same number of passes, and the same result, in memory or on disk."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from merkit.data.stored import StoredRows, blocks_of

__all__ = ["Moments", "moments_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """What is known of a set of tokens.

    Args:
        count: tokens.
        mean: `(D,)` float64.
        variance: `(D,)` float64, over `count`.
    """

    count: int
    mean: np.ndarray
    variance: np.ndarray

    @classmethod
    def together(cls, parts: "Sequence[Moments]") -> "Moments":
        """Of the union of sets that share no token (Chan, Golub, LeVeque 1979); at least one of them has some.

        Example:
            >>> x = np.arange(6.0)[:, None]
            >>> whole = Moments.together([moments_of(x[:4]), moments_of(x[4:])])
            >>> whole.count, whole.mean, whole.variance.round(6)
            (6, array([2.5]), array([2.916667]))
        """
        first, *rest = [part for part in parts if part.count]
        count, mean, spread = first.count, first.mean, first.variance * first.count
        for part in rest:
            total, apart = count + part.count, part.mean - mean
            spread = spread + part.variance * part.count + np.square(apart) * (count * part.count / total)
            mean, count = mean + apart * (part.count / total), total
        return first if not rest else cls(count, mean, spread / count)


# rows that stay on disk do not change: what was read of them once need not be read for every seed
_known: dict[bytes, Moments] = {}


def moments_of(x: "np.ndarray | StoredRows") -> Moments:
    """Of the tokens `x (R, D)`, in one pass; of rows that stay on disk, one pass a process.

    Example:
        >>> moments_of(np.array([[1.0], [3.0]])).variance
        array([1.])
    """
    key = x.key() if isinstance(x, StoredRows) else None
    if key is None:
        return _measured(x)
    if key not in _known:
        _known[key] = _measured(x)
    return _known[key]


def _measured(x: "np.ndarray | StoredRows") -> Moments:
    parts = []
    for block in blocks_of(x):
        apart = block.astype(np.float64)
        mean = apart.mean(0)
        apart -= mean
        np.square(apart, out=apart)
        parts.append(Moments(len(block), mean, apart.mean(0)))
    return Moments.together(parts) if parts else Moments(0, np.zeros(x.shape[1]), np.ones(x.shape[1]))
