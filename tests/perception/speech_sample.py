"""The synthetic voice that ships with the demo, as samples: speech that every machine has."""

from importlib.resources import as_file, files

import numpy as np
import soundfile
import soxr

SAMPLE_RATE = 16_000
SENTENCES = ("This is wonderful news", "the road is closed and I am afraid we will be late")


def demo_speech() -> np.ndarray:
    """`(n,)` float32 at 16 kHz: three sentences in 12 s (espeak-ng)."""
    with as_file(files("merkit.demo") / "speech.flac") as path:
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    return soxr.resample(samples.mean(1), rate_hz, SAMPLE_RATE).astype(np.float32)
