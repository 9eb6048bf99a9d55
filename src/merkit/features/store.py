"""The feature store: tokens of many clips in memory-mapped shards under one Parquet index.

    store.json              format, number type, shard size
    parts/<hash>.safetensors    one finished clip each, until `finalise`
    shards/<hash>.safetensors   many clips each, in the order of their ids, named by what they hold
    index.parquet           one row per clip, modality and entity

Every file appears by rename, so a writer may be killed at any moment: a clip is there as a whole or not at all.
`finalise` orders clips by id and packs them greedily, so shards and index are the same bytes whoever extracted which
clip when. It writes new shards beside the old, then swaps the index, then deletes what nothing names any more.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from merkit.errors import StoreError
from merkit.features.index import index_of, read_index
from merkit.features.packing import packs, write_pack
from merkit.features.shard import ClipRecord, Row, Shard, write_shard
from merkit.schema import Modality, TokenSequence

__all__ = ["FeatureStore", "StoreType"]

_FORMAT = 1
StoreType = Literal["float32", "float16", "uint8"]


class FeatureStore:
    """Tokens by clip, modality and entity.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> store = FeatureStore.create(folder.name)
        >>> row = Row("text", None, "minilm@0", np.ones((2, 3), np.float32), np.arange(2.0), np.arange(2.0) + 1,
        ...           np.zeros(2, np.int32))
        >>> store.add(ClipRecord("talk", "key", "hash", {}, (row,)))
        >>> store.finalise()
        >>> FeatureStore.open(folder.name).read("talk", "text").end_s
        array([1., 2.])
        >>> folder.cleanup()
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.dtype = np.dtype(settings["dtype"])
        self.shard_bytes = int(settings["shard_bytes"])
        self._shards: dict[str, Shard] = {}

    @classmethod
    def create(cls, path: str | Path, *, dtype: StoreType = "float32", shard_bytes: int = 256 << 20) -> "FeatureStore":
        """Opens the store at `path`, making it first where there is none.

        Args:
            path: a folder.
            dtype: how tokens are kept. `float32` gives back exactly what was extracted; `float16` takes half the room;
                `uint8` is for pixels: whole numbers from 0 to 255, which stay so wherever they are read.
            shard_bytes: about how large a shard may grow; a larger clip has one to itself.

        Raises:
            StoreError: there is a store already, of another number type or shard size.
        """
        path = Path(path)
        settings = {"format": _FORMAT, "dtype": dtype, "shard_bytes": shard_bytes}
        if dtype not in get_args(StoreType) or shard_bytes < 1:
            known = ", ".join(get_args(StoreType))
            raise ValueError(f"dtype is one of {known}, shard_bytes at least 1; got {dtype!r}, {shard_bytes}")
        for folder in (path / "parts", path / "shards"):
            folder.mkdir(parents=True, exist_ok=True)
        if not (path / "store.json").exists():
            temporary = path / f".store.json.{os.getpid()}.tmp"
            temporary.write_text(json.dumps(settings, indent=1) + "\n")
            temporary.replace(path / "store.json")
        store = cls.open(path)
        if (store.dtype, store.shard_bytes) != (np.dtype(dtype), shard_bytes):
            raise StoreError(
                f"{path}: made with dtype {store.dtype} and {store.shard_bytes} bytes a shard; asked: {settings}"
            )
        return store

    @classmethod
    def open(cls, path: str | Path) -> "FeatureStore":
        """Opens an existing store.

        Raises:
            StoreError: there is none, or it is of another format.
        """
        path = Path(path)
        try:
            settings = json.loads((path / "store.json").read_text())
            if settings["format"] != _FORMAT:
                raise StoreError(f"{path}: a store of format {settings['format']}; this merkit reads {_FORMAT}")
            return cls(path, settings)
        except FileNotFoundError:
            raise StoreError(f"{path}: no feature store") from None
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{path / 'store.json'}: cannot be read ({error})") from error

    # -- writing

    def add(self, record: ClipRecord) -> None:
        """Keeps one clip, in place of what the store held under its id. Safe from any number of processes.

        Raises:
            ValueError: tokens or times are not finite, or do not fit in the store's number type.
        """
        rows = []
        for row in record.rows:
            x = self._kept(row.x)
            if not (np.isfinite(x).all() and np.isfinite(row.start_s).all() and np.isfinite(row.end_s).all()):
                raise ValueError(f"{row.extractor_id} gave values that are not finite as {self.dtype}")
            times = (np.ascontiguousarray(row.start_s, np.float64), np.ascontiguousarray(row.end_s, np.float64))
            segment = np.ascontiguousarray(row.segment, np.int32)
            rows.append(Row(row.modality, row.entity, row.extractor_id, x, *times, segment))
        rows.sort(key=lambda row: (row.modality, row.entity or ""))
        record = ClipRecord(record.clip, record.key, record.input_sha256, record.about, tuple(rows))
        with self._locked(fcntl.LOCK_SH):
            write_shard(self.path / "parts" / self._part(record.clip), [record.describe()], rows, self.dtype)
        self.refresh()

    def finalise(self) -> None:
        """Moves finished clips into shards and writes the index.

        Raises:
            StoreError: a shard or a part is damaged; the message names the file and the clip.
        """
        with self._locked(fcntl.LOCK_EX):
            self.refresh()
            found: dict[str, tuple[Shard, int]] = {}
            for name in self._finalised_shards():
                shard = self._shard(name, "any clip of it")
                found |= {entry["clip"]: (shard, i) for i, entry in enumerate(shard.entries)}
            for part in self._parts():
                found[part.entries[0]["clip"]] = (part, 0)
            clips = sorted(found, key=str.encode)
            folder = self.path / "shards"
            names = [
                write_pack(folder, [found[clip] for clip in pack], self.dtype)
                for pack in packs(clips, found, self.dtype, self.shard_bytes)
            ]
            table = index_of([Shard(folder / name) for name in names])
            temporary = self.path / f".index.parquet.{os.getpid()}.tmp"
            pq.write_table(table, temporary)
            temporary.replace(self.path / "index.parquet")
            keep = set(names)
            for file in folder.iterdir():
                if file.name not in keep:
                    file.unlink()
            for file in (self.path / "parts").glob("*.safetensors"):
                file.unlink()
            for file in [*(self.path / "parts").glob(".*.tmp"), *self.path.glob(".*.tmp")]:
                file.unlink()
        self.refresh()

    # -- reading

    def refresh(self) -> None:
        """Forgets what is known of the files, so that what other processes wrote is seen."""
        self._shards = {}
        for name in ("index", "_at", "_columns", "_keys", "_shard_of"):
            self.__dict__.pop(name, None)

    @cached_property
    def index(self) -> pa.Table:
        """One row per clip, modality and entity (`INDEX_SCHEMA`), ordered by them; finished parts included."""
        parts = self._parts()
        table = read_index(self.path)
        if not parts:
            return table
        kept = table.filter(~pc.field("clip").isin([part.entries[0]["clip"] for part in parts]))
        table = pa.concat_tables([kept, index_of(parts)])
        return table.sort_by([("clip", "ascending"), ("modality", "ascending"), ("entity", "ascending")])

    @property
    def clips(self) -> list[str]:
        """Ids of all clips, sorted."""
        return sorted(self._keys, key=str.encode)

    def key_of(self, clip: str) -> str | None:
        """The key under which a clip was kept; None where the store does not have it."""
        return self._keys.get(clip)

    def rows(self, modality: Modality | None = None, extractor_id: str | None = None) -> np.ndarray:
        """Row numbers of the index, `(n,)` int64, for `x`: one vectorised look-up for a whole epoch."""
        keep = pc.field("modality").is_valid()
        if modality is not None:
            keep = keep & (pc.field("modality") == modality)
        if extractor_id is not None:
            keep = keep & (pc.field("extractor_id") == extractor_id)
        numbered = self.index.append_column("row", pa.array(np.arange(len(self.index))))
        return numbered.filter(keep)["row"].to_numpy()

    def x(self, row: int) -> np.ndarray:
        """`(T, D)` tokens of one row of the index: a read-only view of the file, nothing is copied.

        Raises:
            StoreError: the shard is missing or damaged.
        """
        shard, clip, offset, _, length, width = self._columns[row]
        flat = (self._shards.get(shard) or self._shard(shard, clip)).arrays["x"]
        try:
            return flat[offset : offset + length * width].reshape(length, width)
        except ValueError:
            raise StoreError(f"{self.path / shard}: does not hold what the index says of clip {clip}") from None

    def tokens(self, row: int) -> TokenSequence:
        """Tokens and times of one row of the index, as views of the file; `x` is in the store's number type."""
        shard, clip, _, first, length, _ = self._columns[row]
        x = self.x(row)
        arrays = self._shard(shard, clip).arrays
        return TokenSequence(x, arrays["start_s"][first : first + length], arrays["end_s"][first : first + length])

    def segment_of(self, row: int) -> np.ndarray:
        """`(T,)` int32: the segment of the clip that each token belongs to, -1 for none."""
        shard, clip, _, first, length, _ = self._columns[row]
        return self._shard(shard, clip).arrays["segment"][first : first + length]

    def row(self, clip: str, modality: Modality, entity: str | None = None) -> int | None:
        """Number of a row of the index; None where the clip has no such tokens."""
        return self._at.get((clip, modality, entity))

    def read(
        self, clip: str, modality: Modality, entity: str | None = None, *, extractor_id: str | None = None
    ) -> TokenSequence | None:
        """Tokens of one clip, as views of the file; None where the modality is absent from it.

        Args:
            clip: its id.
            modality: which.
            entity: a person, or None for the clip as a whole.
            extractor_id: what the tokens must have been made by.

        Raises:
            StoreError: the clip is not in the store, the tokens were made by another extractor, or a shard is damaged.
        """
        row = self.row(clip, modality, entity)
        if row is None:
            if clip not in self._keys:
                raise StoreError(f"{self.path}: has no clip {clip}")
            return None
        made_by = self.index["extractor_id"][row].as_py()
        if extractor_id is not None and made_by != extractor_id:
            raise StoreError(f"{self.path}: {modality} of clip {clip} was made by {made_by}, not by {extractor_id}")
        return self.tokens(row)

    def about(self, clip: str) -> dict[str, Any]:
        """Presence, segments, persons, shots and duration of a clip.

        Raises:
            StoreError: the clip is not in the store, or its shard is damaged.
        """
        if clip not in self._keys:
            raise StoreError(f"{self.path}: has no clip {clip}")
        shard = self._shard(self._shard_of[clip], clip)
        return next(entry["about"] for entry in shard.entries if entry["clip"] == clip)

    def verify(self) -> None:
        """Reads every byte and compares it with its hash.

        Raises:
            StoreError: naming the file and the clip of everything that is damaged.
        """
        damage = []
        for name in dict.fromkeys(self.index["shard"].to_pylist()):
            try:
                shard = self._shard(name, self._first_clip(name))
            except StoreError as error:
                damage.append(str(error))
                continue
            damage += [
                f"{shard.path}: damaged: {modality} tokens of clip {clip}" for clip, modality, _ in shard.damaged()
            ]
        if damage:
            raise StoreError("; ".join(damage))

    # -- inside

    def _kept(self, x: np.ndarray) -> np.ndarray:
        """`x` in the store's number type, which for pixels must lose nothing: a rounded or wrapped byte is another picture."""
        with np.errstate(over="ignore", invalid="ignore"):
            kept = np.ascontiguousarray(x, self.dtype)
        if self.dtype == np.uint8 and x.dtype != np.uint8 and not np.array_equal(kept, x):
            raise ValueError("a store of uint8 holds whole numbers from 0 to 255")
        return kept

    @cached_property
    def _columns(self) -> list[tuple[str, str, int, int, int, int]]:
        names = ("shard", "clip", "offset", "first_token", "length", "width")
        return list(zip(*(self.index[name].to_pylist() for name in names), strict=True))

    @cached_property
    def _at(self) -> dict[tuple[str, str, str | None], int]:
        columns = (self.index[name].to_pylist() for name in ("clip", "modality", "entity"))
        return {key: i for i, key in enumerate(zip(*columns, strict=True)) if key[1] is not None}

    @cached_property
    def _shard_of(self) -> dict[str, str]:
        return dict(zip(self.index["clip"].to_pylist(), self.index["shard"].to_pylist(), strict=True))

    @cached_property
    def _keys(self) -> dict[str, str]:
        return dict(zip(self.index["clip"].to_pylist(), self.index["key"].to_pylist(), strict=True))

    def _finalised_shards(self) -> list[str]:
        return read_index(self.path)["shard"].unique().to_pylist()

    def _parts(self) -> list[Shard]:
        return [
            self._shard(f"parts/{file.name}", "one clip")
            for file in sorted((self.path / "parts").glob("*.safetensors"))
        ]

    def _shard(self, name: str, clip: str) -> Shard:
        shard = self._shards.get(name)
        if shard is None:
            try:
                shard = self._shards[name] = Shard(self.path / name, mapped=not name.startswith("parts/"))
            except StoreError as error:
                raise StoreError(f"{error} (wanted for {clip})") from error
        return shard

    def _first_clip(self, name: str) -> str:
        return self.index["clip"][pc.index(self.index["shard"], name).as_py()].as_py()

    @staticmethod
    def _part(clip: str) -> str:
        return f"{hashlib.sha256(clip.encode()).hexdigest()[:32]}.safetensors"

    @contextmanager
    def _locked(self, how: int) -> Generator[None]:
        """Writers share the store, `finalise` has it alone; the kernel lets go when a process dies."""
        with (self.path / "parts" / ".lock").open("a") as file:
            fcntl.flock(file, how)
            yield
