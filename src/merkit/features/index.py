"""The index of a feature store: one Parquet row per clip, modality and entity."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from merkit.errors import StoreError
from merkit.features.shard import Shard

__all__ = ["INDEX_SCHEMA", "index_of", "read_index"]

INDEX_SCHEMA = pa.schema(
    [
        ("clip", pa.string()),
        ("modality", pa.string()),  # null for a clip in which nothing was found
        ("entity", pa.string()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("offset", pa.int64()),  # first element in `x`
        ("first_token", pa.int64()),  # first element in `start_s`, `end_s` and `segment`
        ("length", pa.int64()),
        ("width", pa.int64()),
        ("dtype", pa.string()),
        ("shard", pa.string()),
        ("sha256", pa.string()),
        ("input_sha256", pa.string()),
        ("extractor_id", pa.string()),
        ("key", pa.string()),
    ]
)
_NOTHING = dict.fromkeys(("modality", "entity", "sha256", "extractor_id")) | dict.fromkeys(("start_s", "end_s"), 0.0)


def index_of(shards: Sequence[Shard]) -> pa.Table:
    """The index over these shards, in their order; a clip in which nothing was found has one row without a modality.

    Example:
        >>> index_of([]).num_rows
        0
    """
    columns: dict[str, list[Any]] = {name: [] for name in INDEX_SCHEMA.names}
    for shard in shards:
        for entry, row, token, element in shard.places():
            cells = (row or _NOTHING | {"length": 0, "width": 0}) | {
                "clip": entry["clip"],
                "key": entry["key"],
                "input_sha256": entry["input_sha256"],
                "offset": element,
                "first_token": token,
                "dtype": shard.dtype,
                "shard": f"{shard.path.parent.name}/{shard.path.name}",
            }
            for name, values in columns.items():
                values.append(cells[name])
    return pa.table(columns, INDEX_SCHEMA)


def read_index(store: Path) -> pa.Table:
    """The index file of a store; empty where nothing was finalised yet.

    Raises:
        StoreError: the file is damaged, of other columns, or names a file outside of the store.

    Example:
        >>> read_index(Path("no store here")).num_rows
        0
    """
    path = store / "index.parquet"
    if not path.exists():
        return INDEX_SCHEMA.empty_table()
    try:
        table = pq.read_table(path, memory_map=True)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path}: damaged: {error}") from error
    if table.schema.names != INDEX_SCHEMA.names:
        raise StoreError(f"{path}: has columns {table.schema.names}, expected {INDEX_SCHEMA.names}")
    for name in table["shard"].unique().to_pylist():
        folder, _, file = name.partition("/")
        if folder != "shards" or file != Path(file).name or file in ("", ".."):
            raise StoreError(f"{path}: names a shard outside of the store: {name}")
    return table
