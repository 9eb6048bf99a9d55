"""Pickles of published corpora, read without running them: in a process of their own, plain data only, arrays out."""

import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from merkit.errors import LimitError, MediaError

__all__ = ["arrays_of_pickle"]

_CHILD = Path(__file__).with_name("pickle_child.py")
# what numpy and the interpreter take by themselves, in address space
_BASE_BYTES = 1 << 30
# Loaded, as flat arrays, and text that becomes wider: four times the file is what the largest honest one needs.
_TIMES_FILE = 4
_MOST_BYTES = 64 << 30
_TIMEOUT_S = 3600.0


@contextmanager
def arrays_of_pickle(path: str | Path, work: str | Path | None = None) -> Generator[Mapping[str, np.ndarray]]:
    """The arrays in a pickle, by their path through its dicts (`train/audio`); each is read when it is asked for.

    The file is opened by a process that refuses every global but those that numpy arrays and plain containers need, with
    memory of four times the file's size and 1 GB at most. Nothing that the file names is imported or called.

    Args:
        path: the pickle, of any protocol.
        work: folder with room for the arrays while they are read; none = the system's folder for temporary files.

    Raises:
        MediaError: no such file, damaged, or not plain data; the message names the global at fault.
        LimitError: over 64 GB.

    Example:
        >>> import pickle
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "data.pkl")
        ...     _ = file.write_bytes(pickle.dumps({"train": {"audio": np.ones((2, 3))}}))
        ...     with arrays_of_pickle(file) as arrays:
        ...         arrays["train/audio"].shape
        (2, 3)
    """
    path = Path(path)
    if not path.is_file():
        raise MediaError("no such file", path=path)
    size = path.stat().st_size
    if size > _MOST_BYTES:
        raise LimitError(f"{size >> 30} GB; the limit is {_MOST_BYTES >> 30}", path=path)
    with tempfile.TemporaryDirectory(prefix=".unpickled-", dir=work) as folder:
        target = Path(folder, "arrays.npz")
        _run(path, target, _BASE_BYTES + _TIMES_FILE * size)
        try:
            with np.load(target, allow_pickle=False) as arrays:
                yield arrays
        except (zipfile.BadZipFile, EOFError) as error:
            raise MediaError(f"its arrays cannot be handed over ({error})", path=path) from error


def _run(path: Path, target: Path, limit: int) -> None:
    # -I: neither the folder, nor PYTHONPATH, nor the user's own packages lead the child's import path
    command = [sys.executable, "-I", str(_CHILD), str(path.absolute()), str(target), str(limit)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
            # threads of a numerical library would take address space before the first array
            env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired:
        raise MediaError(f"was not read in {_TIMEOUT_S:g} s", path=path) from None
    try:
        said = json.loads(done.stdout)
    except ValueError:
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        raise MediaError(f"the reader of pickles crashed ({how})", path=path) from None
    if "refused" in said:
        raise MediaError(f"is not plain data, and was not run: {said['refused']}", path=path)
    if said:
        raise MediaError(f"is not a readable pickle ({said['broken']})", path=path)
