"""The child that reads pickles: `python -I unpickle.py JOB`. It knows numpy and nothing of merkit.

A pickle is a program. This one may call nothing but what plain data, numpy arrays and torch's tensors are made of; every
other name ends the reading with an error that says which. Objects of classes that the job names become stand-ins, which
hold what was stored of them and can do nothing. Memory is capped, and nothing that is read can touch the parent.

JOB is a JSON file: `files` [[pickle, out], …], `limit` bytes, `objects` a file, `stand_ins` {name: attributes to tell}.
Of each pickle there will be OUT.bin with its arrays and OUT.tree, or OUT.error that says in words what is wrong.
"""

import _codecs
import collections
import gc
import io
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


# torch's storages by the names that its pickles have used, and what they hold
_STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}


def _load_storage(data: Any) -> np.ndarray:
    """What torch.storage._load_from_bytes reads, without torch: four pickles, a list of keys, a length, and the numbers."""
    if not isinstance(data, bytes | bytearray):
        raise pickle.UnpicklingError("it makes a tensor of something other than bytes, which is not allowed")
    file = io.BytesIO(data)
    for _ in range(3):  # magic number, version, and the machine that wrote it
        _StorageReader(file, fix_imports=False, encoding="latin1").load()
    storage = _StorageReader(file, fix_imports=False, encoding="latin1").load()
    keys = _StorageReader(file, fix_imports=False, encoding="latin1").load()
    if not (isinstance(storage, _Storage) and isinstance(keys, list) and len(keys) == 1):
        raise pickle.UnpicklingError("it makes a tensor in an unusual way, which is not allowed")
    count = int.from_bytes(file.read(8), "little", signed=True)
    kind = np.dtype(storage.kind)
    rest = file.read()
    if count != storage.count or len(rest) != count * kind.itemsize:
        raise pickle.UnpicklingError(f"a tensor's storage is damaged: {len(rest)} bytes for {count} numbers")
    return np.frombuffer(rest, kind)


