"""Which label follows which in a dialogue, by counting pairs of neighbouring turns."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Transitions", "neighbours", "transitions"]


@dataclass(frozen=True, slots=True, eq=False)
class Transitions:
    """What the turn after a turn is labelled.

    Args:
        count: `(K, K)` pairs: label of a turn by row, of the next turn by column.
        share: `(K, K)` of each row's pairs; a row without a pair is NaN.
        expected: `(K,)` share of each label among all next turns: what every row would be if the turn before did not
            matter; NaN without pairs.
    """

    count: np.ndarray
    share: np.ndarray
    expected: np.ndarray


def neighbours(dialogue: np.ndarray, turn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of turns that follow each other at once: numbers that differ by exactly 1 within one dialogue.

    Where a turn is missing between two (it is in another split, or could not be used), they are no neighbours.

    Args:
        dialogue: `(n,)` which dialogue each clip belongs to.
        turn: `(n,)` int, its place in there.

    Returns:
        `(P,)` rows of the earlier turns and `(P,)` of the later ones, in order of dialogue and turn.

    Example:
        >>> first, second = neighbours(np.array(["a", "a", "a", "b"]), np.array([1, 0, 3, 2]))
        >>> first.tolist(), second.tolist()
        ([1], [0])
    """
    order = np.lexsort((turn, dialogue))
    first, second = order[:-1], order[1:]
    next_to = (dialogue[first] == dialogue[second]) & (turn[second] - turn[first] == 1)
    return first[next_to], second[next_to]


def transitions(first: np.ndarray, second: np.ndarray, labels: int) -> Transitions:
    """Counts of pairs, and shares by row.

    Args:
        first: `(P,)` class of the earlier turn, 0 to `labels - 1`.
        second: `(P,)` class of the turn after it.
        labels: `K`.

    Example:
        >>> found = transitions(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
        >>> found.count.tolist(), found.share.tolist(), found.expected.round(3).tolist()
        ([[1, 1], [0, 1]], [[0.5, 0.5], [0.0, 1.0]], [0.333, 0.667])
    """
    count = np.bincount(first * labels + second, minlength=labels * labels).reshape(labels, labels)
    rows = count.sum(1, keepdims=True)
    share = np.divide(count, rows, out=np.full(count.shape, np.nan), where=rows > 0)
    pairs = int(count.sum())
    return Transitions(count, share, count.sum(0) / pairs if pairs else np.full(labels, np.nan))
