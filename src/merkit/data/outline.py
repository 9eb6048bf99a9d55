"""A large column on a small scale, for checks that compare clips with one another."""

from dataclasses import replace

import numpy as np

from merkit.data.columns import TokenColumn
from merkit.data.stored import StoredRows, blocks_of

__all__ = ["outline"]

_NUMBERS = 1 << 24  # 64 MiB, which comparing multiplies
_WIDEST = 4096  # a picture of 224 pixels has 150,528 numbers; a corpus of means of such tokens fits in no memory


def outline(column: TokenColumn, n: int, numbers: int = _NUMBERS) -> TokenColumn:
    """A column in memory as it is; of one that stays in its store, evenly spaced tokens of every sequence. Of tokens that
    are very wide, as pictures are, evenly spaced numbers.

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
    width = min(column.width, _WIDEST)
    # from the middle of as many equal parts: a step would see one colour of pictures, or one edge
    places = (2 * np.arange(width) + 1) * column.width // (2 * width)
    if not isinstance(column.x, StoredRows):
        return column if width == column.width else replace(column, x=_thin(column.x, places))
    most = max(1, numbers // max(1, len(column.clip) * width))

    def keep(row: np.ndarray, entity: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        counts = np.minimum(lengths, most)
        within = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        # from the middle of as many equal parts
        return (2 * within + 1) * np.repeat(lengths, counts) // np.repeat(2 * counts, counts), counts

    kept = column.take(np.arange(n), keep=keep)
    return replace(kept, x=kept.x[:] if width == column.width else _thin(kept.x, places))


def _thin(x: "np.ndarray | StoredRows", places: np.ndarray) -> np.ndarray:
    """`x[:, places]`, block by block."""
    parts = [block[:, places] for block in blocks_of(x)]
    return np.concatenate(parts) if parts else np.zeros((0, len(places)), np.float32)
