"""A feature store of made scenes and faces, and the tables over it: imports little, for tests in other processes."""

from pathlib import Path

import numpy as np

from merkit.corpora.manifest import Manifest
from merkit.corpora.table import clip_table
from merkit.data.table import ClipTable
from merkit.features.shard import ClipRecord, Row
from merkit.features.store import FeatureStore
from merkit.schema import Clip, Target, TargetSpec

CLIPS = 24
EMOTION = TargetSpec("emotion", "single_label", ("joy", "anger"))


def write_store(folder: Path, dtype: str = "float16", shard_bytes: int = 2000) -> FeatureStore:
    """Scenes 3 wide and faces 5 wide lie side by side in many small shards."""
    rng = np.random.default_rng(0)
    store = FeatureStore.create(folder, dtype=dtype, shard_bytes=shard_bytes)
    for i in range(CLIPS):
        rows = []
        for name, entity, width in [("scene", None, 3), *(("face", f"P{k}", 5) for k in range(i % 4))]:
            n = int(rng.integers(1, 12))
            x = rng.normal(size=(n, width)).astype(dtype) + (i % 2)
            rows.append(Row(name, entity, f"{name}@0", x, np.arange(n) / 2, np.arange(n) / 2 + 1, np.zeros(n, int)))
        store.add(ClipRecord(f"c{i:02}", "k", f"h{i}", {}, tuple(rows)))
    store.finalise()
    return store


def manifest(folder: Path) -> Manifest:
    clips = tuple(
        Clip(f"c{i:02}", (), split="train" if i < 16 else "valid", targets=(Target(EMOTION, np.array(i % 2)),))
        for i in np.random.default_rng(1).permutation(CLIPS)
    )
    return Manifest("films", clips, (EMOTION,), folder)


def tables(folder: Path, dtype: str = "float16") -> tuple[ClipTable, ClipTable]:
    """In memory, and on disk."""
    store = FeatureStore.open(folder / dtype)
    return tuple(clip_table(manifest(folder), store, in_memory=held) for held in (True, False))
