"""Templates of submissions: which files a challenge asks about, in which order."""

import csv
from dataclasses import dataclass
from pathlib import Path

from merkit.errors import MediaError

__all__ = ["Template", "bare_number", "read_cells", "read_template"]

_MAX_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Template:
    """Which files a submission is asked about.

    Args:
        path: where it was read.
        id_column: name of the column with their ids.
        files: ids as they are written there, in order, each once.
        lines: where each stands in the file, from 1.
    """

    path: Path
    id_column: str
    files: tuple[str, ...]
    lines: tuple[int, ...] = ()


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
    rows = read_cells(path)
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
        if (known := first.setdefault(bare_number(file), number)) != number:
            raise MediaError(f"asks about {file} again, after line {known}", path=path, field=f"line {number}")
        files.append(file)
    if not files:
        raise MediaError("asks about no file", path=path)
    return Template(path, id_column, tuple(files), tuple(first.values()))


def read_cells(path: Path) -> list[list[str]]:
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


def bare_number(file: str) -> str:
    """An id without the zeros that it begins with: whole numbers are one whatever their zeros.

    Example:
        >>> bare_number("0012"), bare_number("000"), bare_number("clip-07")
        ('12', '0', 'clip-07')
    """
    return (file.lstrip("0") or "0") if file.isascii() and file.isdigit() else file
