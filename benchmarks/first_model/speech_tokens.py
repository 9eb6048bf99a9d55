"""Frozen speech tokens of RAVDESS and EmoDB, made on the path that `analyze` takes: decode, voice activity, encoder."""

import numpy as np

from benchmarks.first_model.fit import Tokens, cached
from benchmarks.first_model.packs import WORK, Utterance, emodb, ravdess
from merkit.features.speech import SpeechStatisticsExtractor
from merkit.media import AudioChunk, read_clip
from merkit.networks.silero import SileroVAD, load_silero
from merkit.perception import VoiceActivity

LAYERS = (0, 1, 2, 3, 4)


def voice_of(path: object, network: SileroVAD) -> np.ndarray:
    """The voiced stretch of a recording, from the first span of speech to the last; the whole of it where none is found."""
    voice = VoiceActivity(network)
    chunks, spans = [], []
    for chunk in read_clip(str(path), video=False, isolate=False):
        if isinstance(chunk, AudioChunk):
            chunks.append(chunk.samples)
            spans += voice.feed(chunk.samples, chunk.start_s)
    spans += voice.finish()
    samples = np.concatenate(chunks)
    if spans:
        samples = samples[round(spans[0].start_s * 16_000) : round(spans[-1].end_s * 16_000)]
    return samples


def disturb(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A poorer recording of the same voice: coloured noise at 8 to 25 dB, a random band limit, a cut at either end."""
    n = len(samples)
    spectrum = np.fft.rfft(rng.normal(size=n))
    hz = np.fft.rfftfreq(n, 1 / 16_000)
    noise = np.fft.irfft(spectrum / np.maximum(hz, 50.0) ** rng.uniform(0, 1), n)
    level = np.sqrt(np.mean(samples**2) / np.mean(noise**2)) * 10 ** (-rng.uniform(8, 25) / 20)
    spoilt = np.fft.rfft(samples + level * noise)
    spoilt[hz > rng.uniform(3400, 8000)] = 0.0
    spoilt[hz < rng.uniform(0, 200)] = 0.0
    spoilt = np.fft.irfft(spoilt, n)
    first, last = int(n * rng.uniform(0, 0.15)), int(n * rng.uniform(0.85, 1.0))
    return (0.5 * spoilt / np.abs(spoilt).max())[first:last].astype(np.float32)


def corpus() -> tuple[list[Utterance], Tokens, Tokens]:
    """Utterances of both corpora, their statistics as recorded, and those of a disturbed copy of each; all five layers."""
    utterances = [*ravdess(), *emodb()]
    extractor = SpeechStatisticsExtractor(layers=LAYERS)
    waves: list[np.ndarray] = []

    def heard() -> list[np.ndarray]:
        if not waves:
            network = load_silero()
            waves.extend(voice_of(utterance.path, network) for utterance in utterances)
        return waves

    def clean() -> Tokens:
        return Tokens.of(extractor(heard()))

    def spoilt() -> Tokens:
        rng = np.random.default_rng(0)
        return Tokens.of(extractor([disturb(wave, rng) for wave in heard()]))

    return (
        utterances,
        cached(WORK / f"{extractor.id}.npz", clean),
        cached(WORK / f"{extractor.id}-disturbed.npz", spoilt),
    )
