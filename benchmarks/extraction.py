"""Many clips into a store on each engine: clips a second, seconds of clip a second, and memory of all processes together.

    python -m benchmarks.extraction
    python -m benchmarks.extraction --clips 48 --workers 2 --runs 3 --modalities face,speech

The clips are real ones (`MERKIT_DATA`, or ../shared/data beside the checkout), repeated under new names until there are
enough. Every run starts from an empty store in a fresh process, so start-up and loading of the models count; the
stores of all engines are compared byte for byte. Prints median [min, max].
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from itertools import cycle, islice
from pathlib import Path

from benchmarks.machine import header, run_and_weigh, spread
from merkit.features import ClipExtraction, FeatureStore, extract_many
from merkit.inference.extraction import extraction_tools
from merkit.media import probe
from merkit.schema import Clip

ENGINES = ("serial", "processes", "ray")


def sources() -> list[Path]:
    """Real clips with a face and a voice; empty where there are none."""
    root = Path(os.environ.get("MERKIT_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    return sorted((root / "av_samples" / "crema_d").glob("*.flv"))


def one(engine: str, workers: int, modalities: tuple[str, ...], files: list[Path], store: Path) -> None:
    """One run; its report goes to stdout."""
    clips = [Clip.from_files(file, clip_id=f"{number:05}-{file.stem}") for number, file in enumerate(files)]
    extraction = ClipExtraction(partial(extraction_tools, modalities))
    report = extract_many(clips, extraction, FeatureStore.create(store), engine=engine, workers=workers)
    print(len(report.done), len(report.skipped))


def digest(store: Path) -> str:
    """What shards and index hold."""
    hashed = hashlib.sha256()
    for file in sorted(file for file in store.rglob("*") if file.is_file()):
        hashed.update(str(file.relative_to(store)).encode() + file.read_bytes())
    return hashed.hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--engines", nargs="+", default=ENGINES, choices=ENGINES)
    parser.add_argument("--modalities", default="face,speech,text")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        order = json.loads(arguments.one)
        one(order["engine"], order["workers"], tuple(order["modalities"]), list(map(Path, order["files"])),
            Path(order["store"]))  # fmt: skip
        return
    found = sources()
    if not found:
        print("skipped: no real clips here (set MERKIT_DATA to a folder with av_samples/crema_d/*.flv)")
        return
    files = list(islice(cycle(found), arguments.clips))
    lasts_s = {file: probe(file).duration_s for file in set(files)}
    material_s = sum(lasts_s[file] for file in files)
    print(header("merkit", "torch", "ray"))
    print(f"{len(files)} clips ({len(found)} different), {material_s:.0f} s, {arguments.modalities}; "
          f"{arguments.workers} workers")  # fmt: skip
    work = Path(tempfile.mkdtemp(prefix="merkit-bench-"))
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1"}
    made: set[str] = set()
    try:
        for engine in arguments.engines:
            walls, peaks = [], []
            for _ in range(arguments.runs):
                shutil.rmtree(work / "store", ignore_errors=True)
                order = {"engine": engine, "workers": arguments.workers, "modalities": arguments.modalities.split(","),
                         "files": list(map(str, files)), "store": str(work / "store")}  # fmt: skip
                command = [sys.executable, "-m", "benchmarks.extraction", "--one", json.dumps(order)]
                wall_s, peak_mib, code = run_and_weigh(
                    command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
                if code:
                    raise SystemExit(f"{engine} ended with {code}")
                walls.append(wall_s)
                peaks.append(peak_mib)
                made.add(digest(work / "store"))
            print(
                f"{engine}: {spread([len(files) / w for w in walls], ' clips/s')}, "
                f"{spread([material_s / w for w in walls], ' x real time', 1)}, wall {spread(walls, ' s', 1)}, "
                f"peak {spread(peaks, ' MiB', 0)}",
                flush=True,
            )
    finally:
        shutil.rmtree(work)
    print(f"stores byte for byte the same: {'yes' if len(made) == 1 else 'NO'}")


if __name__ == "__main__":
    main()
