"""A large column on a small scale, for checks that compare clips with one another."""

from dataclasses import replace

import numpy as np

from merkit.data.columns import TokenColumn
from merkit.data.stored import StoredRows

__all__ = ["outline"]

_NUMBERS = 1 << 24  # 64 MiB, which comparing multiplies


def outline(column: TokenColumn, n: int, numbers: int = _NUMBERS) -> TokenColumn:
    """A column in memory as it is; of one that stays in its store, evenly spaced tokens of every sequence.

    Copies of a recording have the same tokens at the same places, so they still are found. Of two cuts of one recording,
    other tokens may be taken, and what is near by mean tokens is found less surely.

    Args:
        column: of `n` clips.
        n: clips of the table.
        numbers: about how many to keep; at least one token of every sequence.

    Example:
        >>> column = TokenColumn.of_sequences([np.ones((2, 3))])
        >>> outline(column, 1) is column
        True
    """
    if not isinstance(column.x, StoredRows):
        return column
    most = max(1, numbers // max(1, len(column.clip) * column.width))

    def keep(row: np.ndarray, entity: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        counts = np.minimum(lengths, most)
        within = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        # from the middle of as many equal parts
        return (2 * within + 1) * np.repeat(lengths, counts) // np.repeat(2 * counts, counts), counts

    kept = column.take(np.arange(n), keep=keep)
    return replace(kept, x=kept.x[:])
