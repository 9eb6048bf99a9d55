"""A corpus in memory, column by column: what splits, the leakage check, samplers and metrics work on.

Rows are clips. Tokens of all clips of a modality lie in one flat array with offsets, so that taking a thousand clips is
one gather and nothing is ever padded at rest.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from merkit.schema import TargetSpec

if TYPE_CHECKING:
    from merkit.data.token_sampling import Keep

__all__ = ["ClipTable", "Provenance", "TargetColumn", "TokenColumn"]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a modality's features come from, as far as it matters for trusting a figure.

    Args:
        source: extractor id, or in words who made the features.
        fitted_on: splits whose LABELS the feature extractor was fitted on, e.g. `("train", "valid")` for features from
            a network that their authors trained on both. Empty for extractors that never saw labels of this corpus.
        statistics_on: splits that normalisation or a vocabulary inside the features was fitted on, without labels.
    """

    source: str
    fitted_on: tuple[str, ...] = ()
    statistics_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class TokenColumn:
    """One modality of all clips: `S` sequences over `R` tokens, sorted by clip, then entity.

    Args:
        x: `(R, D)` float32.
        offsets: `(S + 1,)` int64: sequence `s` is `x[offsets[s] : offsets[s + 1]]`.
        clip: `(S,)` int64: row of the clip that sequence `s` belongs to. Clips without the modality have no sequence.
        entity: `(S,)` int64: place of the entity among the clip's entities; 0 for the clip as a whole.
        start_s: `(R,)` float64 seconds; None where the features carry no times.
        per_entity: whether sequences belong to persons within clips. A column that has an entity beyond 0 knows it by
            itself; what is taken from a column remembers it, even where only entity 0 is left.
    """

    x: np.ndarray
    offsets: np.ndarray
    clip: np.ndarray
    entity: np.ndarray
    start_s: np.ndarray | None = None
    per_entity: bool = False

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
            np.ascontiguousarray(x[clip], np.float32), np.arange(count + 1), clip.astype(np.int64), np.zeros(count, int)
        )

    @classmethod
    def of_sequences(cls, sequences: Sequence[np.ndarray | None], width: int | None = None) -> "TokenColumn":
        """One `(T_i, D)` array per clip, None or empty where the clip has none.

        Example:
            >>> TokenColumn.of_sequences([np.ones((2, 4)), None, np.ones((1, 4))]).offsets
            array([0, 2, 3])
        """
        have = [i for i, sequence in enumerate(sequences) if sequence is not None and len(sequence)]
        arrays = [np.asarray(sequences[i], np.float32) for i in have]
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
        return TokenColumn(
            self.x[tokens],
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            clip,
            moved,
            None if self.start_s is None else self.start_s[tokens],
            self.per_entity,
        )


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


@dataclass(frozen=True, slots=True, eq=False)
class ClipTable:
    """`n` clips of one corpus.

    Args:
        name: the corpus.
        ids: `(n,)` str, distinct.
        split: `(n,)` str: `train`, `valid`, `test`, or empty where a clip is in none.
        streams: modality -> tokens.
        targets: name -> column.
        groups: kind (`speaker`, `dialogue`, …) -> `(n,)` str.
        dialogue: `(n,)` str: which dialogue or video a clip belongs to; None where clips stand alone.
        turn: `(n,)` int64: order within the dialogue.
        texts: `(n,)` str, the words where they are known; for text encoders and the leakage check.
        media_sha256: `(n,)` str, hash of the media; empty where unknown.
        provenance: modality -> where its features come from.
        entities: `(n,)` object, each a tuple of the names behind the clip's entities 0, 1, …; None where there are none.

    Example:
        >>> spec = TargetSpec("emotion", "single_label", ("joy", "anger"))
        >>> table = ClipTable("tiny", np.array(["a", "b"]), np.array(["train", "test"]),
        ...     {"text": TokenColumn.one_per_clip(np.eye(2))}, {"emotion": TargetColumn(spec, np.array([0, 1]),
        ...     np.array([True, True]))})
        >>> table.where("test").ids
        array(['b'], dtype='<U1')
    """

    name: str
    ids: np.ndarray
    split: np.ndarray
    streams: Mapping[str, TokenColumn]
    targets: Mapping[str, TargetColumn]
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)
    dialogue: np.ndarray | None = None
    turn: np.ndarray | None = None
    texts: np.ndarray | None = None
    media_sha256: np.ndarray | None = None
    provenance: Mapping[str, Provenance] = field(default_factory=dict)
    entities: np.ndarray | None = None

    def __post_init__(self) -> None:
        n = len(self.ids)
        columns: dict[str, np.ndarray | None] = {
            "split": self.split,
            "dialogue": self.dialogue,
            "turn": self.turn,
            "texts": self.texts,
            "media_sha256": self.media_sha256,
            "entities": self.entities,
            **{f"group {kind}": names for kind, names in self.groups.items()},
            **{f"target {name}": column.value for name, column in self.targets.items()},
        }
        for name, column in columns.items():
            if column is not None and len(column) != n:
                raise ValueError(f"corpus {self.name}: {name} has {len(column)} rows, there are {n} ids")
        asked = self.entity_count
        for name, column in self.targets.items():
            if column.spec.per_entity and column.value.shape[1] != asked:
                raise ValueError(
                    f"corpus {self.name}: target {name} is asked of {column.value.shape[1]} entities, not {asked}"
                )
        for name, column in self.streams.items():
            if asked is not None and column.entity.max(initial=0) >= asked:
                raise ValueError(
                    f"corpus {self.name}: stream {name} has entity {column.entity.max()}, targets are asked of {asked}"
                )

    @property
    def entity_count(self) -> int | None:
        """`N` that targets per entity are asked of; None where there are none."""
        return next((column.value.shape[1] for column in self.targets.values() if column.spec.per_entity), None)

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: np.ndarray) -> "ClipTable":
        """The clips `rows`: indices in the order wanted, or a boolean mask `(n,)`."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows

        def picked(column: np.ndarray | None) -> np.ndarray | None:
            return None if column is None else column[rows]

        return replace(
            self,
            ids=self.ids[rows],
            split=self.split[rows],
            streams={name: column.take(rows) for name, column in self.streams.items()},
            targets={name: column.take(rows) for name, column in self.targets.items()},
            groups={kind: names[rows] for kind, names in self.groups.items()},
            dialogue=picked(self.dialogue),
            turn=picked(self.turn),
            texts=picked(self.texts),
            media_sha256=picked(self.media_sha256),
            entities=picked(self.entities),
        )

    def where(self, split: str) -> "ClipTable":
        """The clips of one split."""
        return self.take(self.split == split)

    def fingerprint(self) -> str:
        """sha256 over ids, splits, groups, tokens and targets: the same data gives the same, in any process."""
        digest = hashlib.sha256()
        for part in (self.ids, self.split, *(self.groups[kind] for kind in sorted(self.groups))):
            digest.update("\0".join(map(str, part)).encode())
        for name in sorted(self.streams):
            column = self.streams[name]
            digest.update(name.encode())
            for array in (column.x, column.offsets, column.clip, column.entity):
                digest.update(np.ascontiguousarray(array).data)
        for name in sorted(self.targets):
            target = self.targets[name]
            digest.update(f"{name} {target.spec}".encode())
            for array in (target.value, target.valid):
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()
