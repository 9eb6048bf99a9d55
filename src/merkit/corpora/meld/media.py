"""Where a copy of MELD has its tables and clips: as its archives unpack, as Kaggle copies lie, or sound alone.

Every part counts its dialogues from 0, so that `dia0_utt0.mp4` is there three times: whose a file is says the folder that
it lies in, `train_splits`, `dev_splits_complete`, `output_repeated_splits_test`, or any other with the part in its name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from merkit.corpora.manifest import Rejected
from merkit.corpora.paths import Root

__all__ = ["TABLES", "MediaFiles", "find_media", "find_table", "part_of"]

TABLES: Mapping[str, str] = {
    "train": "train_sent_emo.csv",
    "valid": "dev_sent_emo.csv",
    "test": "test_sent_emo.csv",
}
"""Split -> its table."""

_PARTS = {"train": "train", "dev": "valid", "val": "valid", "valid": "valid", "validation": "valid", "test": "test"}
_NAME = re.compile(r"dia(\d{1,6})_utt(\d{1,6})\.(mp4|wav)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class MediaFiles:
    """The recordings under a root.

    Args:
        found: (split, dialogue, utterance, `mp4` or `wav`) -> name under the root.
        rejected: recordings that are of no utterance, of no part, or there twice.
    """

    found: Mapping[tuple[str, int, int, str], str]
    rejected: tuple[Rejected, ...] = ()
    _kinds: frozenset[tuple[str, str]] = field(default=frozenset(), init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_kinds", frozenset((split, suffix) for split, _, _, suffix in self.found))

    def has(self, split: str, suffix: str) -> bool:
        """Whether a split has any recording of this kind."""
        return (split, suffix) in self._kinds


def part_of(name: str) -> str | None:
    """The split that a file's folders name, the innermost that names one; None where none does.

    Example:
        >>> part_of("MELD.Raw/dev/dev_splits_complete/dia0_utt0.mp4"), part_of("test/output_repeated_splits_test/dia0_utt0.mp4")
        ('valid', 'test')
        >>> part_of("contest/dia0_utt0.mp4") is None
        True
    """
    for folder in reversed(PurePosixPath(name).parts[:-1]):
        said = {_PARTS[word] for word in re.split(r"[^a-z]+", folder.lower()) if word in _PARTS}
        if len(said) == 1:
            return said.pop()
    return None


def find_table(root: Root, split: str) -> str | None:
    """Name of a split's table under the root: of several, the one that lies least deep."""
    tables = [name for name in root.walk(".csv") if PurePosixPath(name).name == TABLES[split]]
    return min(tables, key=lambda name: (name.count("/"), name), default=None)


def find_media(root: Root) -> MediaFiles:
    """All recordings under the root, each with the utterance that its name and folder say."""
    found: dict[tuple[str, int, int, str], str] = {}
    rejected = []
    for name in sorted(root.walk(".mp4", ".wav"), key=lambda name: (name.count("/"), name)):
        said, split = _NAME.fullmatch(PurePosixPath(name).name), part_of(name)
        if said is None:
            rejected.append(Rejected(name, "no usable row of the table names it", "video"))
            continue
        if split is None:
            why = "lies in no folder of train, dev or test, and all of them count from dia0_utt0"
            rejected.append(Rejected(name, why, "video"))
            continue
        key = (split, int(said[1]), int(said[2]), said[3].lower())
        if key in found:
            rejected.append(Rejected(name, f"is there twice; {found[key]} was taken", "video"))
            continue
        found[key] = name
    return MediaFiles(found, tuple(rejected))
