"""Reading features at training's pace: the store against one .npy file per sample.

    python -m benchmarks.store
    python -m benchmarks.store --samples 50000 --tokens 16 --width 384

Both hold the same samples and are read in the same shuffled order, with the files in the page cache. `view` asks for
the array only, which is what costs one-file-per-sample its time; `sum` also reads every number, which costs both the
same. Prints samples a second, median [min, max].
"""

import argparse
import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.machine import header, spread
from merkit.features.shard import ClipRecord, Row
from merkit.features.store import FeatureStore


def fill(folder: Path, samples: int, tokens: int, width: int, per_clip: int = 100) -> FeatureStore:
    """The same random tokens in a store (`per_clip` persons a clip) and as one file per sample."""
    store = FeatureStore.create(folder / "store")
    (folder / "npy").mkdir()
    numbers = np.random.default_rng(0)
    start_s = np.arange(tokens) / 3.0
    segment = np.full(tokens, -1, np.int32)
    for clip in range(samples // per_clip):
        rows = []
        for person in range(per_clip):
            x = numbers.standard_normal((tokens, width), np.float32)
            np.save(folder / "npy" / f"clip_{clip:05}_person_{person:03}.npy", x)
            rows.append(Row("face", f"person_{person:03}", "fake@1", x, start_s, start_s + 1 / 3, segment))
        key = hashlib.sha256(str(clip).encode()).hexdigest()
        store.add(ClipRecord(f"clip_{clip:05}", key, key, {}, tuple(rows)))
    begun = time.perf_counter()
    store.finalise()
    took_s, mib = time.perf_counter() - begun, samples * tokens * width * 4 / 2**20
    print(f"finalise {samples // per_clip} clips, {mib:.0f} MiB: {took_s:.2f} s")
    return FeatureStore.open(folder / "store")


def per_second(read: Callable[[int], np.ndarray], order: list[int], runs: int, use: bool) -> list[float]:
    """Samples a second of each run, after one to warm up."""
    rates = []
    for _ in range(runs + 1):
        begun = time.perf_counter()
        for i in order:
            x = read(i)
            if use:
                x.sum()
        rates.append(len(order) / (time.perf_counter() - begun))
    return rates[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--tokens", type=int, default=8)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    print(header("numpy", "pyarrow"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = fill(folder, options.samples, options.tokens, options.width)
        opening = []
        for _ in range(options.runs):
            begun = time.perf_counter()
            rows = FeatureStore.open(folder / "store").rows("face")
            opening.append((time.perf_counter() - begun) * 1e3)
        print(f"open and select {len(rows)} rows: {spread(opening, ' ms', 1)}")
        order = np.random.default_rng(1).permutation(rows).tolist()
        paths = sorted((folder / "npy").iterdir())
        assert all((store.x(i) == np.load(paths[i])).all() for i in order[:100])
        ways: dict[str, Callable[[int], np.ndarray]] = {
            "store, tokens only": store.x,
            "store, tokens and times": lambda i: store.tokens(i).x,
            "one .npy per sample": lambda i: np.load(paths[i]),
        }
        for use in (False, True):
            print(f"\n{'sum' if use else 'view'}, {options.tokens} x {options.width} float32 a sample")
            for title, read in ways.items():
                print(f"  {title:24} {spread(per_second(read, order, options.runs, use), ' samples/s', 0)}")


if __name__ == "__main__":
    main()
