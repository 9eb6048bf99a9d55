"""Writes src/merkit/demo/speech.flac: three sentences spoken by espeak-ng (Debian package), 12 s, 16 kHz mono.

Run once by whoever changes the sentences; users get the FLAC inside the package. The voice is synthetic and the demo
says so.
"""

import io
import subprocess
from pathlib import Path

import numpy as np
import soundfile
import soxr

# start in seconds, words per minute, pitch, sentence
LINES = (
    (0.4, 165, 62, "This is wonderful news, I am so happy for you!"),
    (4.3, 150, 35, "But the road is closed, and I am afraid we will be late."),
    (8.6, 175, 45, "All right. Let us take the next exit then."),
)
OUT = Path(__file__).resolve().parents[1] / "src" / "merkit" / "demo" / "speech.flac"


def main() -> None:
    track = np.zeros(12 * 16_000)
    for start_s, speed, pitch, words in LINES:
        spoken = subprocess.run(
            ["espeak-ng", "-v", "en-us", "-s", str(speed), "-p", str(pitch), "--stdout", words],
            capture_output=True,
            check=True,
        ).stdout
        # espeak-ng streams its WAV, so the header's length means nothing: skip the 44 bytes and read the samples
        rate = int.from_bytes(spoken[24:28], "little")
        samples = np.frombuffer(spoken[44:], "<i2") / 32768
        samples = soxr.resample(samples, rate, 16_000, quality="HQ")
        first = round(start_s * 16_000)
        track[first : first + len(samples)] += samples[: len(track) - first]
        print(f"{start_s:.1f}-{start_s + len(samples) / 16_000:.1f} s  {words}")
    buffer = io.BytesIO()
    soundfile.write(buffer, (0.6 * track / np.abs(track).max() * 32767).astype("int16"), 16_000, format="FLAC")
    OUT.write_bytes(buffer.getvalue())
    print(OUT, len(buffer.getvalue()), "bytes")


if __name__ == "__main__":
    main()
