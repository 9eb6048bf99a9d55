"""Who said what and when, as a table beside a manifest: the words that text encoders read."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from merkit.atomic import replacing
from merkit.errors import MediaError

__all__ = ["UTTERANCES_FILE", "Said", "read_utterances", "write_utterances"]

UTTERANCES_FILE = "utterances.parquet"
_SCHEMA = pa.schema(
    [
        pa.field("clip", pa.string(), nullable=False),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("entity", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Said:
    """One utterance.

    Args:
        clip: id of the clip or scene.
        start_s: seconds on the clip's clock.
        end_s: seconds.
        text: the words.
        entity: who spoke, as the clip's targets and tokens name them; None where that is not known.
    """

    clip: str
    start_s: float
    end_s: float
    text: str
    entity: str | None = None


def write_utterances(said: Iterable[Said], folder: str | Path) -> Path:
    """Writes `utterances.parquet` into the folder, by rename, in order of clip and time."""
    rows = sorted(said, key=lambda each: (each.clip, each.start_s, each.end_s))
    columns = [[getattr(row, name) for row in rows] for name in _SCHEMA.names]
    path = Path(folder) / UTTERANCES_FILE
    with replacing(path) as temporary:
        pq.write_table(pa.table(columns, schema=_SCHEMA), temporary)
    return path


def read_utterances(folder: str | Path) -> list[Said]:
    """The utterances beside a manifest, in order of clip and time.

    Raises:
        MediaError: there are none, or the file is damaged.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_utterances([Said("a", 2.0, 3.0, "No."), Said("a", 0.0, 1.0, "Yes?", "person_1")], folder)
        ...     [said.text for said in read_utterances(folder)]
        ['Yes?', 'No.']
    """
    path = Path(folder) / UTTERANCES_FILE
    if not path.is_file():
        raise MediaError("no such file", path=path)
    try:
        table = pq.read_table(path).select(_SCHEMA.names).cast(_SCHEMA)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise MediaError(f"damaged ({error})", path=path) from error
    return [Said(**row) for row in table.to_pylist()]
