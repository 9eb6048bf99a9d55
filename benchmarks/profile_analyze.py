"""Where the time of `merkit analyze` goes, by stage, in one process with the decoder beside it.

    python -m benchmarks.profile_analyze [--source CLIP …] [--minutes 10]

cProfile over the whole run; a stage is the cumulative time of the functions that make it up. The profiler itself costs a
few per cent; waiting for the decoder is what decoding costs beyond what overlaps with inference.
"""

import argparse
import cProfile
import pstats
import tempfile
import time
from pathlib import Path

from benchmarks.analyze import make_clip
from benchmarks.machine import header

# stage -> (file, function) pairs whose cumulative times add up to it; none contains another
STAGES = {
    "waiting for decoded chunks": [("queue.py", "get")],
    "faces: pyramid, cascade": [("detector.py", "detect_in")],
    "faces: shots": [("shots.py", "update_in")],
    "faces: tracking": [("tracker.py", "update")],
    "faces: crops and portraits": [("follower.py", "_gather"), ("follower.py", "_pick")],
    "faces: persons across shots": [("follower.py", "_close"), ("follower.py", "finish")],
    "faces: expression network": [("features/face.py", "__call__")],
    "voice activity": [("voice.py", "feed"), ("voice.py", "finish")],
    "transcription": [("recognition.py", "transcribe")],
    "voice statistics": [("features/speech.py", "_one")],
    "words": [("text.py", "__call__")],
    "heads and pooling": [("inference/timeline.py", "build_timeline")],
    "JSON, CSV, report": [("tables.py", "write_json"), ("tables.py", "write_csv"), ("html.py", "write_html")],
    "preview for the report": [("preview.py", "write_preview")],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, nargs="+")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "merkit-bench")
    arguments = parser.parse_args()
    clip = make_clip(arguments.source, arguments.minutes, arguments.work)
    print(header("torch", "av", "numpy"))
    from merkit.inference import Predictor, write_outputs

    begun = time.perf_counter()
    predictor = Predictor.load("first")
    print(f"loading: {time.perf_counter() - begun:.1f} s")
    profiler = cProfile.Profile()
    begun = time.perf_counter()
    profiler.enable()
    timeline = predictor.predict_files(clip)
    write_outputs(timeline, arguments.work / "profile", media=clip)
    profiler.disable()
    total = time.perf_counter() - begun
    stats = pstats.Stats(profiler).stats  # ty: ignore[unresolved-attribute]
    rest = total
    for stage, functions in STAGES.items():
        seconds = sum(
            row[3]
            for (file, _, name), row in stats.items()
            for ending, function in functions
            if name == function and file.endswith(ending)
        )
        rest -= seconds
        print(f"{stage:30} {seconds:6.1f} s  {100 * seconds / total:4.1f} %")
    print(f"{'everything else':30} {rest:6.1f} s  {100 * rest / total:4.1f} %")
    print(f"{'total':30} {total:6.1f} s, {arguments.minutes * 60 / total:.1f} x real time")


if __name__ == "__main__":
    main()
