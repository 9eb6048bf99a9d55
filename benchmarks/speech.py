"""What listening costs: voice activity, encoder states for the speech head, transcription.

    python -m benchmarks.speech
    python -m benchmarks.speech --threads 2 --seconds 120 --runs 5 --clip talk.wav

Without `--clip` the voice is the synthetic one that ships with the demo, repeated. Prints seconds and times real time,
median [min, max]. Weights must be in the cache (`merkit weights fetch whisper-tiny-en`). The number types are timed in
turns, so that a neighbour on the machine slows all of them alike.
"""

import argparse
import time
from collections.abc import Callable
from importlib.resources import as_file, files

import numpy as np
import torch

from benchmarks.machine import header, spread
from merkit.features.speech import SpeechExtractor
from merkit.media import AudioChunk, read_clip
from merkit.networks import fast_dtype, load_whisper
from merkit.networks.silero import SileroVAD, load_silero
from merkit.perception import Recogniser, SpeechSpan, VoiceActivity

SAMPLE_RATE = 16_000


def voice(clip: str | None, seconds: float) -> np.ndarray:
    """`(n,)` samples of the clip's sound, repeated until they last."""
    with as_file(files("merkit.demo") / "speech.flac") as demo:
        chunks = [c.samples for c in read_clip(clip or str(demo), video=False) if isinstance(c, AudioChunk)]
    return np.resize(np.concatenate(chunks), round(seconds * SAMPLE_RATE))


def find(samples: np.ndarray, network: SileroVAD) -> list[SpeechSpan]:
    activity, spans = VoiceActivity(network), []
    for first in range(0, len(samples), SAMPLE_RATE):
        spans += activity.feed(samples[first : first + SAMPLE_RATE], first / SAMPLE_RATE)
    return spans + activity.finish()


def report(title: str, seconds: float, calls: dict[str, Callable[[], object]], runs: int) -> None:
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(runs + 1):
        for name, call in calls.items():
            begun = time.perf_counter()
            call()
            if turn:  # the first round warms up
                times[name].append(time.perf_counter() - begun)
    print(f"\n{title}")
    for name, values in times.items():
        print(f"  {name:24} {spread(values, ' s')}   {seconds / float(np.median(values)):.0f} x real time")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(header("torch", "silero-vad"), f"; {options.threads} threads", sep="")
    samples, silero = voice(options.clip, options.seconds), load_silero()
    spans = find(samples, silero)
    waves = [span.samples for span in spans]
    spoken_s = sum(map(len, waves)) / SAMPLE_RATE
    source = options.clip or "synthetic voice of the demo, repeated"
    print(f"{source}: {options.seconds:.0f} s, {len(spans)} spans of speech, {spoken_s:.0f} s")
    report("Voice activity", options.seconds, {"float32": lambda: find(samples, silero)}, options.runs)
    extractor = SpeechExtractor()
    report("Encoder states, unpadded", spoken_s, {"float32": lambda: extractor(waves)}, options.runs)
    calls: dict[str, Callable[[], object]] = {}
    for dtype in dict.fromkeys((torch.float32, fast_dtype())):
        for context_s in (10.0, 30.0):
            recogniser = Recogniser(load_whisper().to(dtype), context_s=context_s)
            name = f"{str(dtype).removeprefix('torch.')}, padded to {context_s:.0f} s"
            calls[name] = lambda recogniser=recogniser: recogniser.transcribe(waves)
    report("Transcription, batches of 8", spoken_s, calls, options.runs)
    joined = [
        np.concatenate(waves)[: 24 * SAMPLE_RATE * (i + 1)][24 * SAMPLE_RATE * i :] for i in range(int(spoken_s // 24))
    ]
    if joined:
        recogniser = Recogniser()
        calls = {"fast type, 24 s spans": lambda: recogniser.transcribe(joined)}
        report("Transcription of speech without pauses", 24.0 * len(joined), calls, options.runs)


if __name__ == "__main__":
    main()
