"""Whole `merkit analyze` runs on long clips: times real time, and peak resident memory of all processes together.

    python -m benchmarks.analyze --minutes 10 60 --runs 3
    python -m benchmarks.analyze --source talk.mp4 --modalities face

The clip is made by looping real material (`--source`, several files are chained; by default the demo clip) and scaling
it to 640x360, H.264 at 30 frames a second with AAC sound. It is made once and kept in the work folder.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from benchmarks.machine import header, run_and_weigh, spread

SIZE = (640, 360)
RATE = 30


def make_clip(sources: list[Path] | None, minutes: float, folder: Path) -> Path:
    """Loops the sources (None: the demo clip) into one clip of the wanted length, named after them."""
    if not sources:
        from merkit.demo import build_demo_clip

        sources = [build_demo_clip(folder)]
    folder.mkdir(parents=True, exist_ok=True)
    which = hashlib.sha256("\n".join(str(source.resolve()) for source in sources).encode()).hexdigest()[:8]
    target = folder / f"looped-{which}-{minutes:g}min.mp4"
    if target.is_file():
        return target
    pictures, samples = _material(sources)
    frames = round(minutes * 60 * RATE)
    unfinished = target.with_suffix(".tmp")
    with av.open(str(unfinished), "w", format="mp4") as sink:
        video = sink.add_stream("libx264", rate=RATE, options={"preset": "veryfast", "crf": "23"})
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        audio = sink.add_stream("aac", rate=16_000, layout="mono")
        per_frame = 16_000 / RATE
        sent = 0
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(pictures[number % len(pictures)], format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            sink.mux(video.encode(frame))
            if number % RATE == RATE - 1:
                until = round((number + 1) * per_frame)
                piece = np.take(samples, np.arange(sent, until), mode="wrap")
                sound = av.AudioFrame.from_ndarray(piece[None], format="s16", layout="mono")
                sound.sample_rate, sound.pts, sound.time_base = 16_000, sent, Fraction(1, 16_000)
                sink.mux(audio.encode(sound))
                sent = until
        sink.mux(video.encode())
        sink.mux(audio.encode())
    unfinished.replace(target)
    return target


def _material(sources: list[Path]) -> tuple[list[np.ndarray], np.ndarray]:
    pictures, samples = [], []
    for source in sources:
        with av.open(str(source)) as box:
            step = (box.streams.video[0].average_rate or RATE) / RATE
            decoded = [f.reformat(*SIZE, format="yuv420p").to_ndarray() for f in box.decode(video=0)]
            # resampled to RATE by nearest frame
            pictures += [decoded[int(i * step)] for i in range(int(len(decoded) / step))]
        length = round(len(pictures) / RATE * 16_000)
        with av.open(str(source)) as box:
            resampler = av.AudioResampler(format="s16", layout="mono", rate=16_000)
            parts = [r.to_ndarray()[0] for f in box.decode(audio=0) for r in resampler.resample(f)]
        known = sum(map(len, samples))
        sound = np.concatenate(parts)[: length - known]
        samples.append(np.pad(sound, (0, length - known - len(sound))))
    return pictures, np.concatenate(samples)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, nargs="+", help="real clips with face and voice; default: the demo clip")
    parser.add_argument("--minutes", type=float, nargs="+", default=[10.0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--modalities", default="all")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "merkit-bench")
    arguments = parser.parse_args()
    print(header("merkit", "torch", "av", "numpy"))
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}
    for minutes in arguments.minutes:
        clip = make_clip(arguments.source, minutes, arguments.work)
        command = [sys.executable, "-m", "merkit.cli.main", "analyze", str(clip), "--out", str(arguments.work / "out")]
        command += ["--modalities", arguments.modalities]
        walls, peaks = [], []
        for _ in range(arguments.runs):
            wall_s, peak_mib, code = run_and_weigh(
                command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            if code:
                raise SystemExit(f"{' '.join(command)} ended with {code}")
            walls.append(wall_s)
            peaks.append(peak_mib)
        print(
            f"{minutes:g} min, {arguments.modalities}: "
            f"{spread([minutes * 60 / w for w in walls], ' x real time', 1)}, "
            f"wall {spread(walls, ' s', 1)}, peak {spread(peaks, ' MiB', 0)}"
        )


if __name__ == "__main__":
    main()
