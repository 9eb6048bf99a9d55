"""The child that opens a pickle: `python -I pickle_child.py FILE OUT.npz LIMIT_BYTES`. It may die; nothing else does.

A pickle is a program. This reader runs only programs that build dicts, lists, text, numbers and numpy arrays: each
global that the file names is looked up in a list of ten, and any other ends the reading before it is imported, let
alone called. Memory, processor time and file size are capped by the kernel, so that a small file cannot build a large
one. What comes out is an `.npz` of plain arrays, keyed by the path through the dicts (`train/audio`), without pickle.

Run as a script, not as a module of the package: it must not import what the package imports.
"""

import io
import json
import os
import pickle
import resource
import sys
import zipfile
from pathlib import Path

import numpy as np

__all__ = ["RefusedError", "flat_arrays", "load_plain"]

_MOST_ARRAYS = 10_000
_DEEPEST = 6


class RefusedError(Exception):
    """The pickle wants more than plain data."""


def _reconstruct(kind: type, shape: tuple, code: bytes) -> np.ndarray:
    """numpy's own does as it is told; this one makes the empty array that every honest file asks for."""
    if kind is not np.ndarray or tuple(shape) != (0,):
        raise RefusedError("an array is made in an unusual way")
    return np.ndarray((0,), np.dtype(code if isinstance(code, str) else bytes(code).decode("latin-1")))


def _scalar(kind: np.dtype, data: object = None) -> object:
    if kind.hasobject:
        raise RefusedError("a scalar of objects")
    if isinstance(data, str):  # Python 2 wrote bytes as text
        data = data.encode("latin-1")
    if not isinstance(data, bytes) or len(data) != kind.itemsize:
        raise RefusedError("a scalar of another size than its type")
    return np.frombuffer(data, kind)[0]


def _from_buffer(data: object, kind: np.dtype, shape: tuple, order: str) -> np.ndarray:
    if kind.hasobject or not isinstance(data, bytes | bytearray):
        raise RefusedError("an array of objects over a buffer")
    return np.frombuffer(data, kind).reshape(shape, order="F" if order == "F" else "C")


def _latin1(text: str, encoding: str) -> bytes:
    """How Python 3 wrote bytes for protocol 2."""
    if encoding != "latin1":
        raise RefusedError(f"text to bytes by {encoding!r}")
    return text.encode("latin-1")


def _no_bytes() -> bytes:
    """How Python 3 wrote empty bytes for protocol 2."""
    return b""


_NUMPY_ROOMS = ("numpy.core.multiarray", "numpy._core.multiarray")
_ALLOWED: dict[tuple[str, str], object] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    **{(room, "_reconstruct"): _reconstruct for room in _NUMPY_ROOMS},
    **{(room, "scalar"): _scalar for room in _NUMPY_ROOMS},
    **{(room, "_frombuffer"): _from_buffer for room in ("numpy.core.numeric", "numpy._core.numeric")},
    ("_codecs", "encode"): _latin1,
    ("__builtin__", "bytes"): _no_bytes,
    ("builtins", "bytes"): _no_bytes,
    ("builtins", "bytearray"): bytearray,
    **{(room, "set"): set for room in ("builtins", "__builtin__")},
    ("collections", "OrderedDict"): dict,
}


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise RefusedError(f"names the global {module}.{name}, which is not plain data") from None

    def persistent_load(self, pid: object) -> object:
        raise RefusedError("refers to objects outside of the file")


def load_plain(file: io.BufferedIOBase) -> object:
    """The object in a pickle of plain data, of any protocol, of Python 2 or 3.

    Raises:
        RefusedError: it names a global that is not on the list.

    Example:
        >>> load_plain(io.BytesIO(pickle.dumps({"a": np.arange(3)}, 2)))
        {'a': array([0, 1, 2])}
        >>> load_plain(io.BytesIO(pickle.dumps(os.getcwd)))
        Traceback (most recent call last):
            ...
        merkit.corpora.pickle_child.RefusedError: names the global posix.getcwd, which is not plain data
    """
    return _Plain(file, encoding="latin1").load()


def flat_arrays(value: object) -> dict[str, np.ndarray]:
    """Arrays by path through the dicts; lists become arrays where their items are alike, anything else is left out.

    Raises:
        RefusedError: too many entries, or too deep.

    Example:
        >>> flat_arrays({"train": {"id": ["a", "b"], b"n": 3}})
        {'train/id': array(['a', 'b'], dtype='<U1'), 'train/n': array(3)}
    """
    found: dict[str, np.ndarray] = {}
    _flatten(value, "", 0, found)
    return found


def _flatten(value: object, path: str, depth: int, found: dict[str, np.ndarray]) -> None:
    if isinstance(value, dict):
        if depth >= _DEEPEST:
            raise RefusedError(f"{path} lies deeper than {_DEEPEST} levels")
        for key, item in value.items():
            name = key.decode("latin-1") if isinstance(key, bytes) else str(key)
            _flatten(item, f"{path}/{name.replace('/', '_')}" if path else name.replace("/", "_"), depth + 1, found)
        return
    if len(found) >= _MOST_ARRAYS:
        raise RefusedError(f"holds more than {_MOST_ARRAYS} entries")
    array = _array(value)
    if array is not None and path:
        found[path] = array


def _array(value: object) -> np.ndarray | None:
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return np.asarray(value)
    if isinstance(value, np.ndarray):
        plain = [_text(item) for item in value.ravel().tolist()]
    elif isinstance(value, list | tuple | set):
        plain = [_text(item) for item in value]
    else:
        plain = _text(value)
    if plain is None:
        return None
    try:
        array = np.array(plain)
    except ValueError:  # items of different lengths
        return None
    if array.dtype.hasobject:
        return None
    return array.reshape(value.shape + array.shape[1:]) if isinstance(value, np.ndarray) else array


def _text(value: object) -> object:
    """Bytes as text: ids and words are what they are used for."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def main() -> int:
    source, target, limit = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (3600, 3600))
    if hasattr(resource, "RLIMIT_NPROC"):
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    said: dict[str, str]
    try:
        with source.open("rb") as file:
            arrays = flat_arrays(load_plain(file))
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, array, allow_pickle=False)
        said = {}
    except RefusedError as error:
        said = {"refused": str(error)}
    except MemoryError:
        said = {"broken": f"needs more than {limit >> 20} MB of memory"}
    except (OSError, RecursionError) as error:
        said = {"broken": str(error)}
    except Exception as error:  # noqa: BLE001  a damaged pickle raises whatever its bytes happen to mean
        said = {"broken": f"{type(error).__name__}: {error}"}
    os.write(1, json.dumps(said).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
