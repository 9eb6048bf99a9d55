"""Bootstrap intervals, clustered where rows come in groups (speakers, dialogues) that are not independent inside."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

__all__ = ["Interval", "bootstrap_interval", "percentiles", "resample", "resamples", "units_of"]


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


def units_of(groups: np.ndarray) -> tuple[np.ndarray, int]:
    """`(n,)` number of the unit that each row is drawn with, and how many units there are.

    Rows of one group are one unit. A blank name is no group that such rows have in common: each is a unit of its own.

    Example:
        >>> index, count = units_of(np.array(["bob", "", "ann", "", "bob"]))
        >>> index.tolist(), count
        ([1, 2, 0, 3, 1], 4)
    """
    groups = np.asarray(groups)
    blank = groups.astype(str) == "" if groups.dtype.kind in "USO" else np.zeros(len(groups), bool)
    index = np.empty(len(groups), np.int64)
    names, index[~blank] = np.unique(groups[~blank], return_inverse=True)
    count = len(names) + int(blank.sum())
    index[blank] = np.arange(len(names), count)
    return index, count


def resample(n: int, groups: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """Row indices of one bootstrap resample: rows with replacement, or whole groups with replacement.

    Example:
        >>> rows = resample(4, np.array([7, 7, 8, 8]), np.random.default_rng(1))
        >>> all(np.count_nonzero(rows == 0) == np.count_nonzero(rows == 1) for _ in range(1))
        True
    """
    return next(_drawn(n, groups, rng))


def resamples(n: int, groups: np.ndarray | None, draws: int, seed: int = 0) -> Iterator[np.ndarray]:
    """The row indices of `draws` bootstrap resamples; who belongs to which group is worked out once.

    Example:
        >>> [len(rows) for rows in resamples(4, np.array(["ann", "ann", "bob", "bob"]), 3)]
        [4, 4, 4]
    """
    drawn = _drawn(n, groups, np.random.default_rng(seed))
    return (next(drawn) for _ in range(draws))


def _drawn(n: int, groups: np.ndarray | None, rng: np.random.Generator) -> Iterator[np.ndarray]:
    if groups is None:
        while True:
            yield rng.integers(n, size=n)
    index, count = units_of(groups)
    order = np.argsort(index, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(index))[:-1])
    while True:
        yield np.concatenate([members[i] for i in rng.integers(count, size=count)])


def percentiles(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The ends of the middle `level` of resampled values; those that were undefined (NaN) are left out.

    Example:
        >>> percentiles(np.array([1.0, 2.0, 3.0, np.nan]), 0.5)
        (1.5, 2.5)
    """
    there = np.asarray(values, float)
    there = there[~np.isnan(there)]
    if not len(there):
        return float("nan"), float("nan")
    low, high = np.quantile(there, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


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
        groups: `(n,)` group of each row; whole groups are drawn where given, see `units_of`.
        draws: resamples.
        level: share of resamples inside the interval.
        seed: seed of the draws.

    Example:
        >>> from merkit.evaluation.metrics import accuracy
        >>> prob = np.tile([[0.9, 0.1]], (50, 1))
        >>> bootstrap_interval(accuracy, prob, np.zeros(50, int)).low
        1.0
    """
    values = [measure(prob[rows], target[rows]) for rows in resamples(len(target), groups, draws, seed)]
    return Interval(measure(prob, target), *percentiles(np.array(values), level))
