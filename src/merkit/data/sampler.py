"""Which clips come when: an order that is a function of (seed, epoch), so it survives restarts and worker counts."""

from collections.abc import Iterator

import numpy as np

__all__ = ["EpochBatches", "balanced_rows"]

# batches that are drawn at random before their clips are sorted by length: long enough to fill batches with clips of one
# length, short enough that neighbours in an epoch differ from epoch to epoch
_BUCKET_BATCHES = 50


class EpochBatches:
    """Batches of rows for one pass after another.

    Args:
        n: clips.
        batch_size: clips a batch; the last one may be smaller.
        seed: of the order.
        shuffle: False keeps the order of the table.
        lengths: `(n,)` tokens of each clip; batches then hold clips of nearly the same length.
        groups: `(n,)` e.g. dialogues; batches then hold whole groups, about `batch_size` clips together, so that turns
            are encoded once for all the neighbours that they are context of. As many batches in every epoch.
        balance: `(n,)` class indices, -1 for clips that are not drawn; every batch then draws classes evenly, with
            replacement (for contrastive losses).
        rank: which of the processes that train together this one is.
        world_size: how many they are. Every process makes the same batches and takes each `world_size`-th, beginning with
            its own: one step of all together sees what one process sees in `world_size` batches. Where batches do not
            come out even, the first of the epoch come again, so that no process waits for another. That is for training;
            answers are evaluated by a process that has all clips.

    Raises:
        ValueError: there are no clips or no room for them, or no such rank.

    Example:
        >>> batches = EpochBatches(5, 2, seed=1)
        >>> first = [rows.tolist() for rows in batches]
        >>> batches.set_epoch(0), [rows.tolist() for rows in batches] == first
        (None, True)
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        lengths: np.ndarray | None = None,
        groups: np.ndarray | None = None,
        balance: np.ndarray | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if n < 1 or batch_size < 1:
            raise ValueError(
                f"there must be clips and room for them in a batch; got {n} clips, batch_size {batch_size}"
            )
        if not 0 <= rank < world_size:
            raise ValueError(f"ranks of {world_size} processes count from 0; got rank {rank}")
        self.rank, self.world_size = rank, world_size
        self.n, self.batch_size, self.seed, self.shuffle = n, batch_size, seed, shuffle
        self.lengths = lengths
        self.groups = None if groups is None else np.unique(groups, return_inverse=True)[1]
        self.balance = balance
        self.epoch = 0
        self.start = 0
        self._kept: tuple[int, list[np.ndarray]] | None = None

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before every pass."""
        if epoch != self.epoch:
            self.start = 0
        self.epoch = epoch

    def resume(self, epoch: int, done: int) -> None:
        """The next pass is `epoch`, of which this process has seen `done` batches, among as many processes as now."""
        self.epoch, self.start = epoch, done

    def __len__(self) -> int:
        return len(self._batches())

    def __iter__(self) -> Iterator[np.ndarray]:
        # the start stays until another epoch is set: a trainer may ask for the iterator more than once
        return iter(self._batches()[self.start :])

    def _batches(self) -> list[np.ndarray]:
        if self._kept is None or self._kept[0] != self.epoch:
            batches = self._made(self.epoch)
            steps = -(-len(batches) // self.world_size)
            mine = [batches[i % len(batches)] for i in range(self.rank, steps * self.world_size, self.world_size)]
            self._kept = (self.epoch, mine)
        return self._kept[1]

    def _made(self, epoch: int) -> list[np.ndarray]:
        rng = np.random.default_rng([self.seed, epoch])
        if self.groups is not None:
            return self._by_group(rng)
        if self.balance is not None:
            order = balanced_rows(self.balance, rng)
        else:
            order = rng.permutation(self.n) if self.shuffle else np.arange(self.n)
        if self.lengths is None or not self.shuffle:
            return _cut(order, self.batch_size)
        batches: list[np.ndarray] = []
        for bucket in _cut(order, self.batch_size * _BUCKET_BATCHES):
            batches += _cut(bucket[np.argsort(self.lengths[bucket], kind="stable")], self.batch_size)
        return [batches[i] for i in rng.permutation(len(batches))]

    def _by_group(self, rng: np.random.Generator) -> list[np.ndarray]:
        """Whole groups in random order, cut into equally many batches in every epoch, as equal as whole groups can be."""
        assert self.groups is not None
        size = np.bincount(self.groups)
        rows = np.split(np.argsort(self.groups, kind="stable"), np.cumsum(size)[:-1])
        order = rng.permutation(len(size)) if self.shuffle else np.arange(len(size))
        # trainers ask once how many batches there are, so an epoch of more would lose its last ones, unsaid
        count = min(-(-self.n // self.batch_size), len(size))
        middle = np.cumsum(size[order]) - size[order] / 2
        cuts = np.searchsorted(middle, np.arange(1, count) * self.n / count)
        # none of them empty: a group longer than a batch is one by itself
        place = np.arange(1, count)
        cuts = np.maximum.accumulate(np.maximum(cuts, place) - place) + place
        cuts = np.minimum(cuts, len(size) - count + place)
        return [np.concatenate([rows[group] for group in part]) for part in np.split(order, cuts)]


def balanced_rows(classes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As many rows as there are, every class equally often (to one), rarer ones repeated; in random order by rounds.
    Rows of class -1 are left out.

    Example:
        >>> rows = balanced_rows(np.array([0, 0, 0, 1]), np.random.default_rng(0))
        >>> np.bincount(np.array([0, 0, 0, 1])[rows])
        array([2, 2])
    """
    known = np.flatnonzero(classes != -1)
    names, index = np.unique(classes[known], return_inverse=True)
    rounds = -(-len(known) // len(names))
    columns = []
    for k in range(len(names)):
        members = known[index == k]
        passes = -(-rounds // len(members))
        columns.append(np.concatenate([rng.permutation(members) for _ in range(passes)])[:rounds])
    table = rng.permuted(np.stack(columns, 1), axis=1)  # each round holds every class once
    return table.reshape(-1)[: len(known)]


def _cut(order: np.ndarray, size: int) -> list[np.ndarray]:
    return [order[i : i + size] for i in range(0, len(order), size)]
