"""The store: what goes in comes out, without a copy, whatever was killed, damaged or changed meanwhile."""

import contextlib
import hashlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors import safe_open

from merkit.errors import StoreError
from merkit.features.shard import ClipRecord, Row, Shard, write_shard
from merkit.features.store import FeatureStore


def record(clip: str, key: str = "k", *, tokens: int = 5, seed: int | None = None) -> ClipRecord:
    """A clip with two persons' faces and text, all of it a function of id and seed."""
    digest = hashlib.sha256(f"{clip} {seed}".encode()).digest()
    numbers = np.random.default_rng(int.from_bytes(digest[:8], "little"))
    rows = []
    for modality, entity, width in (("text", None, 3), ("face", "person_2", 4), ("face", "person_1", 4)):
        n = tokens + int(numbers.integers(3))
        start_s = np.sort(numbers.random(n))
        x = numbers.standard_normal((n, width)).astype(np.float32)
        rows.append(Row(modality, entity, f"{modality}@1", x, start_s, start_s + 0.5, np.arange(n, dtype=np.int32)))
    return ClipRecord(clip, key, f"input of {clip}", {"duration_s": 2.5, "shots_s": [0.5]}, tuple(rows))


def files(path: Path) -> dict[str, bytes]:
    return {
        str(f.relative_to(path)): f.read_bytes() for f in sorted(path.rglob("*")) if f.is_file() and f.stat().st_size
    }


@pytest.mark.parametrize("finalised", [False, True])
def test_what_goes_in_comes_out_bit_for_bit(tmp_path, finalised):
    store = FeatureStore.create(tmp_path)
    for name in ("b", "a"):
        store.add(record(name))
    if finalised:
        store.finalise()
    store = FeatureStore.open(tmp_path)
    assert store.clips == ["a", "b"]
    for name in ("a", "b"):
        assert store.about(name) == {"duration_s": 2.5, "shots_s": [0.5]}
        for row in record(name).rows:
            tokens = store.read(name, row.modality, row.entity)
            assert tokens.x.dtype == np.float32
            np.testing.assert_array_equal(tokens.x, row.x)
            np.testing.assert_array_equal(tokens.start_s, row.start_s)
            np.testing.assert_array_equal(tokens.end_s, row.end_s)
            np.testing.assert_array_equal(store.segment_of(store.row(name, row.modality, row.entity)), row.segment)
    assert store.read("a", "speech") is None
    with pytest.raises(StoreError, match="no clip c"):
        store.read("c", "text")
    store.verify()


def test_half_precision_is_half_precision(tmp_path):
    store = FeatureStore.create(tmp_path, dtype="float16")
    store.add(record("a"))
    store.finalise()
    x = store.read("a", "text").x
    assert x.dtype == np.float16
    np.testing.assert_array_equal(x, record("a").rows[0].x.astype(np.float16))


def test_values_that_do_not_fit_are_refused(tmp_path):
    store = FeatureStore.create(tmp_path, dtype="float16")
    one = record("a").rows[0]
    for bad in (np.nan, np.inf, 1e6):
        x = one.x.copy()
        x[1, 1] = bad
        with pytest.raises(ValueError, match=r"text@1 .* not finite"):
            store.add(
                ClipRecord("a", "k", "i", {}, (Row("text", None, "text@1", x, one.start_s, one.end_s, one.segment),))
            )
    assert FeatureStore.open(tmp_path).clips == []


def test_reads_are_views_of_the_file(tmp_path):
    store = FeatureStore.create(tmp_path)
    store.add(record("a"))
    store.add(record("b"))
    store.finalise()
    first, again = store.read("b", "text"), store.read("b", "text")
    assert np.shares_memory(first.x, again.x)
    assert np.shares_memory(first.start_s, again.start_s)
    assert not first.x.flags.writeable and not first.x.flags.owndata
    # proof that it is the file: overwrite the bytes on disk in place, and the array shows them
    name = store.index["shard"][0].as_py()
    data = (tmp_path / name).read_bytes()
    at = data.index(first.x.tobytes())
    with (tmp_path / name).open("r+b") as file:
        file.seek(at)
        file.write(np.float32(42).tobytes())
    assert first.x[0, 0] == 42.0


def test_any_safetensors_reader_opens_a_shard_by_the_index(tmp_path):
    store = FeatureStore.create(tmp_path)
    for name in "abc":
        store.add(record(name))
    store.finalise()
    for row in pq.read_table(tmp_path / "index.parquet").to_pylist():
        with safe_open(tmp_path / row["shard"], "numpy") as shard:
            x = shard.get_tensor("x")[row["offset"] : row["offset"] + row["length"] * row["width"]]
            start_s = shard.get_tensor("start_s")[row["first_token"] : row["first_token"] + row["length"]]
        source = next(r for r in record(row["clip"]).rows if (r.modality, r.entity) == (row["modality"], row["entity"]))
        np.testing.assert_array_equal(x.reshape(row["length"], row["width"]), source.x)
        np.testing.assert_array_equal(start_s, source.start_s)
        assert (row["start_s"], row["end_s"]) == (source.start_s.min(), source.end_s.max())
        assert row["extractor_id"] == source.extractor_id


