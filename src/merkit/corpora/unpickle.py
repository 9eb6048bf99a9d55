"""The child that reads pickles: `python -I unpickle.py PICKLE OUT LIMIT_BYTES`. It knows numpy and nothing of merkit.

A pickle is a program. This one may call nothing but what plain data and numpy arrays are made of; every other name ends
the reading with an error that says which. Memory is capped, and nothing it does can touch the parent.
Arrays are left in OUT as .npy files, the rest as tree.json, or error.json says what is wrong.
"""

import _codecs
import collections
import json
import math
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np

__all__: list[str] = []

_MAX_NODES = 20_000_000


def _encode(text: str, coding: str = "latin1", errors: str = "strict") -> bytes:
    """Protocol 2 writes bytes as text with this call."""
    if coding not in ("latin1", "latin-1") or not isinstance(text, str):
        raise pickle.UnpicklingError(f"global _codecs.encode with {coding!r} is not allowed")
    return _codecs.encode(text, "latin1", errors)


def _reconstruct(kind: type, shape: tuple[int, ...], code: Any) -> np.ndarray:
    """numpy's own makes what it is told; this one makes the empty array that every honest file asks for."""
    if kind is not np.ndarray or tuple(shape) != (0,):
        raise pickle.UnpicklingError("it makes an array in an unusual way, which is not allowed")
    return np.ndarray((0,), np.dtype(code if isinstance(code, str) else bytes(code).decode("latin-1")))


def _from_buffer(data: Any, kind: np.dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    if kind.hasobject or not isinstance(data, bytes | bytearray):
        raise pickle.UnpicklingError("it makes an array of objects over a buffer, which is not allowed")
    return np.frombuffer(data, kind).reshape(shape, order="F" if order == "F" else "C")


def _allowed() -> dict[tuple[str, str], Any]:
    names: dict[tuple[str, str], Any] = {
        ("_codecs", "encode"): _encode,
        ("collections", "OrderedDict"): collections.OrderedDict,
    }
    for module in ("builtins", "__builtin__"):
        for kind in (bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset):
            names[module, kind.__name__] = kind
    for name, kind in (("unicode", str), ("long", int)):
        names["__builtin__", name] = kind
    names["numpy", "ndarray"] = np.ndarray
    names["numpy", "dtype"] = np.dtype
    from numpy._core import multiarray

    for core in ("numpy.core", "numpy._core"):
        names[f"{core}.multiarray", "_reconstruct"] = _reconstruct
        names[f"{core}.multiarray", "scalar"] = multiarray.scalar
        names[f"{core}.numeric", "_frombuffer"] = _from_buffer
    return names


class _Reader(pickle.Unpickler):
    names = _allowed()

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.names[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it calls {module}.{name}, which is not allowed") from None

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to objects outside of the file, which is not allowed")


class _Writer:
    """Turns what was read into JSON, with arrays put aside."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.nodes = 0
        self.arrays: dict[int, int] = {}
        self.kept: list[Any] = []
        self.open: set[int] = set()

    def plain(self, value: Any) -> Any:
        self.nodes += 1
        if self.nodes > _MAX_NODES:
            raise pickle.UnpicklingError(f"it holds more than {_MAX_NODES} values")
        if value is None or isinstance(value, bool | str):
            return str(value) if isinstance(value, str) else value
        if isinstance(value, np.generic):
            value = value.item()
            if value is None or isinstance(value, bool | str):
                return value
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else {"$float": repr(float(value))}
        if isinstance(value, bytes | bytearray):
            return bytes(value).decode("utf-8", "replace")
        if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
            return {"$array": self.array(value)}
        if id(value) in self.open:
            raise pickle.UnpicklingError("it holds a list that contains itself")
        self.open.add(id(value))
        try:
            if isinstance(value, dict):
                return {"$dict": [[self.plain(key), self.plain(item)] for key, item in value.items()]}
            if isinstance(value, np.ndarray) and value.dtype.kind in "OSU":
                # what is left of arrays of objects and of words: nested lists of plain values
                return [self.plain(item) for item in (value if value.ndim else [value.item()])]
            if isinstance(value, list | tuple | set | frozenset):
                return [self.plain(item) for item in value]
        finally:
            self.open.discard(id(value))
        raise pickle.UnpicklingError(f"it holds a {type(value).__name__}, which is not plain data")

    def array(self, value: np.ndarray) -> int:
        if id(value) not in self.arrays:
            self.arrays[id(value)] = len(self.kept)
            np.save(self.out / f"{len(self.kept)}.npy", np.ascontiguousarray(value), allow_pickle=False)
            self.kept.append(value)  # so that the id stays its own
        return self.arrays[id(value)]


def main(pickled: str, out: str, limit: str) -> None:
    folder = Path(out)
    try:
        _capped(int(limit))
        with Path(pickled).open("rb") as file:
            # Python 2 wrote text and bytes alike; latin1 keeps both as they were, which numpy relies on
            found = _Reader(file, fix_imports=False, encoding="latin1").load()
        tree = _Writer(folder).plain(found)
        (folder / "tree.json").write_text(json.dumps(tree), encoding="utf-8")
    except MemoryError:
        _fail(folder, f"it needs more than the {int(limit) >> 20} MB of memory that it is given")
    except RecursionError:
        _fail(folder, "it is nested too deeply")
    except Exception as error:  # noqa: BLE001  whatever a broken pickle raises, the parent is told in words
        _fail(folder, f"{error}" if isinstance(error, pickle.UnpicklingError) else f"{type(error).__name__}: {error}")


def _capped(limit: int) -> None:
    if sys.platform == "linux":
        import ctypes
        import resource
        import signal

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it goes with its parent
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        # arrays are written once: no file is larger than what may lie in memory
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _fail(folder: Path, reason: str) -> None:
    (folder / "error.json").write_text(json.dumps(reason[:1000]), encoding="utf-8")
    sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:4])
