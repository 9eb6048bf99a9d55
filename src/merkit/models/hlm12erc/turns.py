"""Which turns of a dialogue are read one behind the other, so that nothing is read twice."""

from collections.abc import Sequence
from dataclasses import dataclass

from merkit.data.batch import Batch

__all__ = ["Reading", "cut_turns", "read_together", "turns_of"]


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read, and where in it each clip finds itself.

    Args:
        sequences: rows of the batch, turn after turn.
        sequence: of each clip: number of the sequence that ends with it or goes on behind it; -1 = it says nothing.
        turn: of each clip: its place in that sequence.
    """

    sequences: list[list[int]]
    sequence: list[int]
    turn: list[int]


def turns_of(batch: Batch, lengths: Sequence[int]) -> list[list[int]]:
    """Rows of the turns up to each clip in order of time, the clip itself last; turns without tokens are left out.

    Args:
        batch: with or without context; turns after a clip are passed over.
        lengths: tokens of each of its `R` rows. A clip that has none has no turns.

    Example:
        >>> import torch
        >>> batch = Batch(("c", "a", "b"), 1, {}, torch.tensor([[1, 2, 0]]), torch.tensor([[-2, -1, 0]]))
        >>> turns_of(batch, [5, 4, 0])
        [[1, 0]]
    """
    if batch.context is None or batch.position is None:
        return [[clip] if lengths[clip] else [] for clip in range(batch.size)]
    found = []
    for clip, (rows, places) in enumerate(zip(batch.context.tolist(), batch.position.tolist(), strict=True)):
        earlier = [row for row, place in zip(rows, places, strict=True) if row >= 0 and place < 0 and lengths[row]]
        found.append([*earlier, clip] if lengths[clip] else [])
    return found


def cut_turns(turns: Sequence[int], lengths: Sequence[int], room: int) -> list[int]:
    """The last turns that have room together. The very last always stays: alone over the limit, it loses its own beginning.

    Whole turns are left out, so that nothing begins in the middle of what somebody said, and clips of one dialogue begin
    with the same turn as long as possible.

    Example:
        >>> cut_turns([0, 1, 2], [9, 3, 4], 8), cut_turns([0, 1, 2], [9, 3, 4], 2)
        ([1, 2], [2])
    """
    first, used = len(turns), 0
    while first > 0 and (first == len(turns) or used + lengths[turns[first - 1]] <= room):
        first -= 1
        used += lengths[turns[first]]
    return list(turns[first:])


def read_together(turns: Sequence[Sequence[int]], *, share: bool = True) -> Reading:
    """The sequences that must be read: those that are the beginning of another are read within it.

    Args:
        turns: of each clip, itself last; empty = it says nothing.
        share: False reads every clip's turns by themselves.

    Example:
        >>> read_together([[4], [4, 5], [5, 6], [4, 5, 7], []])
        Reading(sequences=[[4, 5, 7], [5, 6]], sequence=[0, 0, 1, 0, -1], turn=[0, 1, 1, 2, 0])
        >>> len(read_together([[4], [4, 5]], share=False).sequences)
        2
    """
    sequences: list[list[int]] = []
    of, by_first = [-1] * len(turns), {}
    # the longest first: what is nested in another comes behind it
    for clip in sorted((i for i, own in enumerate(turns) if own), key=lambda i: -len(turns[i])):
        own = list(turns[clip])
        held = by_first.setdefault(own[0], [])
        within = next((s for s in held if sequences[s][: len(own)] == own), None) if share else None
        if within is None:
            within = len(sequences)
            sequences.append(own)
            held.append(within)
        of[clip] = within
    return Reading(sequences, of, [max(len(own) - 1, 0) for own in turns])