def test_the_files_do_not_depend_on_who_wrote_when(tmp_path):
    names = [f"clip {i}" for i in range(12)]
    for way in range(4):
        store = FeatureStore.create(tmp_path / str(way), shard_bytes=600)
        order = random.Random(way).sample(names, len(names))
        for i, name in enumerate(order):
            if way == 2:  # some were other before, and were done again
                store.add(record(name, "old", seed=9))
            store.add(record(name))
            if way and i % (way + 1) == 0:  # finalised in between: shards are taken apart and put together again
                store.finalise()
        store.finalise()
    first = files(tmp_path / "0")
    assert len([name for name in first if name.startswith("shards")]) > 3
    for way in range(1, 4):
        assert files(tmp_path / str(way)) == first


def test_a_new_clip_leaves_the_shards_before_it_alone(tmp_path):
    store = FeatureStore.create(tmp_path, shard_bytes=600)
    for i in range(6):
        store.add(record(f"clip {i}"))
    store.finalise()
    before = {f.name: f.stat().st_ino for f in (tmp_path / "shards").iterdir()}
    store.add(record("clip 9"))
    store.finalise()
    after = {f.name: f.stat().st_ino for f in (tmp_path / "shards").iterdir()}
    assert len(before.items() & after.items()) >= len(before) - 1
    store.verify()


def test_a_clip_done_again_replaces_the_old_one(tmp_path):
    store = FeatureStore.create(tmp_path)
    store.add(record("a", "one"))
    store.finalise()
    store.add(record("a", "two", seed=3))
    assert store.key_of("a") == "two"
    assert len(store.index) == 3
    np.testing.assert_array_equal(store.read("a", "text").x, record("a", seed=3).rows[0].x)
    store.finalise()
    assert store.key_of("a") == "two"
    assert len(list((tmp_path / "shards").iterdir())) == 1


def test_another_extractors_tokens_are_not_served(tmp_path):
    store = FeatureStore.create(tmp_path)
    store.add(record("a"))
    assert store.read("a", "text", extractor_id="text@1") is not None
    with pytest.raises(StoreError, match=r"text of clip a was made by text@1, not by text@2"):
        store.read("a", "text", extractor_id="text@2")
    assert store.rows("face", "face@1").tolist() == [0, 1]
    assert store.rows(extractor_id="face@2").tolist() == []


def test_a_clip_in_which_nothing_was_found_is_still_known(tmp_path):
    store = FeatureStore.create(tmp_path)
    store.add(ClipRecord("silence", "k", "i", {"duration_s": 1.0}, ()))
    store.add(record("z"))
    for _ in range(2):
        assert store.key_of("silence") == "k"
        assert store.about("silence") == {"duration_s": 1.0}
        assert store.read("silence", "face") is None
        assert len(store.rows()) == 3
        store.finalise()


@pytest.mark.parametrize("how", ["cut", "missing", "header"])
def test_a_damaged_shard_is_named_with_its_clip(tmp_path, how):
    store = FeatureStore.create(tmp_path)
    store.add(record("talk 7"))
    store.finalise()
    shard = next((tmp_path / "shards").iterdir())
    data = shard.read_bytes()
    if how == "missing":
        shard.unlink()
    else:
        shard.write_bytes(data[:-4] if how == "cut" else b"\xff" * 8 + data[8:])
    for ask in (lambda s: s.read("talk 7", "text"), lambda s: s.verify(), lambda s: s.about("talk 7")):
        with pytest.raises(StoreError, match=rf"{shard.name}.*talk 7"):
            ask(FeatureStore.open(tmp_path))


@pytest.mark.parametrize("lie", [("length", 10**9), ("length", -1), ("width", 10**12), ("width", "3")])
def test_a_header_that_lies_is_refused(tmp_path, lie):
    """The record says more, or less, than its arrays hold."""
    name, value = lie
    source = record("a")
    entry = source.describe()
    entry["rows"][0][name] = value
    write_shard(tmp_path / "shard", [entry], source.rows, np.dtype(np.float32))
    with pytest.raises(StoreError, match="do not fit"):
        Shard(tmp_path / "shard")


def test_an_index_that_lies_is_refused(tmp_path):
    store = FeatureStore.create(tmp_path)
    store.add(record("a"))
    store.finalise()
    table = pq.read_table(tmp_path / "index.parquet")
    column = table.schema.get_field_index("offset")
    pq.write_table(table.set_column(column, "offset", [[10**6] * len(table)]), tmp_path / "index.parquet")
    with pytest.raises(StoreError, match="index says of clip a"):
        FeatureStore.open(tmp_path).read("a", "text")


