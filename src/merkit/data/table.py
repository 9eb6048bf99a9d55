"""A corpus column by column: what splits, the leakage check, samplers and metrics work on.

Rows are clips. Tokens of all clips of a modality lie in one flat array with offsets, so that taking a thousand clips is
one gather and nothing is ever padded at rest. The array is in memory, or, where that is too small, in the feature store.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from merkit.data.columns import TargetColumn, TokenColumn

__all__ = ["ClipTable", "Provenance", "TargetColumn", "TokenColumn"]

_ORDER = {"train": 0, "valid": 1, "test": 2}


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a modality's features come from, as far as it matters for trusting a figure.

    Args:
        source: extractor id, or in words who made the features.
        fitted_on: splits whose LABELS the feature extractor was fitted on, e.g. `("train", "valid")` for features from
            a network that their authors trained on both. Empty for extractors that never saw labels of this corpus.
        statistics_on: splits that normalisation or a vocabulary inside the features was fitted on, without labels.
        before: which splits that was said of, where the clips were divided anew since.
    """

    source: str
    fitted_on: tuple[str, ...] = ()
    statistics_on: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    def divided(self, old: np.ndarray, new: np.ndarray) -> "Provenance":
        """The same of a new division: every split that holds a clip of a named one is named.

        Args:
            old: `(n,)` str splits that `fitted_on` and `statistics_on` speak of. A name that no clip has stays as it is.
            new: `(n,)` str splits of the same clips.

        Example:
            >>> old, new = np.array(["train", "train", "valid"]), np.array(["train", "valid", "test"])
            >>> found = Provenance("a network", ("train",)).divided(old, new)
            >>> found.fitted_on, found.before
            (('train', 'valid'), ('train',))
        """

        def now(names: tuple[str, ...]) -> tuple[str, ...]:
            held = {*new[np.isin(old, names)].astype(str).tolist(), *(set(names) - set(old.astype(str).tolist()))}
            return tuple(sorted(held - {""}, key=lambda name: (_ORDER.get(name, 3), name)))

        # of a third division the words are still those of the first
        said = tuple(dict.fromkeys([*self.fitted_on, *self.statistics_on]))
        return replace(
            self, fitted_on=now(self.fitted_on), statistics_on=now(self.statistics_on), before=self.before or said
        )

    @property
    def once(self) -> str:
        """For messages: which splits the named ones were, where the clips were divided anew; else nothing."""
        return f" (of {' and '.join(self.before)}, before the clips were divided anew)" if self.before else ""


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
        official: `(n,)` str: the split that each clip came with, where `divided` gave it another; None = `split` is that.

    Example:
        >>> from merkit.schema import TargetSpec
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
    official: np.ndarray | None = None

    def __post_init__(self) -> None:
        n = len(self.ids)
        columns: dict[str, np.ndarray | None] = {
            "split": self.split,
            "dialogue": self.dialogue,
            "turn": self.turn,
            "texts": self.texts,
            "media_sha256": self.media_sha256,
            "entities": self.entities,
            "official": self.official,
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
            official=picked(self.official),
        )

    def divided(self, split: np.ndarray) -> "ClipTable":
        """The same clips divided anew, and what `provenance` says of splits said of the new ones.

        Args:
            split: `(n,)` str.
        """
        about = {name: known.divided(self.split, split) for name, known in self.provenance.items()}
        official = self.split if self.official is None else self.official
        return replace(self, split=split, provenance=about, official=official)

    def described(self, about: Provenance) -> Provenance:
        """What is said of official splits, said of the splits that these clips have now.

        Args:
            about: of features that come to the table after it was divided.
        """
        return about if self.official is None else about.divided(self.official, self.split)

    def where(self, split: str) -> "ClipTable":
        """The clips of one split."""
        return self.take(self.split == split)

    def fingerprint(self) -> str:
        """sha256 over ids, splits, groups, tokens and targets: the same data gives the same, in any process.

        Tokens of a feature store count by the hashes that the store keeps of them, whether they were read into memory or
        not; other tokens by their numbers. Resuming does not ask for it.
        """
        digest = hashlib.sha256()
        for part in (self.ids, self.split, *(self.groups[kind] for kind in sorted(self.groups))):
            digest.update("\0".join(map(str, part)).encode())
        for name in sorted(self.streams):
            digest.update(name.encode())
            for array in self.streams[name].hashed():
                digest.update(np.ascontiguousarray(array).data)
        for name in sorted(self.targets):
            target = self.targets[name]
            digest.update(f"{name} {target.spec}".encode())
            for array in (target.value, target.valid):
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()
