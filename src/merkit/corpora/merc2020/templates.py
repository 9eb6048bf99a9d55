"""Submission templates: which FileIDs a test phase asks for, in which order."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from merkit.atomic import replacing
from merkit.corpora.manifest import Rejected
from merkit.corpora.paths import Root
from merkit.corpora.templates import read_template
from merkit.errors import MediaError

__all__ = ["COLUMN", "PHASES", "copy_templates", "file_ids", "read_templates"]

COLUMN = "FileID"
PHASES = ("test1", "test2", "test3")
_FOLDERS = ("features", "")


def file_ids(path: Path) -> tuple[int, ...]:
    """The FileIDs of a template, in its order.

    Raises:
        MediaError: see `merkit.corpora.templates.read_template`; or a FileID is no whole number, with its line.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "test1.csv"
        ...     _ = file.write_text("FileID\\n12\\n7\\n")
        ...     file_ids(file)
        (12, 7)
    """
    template = read_template(path, COLUMN)
    for file, line in zip(template.files, template.lines, strict=True):
        if not file.isascii() or not file.isdigit():
            raise MediaError(f"{COLUMN} is {file!r}, not a whole number", path=path, field=f"line {line}")
    return tuple(map(int, template.files))


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
            found[phase] = path, file_ids(path)
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
