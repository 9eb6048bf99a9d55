"""Tokens and targets of many clips, one column each: flat arrays with offsets, nothing padded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from merkit.data.stored import StoredRows, blocks_of
from merkit.schema import TargetSpec

if TYPE_CHECKING:
    from merkit.data.token_sampling import Keep

__all__ = ["Origin", "TargetColumn", "TokenColumn"]


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """That tokens are just what a feature store holds, and by which hashes it knows them.

    Args:
        x: the very object that this is true of: a column whose `x` was replaced is no longer of this origin.
        sha256: `(S,)` bytes of each sequence: over times and tokens in the store's number type.
    """

    x: "np.ndarray | StoredRows"
    sha256: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class TokenColumn:
    """One modality of all clips: `S` sequences over `R` tokens, sorted by clip, then entity.

    Args:
        x: `(R, D)` float32, or uint8 where tokens are pictures, in memory, or rows of a store that are read when they are
            asked for (`x[rows]`, `x[:]`).
        offsets: `(S + 1,)` int64: sequence `s` is `x[offsets[s] : offsets[s + 1]]`.
        clip: `(S,)` int64: row of the clip that sequence `s` belongs to. Clips without the modality have no sequence.
        entity: `(S,)` int64: place of the entity among the clip's entities; 0 for the clip as a whole.
        start_s: `(R,)` float64 seconds; None where the features carry no times.
        per_entity: whether sequences belong to persons within clips. A column that has an entity beyond 0 knows it by
            itself; what is taken from a column remembers it, even where only entity 0 is left.
        origin: where `x` is what a feature store holds.
    """

    x: "np.ndarray | StoredRows"
    offsets: np.ndarray
    clip: np.ndarray
    entity: np.ndarray
    start_s: np.ndarray | None = None
    per_entity: bool = False
    origin: Origin | None = None

    def __post_init__(self) -> None:
        if not self.per_entity and self.entity.max(initial=0) > 0:
            object.__setattr__(self, "per_entity", True)

    @classmethod
    def one_per_clip(cls, x: np.ndarray, present: np.ndarray | None = None) -> "TokenColumn":
        """`(n, D)` features, one token a clip; `present (n,)` says which clips have them.

        Example:
            >>> TokenColumn.one_per_clip(np.ones((3, 2)), np.array([True, False, True])).clip
            array([0, 2])
        """
        clip = np.arange(len(x)) if present is None else np.flatnonzero(present)
        count = len(clip)
        return cls(
            np.ascontiguousarray(x[clip], _kind(x)), np.arange(count + 1), clip.astype(np.int64), np.zeros(count, int)
        )

    @classmethod
    def of_sequences(cls, sequences: Sequence[np.ndarray | None], width: int | None = None) -> "TokenColumn":
        """One `(T_i, D)` array per clip, None or empty where the clip has none.

        Example:
            >>> TokenColumn.of_sequences([np.ones((2, 4)), None, np.ones((1, 4))]).offsets
            array([0, 2, 3])
        """
        have = [i for i, sequence in enumerate(sequences) if sequence is not None and len(sequence)]
        given = [np.asarray(sequences[i]) for i in have]
        # pictures stay bytes as long as all of them are
        kind = np.uint8 if given and all(each.dtype == np.uint8 for each in given) else np.float32
        arrays = [each.astype(kind, copy=False) for each in given]
        x = np.concatenate(arrays) if arrays else np.zeros((0, width or 0), np.float32)
        offsets = np.concatenate([[0], np.cumsum([len(array) for array in arrays], dtype=np.int64)]).astype(np.int64)
        return cls(x, offsets, np.array(have, np.int64), np.zeros(len(have), np.int64))

    @property
    def width(self) -> int:
        """`D`."""
        return self.x.shape[1]

    @property
    def lengths(self) -> np.ndarray:
        """`(S,)` tokens in each sequence."""
        return np.diff(self.offsets)

    def sequences(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The sequences of the clips `rows (m,)`: `(Q,)` numbers, and `(Q,)` which place in `rows` each belongs to."""
        first = np.searchsorted(self.clip, rows, "left")
        count = np.searchsorted(self.clip, rows, "right") - first
        return _ranges(first, count), np.repeat(np.arange(len(rows)), count)

    def take(self, rows: np.ndarray, *, keep: "Keep | None" = None, places: np.ndarray | None = None) -> "TokenColumn":
        """The column of the clips `rows (m,)` in that order; `clip` then counts from 0 to m - 1.

        Tokens that lie in a store stay there.

        Args:
            rows: clips.
            keep: which tokens of each sequence to take (`merkit.data.token_sampling`); no other is read. None = all.
            places: `(m, N)`: entity `e` of clip `rows[i]` becomes entity `places[i, e]`.
        """
        sequences, clip = self.sequences(rows)
        entity = self.entity[sequences]
        if places is not None:
            moved = places[clip, entity]
            order = np.lexsort((moved, clip))
            sequences, entity, moved = sequences[order], entity[order], moved[order]  # `clip` is sorted already
        else:
            moved = entity
        lengths, first = self.lengths[sequences], self.offsets[sequences]
        if keep is None:
            tokens = _ranges(first, lengths)
        else:
            within, lengths = keep(rows[clip], entity, lengths)
            tokens = np.repeat(first, lengths) + within
        if not isinstance(self.x, StoredRows):
            x = self.x[tokens]
        else:
            x = self.x.ranges(first, lengths) if keep is None else self.x.at(tokens)
        held = self.origin is not None and self.origin.x is self.x and keep is None
        return TokenColumn(
            x,
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            clip,
            moved,
            None if self.start_s is None else self.start_s[tokens],
            self.per_entity,
            Origin(x, self.origin.sha256[sequences]) if held and self.origin is not None else None,
        )

    def hashed(self) -> Iterator[np.ndarray]:
        """What tells this column from another, for a fingerprint: hashes of a store, or else every number."""
        if self.origin is not None and self.origin.x is self.x:
            yield self.origin.sha256
        else:
            yield from blocks_of(self.x)
        yield from (self.offsets, self.clip, self.entity)
        if self.start_s is not None:
            yield self.start_s


