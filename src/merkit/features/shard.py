"""One file of tokens: flat arrays in the safetensors layout, written in one stream and read without a copy.

A shard holds four flat tensors, in this order so that each is aligned: `start_s` and `end_s` (float64), `segment`
(int32), one element a token, and `x` (float32, float16 or uint8), `T * D` elements a sequence. The header's metadata lists
what lies where, so a shard explains itself without the index. Any safetensors reader can open it.
"""

import hashlib
import json
import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from merkit.errors import StoreError

__all__ = ["ClipRecord", "Row", "Shard", "write_shard"]

_FORMAT = "merkit-features-1"
_TENSORS = ("start_s", "end_s", "segment", "x")
_TYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "I32": np.int32, "U8": np.uint8}
_CODES = {np.dtype(kind): code for code, kind in _TYPES.items()}
_MAX_HEADER_BYTES = 100_000_000  # safetensors' own limit


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """The tokens of one modality and entity of one clip.

    Args:
        modality: which.
        entity: a person within the clip, or None for the clip as a whole.
        extractor_id: what made the tokens.
        x: `(T, D)` float32, float16 or uint8.
        start_s: `(T,)` float64 seconds.
        end_s: `(T,)` float64 seconds.
        segment: `(T,)` int32, index into the clip's segments; -1 where a token belongs to none.
    """

    modality: str
    entity: str | None
    extractor_id: str
    x: np.ndarray
    start_s: np.ndarray
    end_s: np.ndarray
    segment: np.ndarray

    def sha256(self) -> str:
        """Over times, segments and tokens, as they lie in the shard."""
        digest = hashlib.sha256()
        for name in _TENSORS:
            digest.update(np.ascontiguousarray(getattr(self, name)).data)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class ClipRecord:
    """Everything that a store holds about one clip.

    Args:
        clip: the clip's id.
        key: what the tokens depend on: the input's bytes and the identity of all that read them.
        input_sha256: hash of the input alone.
        about: presence, segments, persons, shots: JSON types only.
        rows: in the order of modality and entity.
    """

    clip: str
    key: str
    input_sha256: str
    about: dict[str, Any]
    rows: tuple[Row, ...]

    def describe(self) -> dict[str, Any]:
        """The record without its arrays, as the shard's header keeps it."""
        rows = [
            {
                "modality": row.modality,
                "entity": row.entity,
                "extractor_id": row.extractor_id,
                "length": int(row.x.shape[0]),
                "width": int(row.x.shape[1]),
                "sha256": row.sha256(),
                "start_s": float(row.start_s.min()) if len(row.start_s) else 0.0,
                "end_s": float(row.end_s.max()) if len(row.end_s) else 0.0,
            }
            for row in self.rows
        ]
        return {
            "clip": self.clip,
            "key": self.key,
            "input_sha256": self.input_sha256,
            "about": self.about,
            "rows": rows,
        }


