"""Clips into shards, so that the same clips make the same files whatever order they were extracted in."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from merkit.errors import StoreError
from merkit.features.shard import Row, Shard, write_shard

__all__ = ["packs", "write_pack"]

# where a clip lies: a shard and the number of its record there
Source = tuple[Shard, int]
_BYTES_PER_TOKEN = 8 + 8 + 4  # start_s, end_s, segment


def packs(clips: Sequence[str], found: Mapping[str, Source], dtype: np.dtype, shard_bytes: int) -> Iterator[list[str]]:
    """Clips in the order given, as many together as a shard may hold.

    Packing is greedy from the front, so a clip that is inserted leaves all shards before it as they are.

    Example:
        >>> list(packs([], {}, np.dtype(np.float32), 1 << 20))
        []
    """
    pack: list[str] = []
    size = 0
    for clip in clips:
        shard, i = found[clip]
        rows = shard.entries[i]["rows"]
        more = sum(row["length"] * (row["width"] * dtype.itemsize + _BYTES_PER_TOKEN) for row in rows)
        if pack and size + more > shard_bytes:
            yield pack
            pack, size = [], 0
        pack.append(clip)
        size += more
    if pack:
        yield pack


def write_pack(folder: Path, sources: Sequence[Source], dtype: np.dtype) -> str:
    """Writes one shard and says its name, which follows from what it holds; one that is there already is kept.

    Raises:
        StoreError: tokens in a source are not what was written there; the message names the file and the clip.
    """
    entries = [shard.entries[i] for shard, i in sources]
    text = json.dumps([str(dtype), entries], sort_keys=True)
    name = f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.safetensors"
    if (folder / name).exists():
        return name
    wanted = {(id(shard), shard.entries[i]["clip"]) for shard, i in sources}
    rows: dict[str, list[Row]] = {entry["clip"]: [] for entry in entries}
    for shard in {id(shard): shard for shard, _ in sources}.values():
        for entry, row, views in shard.rows():
            if (id(shard), entry["clip"]) not in wanted:
                continue
            if views.sha256() != row["sha256"]:
                raise StoreError(f"{shard.path}: damaged: {row['modality']} tokens of clip {entry['clip']}")
            rows[entry["clip"]].append(views)
    write_shard(folder / name, entries, [row for entry in entries for row in rows[entry["clip"]]], dtype)
    return name
