"""Lines of a corpus's own text file, numbered, whatever its line ends and its encoding are."""

import re
from pathlib import Path

from merkit.errors import LimitError, MediaError

__all__ = ["read_lines"]

_MAX_BYTES = 64 << 20


def read_lines(file: Path) -> list[tuple[int, str]]:
    """Number, from 1, and text of every line that is not empty, without the blanks around it.

    Raises:
        MediaError: there is no such file, it cannot be read, or it holds no text.
        LimitError: it is larger than any such file.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "a.txt"
        ...     _ = file.write_bytes(b"caf\\xe9\\r\\n\\r\\n two")
        ...     read_lines(file)
        [(1, 'café'), (3, 'two')]
    """
    if not file.is_file():
        raise MediaError("no such file", path=file)
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise LimitError(f"{file.stat().st_size} bytes; the limit is {_MAX_BYTES}", path=file)
        data = file.read_bytes()
    except OSError as error:
        raise MediaError(f"cannot be read ({error.strerror})", path=file) from error
    if b"\0" in data:
        raise MediaError("holds zero bytes: not a text file", path=file)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
    # not `splitlines`: U+2028 and U+0085 end no line
    return [(number, line.strip()) for number, line in enumerate(re.split("\r\n|\n|\r", text), 1) if line.strip()]