def _rebuild_tensor(storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> np.ndarray:
    """A view of a storage, checked to lie within it."""
    size, stride = tuple(map(int, size)), tuple(map(int, stride))
    if not isinstance(storage, np.ndarray) or storage.ndim != 1 or len(size) != len(stride):
        raise pickle.UnpicklingError("it makes a tensor in an unusual way, which is not allowed")
    if math.prod(size) == 0:
        return np.zeros(size, storage.dtype)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if offset < 0 or min((*size, *stride), default=0) < 0 or last >= len(storage):
        raise pickle.UnpicklingError("a tensor reaches beyond its storage")
    # no larger than what it is a view of: a step of 0 would make much of little
    if math.prod(size) > len(storage):
        raise pickle.UnpicklingError("a tensor is larger than its storage")
    steps = tuple(step * storage.itemsize for step in stride)
    return np.lib.stride_tricks.as_strided(storage[offset:], size, steps, writeable=False)


def _reconstructor(kind: Any, base: Any, state: Any) -> Any:
    """Protocols 0 and 1 make objects with this call."""
    if not (isinstance(kind, type) and issubclass(kind, _StandIn)) or base is not object or state is not None:
        raise pickle.UnpicklingError("it makes an object in an unusual way, which is not allowed")
    return kind()


def _plain_dict(*_: Any) -> dict:
    return {}


class _StandIn:
    """Holds what was stored of an object of a class that is not here, and does nothing."""

    __slots__ = ("state",)
    name = ""
    told: tuple[str, ...] = ()

    def __init__(self, *_: Any) -> None:
        self.state: dict[Any, Any] = {}

    def __new__(cls, *_: Any) -> "_StandIn":
        made = super().__new__(cls)
        made.state = {}
        return made

    def __setstate__(self, state: Any) -> None:
        parts = state if isinstance(state, tuple) else (state,)
        for part in parts:
            if isinstance(part, dict):
                self.state.update(part)

    def __setitem__(self, key: Any, value: Any) -> None:
        """Subclasses of dict store their items so; they are not told."""

    def append(self, value: Any) -> None:
        """Subclasses of list, likewise."""

    def extend(self, values: Any) -> None:
        """Subclasses of list, likewise."""


class _Storage:
    """What a tensor's pickle says of its numbers before they come."""

    def __init__(self, kind: str, count: int) -> None:
        self.kind, self.count = kind, count


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
    names["torch._utils", "_rebuild_tensor_v2"] = _rebuild_tensor
    names["torch.storage", "_load_from_bytes"] = _load_storage
    return names


# only for readers that have stand-ins: what Python makes objects with
_FOR_STAND_INS: dict[tuple[str, str], Any] = {("collections", "defaultdict"): _plain_dict}
for _module in ("copy_reg", "copyreg"):
    _FOR_STAND_INS[_module, "_reconstructor"] = _reconstructor
for _module in ("__builtin__", "builtins"):
    _FOR_STAND_INS[_module, "object"] = object


class _Reader(pickle.Unpickler):
    names = _allowed()
    # "module.Class" or "module.*" -> the attributes that are told of its objects
    stand_ins: dict[str, tuple[str, ...]] = {}  # noqa: RUF012  replaced, never changed

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self.names:
            return self.names[module, name]
        if self.stand_ins:
            if (module, name) in _FOR_STAND_INS:
                return _FOR_STAND_INS[module, name]
            full = f"{module}.{name}"
            told = self.stand_ins.get(full)
            if told is None:
                told = next(
                    (t for p, t in self.stand_ins.items() if p.endswith(".*") and full.startswith(p[:-1])), None
                )
            if told is not None:
                return type("StandIn", (_StandIn,), {"__slots__": (), "name": full, "told": tuple(told)})
        raise pickle.UnpicklingError(f"it calls {module}.{name}, which is not allowed")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to objects outside of the file, which is not allowed")


class _StorageReader(_Reader):
    """Reads the pickles within a tensor's bytes, which name a kind of storage and refer to one."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("torch", "torch.storage") and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(f"it calls {module}.{name}, which is not allowed")

    def persistent_load(self, pid: Any) -> Any:
        if not (isinstance(pid, tuple) and len(pid) in (5, 6) and pid[0] == "storage" and pid[1] in _STORAGES.values()):
            raise pickle.UnpicklingError("it refers to objects outside of the file, which is not allowed")
        return _Storage(pid[1], int(pid[4]))


class _Writer:
    """Turns what was read into JSON, with arrays put aside in one file."""

    def __init__(self, out: str) -> None:
        self.nodes = 0
        self.arrays: dict[int, list[Any]] = {}
        self.kept: list[Any] = []
        self.open: set[int] = set()
        self.file = Path(f"{out}.bin").open("wb")  # noqa: SIM115  closed by who asked for it

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
            if isinstance(value, _StandIn):
                told = {name: value.state[name] for name in value.told if name in value.state}
                return {"$object": value.name, "state": self.plain(told)}
        finally:
            self.open.discard(id(value))
        raise pickle.UnpicklingError(f"it holds a {type(value).__name__}, which is not plain data")

    def array(self, value: np.ndarray) -> list[Any]:
        """`[place in the file, number type, shape]`."""
        if id(value) not in self.arrays:
            flat = np.ascontiguousarray(value)
            self.file.write(b"\0" * (-self.file.tell() % 64))
            self.arrays[id(value)] = [self.file.tell(), flat.dtype.str, list(flat.shape)]
            if flat.size:
                self.file.write(flat.reshape(-1).view(np.uint8).data)
            self.kept.append(value)  # so that the id stays its own
        return self.arrays[id(value)]


def main(job: str) -> None:
    """Reads every file of the job; the exit status tells nothing of them, what is left of each does."""
    asked = json.loads(Path(job).read_text("utf-8"))
    limit = int(asked["limit"])
    _capped(limit)
    gc.disable()  # looking through millions of new objects for cycles takes longer than making them
    _Reader.stand_ins = {name: tuple(told) for name, told in asked["stand_ins"].items()}
    for pickled, out in asked["files"]:
        try:
            _read(Path(pickled), out, int(asked["objects"]))
        except MemoryError:
            _fail(out, f"it needs more than the {limit >> 20} MB of memory that it is given")
        except RecursionError:
            _fail(out, "it is nested too deeply")
        except Exception as error:  # noqa: BLE001  whatever a broken pickle raises, the parent is told in words
            words = f"{error}" if isinstance(error, pickle.UnpicklingError) else f"{type(error).__name__}: {error}"
            _fail(out, words)


def _read(pickled: Path, out: str, objects: int) -> None:
    found: list[Any] = []
    with pickled.open("rb") as file:
        for number in range(objects):
            if number and not file.peek(1):
                raise pickle.UnpicklingError(f"{number} pickles where {objects} were expected")
            # Python 2 wrote text and bytes alike; latin1 keeps both as they were, which numpy relies on
            found.append(_Reader(file, fix_imports=False, encoding="latin1").load())
    writer = _Writer(out)
    with writer.file:
        tree = writer.plain(found if objects > 1 else found[0])
    Path(f"{out}.tree").write_text(json.dumps(tree), encoding="utf-8")


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


def _fail(out: str, reason: str) -> None:
    Path(f"{out}.error").write_text(reason[:1000], encoding="utf-8", errors="replace")


if __name__ == "__main__":
    main(sys.argv[1])
