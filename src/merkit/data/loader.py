"""Batches of a table for the trainer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch.utils.data import DataLoader, Dataset

from merkit.data.batch import Batch, collate
from merkit.data.draws import Draw
from merkit.data.sampler import EpochBatches
from merkit.data.table import ClipTable
from merkit.data.token_sampling import Sampling

__all__ = ["TableBatches", "batch_loader"]


@dataclass(frozen=True, slots=True)
class _Rows:
    """What travels to whoever makes the batch: the epoch goes with the rows, so a worker need not be told of it."""

    epoch: int
    rows: np.ndarray


class TableBatches(Dataset[Batch]):
    """The table as the loader sees it: rows in, one collated batch out. Without workers nothing is copied twice.

    Args:
        table: clips of one split.
        modalities: streams to take.
        context: `(n, C)` from `dialogue_context`, or None.
        with_targets: False for prediction.
        sampling: which tokens are taken; None = all.
        seed: of what is random in training; None for evaluation, where nothing is.
    """

    def __init__(
        self,
        table: ClipTable,
        modalities: tuple[str, ...],
        context: np.ndarray | None = None,
        with_targets: bool = True,
        sampling: Sampling | None = None,
        seed: int | None = None,
    ) -> None:
        self.table, self.modalities, self.context, self.with_targets = table, modalities, context, with_targets
        self.sampling, self.seed = sampling, seed

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, rows: Sequence[int] | np.ndarray | _Rows) -> Batch:
        asked = rows if isinstance(rows, _Rows) else _Rows(0, np.asarray(rows, np.int64))
        return collate(
            self.table,
            asked.rows,
            modalities=self.modalities,
            context=self.context,
            with_targets=self.with_targets,
            sampling=self.sampling,
            draw=None if self.seed is None else Draw(self.seed, asked.epoch),
        )


class _Ordered:
    """The order as the loader draws from it: rows with the epoch that they are drawn in."""

    def __init__(self, order: EpochBatches) -> None:
        self.order = order

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[_Rows]:
        epoch = self.order.epoch  # of the pass that begins now, whatever is set while it runs
        return (_Rows(epoch, np.asarray(rows, np.int64)) for rows in self.order)


def batch_loader(dataset: TableBatches, order: EpochBatches, *, workers: int = 0) -> DataLoader[Batch]:
    """A loader whose order is `order`'s, whatever the number of workers.

    Example:
        >>> import numpy as np
        >>> from merkit.data.table import TokenColumn
        >>> table = ClipTable("t", np.array(list("abc")), np.array(["train"] * 3),
        ...     {"text": TokenColumn.one_per_clip(np.eye(3))}, {})
        >>> [batch.ids for batch in batch_loader(TableBatches(table, ("text",)), EpochBatches(3, 2, shuffle=False))]
        [('a', 'b'), ('c',)]
    """
    return DataLoader(
        dataset,
        batch_sampler=_Ordered(order),  # ty: ignore[invalid-argument-type]
        collate_fn=_as_is,  # ty: ignore[invalid-argument-type]
        num_workers=workers,
        persistent_workers=False,
        multiprocessing_context="spawn" if workers else None,
    )


def _as_is(batch: Batch) -> Batch:
    return batch