def _kind(x: np.ndarray) -> type:
    return np.uint8 if x.dtype == np.uint8 else np.float32


def _ranges(first: np.ndarray, count: np.ndarray) -> np.ndarray:
    """`first[0] … first[0] + count[0] - 1, first[1] …` as one index array."""
    total = int(count.sum())
    skipped = np.repeat(first - np.concatenate([[0], np.cumsum(count)[:-1]]) if len(count) else first, count)
    return np.arange(total) + skipped


@dataclass(frozen=True, slots=True, eq=False)
class TargetColumn:
    """One target of all clips.

    Args:
        spec: the question.
        value: `single_label`: `(n,)` int64; else `(n, K)` float32. Per entity: `(n, N)` or `(n, N, K)`.
        valid: bool; `(n,)` for single labels, else `(n, K)`; with `N` in between per entity. False = not known, out of
            every loss and metric.
        votes: `(n, K)` rater counts; None where the corpus has none.
    """

    spec: TargetSpec
    value: np.ndarray
    valid: np.ndarray
    votes: np.ndarray | None = None

    def take(self, rows: np.ndarray, *, places: np.ndarray | None = None) -> "TargetColumn":
        """The column of the clips `rows`; per entity, with entities moved to their `places` (see `TokenColumn.take`)."""
        votes = None if self.votes is None else self.votes[rows]
        value, valid = self.value[rows], self.valid[rows]
        if places is not None and self.spec.per_entity:
            came_from = np.argsort(places, 1)
            value, valid = (
                np.take_along_axis(each, came_from.reshape(*came_from.shape, *[1] * (each.ndim - 2)), 1)
                for each in (value, valid)
            )
        return replace(self, value=value, valid=valid, votes=votes)

    def owner(self) -> np.ndarray:
        """`(m,)` row of the clip that each known answer per entity belongs to, in the order of clips, then entities.

        Example:
            >>> spec = TargetSpec("character", "single_label", ("calm", "sad"), per_entity=True)
            >>> TargetColumn(spec, np.zeros((2, 2), int), np.array([[True, True], [False, True]])).owner()
            array([0, 0, 1])
        """
        known = self.valid if self.valid.ndim == 2 else self.valid.any(-1)
        return np.nonzero(known)[0]
