"""Arrays of the tree, mapped from their files once their headers have been believed to be true."""

import math
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from merkit.errors import LimitError, MediaError

__all__ = ["mapped_array", "rows_of"]

# The longest film at 24 frames a second has 400,000; a clip with more rows than this is none.
_MAX_ROWS = 2_000_000


def mapped_array(path: Path, name: str, width: int | None = None) -> np.ndarray:
    """`(n, width)` numbers of a `.npy` file, mapped: nothing is read before it is asked for.

    Args:
        path: the file.
        name: of the file below the root, for messages.
        width: how wide the rows must be; None = any.

    Raises:
        MediaError: it is no array of numbers, of another width, or not as long as its header says.
        LimitError: it has more rows than a clip can have.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(Path(folder) / "a.npy", np.ones((3, 2)))
        ...     mapped_array(Path(folder) / "a.npy", "a.npy", 2).shape
        (3, 2)
    """
    shape, order, kind, place = _header(path, name)
    if width is not None and shape[1] != width:
        raise MediaError(f"rows of {shape[1]} numbers where {width} were expected", path=name, field="header")
    if shape[0] == 0:
        return np.zeros(shape, kind)
    return np.memmap(path, kind, "r", place, shape, "F" if order else "C")


def rows_of(path: Path, name: str, width: int) -> int:
    """How many rows a `.npy` file has, from its header alone.

    Raises:
        MediaError: as `mapped_array`.
    """
    shape, *_ = _header(path, name)
    if shape[1] != width:
        raise MediaError(f"rows of {shape[1]} numbers where {width} were expected", path=name, field="header")
    return shape[0]


def _header(path: Path, name: str) -> tuple[tuple[int, int], bool, np.dtype, int]:
    if not path.is_file():
        raise MediaError("not a regular file", path=name)
    try:
        with path.open("rb") as file:
            version = npy.read_magic(file)
            read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
            if read is None:
                raise MediaError(f"a .npy file of version {version}", path=name, field="header")
            shape, order, kind = read(file)
            place = file.tell()
        size = path.stat().st_size
    except (OSError, ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise MediaError(f"not readable as .npy ({error})"[:300], path=name, field="header") from None
    if kind.hasobject or kind.kind not in "fiu":
        raise MediaError(f"holds {kind}, not numbers", path=name, field="header")
    if len(shape) != 2 or min(shape) < 0:
        raise MediaError(f"has shape {shape}, not rows of numbers", path=name, field="header")
    if shape[0] > _MAX_ROWS:
        raise LimitError(f"{shape[0]} rows; a clip has no more than {_MAX_ROWS}", path=name, field="header")
    expected = place + math.prod(shape) * kind.itemsize
    if size != expected:
        raise MediaError(f"damaged: {size} bytes where its header says {expected}", path=name, field="header")
    return (shape[0], shape[1]), order, kind, place