def write_shard(path: Path, entries: Sequence[dict[str, Any]], rows: Sequence[Row], dtype: np.dtype) -> None:
    """Writes a shard under a temporary name and renames it, so that `path` is either whole or not there.

    Args:
        path: where.
        entries: descriptions of the records, from `ClipRecord.describe`.
        rows: all rows of all records, in the same order.
        dtype: number type of `x`.

    Raises:
        StoreError: the disk is full, or may not be written to.
    """
    tokens = sum(len(row.x) for row in rows)
    counts = {"start_s": tokens, "end_s": tokens, "segment": tokens, "x": sum(row.x.size for row in rows)}
    types = {"start_s": np.dtype(np.float64), "end_s": np.dtype(np.float64), "segment": np.dtype(np.int32), "x": dtype}
    header: dict[str, Any] = {
        "__metadata__": {"format": _FORMAT, "records": json.dumps(list(entries), ensure_ascii=False, sort_keys=True)}
    }
    position = 0
    for name in _TENSORS:
        size = counts[name] * types[name].itemsize
        header[name] = {
            "dtype": _CODES[types[name]],
            "shape": [counts[name]],
            "data_offsets": [position, position + size],
        }
        position += size
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    # its suffix is not that of a shard: readers list shards by theirs, and a store sweeps up `.*.tmp` of runs that were killed
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(struct.pack("<Q", len(text)))
            file.write(text)
            for name in _TENSORS:
                for row in rows:
                    file.write(np.ascontiguousarray(getattr(row, name), types[name]).data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:  # a full disk is the store's trouble, not the clip's: it must end a run
        raise StoreError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        temporary.unlink(missing_ok=True)


class Shard:
    """A shard file. Its header is read at once, its arrays when they are first asked for.

    Args:
        path: the file.
        mapped: True gives read-only views of the file's pages, which stay mapped. False reads the file anew each time:
            for the small files of a store in the making, of which there are more than a process may map.

    Raises:
        StoreError: the file is missing, cut off, or not a shard.

    Example:
        >>> import tempfile
        >>> x, segment = np.eye(2, dtype=np.float32), np.zeros(2, np.int32)
        >>> row = Row("face", "person_1", "fake@0", x, np.zeros(2), np.ones(2), segment)
        >>> record = ClipRecord("talk", "key", "hash", {}, (row,))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_shard(Path(folder) / "a.safetensors", [record.describe()], record.rows, np.dtype(np.float32))
        ...     [views.x.tolist() for _, _, views in Shard(Path(folder) / "a.safetensors").rows()]
        [[[1.0, 0.0], [0.0, 1.0]]]
    """

    def __init__(self, path: Path, mapped: bool = True) -> None:
        self.path = path
        self._mapped = mapped
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                length = struct.unpack("<Q", file.read(8))[0] if size >= 8 else size
                if length > min(size - 8, _MAX_HEADER_BYTES):
                    raise StoreError(f"{path}: damaged: {size} bytes do not hold its header")
                text = file.read(length)
        except FileNotFoundError:
            raise StoreError(f"{path}: the shard is missing") from None
        except OSError as error:
            raise StoreError(f"{path}: cannot be read ({error})") from error
        try:
            header = json.loads(text)
            self.entries: list[dict[str, Any]] = json.loads(header["__metadata__"]["records"])
            known = header["__metadata__"]["format"] == _FORMAT
            self._places = {name: (_TYPES[header[name]["dtype"]], *header[name]["data_offsets"]) for name in _TENSORS}
            expected = 8 + length + max(end for _, _, end in self._places.values())
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{path}: damaged: its header cannot be read ({error})") from error
        if not known:
            raise StoreError(f"{path}: not a shard of format {_FORMAT}")
        if expected != size:
            raise StoreError(f"{path}: damaged: {size} bytes where its header says {expected}")
        self._data_at = 8 + length
        if not self._consistent():
            raise StoreError(f"{path}: damaged: its records and its arrays do not fit together")
        self.dtype = str(np.dtype(self._places["x"][0]))
        self._arrays: dict[str, np.ndarray] | None = None

    def _consistent(self) -> bool:
        """Whether the arrays follow one another without a gap and hold just what the records list."""
        try:
            shapes = [(row["length"], row["width"]) for entry in self.entries for row in entry["rows"]]
            tokens, elements = sum(t for t, _ in shapes), sum(t * d for t, d in shapes)
            end = 0
            for name, (kind, begin, next_end) in self._places.items():
                count = elements if name == "x" else tokens
                if begin != end or next_end - begin != count * np.dtype(kind).itemsize:
                    return False
                end = next_end
            return all(t >= 0 and d >= 0 for t, d in shapes)
        except (KeyError, TypeError):
            return False

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """`start_s`, `end_s`, `segment` and `x`, flat."""
        if self._arrays is not None:
            return self._arrays
        with self.path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if self._mapped else file.read()
        found = {
            name: np.frombuffer(data, kind, (end - begin) // np.dtype(kind).itemsize, self._data_at + begin)
            for name, (kind, begin, end) in self._places.items()
        }
        if self._mapped:
            self._arrays = found
        return found

    @property
    def place_of_x(self) -> tuple[np.dtype, int, int]:
        """Number type of `x`, its first byte in the file, and how many numbers it holds."""
        kind, begin, end = self._places["x"]
        return np.dtype(kind), self._data_at + begin, (end - begin) // np.dtype(kind).itemsize

    def places(self) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None, int, int]]:
        """(record, row, first token, first element of `x`) of every row; row is None for a record without rows."""
        token = element = 0
        for entry in self.entries:
            if not entry["rows"]:
                yield entry, None, token, element
            for row in entry["rows"]:
                yield entry, row, token, element
                token += row["length"]
                element += row["length"] * row["width"]

    def rows(self) -> Iterator[tuple[dict[str, Any], dict[str, Any], Row]]:
        """(record, description of the row, views of its arrays) of every row; an unmapped file is read once."""
        arrays = self.arrays
        for entry, row, token, element in self.places():
            if row is None:
                continue
            length, width = row["length"], row["width"]
            yield (
                entry,
                row,
                Row(
                    row["modality"],
                    row["entity"],
                    row["extractor_id"],
                    arrays["x"][element : element + length * width].reshape(length, width),
                    *(arrays[name][token : token + length] for name in _TENSORS[:3]),
                ),
            )

    def damaged(self) -> list[tuple[str, str, str | None]]:
        """(clip, modality, entity) of the rows whose bytes are not what was written."""
        return [
            (entry["clip"], row["modality"], row["entity"])
            for entry, row, views in self.rows()
            if views.sha256() != row["sha256"]
        ]
