"""What a labelled set holds before anything is learnt from it: how often labels occur, how many at once, which together."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["CoOccurrence", "any_of_entities", "co_occurrence", "histogram", "label_frequency", "scenes_of_characters"]


def any_of_entities(there: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What at least one entity of each clip has.

    Args:
        there: `(n, N, K)` bool.
        valid: `(n, N, K)` bool.

    Returns:
        `(n, K)` whether some entity has the label, and `(n, K)` whether that is known of some entity.

    Example:
        >>> any_of_entities(np.array([[[True], [False]], [[True], [True]]]), np.array([[[True], [True]], [[False]] * 2]))
        (array([[ True],
               [False]]), array([[ True],
               [False]]))
    """
    return np.any(there & valid, axis=1), np.any(valid, axis=1)


def label_frequency(there: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(K,)` answers with each label, and `(K,)` answers of which that is known.

    Args:
        there: `(n, K)` bool, or `(n, N, K)` where every entity is an answer of its own.
        valid: bool of the same shape.

    Example:
        >>> label_frequency(np.array([[True, False], [True, True]]), np.array([[True, True], [True, False]]))
        (array([2, 0]), array([2, 1]))
    """
    labels = there.shape[-1]
    known = valid.reshape(-1, labels)
    return (there.reshape(-1, labels) & known).sum(0), known.sum(0)


def histogram(counts: np.ndarray) -> np.ndarray:
    """How many are 0, how many 1, and so on up to the largest.

    Example:
        >>> histogram(np.array([0, 2, 2]))
        array([1, 0, 2])
    """
    return np.bincount(np.asarray(counts, np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class CoOccurrence:
    """Which labels come together.

    Args:
        both: `(R, C)` clips that have the label of the row and that of the column, among those where both are known.
        rows: `(R, C)` clips that have the label of the row, among those where both are known.
        share: `(R, C)` `both / rows`, the share of the row's clips that have the column's label; NaN without such clips.
    """

    both: np.ndarray
    rows: np.ndarray
    share: np.ndarray


def co_occurrence(
    rows: np.ndarray,
    columns: np.ndarray,
    rows_known: np.ndarray | None = None,
    columns_known: np.ndarray | None = None,
) -> CoOccurrence:
    """P(column | row), by counting.

    Args:
        rows: `(n, R)` bool.
        columns: `(n, C)` bool of the same clips.
        rows_known: `(n, R)` bool; None = all.
        columns_known: `(n, C)` bool; None = all.

    Example:
        >>> there = np.array([[True, True], [True, False], [False, False]])
        >>> found = co_occurrence(there, there)
        >>> found.both, found.share
        (array([[2, 1],
               [1, 1]]), array([[1. , 0.5],
               [1. , 1. ]]))
    """
    rows_known = np.ones(rows.shape, bool) if rows_known is None else rows_known
    columns_known = np.ones(columns.shape, bool) if columns_known is None else columns_known
    row = (rows & rows_known).astype(np.int64)
    both = row.T @ (columns & columns_known).astype(np.int64)
    base = row.T @ columns_known.astype(np.int64)
    return CoOccurrence(both, base, np.divide(both, base, out=np.full(both.shape, np.nan), where=base > 0))


def scenes_of_characters(movies: Iterable[str], names: Iterable[Sequence[str]]) -> dict[str, dict[str, int]]:
    """movie -> character -> number of scenes, most first and then by name.

    A name means the same person only within one movie, so nothing is added up across movies.

    Example:
        >>> scenes_of_characters(["m1", "m1", "m2"], [("Ann", "Bob"), ("Bob",), ("Ann",)])
        {'m1': {'Bob': 2, 'Ann': 1}, 'm2': {'Ann': 1}}
    """
    found: dict[str, Counter[str]] = {}
    for movie, present in zip(movies, names, strict=True):
        found.setdefault(str(movie), Counter()).update(dict.fromkeys(present, 1))
    return {
        movie: dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))) for movie, counts in found.items()
    }
