"""Templates of submissions: which files a challenge asks about, and which clips of a folder they are."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from merkit.errors import MediaError

__all__ = ["Template", "listed", "match_clips", "read_rows", "read_template"]

_MAX_BYTES = 256 << 20
# ids that are named in a message before it says how many more there are
_NAMED = 12


@dataclass(frozen=True, slots=True)
class Template:
    """Which files a submission is asked about.

    Args:
        path: where it was read.
        id_column: name of the column with their ids.
        files: ids as they are written there, in order, each once.
    """

    path: Path
    id_column: str
    files: tuple[str, ...]


def read_template(path: Path, id_column: str = "FileID") -> Template:
    """The files that a template asks about. Its other columns are not looked at.

    Raises:
        MediaError: it is no CSV in UTF-8, has no such column, no rows, an empty id, or one id twice (`7` and `007` are one).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "test1.csv"
        ...     _ = path.write_text("FileID,Emotion\\n7,\\n3,\\n")
        ...     read_template(path).files
        ('7', '3')
    """
    rows = read_rows(path)
    header = rows[0] if rows else []
    if id_column not in header:
        raise MediaError(f"has no column {id_column}; there are {', '.join(header) or 'none'}", path=path)
    place, files, first = header.index(id_column), [], {}
    for number, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        file = row[place].strip() if place < len(row) else ""
        if not file:
            raise MediaError("has no id", path=path, field=f"line {number}")
        if (known := first.setdefault(_key(file), number)) != number:
            raise MediaError(f"asks about {file} again, after line {known}", path=path, field=f"line {number}")
        files.append(file)
    if not files:
        raise MediaError("asks about no file", path=path)
    return Template(path, id_column, tuple(files))


def match_clips(
    template: Template, ids: Sequence[str] | np.ndarray, candidates: np.ndarray | None = None
) -> np.ndarray:
    """`(m,)` row of `ids` that each file of the template is; -1 where there is none.

    A file is the clip of just that id; or else the one whose name, without folders and suffix, is that id; or else, for
    whole numbers, the one whose name begins with that number (`12` is `test/0012-305-4.mp4`).

    Args:
        template: what is asked.
        ids: `(n,)` of the clips that are there.
        candidates: `(n,)` bool: which of them are considered; None = all.

    Raises:
        MediaError: several clips fit equally well.

    Example:
        >>> match_clips(Template(Path("t.csv"), "FileID", ("12", "3", "5")), ["0003-1-happy", "test/12", "4-12"]).tolist()
        [1, 0, -1]
    """
    kinds: list[dict[str, list[int]]] = [{}, {}, {}]
    for row in range(len(ids)) if candidates is None else np.flatnonzero(candidates).tolist():
        clip = str(ids[row])
        stem = PurePosixPath(clip).stem
        number = re.match(r"[0-9]+", stem)
        for kind, name in zip(kinds, (clip, stem, number and _key(number.group())), strict=True):
            if name is not None:
                kind.setdefault(name, []).append(row)
    rows = np.full(len(template.files), -1, np.int64)
    for i, file in enumerate(template.files):
        found = next((kind[key] for kind, key in zip(kinds, (file, file, _key(file)), strict=True) if key in kind), [])
        if len(found) > 1:
            several = listed([str(ids[row]) for row in found])
            raise MediaError(
                f"{file} may be each of {several}; say which clips are meant (--clips 'test/*')", path=template.path
            )
        rows[i] = found[0] if found else -1
    return rows


def read_rows(path: Path) -> list[list[str]]:
    """Cells of a CSV in UTF-8 by row, the header first and without spaces around its names.

    Raises:
        MediaError: it cannot be read as one, or is too large.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise MediaError(f"is larger than {_MAX_BYTES >> 20} MB", path=path)
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MediaError(f"cannot be read as a CSV in UTF-8 ({error})", path=path) from error
    return [[cell.strip() for cell in rows[0]], *rows[1:]] if rows else []


def _key(file: str) -> str:
    """Whole numbers are one whatever zeros they begin with."""
    return (file.lstrip("0") or "0") if file.isascii() and file.isdigit() else file


def listed(names: Sequence[str]) -> str:
    """Names for a message: the first dozen, and how many more there are.

    Example:
        >>> listed(["7", "12"])
        '7, 12'
    """
    more = f" … and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
