"""Writing a result file: whole or not at all."""

from collections.abc import Iterable
from pathlib import Path

from merkit.atomic import replacing

# OWASP, CSV injection
_FORMULA_START = ("=", "+", "-", "@", "\t", "\r", "\n")

__all__ = ["inert", "write_atomic"]


def write_atomic(path: str | Path, parts: Iterable[str]) -> Path:
    """Write text as UTF-8 so that `path` is either the old file or the complete new one; missing folders are made.

    A lone surrogate (a file name that is not UTF-8) is written as its `\\udcXX` escape, which JSON reads back.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_atomic(Path(folder) / "new" / "a.txt", ["one ", "two"]).read_text()
        'one two'
    """
    path = Path(path)
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        file.writelines(parts)
    return path


def inert(text: str) -> str:
    """A cell of a CSV that no spreadsheet runs as a formula; ids, names and words are a user's.

    Example:
        >>> inert("=1+1"), inert("joy")
        ("'=1+1", 'joy')
    """
    return f"'{text}" if text.startswith(_FORMULA_START) else text
