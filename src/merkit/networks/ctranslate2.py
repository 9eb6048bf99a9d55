"""Reader for CTranslate2's binary model format: names, shapes and raw arrays; nothing in it is executed.

Layout (little-endian, binary version 6): version u32, model name, revision u32, count u32, then per variable its name,
rank u8, dimensions u32 each, type u8, bytes u32 and the data; then aliases. A string is a u16 length and that many
bytes with a closing zero.
"""

import math
import struct
from pathlib import Path

import numpy as np

from merkit.errors import WeightError

__all__ = ["read_ctranslate2"]

_TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
_MAX_VARIABLES, _MAX_RANK = 10_000, 4


def read_ctranslate2(path: Path) -> dict[str, np.ndarray]:
    """Variable name -> array, as stored (memory-mapped, read-only).

    Raises:
        WeightError: not such a file, of another version, or sizes that do not fit the file.
    """
    if path.stat().st_size == 0:
        raise WeightError(f"{path}: the file is empty")
    data = np.memmap(path, np.uint8, "r")
    at = 0

    def number(form: str) -> int:
        nonlocal at
        size = struct.calcsize("<" + form)
        if at + size > len(data):
            raise WeightError(f"{path}: the file ends in mid-record")
        (value,) = struct.unpack("<" + form, bytes(data[at : at + size]))
        at += size
        return value

    def word() -> str:
        nonlocal at
        size = number("H")
        text = bytes(data[at : at + size]).rstrip(b"\0").decode("ascii", "replace")
        at += size
        return text

    version = number("I")
    if version != 6:
        raise WeightError(f"{path}: CTranslate2 binary version {version}; this reader knows 6")
    word()
    number("I")
    count = number("I")
    if count > _MAX_VARIABLES:
        raise WeightError(f"{path}: {count} variables cannot be right")
    found = {}
    for _ in range(count):
        name = word()
        rank = number("B")
        if rank > _MAX_RANK:
            raise WeightError(f"{path}: {name} has {rank} dimensions, which cannot be right")
        shape = tuple(number("I") for _ in range(rank))
        kind = number("B")
        size = number("I")
        if kind not in _TYPES:
            raise WeightError(f"{path}: {name} has unknown type {kind}")
        dtype = np.dtype(_TYPES[kind])
        if math.prod(shape) * dtype.itemsize != size or at + size > len(data):
            raise WeightError(f"{path}: {name} {shape} does not fit its {size} bytes")
        found[name] = data[at : at + size].view(dtype).reshape(shape)
        at += size
    return found
