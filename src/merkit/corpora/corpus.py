"""What merkit knows of a published corpus: facts as data, and the reader of its official layout."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from merkit.corpora.dialogues import with_context
from merkit.corpora.manifest import Manifest, Rejected
from merkit.corpora.paths import Root
from merkit.errors import ConfigError
from merkit.schema import Clip, TargetSpec

__all__ = ["Corpus", "Found", "KnownBad"]


@dataclass(frozen=True, slots=True)
class KnownBad:
    """An item of the published corpus that is known to be unusable.

    Args:
        item: as the corpus names it.
        what: `clip`, or the modalities that are unusable.
        reason: in one phrase.
    """

    item: str
    reason: str
    what: str = "clip"


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What a reader found under a root.

    Args:
        clips: in an order that does not depend on the file system.
        specs: the questions that their targets answer.
        rejected: what was left out.
        facts: what is to be said beside the corpus's own facts.
        root: where the media lie, if not under the root that was read.
    """

    clips: Sequence[Clip]
    specs: tuple[TargetSpec, ...]
    rejected: Sequence[Rejected] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    root: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """A published corpus.

    Args:
        name: in commands and run records.
        title: its own.
        licence: terms of use.
        obtain: how to get it.
        citation: the paper.
        tree: the official layout that is expected under the root.
        modalities: which it carries.
        labels: what raters answered, in words.
        split: the official split, in words.
        people: who is in the data, and what that asks of its users.
        reader: `(root, out) -> Found`. `out` is a folder for files that must be made first; None where there is none.
        known_bad: items that are known to be unusable.
        notes: what else one should know before believing a figure.
        derives: the reader makes files, so that it needs `out`.

    Example:
        >>> from merkit.corpora import CORPORA
        >>> CORPORA["meld"].known_bad[0].item
        'train dia125_utt3'
    """

    name: str
    title: str
    licence: str
    obtain: str
    citation: str
    tree: str
    modalities: tuple[str, ...]
    labels: str
    split: str
    people: str
    reader: Callable[[Root, Path | None], Found]
    known_bad: tuple[KnownBad, ...] = ()
    notes: tuple[str, ...] = ()
    derives: bool = False

    def read(self, root: str | Path, out: str | Path | None = None) -> Manifest:
        """The checked manifest of the tree under `root`.

        Args:
            root: folder that holds the corpus.
            out: folder for files that are made from it: pictures from a CSV, tables and features from pickles. What is
                there already and came from the same pickle is not made again.

        Raises:
            MediaError: no such folder, or a table that all depends on cannot be read.
            ConfigError: nothing usable is there, or `out` is needed and missing.
        """
        if self.derives and out is None:
            raise ConfigError(f"{self.name} is converted once: use `merkit prepare {self.name} --root … --out …`")
        found = self.reader(Root(root), None if out is None else Path(out))
        if not found.clips:
            first = "".join(f"\n  {rejected}" for rejected in found.rejected[:5])
            raise ConfigError(f"{root}: no usable clip of {self.title}. Expected:\n{self.tree}{first}")
        return Manifest(
            self.name,
            with_context(found.clips),
            found.specs,
            Path(root).absolute() if found.root is None else found.root,
            tuple(found.rejected),
            {**self.facts(), **found.facts},
        )

    def facts(self) -> dict[str, Any]:
        """Everything that is said of the corpus, as JSON types."""
        return {
            "title": self.title,
            "licence": self.licence,
            "obtain": self.obtain,
            "citation": self.citation,
            "tree": self.tree,
            "modalities": list(self.modalities),
            "labels": self.labels,
            "official_split": self.split,
            "people": self.people,
            "known_bad": [{"item": b.item, "what": b.what, "reason": b.reason} for b in self.known_bad],
            "notes": list(self.notes),
        }
