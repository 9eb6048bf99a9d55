"""Words or sounds that a corpus gives as numbers of a vocabulary, kept beside its manifest as they are.

A text encoder of that vocabulary takes them without a tokenizer; whoever has the tokenizer can turn them into words.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from merkit.atomic import replacing
from merkit.errors import MediaError

__all__ = ["IDS_FILE", "TokenIds", "read_token_ids", "write_token_ids"]

IDS_FILE = "token_ids.parquet"
_SCHEMA = pa.schema(
    [
        pa.field("clip", pa.string(), nullable=False),
        pa.field("modality", pa.string(), nullable=False),
        pa.field("ids", pa.list_(pa.int32()), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class TokenIds:
    """The tokens of one modality of one clip.

    Args:
        clip: its id.
        modality: `text` or `speech`.
        ids: `(T,)` numbers in the vocabulary, with the marks for beginning and end where the corpus has them.
    """

    clip: str
    modality: str
    ids: tuple[int, ...]


def write_token_ids(tokens: Iterable[TokenIds], folder: str | Path) -> Path:
    """Writes `token_ids.parquet` into the folder, by rename, in order of clip and modality."""
    rows = sorted(tokens, key=lambda each: (each.clip, each.modality))
    columns = [[row.clip for row in rows], [row.modality for row in rows], [list(row.ids) for row in rows]]
    path = Path(folder) / IDS_FILE
    with replacing(path) as temporary:
        pq.write_table(pa.table(columns, schema=_SCHEMA), temporary)
    return path


def read_token_ids(folder: str | Path) -> dict[tuple[str, str], tuple[int, ...]]:
    """Clip and modality -> ids.

    Raises:
        MediaError: there are none, or the file is damaged.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_token_ids([TokenIds("38_s_5_sad", "text", (0, 713, 2))], folder)
        ...     read_token_ids(folder)
        {('38_s_5_sad', 'text'): (0, 713, 2)}
    """
    path = Path(folder) / IDS_FILE
    if not path.is_file():
        raise MediaError("no such file", path=path)
    try:
        table = pq.read_table(path).select(_SCHEMA.names).cast(_SCHEMA)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise MediaError(f"damaged ({error})", path=path) from error
    return {(row["clip"], row["modality"]): tuple(row["ids"]) for row in table.to_pylist()}
