"""Writing a result file: whole or not at all."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

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
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:80]}.", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            file.writelines(parts)
            file.flush()
            os.fchmod(file.fileno(), 0o666 & ~_umask())  # mkstemp makes 0600; a report is an ordinary file
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def inert(text: str) -> str:
    """A cell of a CSV that no spreadsheet runs as a formula; ids, names and words are a user's.

    Example:
        >>> inert("=1+1"), inert("joy")
        ("'=1+1", 'joy')
    """
    return f"'{text}" if text.startswith(_FORMULA_START) else text
