"""Pickles of published corpora, read by a child process that may make plain data and arrays, and nothing else."""

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from merkit.errors import LimitError, MediaError

__all__ = ["StandIn", "unpickled", "unpickled_each"]

_MAX_BYTES = 32 << 30
# the file's bytes, the arrays made of them, and Python itself with numpy's threads
_FACTOR, _BASE = 4, 2 << 30
_TIMEOUT_S = 3600.0
# of small files, as many go to one child as keep its start from counting
_BATCH_FILES, _BATCH_BYTES = 64, 128 << 20


@dataclass(frozen=True, slots=True)
class StandIn:
    """What was stored of an object of a class that is not here.

    Args:
        name: of its class, with the module.
        state: the attributes that were asked for, as far as it has them.
    """

    name: str
    state: dict[str, Any]


@contextmanager
def unpickled(
    path: Path,
    scratch: Path | None = None,
    *,
    memory: int | None = None,
    objects: int = 1,
    stand_ins: Mapping[str, Sequence[str]] | None = None,
) -> Generator[Any]:
    """The content of a pickle: dicts, lists, words, numbers, and arrays that stay on disk while the context lasts.

    Torch's tensors are arrays too.

    Args:
        path: the pickle, of Python 2 or 3.
        scratch: folder for the arrays; none = the system's own.
        memory: bytes of address space that the child may use; none = by the file's size.
        objects: how many pickles the file holds, one after the other; more than one give a list.
        stand_ins: `module.Class` or `module.*` -> attributes. Objects of these classes are told as `StandIn`s; neither
            module nor class is imported, and nothing of them runs. Objects of other classes are refused, as always.

    Raises:
        MediaError: it is damaged, or calls something that is not on the list; the message names it.
        LimitError: it is too large.

    Example:
        >>> import pickle
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "a.pkl"
        ...     _ = file.write_bytes(pickle.dumps({"x": np.arange(3), "name": "a"}))
        ...     with unpickled(file) as found:
        ...         print(found["name"], found["x"].tolist())
        a [0, 1, 2]
    """
    _check(path)
    with tempfile.TemporaryDirectory(prefix=".unpickled-", dir=scratch) as name:
        error = next(_read([path], Path(name), memory, objects, stand_ins))
        if error is not None:
            raise error
        yield _content(f"{name}/0")


def unpickled_each(
    paths: Sequence[Path], scratch: Path | None = None, *, objects: int = 1
) -> Iterator[tuple[Path, Any]]:
    """Many small pickles, some dozens to a child: `(path, content)`, or the error that `unpickled` would raise for it.

    Arrays are in memory. One that cannot be read does not keep the others from it.

    Args:
        paths: the pickles.
        scratch: folder for what the child leaves; none = the system's own.
        objects: how many pickles each file holds; more than one give a list.

    Example:
        >>> import pickle
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     files = [Path(folder) / "a.pkl", Path(folder) / "b.pkl"]
        ...     _ = [file.write_bytes(data) for file, data in zip(files, (pickle.dumps([1]), b"no"), strict=True)]
        ...     [content if path == files[0] else type(content).__name__ for path, content in unpickled_each(files)]
        [[1], 'MediaError']
    """
    batch: list[Path] = []
    total = 0
    for path in paths:
        try:
            size = _check(path)
        except MediaError as error:
            yield from _batch(batch, scratch, objects)
            batch, total = [], 0
            yield path, error
            continue
        batch.append(path)
        total += size
        if len(batch) == _BATCH_FILES or total > _BATCH_BYTES:
            yield from _batch(batch, scratch, objects)
            batch, total = [], 0
    yield from _batch(batch, scratch, objects)


def _batch(paths: list[Path], scratch: Path | None, objects: int) -> Iterator[tuple[Path, Any]]:
    if not paths:
        return
    with tempfile.TemporaryDirectory(prefix=".unpickled-", dir=scratch) as name:
        for number, (path, error) in enumerate(zip(paths, _read(paths, Path(name), None, objects, None), strict=True)):
            yield path, error if error is not None else _content(f"{name}/{number}", mapped=False)


def _check(path: Path) -> int:
    if not path.is_file():
        raise MediaError("no such file", path=path)
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise LimitError(f"{size} bytes; the limit is {_MAX_BYTES}", path=path)
    return size


def _read(
    paths: Sequence[Path],
    folder: Path,
    memory: int | None,
    objects: int,
    stand_ins: Mapping[str, Sequence[str]] | None,
) -> Iterator[MediaError | None]:
    """Leaves what file `i` holds as `folder/i.*`, or yields why it cannot be read."""
    ended: int | None = None
    needed = True  # a child: the first, or the one before it ended within a file
    for number, path in enumerate(paths):
        tree, error = folder / f"{number}.tree", folder / f"{number}.error"
        if needed and not tree.exists() and not error.exists():
            ended, needed = _child(paths[number:], number, folder, memory, objects, stand_ins, path), False
        if not tree.exists() and not error.exists():
            error.write_text(f"its reader ended with {ended}", encoding="utf-8")
            needed = True
        if error.exists():
            yield MediaError(f"the pickle was refused: {error.read_text('utf-8')}", path=path)
        else:
            yield None


def _child(
    paths: Sequence[Path],
    first: int,
    folder: Path,
    memory: int | None,
    objects: int,
    stand_ins: Mapping[str, Sequence[str]] | None,
    path: Path,
) -> int:
    size = max(each.stat().st_size for each in paths)
    job = {
        "files": [[str(each.absolute()), f"{folder.absolute()}/{first + i}"] for i, each in enumerate(paths)],
        "limit": memory if memory is not None else _BASE + _FACTOR * size,
        "objects": objects,
        "stand_ins": {name: list(told) for name, told in (stand_ins or {}).items()},
    }
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    # The file itself, not `-m`: merkit and torch have no place in this child. -I: neither the current folder nor
    # PYTHONPATH leads its imports. One thread: those of a numerical library reserve address space by the gigabyte.
    child = Path(__file__).with_name("unpickle.py")
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(child), str((folder / "job.json").absolute())],
            env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise MediaError(f"the pickle was not read in {_TIMEOUT_S:g} s", path=path) from None
    return done.returncode


def _content(out: str, mapped: bool = True) -> Any:
    arrays = Path(f"{out}.bin")
    size = arrays.stat().st_size
    # an empty file cannot be mapped
    raw = np.memmap(arrays, np.uint8, "r") if mapped and size else np.fromfile(arrays, np.uint8)
    return _built(json.loads(Path(f"{out}.tree").read_text("utf-8")), raw)


def _built(tree: Any, raw: np.ndarray) -> Any:
    if isinstance(tree, list):
        return [_built(item, raw) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if "$array" in tree:
        place, code, shape = tree["$array"]
        kind = np.dtype(code)
        size = math.prod(shape) * kind.itemsize
        array = raw[place : place + size].view(kind).reshape(shape)
        return array if size > 1 << 20 else np.array(array)
    if "$float" in tree:
        return float(tree["$float"])
    if "$object" in tree:
        return StandIn(tree["$object"], _built(tree["state"], raw))
    pairs = [(_built(key, raw), _built(value, raw)) for key, value in tree["$dict"]]
    return {tuple(key) if isinstance(key, list) else key: value for key, value in pairs}
