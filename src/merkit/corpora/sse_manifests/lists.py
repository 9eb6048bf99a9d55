"""The three lists of a split and its labels, joined by name.

`train_a.tsv`, `train_t.tsv` and `train_v.tsv` name sound, words and pictures of the same clips, line by line. SSE-FT's
begin with the folder of the authors' machine, which is passed over; BERT-like's do not, and have no `_v`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from merkit.corpora.manifest import Rejected
from merkit.corpora.paths import Root
from merkit.corpora.rows import Row, read_table
from merkit.corpora.text_lines import read_lines
from merkit.errors import MediaError

__all__ = ["LISTS", "Listed", "read_labels", "read_lists"]

# letter of the list -> modality, and what a name in it may end with
LISTS = {"a": "speech", "t": "text", "v": "face, scene"}
_SUFFIXES = (".wav", ".flac", ".pt", ".txt", ".mp4", ".avi", ".npy")


@dataclass(frozen=True, slots=True)
class Listed:
    """One clip of a split.

    Args:
        stem: its name in the lists.
        line: where it stands in the first list that names it.
        lists: letters of the lists that name it.
    """

    stem: str
    line: int
    lists: frozenset[str] = field(default_factory=frozenset)


def read_lists(root: Root, folder: str, split: str, rejected: list[Rejected]) -> list[Listed]:
    """The clips of a split, in the order of its first list.

    Lists that are not aligned are said to be, and joined by name: a shifted line moves no label to another clip.

    Args:
        root: holds the lists.
        folder: of the set, relative to the root; empty for the root itself.
        split: `train`, `valid` or `test`.
        rejected: is added to.
    """
    lists: dict[str, dict[str, int]] = {}
    for letter in LISTS:
        name = f"{folder}{split}_{letter}.tsv"
        if not (root.path / name).is_file():
            continue
        try:
            lists[letter] = _one(root.place(name), name, rejected)
        except MediaError as error:
            rejected.append(Rejected(name, error.reason, error.field, what=LISTS[letter]))
    if not lists:
        return []
    first, *others = lists
    for other in others:
        aligned = list(zip(lists[first], lists[other], strict=False))
        shifted = next((i for i, (one, two) in enumerate(aligned) if one != two), None)
        if shifted is not None or len(lists[first]) != len(lists[other]):
            at = list(lists[other].values())[shifted] if shifted is not None else None
            why = f"not aligned with {split}_{first}.tsv; both were joined by name"
            rejected.append(Rejected(f"{folder}{split}_{other}.tsv", why, line=at, what="order of lines"))
    stems = dict.fromkeys(stem for names in lists.values() for stem in names)
    found = []
    for stem in stems:
        letters = frozenset(letter for letter, names in lists.items() if stem in names)
        for letter in sorted(set(lists) - letters):
            rejected.append(Rejected(stem, f"{split}_{letter}.tsv does not name it", "name", what=LISTS[letter]))
        line = next(names[stem] for names in lists.values() if stem in names)
        found.append(Listed(stem, line, letters))
    return found


def _one(file: Path, name: str, rejected: list[Rejected]) -> dict[str, int]:
    """Stem -> line."""
    stems: dict[str, int] = {}
    for number, text in read_lines(file):
        given = text.split("\t")[0].strip()
        if number == 1 and not given.lower().endswith(_SUFFIXES):
            continue  # the folder on the authors' machine
        path = PurePosixPath(given.replace("\\", "/"))
        if len(path.parts) != 1 or not given.lower().endswith(_SUFFIXES) or not path.stem:
            rejected.append(Rejected(name, f"{given[:80]!r} is no bare name of a file", "name", number))
        elif path.stem in stems:
            rejected.append(Rejected(name, f"{path.stem} stands there twice", "name", number))
        else:
            stems[path.stem] = number
    return stems


def read_labels(root: Root, folder: str, split: str, rejected: list[Rejected]) -> Mapping[str, Row] | None:
    """Name -> row of `label_file_<split>.csv`; None where there is no such file.

    Raises:
        MediaError: it is no table with the column `FileName`.
    """
    name = f"{folder}label_file_{split}.csv"
    if not (root.path / name).is_file():
        return None
    labels: dict[str, Row] = {}
    for row in read_table(root.place(name), ("FileName",)):
        stem = row.text("FileName")
        if row.broken or not stem:
            rejected.append(Rejected(name, row.broken or "names no clip", "FileName", row.line, "labels"))
        elif stem in labels:
            if dict(labels[stem].cells) != dict(row.cells):
                why = f"{stem} has two labels; the first is taken"
                rejected.append(Rejected(name, why, "FileName", row.line, "labels"))
        else:
            labels[stem] = row
    return labels