def test_a_flipped_bit_is_found_and_not_copied_on(tmp_path):
    store = FeatureStore.create(tmp_path)
    for name in "ab":
        store.add(record(name))
    store.finalise()
    shard = next((tmp_path / "shards").iterdir())
    data = bytearray(shard.read_bytes())
    at = bytes(data).index(record("b").rows[0].x.tobytes())
    data[at] ^= 1
    shard.write_bytes(data)
    store = FeatureStore.open(tmp_path)
    with pytest.raises(StoreError, match=rf"{shard.name}: damaged: text tokens of clip b$"):
        store.verify()
    store.add(record("c"))
    with pytest.raises(StoreError, match="text tokens of clip b"):
        store.finalise()


def test_an_index_that_points_elsewhere_is_refused(tmp_path):
    store = FeatureStore.create(tmp_path)
    store.add(record("a"))
    store.finalise()
    table = pq.read_table(tmp_path / "index.parquet")
    for name in ("../outside", "shards/../../outside", "/etc/passwd"):
        column = table.schema.get_field_index("shard")
        pq.write_table(table.set_column(column, "shard", [[name] * len(table)]), tmp_path / "index.parquet")
        with pytest.raises(StoreError, match="outside"):
            FeatureStore.open(tmp_path).read("a", "text")


def test_a_full_disk_is_the_stores_error_and_leaves_nothing_behind(tmp_path):
    store = FeatureStore.create(tmp_path)
    store.add(record("a"))
    before = files(tmp_path)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limit[1]))
    try:
        with pytest.raises(StoreError, match="cannot be written"):
            store.add(record("b", tokens=2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert files(tmp_path) == before


def test_another_number_type_or_format_is_refused(tmp_path):
    FeatureStore.create(tmp_path)
    with pytest.raises(StoreError, match="float32"):
        FeatureStore.create(tmp_path, dtype="float16")
    (tmp_path / "store.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(StoreError, match="format 99"):
        FeatureStore.open(tmp_path)
    with pytest.raises(StoreError, match="no feature store"):
        FeatureStore.open(tmp_path / "nowhere")


WRITERS = """
import os, sys
from tests.features.test_store import record
from merkit.features.store import FeatureStore

def write():
    store = FeatureStore.create(sys.argv[1], shard_bytes=20_000)
    for i in range(40):
        name = f"clip {i:02}"
        if store.key_of(name) is None:
            store.add(record(name, tokens=200))
            os.write(1, f"{name}\\n".encode())
        if i % 5 == 4:
            store.finalise()
    store.finalise()

for line in sys.stdin:
    if os.fork() == 0:  # from a process that has imported everything and run nothing: many lives at the price of one
        os.write(1, f"{os.getpid()}\\n".encode())
        write()
        os._exit(0)
    os.write(1, f"ended {os.waitstatus_to_exitcode(os.wait()[1])}\\n".encode())
"""


def test_a_writer_killed_anywhere_leaves_a_good_store(tmp_path):
    """SIGKILL at random moments: the store opens, holds whole clips only, and loses none that was reported done."""
    whole = FeatureStore.create(tmp_path / "whole", shard_bytes=20_000)
    for i in range(40):
        whole.add(record(f"clip {i:02}", tokens=200))
    whole.finalise()
    chance = random.Random(0)
    done: set[str] = set()
    kills = 0
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", WRITERS, str(tmp_path / "store")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as writers:
        assert writers.stdin and writers.stdout
        ended = None
        while ended != "ended 0":
            print("live", file=writers.stdin, flush=True)
            pid = int(writers.stdout.readline())
            if kills < 25:
                time.sleep(chance.random() * 0.05)
                with contextlib.suppress(ProcessLookupError):  # it may have come to its end first
                    os.kill(pid, signal.SIGKILL)
            said = []
            while not (ended := writers.stdout.readline().strip()).startswith("ended"):
                said.append(ended)
            kills += ended == "ended -9"
            assert ended in ("ended -9", "ended 0")
            assert not done & set(said), "a finished clip was done again"
            done |= set(said)
            if not (tmp_path / "store" / "store.json").exists():
                continue  # killed before there was a store
            store = FeatureStore.open(tmp_path / "store")
            store.verify()
            assert done <= set(store.clips)
            done = set(store.clips)
            for name in store.clips:
                for row in record(name, tokens=200).rows:
                    np.testing.assert_array_equal(store.read(name, row.modality, row.entity).x, row.x)
        writers.stdin.close()
    assert kills >= 4
    assert files(tmp_path / "store") == files(tmp_path / "whole")
