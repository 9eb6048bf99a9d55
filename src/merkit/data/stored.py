"""Tokens that stay in their feature store: rows of memory-mapped shards, read when they are asked for.

Features of a film corpus take 30 to 250 GB. A batch needs a few thousand rows of them.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from merkit.data.shard_files import ShardFiles
from merkit.errors import StoreError

if TYPE_CHECKING:
    from merkit.features.store import FeatureStore

__all__ = ["StoredRows", "blocks_of", "fits_in_memory"]

_BLOCK = 1 << 22  # numbers worked on at once
_SHARE = 0.25  # of free memory that one column may take


class StoredRows:
    """`(R, D)` that lies in a feature store, in the store's number type: `S` stretches of rows without a gap.

    Indexing with a slice or with indices reads those rows and nothing else, as float32, or as uint8 where the store
    holds pixels. Pickling keeps the places alone: another
    process opens the shards itself.

    Args:
        path: the store's folder.
        shards: names of its files.
        shard: `(S,)` int64: place in `shards` of each stretch.
        element: `(S,)` int64: where it begins in the shard's `x`.
        offsets: `(S + 1,)` int64: stretch `s` is rows `offsets[s]` to `offsets[s + 1]`.
        width: `D`.
        dtype: of the rows that are given, `float32` or `uint8`.

    Example:
        >>> import tempfile
        >>> from merkit.features.store import FeatureStore
        >>> from merkit.features.shard import ClipRecord, Row
        >>> folder = tempfile.TemporaryDirectory()
        >>> store = FeatureStore.create(folder.name, dtype="float16")
        >>> x, times = np.arange(6.0).reshape(3, 2), np.arange(3.0)
        >>> store.add(ClipRecord("talk", "key", "hash", {}, (Row("face", "A", "f@0", x, times, times, np.zeros(3, int)),)))
        >>> store.finalise()
        >>> rows = StoredRows.of(store, np.array([0]))
        >>> rows.shape, rows[np.array([2, 0])]
        ((3, 2), array([[4., 5.], [0., 1.]], dtype=float32))
        >>> folder.cleanup()
    """

    ndim = 2

    def __init__(
        self,
        path: Path,
        shards: tuple[str, ...],
        shard: np.ndarray,
        element: np.ndarray,
        offsets: np.ndarray,
        width: int,
        dtype: np.dtype | type = np.float32,
    ) -> None:
        self.path, self.shards, self.width = path, shards, width
        self.dtype = np.dtype(dtype)
        self._shard, self._element, self._offsets = shard, element, offsets
        self._files = ShardFiles(path)

    @classmethod
    def of(cls, store: "FeatureStore", rows: np.ndarray) -> "StoredRows":
        """The tokens of these rows of a store's index, one behind the other; all are of one width."""
        index = store.index.select(["shard", "offset", "length", "width"]).take(rows)
        names = index.column("shard").to_pylist()
        shards = tuple(dict.fromkeys(names))
        place = {name: i for i, name in enumerate(shards)}
        offsets = np.append(0, np.cumsum(index.column("length").to_numpy())).astype(np.int64)
        width = index.column("width")[0].as_py() if len(rows) else 0
        shard = np.array([place[name] for name in names], np.int64)
        kind = np.uint8 if store.dtype == np.uint8 else np.float32
        return cls(store.path.absolute(), shards, shard, index.column("offset").to_numpy(), offsets, width, kind)

    def __len__(self) -> int:
        return int(self._offsets[-1])

    @property
    def shape(self) -> tuple[int, int]:
        """`(R, D)`."""
        return len(self), self.width

    @property
    def nbytes(self) -> int:
        """Bytes that all rows would take in memory."""
        return len(self) * self.width * self.dtype.itemsize

    def __getitem__(self, rows: slice | np.ndarray | int | tuple[Any, ...]) -> np.ndarray:
        """`(P, D)` float32 or uint8: a slice, indices, or a mask of rows; `x[rows, columns]` and `x[row]` as in numpy.

        Raises:
            StoreError: a shard is missing, or shorter than the index says.
        """
        if isinstance(rows, tuple):
            return self[rows[0]][..., rows[1]]
        if not isinstance(rows, slice):
            rows = np.asarray(rows)
            if not rows.ndim:
                return self[rows[None]][0]
        if isinstance(rows, slice) and rows == slice(None):
            count = np.diff(self._offsets)
            return self._read(np.repeat(self._shard, count), self._elements(np.arange(len(count)), count))
        stretch, within = self._places(rows)
        return self._read(self._shard[stretch], self._element[stretch] + within * self.width)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:] if dtype is None else self[:].astype(dtype, copy=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": ShardFiles(self.path)}

    def key(self) -> bytes | None:
        """What these rows are, in 16 bytes, for shards are named by what they hold; None in a store in the making."""
        if any(name.startswith("parts/") for name in self.shards):
            return None
        digest = hashlib.blake2b(repr((str(self.path), self.shards, self.width)).encode(), digest_size=16)
        for places in (self._shard, self._element, self._offsets):
            digest.update(np.ascontiguousarray(places).data)
        return digest.digest()

    def at(self, rows: np.ndarray) -> "StoredRows":
        """These rows, still unread."""
        stretch, within = self._places(rows)
        shard, element = self._shard[stretch], self._element[stretch] + within * self.width
        # rows that follow one another are one stretch
        begins = np.ones(len(rows), bool)
        begins[1:] = (np.diff(stretch) != 0) | (np.diff(within) != 1)
        first = np.flatnonzero(begins)
        return self._with(shard[first], element[first], np.append(first, len(rows)))

    def ranges(self, first: np.ndarray, count: np.ndarray) -> "StoredRows":
        """Rows `first[i]` to `first[i] + count[i]` for every `i`, one behind the other, still unread."""
        stretch = np.searchsorted(self._offsets, first, "right") - 1
        stretch = np.clip(stretch, 0, max(len(self._shard) - 1, 0))
        offsets = np.append(0, np.cumsum(count)).astype(np.int64)
        if (count > 0).any() and (first + count > self._offsets[stretch + 1])[count > 0].any():
            return self.at(np.repeat(first - offsets[:-1], count) + np.arange(offsets[-1]))
        kept = count > 0
        begin = (first - self._offsets[stretch])[kept] * self.width if kept.any() else np.zeros(0, np.int64)
        stretch = stretch[kept]
        return self._with(
            self._shard[stretch], self._element[stretch] + begin, np.append(offsets[:-1][kept], offsets[-1])
        )

    def _with(self, shard: np.ndarray, element: np.ndarray, offsets: np.ndarray) -> "StoredRows":
        other = StoredRows(self.path, self.shards, shard, element, offsets.astype(np.int64), self.width, self.dtype)
        other._files = self._files  # files are opened once for all that is taken from one another
        return other

    def _places(self, rows: slice | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Stretch of each row, and how many rows into it."""
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        rows = np.flatnonzero(rows) if rows.dtype == bool else np.where(rows < 0, rows + len(self), rows)
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of {len(self)}")
        stretch = np.searchsorted(self._offsets, rows, "right") - 1
        return stretch, rows - self._offsets[stretch]

    def _elements(self, stretch: np.ndarray, count: np.ndarray) -> np.ndarray:
        within = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
        return np.repeat(self._element[stretch], count) + within * self.width

    def _read(self, shard: np.ndarray, element: np.ndarray) -> np.ndarray:
        out = np.empty((len(shard), self.width), self.dtype)
        target = torch.from_numpy(out)
        order = np.argsort(shard, kind="stable")
        bounds = np.flatnonzero(np.diff(shard[order])) + 1
        for own in np.split(order, bounds) if len(order) else ():
            rows = torch.from_numpy(self._rows_of(self.shards[shard[own[0]]], element[own]))
            # numpy takes four times as long as torch to make float32 of float16
            if own[-1] - own[0] + 1 == len(own):
                target[own[0] : own[-1] + 1].copy_(rows)
            else:
                out[own] = rows.to(target.dtype).numpy()
        return out

    def _rows_of(self, name: str, element: np.ndarray) -> np.ndarray:
        """`(P, D)` of one shard, in its number type."""
        flat = self._files[name]
        if element.max() + self.width > len(flat):
            raise StoreError(f"{self.path / name}: is shorter than the index says")
        self._files.prefetch(name, element, self.width)
        # every place in the file as the beginning of a row: modalities of other widths may lie in between
        return np.lib.stride_tricks.sliding_window_view(flat, self.width)[element]


def blocks_of(x: "np.ndarray | StoredRows", numbers: int = _BLOCK) -> Iterator[np.ndarray]:
    """`x (R, D)` in blocks of rows of about so many numbers, each read when its turn comes.

    Example:
        >>> [len(block) for block in blocks_of(np.ones((5, 4)), numbers=8)]
        [2, 2, 1]
    """
    step = max(1, numbers // max(x.shape[1], 1))
    for start in range(0, len(x), step):
        yield x[start : start + step]


def fits_in_memory(nbytes: int) -> bool:
    """Whether so many bytes are no more than a quarter of the memory that is free; True where the system does not say.

    Example:
        >>> fits_in_memory(1000)
        True
    """
    free = [each for each in (_of_machine(), _of_group()) if each is not None]
    return not free or nbytes <= _SHARE * min(free)


def _of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return None


def _of_group() -> int | None:
    """What a container may still take; its page cache counts as taken, so this errs on the small side."""
    group = Path("/sys/fs/cgroup")
    try:
        return int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
    except (OSError, ValueError):
        return None
