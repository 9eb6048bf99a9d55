"""Pixels stay bytes: in the store, in memory or on disk, and in a batch."""

import numpy as np
import pytest
import torch

from merkit.corpora.manifest import Manifest
from merkit.corpora.table import clip_table
from merkit.data.batch import collate
from merkit.data.columns import TokenColumn
from merkit.errors import StoreError
from merkit.features.shard import ClipRecord, Row
from merkit.features.store import FeatureStore
from merkit.schema import Clip


def row(x: np.ndarray) -> Row:
    times = np.arange(len(x)) / 10
    return Row("face", None, "pictures@0", x, times, times + 0.1, np.full(len(x), -1, np.int32))


def filled(folder, arrays) -> FeatureStore:
    store = FeatureStore.create(folder, dtype="uint8")
    for name, x in arrays.items():
        store.add(ClipRecord(name, "key", "hash", {}, (row(x),)))
    store.finalise()
    return FeatureStore.open(folder)


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        name: rng.integers(0, 256, (length, 12)).astype(np.uint8) for name, length in (("a", 3), ("b", 1), ("c", 5))
    }


def test_a_store_gives_back_the_bytes(tmp_path, arrays):
    store = filled(tmp_path, arrays)
    for name, x in arrays.items():
        kept = store.read(name, "face").x
        assert kept.dtype == np.uint8
        np.testing.assert_array_equal(kept, x)
    assert set(store.index["dtype"].to_pylist()) == {"uint8"}
    size = sum(file.stat().st_size for file in (tmp_path / "shards").iterdir())
    assert size < 9 * (12 + 20) + 2500, "one byte a number"
    store.verify()
    from safetensors import safe_open

    with safe_open(next((tmp_path / "shards").iterdir()), "np") as other:
        assert other.get_tensor("x").dtype == np.uint8


def test_nothing_is_rounded_or_wrapped_into_a_byte(tmp_path):
    store = FeatureStore.create(tmp_path, dtype="uint8")
    store.add(ClipRecord("whole", "key", "hash", {}, (row(np.array([[0.0, 7.0, 255.0]])),)))
    assert store.read("whole", "face").x.tolist() == [[0, 7, 255]]
    for bad in ([[0.5]], [[256.0]], [[-1.0]], [[np.nan]]):
        with pytest.raises(ValueError, match="0 to 255"):
            store.add(ClipRecord("bad", "key", "hash", {}, (row(np.array(bad)),)))
    with pytest.raises(StoreError, match="made with dtype uint8"):
        FeatureStore.create(tmp_path, dtype="float32")
    with pytest.raises(ValueError, match="uint8"):
        FeatureStore.create(tmp_path / "other", dtype="int8")


@pytest.mark.parametrize("in_memory", [True, False])
def test_batches_hold_bytes(tmp_path, arrays, in_memory):
    store = filled(tmp_path, arrays)
    clips = tuple(Clip(name, (), "train") for name in ("a", "b", "nothing", "c"))
    table = clip_table(Manifest("m", clips, (), tmp_path), store, in_memory=in_memory)
    column = table.streams["face"]
    assert column.x.dtype == np.uint8 and column.x[1:3].dtype == np.uint8 and column.x.nbytes == 9 * 12
    batch = collate(table, np.array([3, 2, 0]), modalities=("face",))
    tokens = batch.tokens["face"]
    assert tokens.x.dtype == torch.uint8 and tokens.x.shape == (3, 1, 5, 12)
    np.testing.assert_array_equal(tokens.x[0, 0].numpy(), arrays["c"])
    np.testing.assert_array_equal(tokens.x[2, 0, :3].numpy(), arrays["a"])
    assert not tokens.x[1].any() and not tokens.mask[1].any()
    assert tokens.mask.sum().item() == 8
    # one picture a clip takes the way without padding
    single = collate(table.take(np.array([1])), np.array([0]), modalities=("face",)).tokens["face"]
    assert single.x.dtype == torch.uint8 and single.x[0, 0, 0].tolist() == arrays["b"][0].tolist()
    assert table.fingerprint() == clip_table(Manifest("m", clips, (), tmp_path), store).fingerprint()


def test_columns_in_memory_keep_their_kind():
    bytes_ = [np.full((2, 3), 200, np.uint8), None, np.full((1, 3), 9, np.uint8)]
    assert TokenColumn.of_sequences(bytes_).x.dtype == np.uint8
    assert TokenColumn.of_sequences([*bytes_, np.ones((1, 3))]).x.dtype == np.float32, "a mixture is numbers"
    assert TokenColumn.one_per_clip(np.ones((2, 3))).x.dtype == np.float32
    assert TokenColumn.one_per_clip(np.ones((2, 3), np.uint8)).x.dtype == np.uint8
