"""Vectors of texts on disk, so that a frozen encoder reads a text once.

A folder holds files of `(key, vector)` rows that are only ever added to. Each appears whole under a name made from its
content, so processes that write at the same time cannot harm each other.
"""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from merkit.atomic import replacing

__all__ = ["KeptVectors"]

_log = logging.getLogger(__name__)
_KEY = 16  # bytes


class KeptVectors:
    """What an encoder said, by text.

    Args:
        folder: its own for every encoder id; made at the first `put`.
        width: `D`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     KeptVectors(Path(folder), 2).put(["Yes."], np.array([[1.0, 2.0]]))
        ...     KeptVectors(Path(folder), 2).get(["No.", "Yes."])
        {1: array([1., 2.], dtype=float32)}
    """

    def __init__(self, folder: Path, width: int) -> None:
        self.folder, self.width = folder, width
        self._rows: dict[bytes, tuple[np.ndarray, int]] = {}
        self._read: set[str] = set()

    def get(self, texts: Sequence[str]) -> dict[int, np.ndarray]:
        """Number of the text -> `(D,)` float32, of those that are known."""
        for path in sorted(self.folder.glob("[!.]*.safetensors")):  # a hidden one is being written
            if path.name not in self._read:
                self._read.add(path.name)
                self._load(path)
        found = {}
        for i, text in enumerate(texts):
            if (held := self._rows.get(_key(text))) is not None:
                found[i] = held[0][held[1]]
        return found

    def put(self, texts: Sequence[str], vectors: np.ndarray) -> None:
        """Adds the vectors `(n, D)` of `n` texts. A folder that cannot be written costs the memory, not the run."""
        keys = np.frombuffer(b"".join(_key(text) for text in texts), np.uint8).reshape(-1, _KEY)
        x = np.ascontiguousarray(vectors, np.float32)
        name = hashlib.sha256(keys.tobytes() + x.tobytes()).hexdigest()[:24] + ".safetensors"
        self._read.add(name)
        self._rows |= {key.tobytes(): (x, i) for i, key in enumerate(keys)}
        try:
            with replacing(self.folder / name) as temporary:
                save_file({"keys": np.ascontiguousarray(keys), "x": x}, temporary)
        except OSError as error:
            _log.warning("%s: text vectors are not kept (%s)", self.folder, error.strerror)

    def _load(self, path: Path) -> None:
        try:
            held = load_file(path)
            keys, x = held["keys"], held["x"]
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            _log.warning("%s: not readable, its texts are encoded anew (%s)", path, error)
            return
        if keys.shape == (len(x), _KEY) and x.shape[1:] == (self.width,):
            self._rows |= {key.tobytes(): (x, i) for i, key in enumerate(keys)}


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:_KEY]
