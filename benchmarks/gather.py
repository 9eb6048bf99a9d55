"""What a training batch of a film corpus costs to read: rows of an fp16 store against one .npy file per scene.

    python -m benchmarks.gather
    python -m benchmarks.gather --clips 400 --frames 1500 --width 2048

A clip has one stream of `frames` rows; a batch takes, of each of its clips, every eighth row at random (`TokenSampling(8,
300, random=True)`), as EmoTx does. The .npy files hold float32, as published, and are read in the three usual ways. Each
epoch reads every clip once, in random order. `warm`: files in the page cache; `cold`: dropped from it before every epoch
(`posix_fadvise`). Prints rows a second, median [min, max], and milliseconds a batch of the whole loader, padding included.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.machine import header, spread
from merkit.corpora.table import stored_column
from merkit.data.batch import collate
from merkit.data.draws import Draw
from merkit.data.sampler import EpochBatches
from merkit.data.table import ClipTable
from merkit.data.token_sampling import Sampling, TokenSampling
from merkit.features.shard import ClipRecord, Row
from merkit.features.store import FeatureStore

RULE = TokenSampling(8, 300, random=True)


def fill(folder: Path, clips: int, frames: int, width: int) -> ClipTable:
    """The same random rows as a store and as one file per clip."""
    rng = np.random.default_rng(0)
    store = FeatureStore.create(folder / "store", dtype="float16")
    (folder / "npy").mkdir()
    times = np.arange(frames) / 24
    for i in range(clips):
        n = int(rng.integers(frames // 2, frames + 1))
        x = rng.standard_normal((n, width), np.float32)
        np.save(folder / "npy" / f"c{i:05}.npy", x)
        row = Row("scene", None, "made@0", x, times[:n], times[:n] + 1 / 24, np.zeros(n, np.int32))
        store.add(ClipRecord(f"c{i:05}", "k", "", {}, (row,)))
    store.finalise()
    numbers = store.rows("scene")
    places = [(i, 0, int(row)) for i, row in enumerate(numbers)]
    columns = {
        f"scene_{held}": stored_column(store, "scene", places, False, in_memory=held == "held")
        for held in ("stored", "held")
    }
    ids = np.array([f"c{i:05}" for i in range(clips)])
    return ClipTable("made", ids, np.full(clips, "train"), columns, {})


def drop(folder: Path) -> None:
    """Asks the kernel to forget the files."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def readers(table: ClipTable, folder: Path) -> dict[str, Callable[[np.ndarray, Draw], np.ndarray]]:
    """Ways to read the sampled rows `(P, D)` float32 of the clips of a batch."""
    sampling = Sampling({"scene_stored": RULE})
    paths = [folder / "npy" / f"{name}.npy" for name in table.ids]

    def store(rows: np.ndarray, draw: Draw) -> np.ndarray:
        return table.streams["scene_stored"].take(rows, keep=sampling.keep("scene_stored", draw)).x[:]

    def memory(rows: np.ndarray, draw: Draw) -> np.ndarray:
        return table.streams["scene_held"].take(rows, keep=sampling.keep("scene_stored", draw)).x[:]

    def files(load: Callable[[Path], np.ndarray]) -> Callable[[np.ndarray, Draw], np.ndarray]:
        def read(rows: np.ndarray, draw: Draw) -> np.ndarray:
            keep = sampling.keep("scene_stored", draw)
            assert keep is not None
            parts = []
            for row in rows:
                x = load(paths[row])
                parts.append(x[keep(np.array([row]), np.zeros(1, int), np.array([len(x)]))[0]])
            return np.concatenate(parts)

        return read

    return {
        "store, fp16 mapped": store,
        "npy, whole file": files(np.load),
        "npy, mapped": files(lambda path: np.load(path, mmap_mode="r")),
        "in memory": memory,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=160)
    parser.add_argument("--frames", type=int, default=1200)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--folder", type=Path, default=None, help="on the disk to measure; none = a temporary one")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(header("numpy", "torch"))
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        table = fill(folder, options.clips, options.frames, options.width)
        x = table.streams["scene_stored"].x
        print(f"{options.clips} clips, {len(x)} rows of {options.width}: {x.nbytes >> 21} MiB as float16")
        ways = readers(table, folder)
        order = EpochBatches(options.clips, options.batch)
        first = next(iter(order))
        same = [way(first, Draw(0, 0)) for way in ways.values()]
        assert all(np.allclose(each, same[0], atol=2e-3) for each in same) and np.array_equal(same[0], same[-1])
        for kind in ("stored", "held"):
            taken = []
            sampling = Sampling({f"scene_{kind}": RULE})
            for epoch in range(options.runs + 1):
                order.set_epoch(epoch)
                begun = time.perf_counter()
                for rows in order:
                    collate(table, rows, modalities=(f"scene_{kind}",), sampling=sampling, draw=Draw(0, epoch))
                taken.append((time.perf_counter() - begun) / len(order) * 1e3)
            print(f"warm  a batch of {options.batch}, padded, {kind}: {spread(taken[1:], ' ms', 1)}")
        for state in ("warm", "cold"):
            for kind, way in ways.items():
                if state == "cold" and kind == "in memory":
                    continue
                rates = []
                for epoch in range(options.runs + 1):
                    if state == "cold":
                        # what a process has mapped is not dropped: a copy opens the files anew
                        table.streams["scene_stored"].x._files.mapped.clear()
                        drop(folder)
                    order.set_epoch(epoch)
                    begun, count = time.perf_counter(), 0
                    for rows in order:
                        count += len(way(rows, Draw(0, epoch)))
                    rates.append(count / (time.perf_counter() - begun) / 1e3)
                print(f"{state:5} {kind:20} {spread(rates[1:], ' thousand rows/s', 1)}")


if __name__ == "__main__":
    main()
