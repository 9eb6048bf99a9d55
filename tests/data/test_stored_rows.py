"""Features that stay on disk: the same rows, batches, statistics and trained weights, without the memory."""

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stored_corpus import CLIPS, manifest, tables, write_store

from merkit.config import override
from merkit.corpora.manifest import Manifest
from merkit.corpora.table import clip_table, stored_column
from merkit.data.batch import Batch, collate
from merkit.data.columns import TokenColumn
from merkit.data.draws import Draw
from merkit.data.leakage import check_leakage
from merkit.data.loader import TableBatches, batch_loader
from merkit.data.moments import Moments, moments_of
from merkit.data.outline import outline
from merkit.data.sampler import EpochBatches
from merkit.data.standardiser import check_standardiser
from merkit.data.stored import StoredRows, blocks_of, fits_in_memory
from merkit.data.token_sampling import Sampling, TokenSampling
from merkit.errors import StoreError
from merkit.features.shard import ClipRecord, Row
from merkit.features.store import FeatureStore
from merkit.schema import Clip
from merkit.systems.fusion import FusionConfig, plan
from merkit.training.fit import fit

SAMPLING = Sampling({"face": TokenSampling(2, 4, random=True)}, shuffle_entities=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stores")
    for dtype in ("float16", "float32"):
        write_store(folder / dtype, dtype)
    assert len(list((folder / "float16" / "shards").iterdir())) > 5
    return folder


def same(a: Batch, b: Batch) -> bool:
    return all(
        torch.equal(a.tokens[k].x, b.tokens[k].x)
        and torch.equal(a.tokens[k].mask, b.tokens[k].mask)
        and torch.equal(a.tokens[k].times, b.tokens[k].times)
        for k in a.tokens
    )


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_rows_are_those_of_the_store(folder: Path, dtype: str) -> None:
    store = FeatureStore.open(folder / dtype)
    for modality in ("face", "scene"):
        numbers = np.random.default_rng(3).permutation(store.rows(modality))
        plain = np.concatenate([store.x(int(i)) for i in numbers]).astype(np.float32)
        rows = StoredRows.of(store, numbers)
        assert rows.shape == plain.shape and rows.dtype == plain.dtype and rows.nbytes == plain.nbytes
        np.testing.assert_array_equal(rows[:], plain)
        np.testing.assert_array_equal(np.asarray(rows), plain)
        np.testing.assert_array_equal(np.concatenate(list(blocks_of(rows, 40))), plain)
        some = np.random.default_rng(4).integers(-len(plain), len(plain), 50)
        np.testing.assert_array_equal(rows[some], plain[some])
        np.testing.assert_array_equal(rows[5:40:3], plain[5:40:3])
        np.testing.assert_array_equal(rows[plain[:, 0] > 0.5], plain[plain[:, 0] > 0.5])
        assert np.array_equal(rows[-2], plain[-2]) and np.array_equal(rows[3:9, 1], plain[3:9, 1])
        assert rows[np.zeros(0, int)].shape == (0, plain.shape[1]) and len(rows.at(np.zeros(0, int))[:]) == 0
        for bad in (len(plain), -len(plain) - 1):
            with pytest.raises(IndexError):
                rows[np.array([0, bad])]


@settings(max_examples=60)
@given(st.data())
def test_what_is_taken_of_what_is_taken_is_what_numpy_takes(folder: Path, data: st.DataObject) -> None:
    store = FeatureStore.open(folder / "float16")
    rows = StoredRows.of(store, store.rows("face")[::3])
    plain = rows[:]
    for _ in range(data.draw(st.integers(1, 3))):
        if data.draw(st.booleans()):
            chosen = np.array(data.draw(st.lists(st.integers(0, len(plain) - 1), max_size=12)), np.int64)
            rows = rows.at(chosen)
        else:
            first = np.array(data.draw(st.lists(st.integers(0, len(plain)), max_size=6)), np.int64)
            count = np.array([data.draw(st.integers(0, len(plain) - int(f))) for f in first], np.int64)
            chosen = np.concatenate([np.arange(f, f + c) for f, c in zip(first, count, strict=True)] or [first])
            rows = rows.ranges(first, count)
        plain = plain[chosen]
        np.testing.assert_array_equal(rows[:], plain)
        if not len(plain):
            break
        np.testing.assert_array_equal(rows[np.arange(len(plain))[::-1]], plain[::-1])


def test_tables_and_batches_are_the_same_and_nothing_is_read_before_its_time(folder: Path) -> None:
    held, stored = tables(folder)
    assert isinstance(held.streams["face"].x, np.ndarray) and isinstance(stored.streams["face"].x, StoredRows)
    stored = stored.where("train").take(np.arange(15)[::-1])
    assert isinstance(stored.streams["face"].x, StoredRows) and not stored.streams["face"].x._files.mapped
    held = held.where("train").take(np.arange(15)[::-1])
    for rows in ([0], [3, 3, 9], list(range(15))):
        for sampling, draw in ((None, None), (SAMPLING, None), (SAMPLING, Draw(0, 2))):
            options = {"modalities": ("face", "scene"), "sampling": sampling, "draw": draw}
            assert same(collate(held, np.array(rows), **options), collate(stored, np.array(rows), **options))
    assert stored.streams["face"].x._files.mapped


def test_statistics_and_checks_find_the_same(folder: Path) -> None:
    held, stored = tables(folder)
    for name in ("face", "scene"):
        a, b = moments_of(held.streams[name].x), moments_of(stored.streams[name].x)
        assert a.count == b.count and np.array_equal(a.mean, b.mean) and np.array_equal(a.variance, b.variance)
        x = held.where("train").streams[name].x
        centre, scale = x.mean(0), x.std(0)
        assert not check_standardiser(centre, scale, stored, name).findings
        whole = held.streams[name].x
        (found,) = check_standardiser(whole.mean(0), whole.std(0), stored, name).findings
        assert found.splits == ("train", "valid")
    assert check_leakage(held).findings == check_leakage(stored).findings == ()


def test_statistics_are_read_once_a_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("merkit.data.moments._known", {})
    stored, again = tables(folder)[1], tables(folder)[1]
    face = stored.where("train").streams["face"]
    once = moments_of(face.x)
    monkeypatch.setattr(StoredRows, "_read", None)
    assert moments_of(again.where("train").streams["face"].x) is once  # another object, the same rows
    for other in (
        stored.streams["face"],
        stored.where("valid").streams["face"],
        stored.where("train").streams["scene"],
    ):
        assert other.x.key() != face.x.key()


def test_statistics_in_blocks_are_those_of_the_whole() -> None:
    x = np.random.default_rng(0).normal(3, 2, (1000, 7)).astype(np.float32)
    x[:, 3] = 1e4 + 1e-2 * x[:, 3]  # a mean far from zero: what sums of squares would lose
    found = Moments.together([moments_of(block) for block in blocks_of(x, 500)])
    np.testing.assert_allclose(found.mean, x.mean(0, dtype=np.float64), rtol=1e-13)
    np.testing.assert_allclose(found.variance, x.var(0, dtype=np.float64), rtol=1e-9)
    whole = moments_of(x)  # in one block: numpy's own, to the bit
    assert np.array_equal(whole.mean, x.mean(0, dtype=np.float64))
    assert np.array_equal(whole.variance, x.var(0, dtype=np.float64))


def test_copies_are_found_on_disk_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    store = FeatureStore.create(tmp_path, dtype="float16")
    n = 400
    times, tokens = np.arange(n) * 1.0, [rng.normal(size=(n, 9)) for _ in range(30)]
    tokens[29] = tokens[3]
    for i, x in enumerate(tokens):
        store.add(ClipRecord(f"c{i:02}", "k", "", {}, (Row("scene", None, "s@0", x, times, times, np.zeros(n, int)),)))
    store.finalise()
    clips = tuple(Clip(f"c{i:02}", (), split="train" if i < 20 else "valid") for i in range(30))
    table = clip_table(Manifest("m", clips, (), tmp_path), store, in_memory=False)
    small = outline(table.streams["scene"], 30, numbers=30 * 9 * 7)
    assert small.lengths.tolist() == [7] * 30 and isinstance(small.x, np.ndarray)
    spaced = [28, 85, 142, 200, 257, 314, 371]
    np.testing.assert_array_equal(small.x[:7], store.read("c00", "scene").x[spaced].astype(np.float32))
    (finding,) = check_leakage(table).findings
    assert (finding.kind, finding.examples) == ("duplicate_features", ("c03", "c29"))


def test_the_fingerprint_is_the_same_in_memory_and_on_disk(folder: Path) -> None:
    held, stored = tables(folder)
    known = held.fingerprint()
    assert stored.fingerprint() == known and not stored.streams["face"].x._files.mapped  # and nothing was read for it
    part = np.arange(5)
    assert held.take(part).fingerprint() == stored.take(part).fingerprint() != known
    # other tokens are another table, whether the store says so or the numbers do
    other = tables(folder, "float32")[1]
    assert other.fingerprint() != known
    column = held.streams["face"]
    changed = column.x.copy()
    changed[3, 1] += 1
    for x in (changed, column.x.copy()):
        twisted = replace(held, streams={**held.streams, "face": replace(column, x=x)})
        assert twisted.fingerprint() != known
    read = {name: replace(c, x=c.x[:], origin=None) for name, c in held.streams.items()}
    unread = {name: replace(c, origin=None) for name, c in stored.streams.items()}
    assert replace(held, streams=read).fingerprint() == replace(stored, streams=unread).fingerprint()


def test_a_pickled_table_holds_places_and_opens_the_store_itself(folder: Path) -> None:
    held, stored = tables(folder)
    collate(stored, np.arange(4), modalities=("face",))  # shards are open now
    text = pickle.dumps(stored.streams["face"].x)
    again = pickle.loads(text)
    assert not again._files.mapped and again.path == folder / "float16"
    np.testing.assert_array_equal(again[:], held.streams["face"].x)
    batches = []
    for table, workers in ((held, 0), (stored, 1)):
        dataset = TableBatches(table, ("face", "scene"), sampling=SAMPLING, seed=3)
        batches.append(list(batch_loader(dataset, EpochBatches(CLIPS, 5, seed=0), workers=workers)))
    assert all(same(a, b) for a, b in zip(*batches, strict=True))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_training_gives_the_same_weights_to_the_bit(folder: Path, tmp_path: Path, dtype: str) -> None:
    options = ("trainer.max_epochs=2", "trainer.batch_size=5", "trainer.accelerator=cpu", "model.width=6")
    config, weights = override(FusionConfig(), list(options)), []
    for name, table in zip(("held", "stored"), tables(folder, dtype), strict=True):
        torch.manual_seed(0)
        made = replace(plan(config, table), sampling=SAMPLING)
        weights.append(fit(made, tmp_path / name).model.state_dict())
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert weights[0]["projections.face.centre"].abs().min() > 0


def test_what_fits_is_read_and_what_does_not_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(clip_table(manifest(folder), FeatureStore.open(folder / "float16")).streams["face"].x, np.ndarray)
    assert not fits_in_memory(1 << 60)
    monkeypatch.setattr("merkit.data.stored._of_machine", lambda: 4 * 3000)
    monkeypatch.setattr("merkit.data.stored._of_group", lambda: None)
    table = clip_table(manifest(folder), FeatureStore.open(folder / "float16"))
    kept = {name: (column.x.nbytes, isinstance(column.x, np.ndarray)) for name, column in table.streams.items()}
    assert all(held == (nbytes <= 3000) for nbytes, held in kept.values()) and len(set(kept.values())) == 2
    monkeypatch.setattr("merkit.data.stored._of_machine", lambda: None)
    assert fits_in_memory(1 << 60)  # nobody can say


def test_a_shard_that_is_gone_or_cut_is_named(folder: Path, tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", shard_bytes=1 << 20)
    rows = StoredRows.of(store, store.rows("face"))
    (shard,) = (tmp_path / "store" / "shards").iterdir()
    longer = StoredRows(rows.path, rows.shards, rows._shard, rows._element + 10_000, rows._offsets, 5)
    with pytest.raises(StoreError, match=shard.name):
        longer[:1]
    shard.unlink()
    with pytest.raises(StoreError, match=shard.name):
        rows[:1]
    with pytest.raises(StoreError, match=r"face tokens are not there"):
        stored_column(store, "face", [], per_entity=True)


def test_files_are_let_go_when_there_are_many(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("merkit.data.shard_files._OPEN", 2)
    before = len(list(Path("/proc/self/fd").iterdir()))
    held, stored = tables(folder)
    x = stored.streams["face"].x
    for _ in range(3):
        np.testing.assert_array_equal(x[:], held.streams["face"].x)
    assert len(x._files.mapped) == 2 < len(x.shards) and len(list(Path("/proc/self/fd").iterdir())) <= before + 2


def test_a_store_in_the_making_can_be_read_as_well(tmp_path: Path) -> None:
    store = FeatureStore.create(tmp_path)
    x = np.arange(6.0).reshape(3, 2)
    times = np.arange(3.0)
    store.add(ClipRecord("c", "k", "", {}, (Row("scene", None, "s@0", x, times, times, np.zeros(3, int)),)))
    column = stored_column(store, "scene", [(0, 0, 0)], per_entity=False, in_memory=False)
    np.testing.assert_array_equal(column.x[:], x)
    assert moments_of(column.x).mean.tolist() == [2, 3] and column.x.key() is None
    assert isinstance(column, TokenColumn) and column.start_s.tolist() == [0, 1, 2]


ELSEWHERE = """
import resource, sys
from pathlib import Path
import numpy as np
from stored_corpus import tables
from merkit.corpora.manifest import Manifest
from merkit.corpora.table import clip_table
from merkit.data.leakage import check_leakage
from merkit.data.loader import TableBatches, batch_loader
from merkit.data.moments import moments_of
from merkit.data.sampler import EpochBatches
from merkit.data.token_sampling import Sampling, TokenSampling
from merkit.features.store import FeatureStore
from merkit.schema import Clip

print(tables(Path(sys.argv[1]))[1].fingerprint())
store = FeatureStore.open(sys.argv[2])
clips = tuple(Clip(c, (), split="train" if i % 4 else "valid") for i, c in enumerate(store.clips))
films = Manifest("films", clips, (), Path())
check_leakage(tables(Path(sys.argv[1]))[1])  # loads what it needs
now = int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmData"))) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (now + 150 * 2**20,) * 2)
table = clip_table(films, store, in_memory=False)
check_leakage(table)
train = table.where("train")
moments_of(train.streams["scene"].x)
dataset = TableBatches(train, ("scene",), sampling=Sampling({"scene": TokenSampling(8, 50, random=True)}), seed=0)
read = sum(int(batch.tokens["scene"].mask.sum()) for batch in batch_loader(dataset, EpochBatches(len(train), 4)))
print(read, table.fingerprint() and table.streams["scene"].x.nbytes >> 20)
try:
    clip_table(films, store, in_memory=True)
except MemoryError:
    print("refused")
"""


def test_another_process_agrees_and_needs_a_fraction_of_the_memory(folder: Path, tmp_path: Path) -> None:
    """The kernel refuses private memory beyond a limit that the features alone, as float32, would break."""
    store = FeatureStore.create(tmp_path / "store", dtype="float16")
    block = np.random.default_rng(0).normal(size=(500, 1024)).astype(np.float16)
    times = np.arange(500.0)
    for i in range(100):
        row = Row("scene", None, "s@0", np.roll(block, 7 * i + 1, 1), times, times, np.zeros(500, int))
        store.add(ClipRecord(f"c{i:03}", "k", "", {}, (row,)))
    store.finalise()
    argv = [sys.executable, "-c", ELSEWHERE, str(folder), str(tmp_path / "store")]
    env = {**os.environ, "PYTHONPATH": "tests", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(argv, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == [tables(folder)[0].fingerprint(), str(75 * 50), "195", "refused"]
