"""Decoding alone: source frames a second, in this process and behind the process border.

    python -m benchmarks.decode [--source CLIP …] [--runs 5]

The clip is 60 s of 640x360 H.264 at 30 frames a second with AAC sound, looped from real material (default: the demo clip).
"""

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.analyze import make_clip
from benchmarks.machine import header, spread
from merkit.media import probe, read_clip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, nargs="+")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "merkit-bench")
    arguments = parser.parse_args()
    clip = make_clip(arguments.source, 1.0, arguments.work)
    print(header("av", "numpy", "soxr"))
    begun = time.perf_counter()
    probe(clip)
    print(f"header only: {(time.perf_counter() - begun) * 1e3:.1f} ms")
    settings = {
        "3 frames a second, isolated": {"fps": 3.0},
        "3 frames a second, in this process": {"fps": 3.0, "isolate": False},
        "3 frames a second, no sound": {"fps": 3.0, "audio": False},
        "sound alone": {"video": False},
        "every frame": {"fps": 30.0},
    }
    for name, options in settings.items():
        rates = []
        for _ in range(arguments.runs):
            begun = time.perf_counter()
            for _ in read_clip(clip, **options):
                pass
            rates.append(60 * 30 / (time.perf_counter() - begun))
        print(f"{name}: {spread(rates, ' source frames/s', 0)}")


if __name__ == "__main__":
    main()
