"""Pickles of published corpora, read by a child process that may make plain data and arrays, and nothing else."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from merkit.errors import LimitError, MediaError

__all__ = ["unpickled"]

_MAX_BYTES = 32 << 30
# the file's bytes, the arrays made of them, and Python itself with numpy's threads
_FACTOR, _BASE = 4, 2 << 30
_TIMEOUT_S = 3600.0


@contextmanager
def unpickled(path: Path, scratch: Path | None = None, *, memory: int | None = None) -> Generator[Any]:
    """The content of a pickle: dicts, lists, words, numbers, and arrays that stay on disk while the context lasts.

    Args:
        path: the pickle, of Python 2 or 3.
        scratch: folder for the arrays; none = the system's own.
        memory: bytes of address space that the child may use; none = by the file's size.

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
    if not path.is_file():
        raise MediaError("no such file", path=path)
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise LimitError(f"{size} bytes; the limit is {_MAX_BYTES}", path=path)
    with tempfile.TemporaryDirectory(prefix=".unpickled-", dir=scratch) as name:
        folder = Path(name)
        limit = memory if memory is not None else _BASE + _FACTOR * size
        # The file itself, not `-m`: merkit and torch have no place in this child. -I: neither the current folder nor
        # PYTHONPATH leads its imports. One thread: those of a numerical library reserve address space by the gigabyte.
        child = Path(__file__).with_name("unpickle.py")
        try:
            done = subprocess.run(
                [sys.executable, "-I", str(child), str(path.absolute()), str(folder.absolute()), str(limit)],
                env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise MediaError(f"the pickle was not read in {_TIMEOUT_S:g} s", path=path) from None
        if done.returncode:
            error = folder / "error.json"
            reason = (
                json.loads(error.read_text("utf-8")) if error.exists() else f"its reader ended with {done.returncode}"
            )
            raise MediaError(f"the pickle was refused: {reason}", path=path)
        yield _built(json.loads((folder / "tree.json").read_text("utf-8")), folder)


def _built(tree: Any, folder: Path) -> Any:
    if isinstance(tree, list):
        return [_built(item, folder) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if "$array" in tree:
        file = folder / f"{int(tree['$array'])}.npy"
        # an empty array cannot be mapped, and a small one need not be
        return np.load(file, mmap_mode="r" if file.stat().st_size > 1 << 20 else None, allow_pickle=False)
    if "$float" in tree:
        return float(tree["$float"])
    pairs = [(_built(key, folder), _built(value, folder)) for key, value in tree["$dict"]]
    return {tuple(key) if isinstance(key, list) else key: value for key, value in pairs}
