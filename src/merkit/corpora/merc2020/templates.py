"""Submission templates: which FileIDs a test phase asks for, in which order."""

import csv
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from merkit.atomic import replacing
from merkit.corpora.manifest import Rejected
from merkit.corpora.paths import Root
from merkit.errors import MediaError

__all__ = ["COLUMN", "PHASES", "copy_templates", "read_template", "read_templates"]

COLUMN = "FileID"
PHASES = ("test1", "test2", "test3")
_MAX_BYTES = 16 << 20
_FOLDERS = ("features", "")


def read_template(path: Path) -> tuple[int, ...]:
    """The FileIDs of a template, in its order.

    Raises:
        MediaError: there is none, it has no such column, or a FileID is no whole number or comes twice; with the line.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "test1.csv"
        ...     _ = file.write_text("FileID\\n12\\n7\\n")
        ...     read_template(file)
        (12, 7)
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise MediaError(f"too large for a template; the limit is {_MAX_BYTES} bytes", path=path)
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise MediaError("no such file", path=path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise MediaError(f"cannot be read ({error})", path=path) from error
    rows = csv.DictReader(text.splitlines())
    if COLUMN not in (rows.fieldnames or ()):
        raise MediaError(f"has no column {COLUMN}; there is {', '.join(rows.fieldnames or ()) or 'nothing'}", path=path)
    ids: dict[int, int] = {}
    for line, row in enumerate(rows, 2):
        cell = (row[COLUMN] or "").strip()
        if not cell.isascii() or not cell.isdigit():
            raise MediaError(f"{COLUMN} is {cell!r}, not a whole number", path=path, field=f"line {line}")
        if int(cell) in ids:
            raise MediaError(
                f"{COLUMN} {int(cell)} is also that of line {ids[int(cell)]}", path=path, field=f"line {line}"
            )
        ids[int(cell)] = line
    return tuple(ids)


def read_templates(root: Root) -> tuple[Mapping[str, tuple[Path, tuple[int, ...]]], list[Rejected]]:
    """Phase -> its template and FileIDs, and what is wrong with those that are missing or unusable.

    Args:
        root: of the challenge; templates lie in `features/` or beside it.
    """
    found: dict[str, tuple[Path, tuple[int, ...]]] = {}
    rejected = []
    for phase in PHASES:
        names = [f"{folder}/{phase}.csv".lstrip("/") for folder in _FOLDERS]
        paths = [path for name in names if (path := root.place(name)).is_file()]
        try:
            path = paths[0] if paths else root.place(names[0])
            found[phase] = path, read_template(path)
        except MediaError as error:
            rejected.append(Rejected(names[0], error.reason, error.field, what="submission template"))
    return MappingProxyType(found), rejected


def copy_templates(templates: Mapping[str, Path], out: Path) -> dict[str, str]:
    """Copies templates, byte for byte, to `OUT/submissions`; gives phase -> name below OUT."""
    names = {}
    for phase, path in templates.items():
        names[phase] = f"submissions/{phase}.csv"
        content = path.read_bytes()
        with replacing(out / names[phase]) as temporary:
            temporary.write_bytes(content)
    return names
