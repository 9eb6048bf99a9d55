"""The files of a feature store as they are read in training: mapped, few at a time, many rows at once."""

import mmap
from collections import OrderedDict
from pathlib import Path

import numpy as np

from merkit.errors import StoreError

__all__ = ["ShardFiles"]

_OPEN = 128  # files at a time: each mapping holds one open, and a process may often have but 1024


class ShardFiles:
    """The tokens of each shard, flat, in the store's number type: read-only views of the file's pages.

    The shards asked for last stay mapped.

    Args:
        path: the store's folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mapped: OrderedDict[str, tuple[np.ndarray, mmap.mmap]] = OrderedDict()
        self.places: dict[str, tuple[np.dtype, int, int]] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        """All numbers of a shard.

        Raises:
            StoreError: the shard is missing or damaged.
        """
        if name in self.mapped:
            self.mapped.move_to_end(name)
            return self.mapped[name][0]
        from merkit.features.shard import Shard

        path = self.path / name
        if name not in self.places:
            self.places[name] = Shard(path).place_of_x  # its header is checked, once
        kind, begin, count = self.places[name]
        if not count:
            return np.zeros(0, kind)
        try:
            with path.open("rb") as file:
                data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            found = np.frombuffer(data, kind, count, begin)
        except (OSError, ValueError) as error:
            raise StoreError(f"{path}: cannot be read ({error})") from error
        self.mapped[name] = found, data
        if len(self.mapped) > _OPEN:
            self.mapped.popitem(last=False)
        return found

    def prefetch(self, name: str, element: np.ndarray, width: int) -> None:
        """Asks for the pages of rows at once. Page by page as they are touched, the disk would be waited for each time,
        and what lies between sampled rows would be read along: a third of the rows a second."""
        if not hasattr(mmap, "MADV_WILLNEED"):
            return
        kind, begin, count = self.places[name]
        first = (begin + element * kind.itemsize) // mmap.PAGESIZE
        last = (begin + np.minimum(element + width, count) * kind.itemsize - 1) // mmap.PAGESIZE
        new = np.ones(len(element), bool)
        new[1:] = (first[1:] > last[:-1] + 1) | (first[1:] < first[:-1])
        at = np.flatnonzero(new)
        data = self.mapped[name][1]
        for low, high in zip(first[at].tolist(), last[np.append(at[1:] - 1, len(last) - 1)].tolist(), strict=True):
            data.madvise(mmap.MADV_WILLNEED, low * mmap.PAGESIZE, (high - low + 1) * mmap.PAGESIZE)
