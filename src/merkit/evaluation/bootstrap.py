"""Bootstrap intervals, clustered where rows come in groups (speakers, dialogues) that are not independent inside."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Interval", "bootstrap_interval", "resample"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its percentile interval.

    Example:
        >>> print(Interval(0.6621, 0.6464, 0.6777))
        .662 [.646, .678]
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        value, low, high = (f"{x:.3f}".removeprefix("0") for x in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}]"


def resample(n: int, groups: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """Row indices of one bootstrap resample: rows with replacement, or whole groups with replacement.

    Example:
        >>> rows = resample(4, np.array([7, 7, 8, 8]), np.random.default_rng(1))
        >>> all(np.count_nonzero(rows == 0) == np.count_nonzero(rows == 1) for _ in range(1))
        True
    """
    if groups is None:
        return rng.integers(n, size=n)
    names, index = np.unique(groups, return_inverse=True)
    order = np.argsort(index, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(index))[:-1])
    return np.concatenate([members[i] for i in rng.integers(len(names), size=len(names))])


def bootstrap_interval(
    measure: Callable[[np.ndarray, np.ndarray], float],
    prob: np.ndarray,
    target: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap of a measure (Efron & Tibshirani 1993, chapter 13).

    Args:
        measure: `(prob, target) -> number`.
        prob: `(n, K)`.
        target: `(n,)`.
        groups: `(n,)` group of each row; whole groups are drawn where given.
        draws: resamples.
        level: share of resamples inside the interval.
        seed: seed of the draws.

    Example:
        >>> from merkit.evaluation.metrics import accuracy
        >>> prob = np.tile([[0.9, 0.1]], (50, 1))
        >>> bootstrap_interval(accuracy, prob, np.zeros(50, int)).low
        1.0
    """
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(draws):
        rows = resample(len(target), groups, rng)
        values.append(measure(prob[rows], target[rows]))
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(measure(prob, target), float(low), float(high))
