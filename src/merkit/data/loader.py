"""Batches of a table for the trainer."""

from collections.abc import Sequence

import numpy as np
from torch.utils.data import DataLoader, Dataset

from merkit.data.batch import Batch, collate
from merkit.data.sampler import EpochBatches
from merkit.data.table import ClipTable

__all__ = ["TableBatches", "batch_loader"]


class TableBatches(Dataset[Batch]):
    """The table as the loader sees it: rows in, one collated batch out. Without workers nothing is copied twice.

    Args:
        table: clips of one split.
        modalities: streams to take.
        context: `(n, C)` from `dialogue_context`, or None.
        with_targets: False for prediction.
    """

    def __init__(
        self,
        table: ClipTable,
        modalities: tuple[str, ...],
        context: np.ndarray | None = None,
        with_targets: bool = True,
    ) -> None:
        self.table, self.modalities, self.context, self.with_targets = table, modalities, context, with_targets

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, rows: Sequence[int] | np.ndarray) -> Batch:
        return collate(
            self.table,
            np.asarray(rows, np.int64),
            modalities=self.modalities,
            context=self.context,
            with_targets=self.with_targets,
        )


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
        batch_sampler=order,  # ty: ignore[invalid-argument-type]
        collate_fn=_as_is,  # ty: ignore[invalid-argument-type]
        num_workers=workers,
        persistent_workers=False,
        multiprocessing_context="spawn" if workers else None,
    )


def _as_is(batch: Batch) -> Batch:
    return batch
