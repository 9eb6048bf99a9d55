"""Voice activity: the network against the package's own, the spans against signals whose answer is known."""

import tracemalloc
from importlib.resources import as_file, files
from itertools import pairwise

import numpy as np
import pytest
import torch

from merkit.networks.silero import CHUNK, CONTEXT, SileroVAD, load_silero
from merkit.perception.voice import CUT_FROM_S, MAX_SPAN_S, PAD_S, SpeechSpan, VoiceActivity
from tests.perception.speech_sample import SAMPLE_RATE, demo_speech


class Loudness:
    """Stands in for the network: the probability of speech is the chunk's mean magnitude."""

    def __call__(self, chunks: torch.Tensor, state: object) -> tuple[torch.Tensor, object]:
        return chunks[:, CONTEXT:].abs().mean(1), state


def spans_of(samples: np.ndarray, *, network=None, piece: int = SAMPLE_RATE, start_s: float = 0.0) -> list[SpeechSpan]:
    voice = VoiceActivity(network)
    spans = []
    for first in range(0, len(samples), piece):
        spans += voice.feed(samples[first : first + piece], start_s + first / SAMPLE_RATE)
    return spans + voice.finish()


def steps(*parts: tuple[float, float]) -> np.ndarray:
    """A waveform of stretches `(seconds, level)`."""
    return np.concatenate([np.full(round(s * SAMPLE_RATE / CHUNK) * CHUNK, level, np.float32) for s, level in parts])


@pytest.mark.filterwarnings("ignore:`torch.jit.load`:DeprecationWarning")
def test_the_network_equals_the_package_chunk_by_chunk() -> None:
    speech = demo_speech()[: 4 * SAMPLE_RATE]
    noise = np.random.default_rng(0).normal(size=SAMPLE_RATE).astype(np.float32) * 0.05
    wave = np.concatenate([noise, speech, noise])
    wave = wave[: len(wave) // CHUNK * CHUNK]
    with as_file(files("silero_vad.data") / "silero_vad.jit") as path:
        package = torch.jit.load(path, map_location="cpu").eval()
    theirs_state = package.state_dict()
    names = {
        "stft_conv.weight": "stft.forward_basis_buffer",
        **{f"conv{i + 1}.{kind}": f"encoder.{i}.reparam_conv.{kind}" for i in range(4) for kind in ("weight", "bias")},
        **{f"lstm.{part}_l0": f"decoder.rnn.{part}" for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")},
        **{f"final_conv.{kind}": f"decoder.decoder.2.{kind}" for kind in ("weight", "bias")},
    }
    same = SileroVAD().eval()
    same.load_state_dict({ours: theirs_state[f"_model.{theirs}"] for ours, theirs in names.items()})
    padded = np.concatenate([np.zeros(CONTEXT, np.float32), wave])
    chunks = torch.from_numpy(np.lib.stride_tricks.sliding_window_view(padded, CONTEXT + CHUNK)[::CHUNK].copy())
    with torch.inference_mode():
        theirs = np.array([package(torch.from_numpy(c)[None], SAMPLE_RATE).item() for c in wave.reshape(-1, CHUNK)])
        ours = same(chunks)[0].numpy()
        shipped = load_silero()(chunks)[0].numpy()
    assert theirs.max() > 0.9 and theirs.min() < 0.1  # the comparison covers both answers
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    # the package's safetensors are another training run than its TorchScript: the decisions agree, not the digits
    assert np.mean((shipped > 0.5) == (theirs > 0.5)) > 0.97


def test_speech_between_silences_is_found_with_its_own_samples() -> None:
    speech = demo_speech()[round(0.2 * SAMPLE_RATE) : round(3.2 * SAMPLE_RATE)]  # the first sentence
    quiet = np.random.default_rng(1).normal(size=2 * SAMPLE_RATE).astype(np.float32) * 1e-4
    wave = np.concatenate([quiet, speech, quiet, speech, quiet])
    spans = spans_of(wave, start_s=10.0)
    assert len(spans) == 2
    for span, begin_s in zip(spans, (12.0, 17.0), strict=True):
        assert span.start_s == pytest.approx(begin_s - PAD_S, abs=0.25)
        assert span.end_s == pytest.approx(begin_s + 3.0 + PAD_S, abs=0.35)
        first = round((span.start_s - 10.0) * SAMPLE_RATE)
        np.testing.assert_array_equal(span.samples, wave[first : first + len(span.samples)])
        assert len(span.samples) / SAMPLE_RATE == pytest.approx(span.end_s - span.start_s)


@pytest.mark.parametrize("level", [0.0, 0.01, 0.3])
def test_noise_and_tones_are_no_speech(level: float) -> None:
    time_s = np.arange(5 * SAMPLE_RATE) / SAMPLE_RATE
    noise = np.random.default_rng(2).normal(size=len(time_s)).astype(np.float32) * level
    assert spans_of(noise) == []
    assert spans_of((level * np.sin(2 * np.pi * 440 * time_s)).astype(np.float32)) == []


@pytest.mark.parametrize("piece", [160, 4_000, 10**7])
def test_how_samples_are_fed_does_not_matter(piece: int) -> None:
    speech = demo_speech()
    whole, pieces = spans_of(speech), spans_of(speech, piece=piece)
    assert [(s.start_s, s.end_s) for s in pieces] == [(s.start_s, s.end_s) for s in whole]
    for a, b in zip(pieces, whole, strict=True):
        np.testing.assert_array_equal(a.samples, b.samples)


def test_a_breath_does_not_cut_and_a_click_is_no_speech() -> None:
    wave = steps((1, 0), (1, 0.9), (0.3, 0), (1, 0.9), (1, 0), (0.15, 0.9), (1, 0))
    (span,) = spans_of(wave, network=Loudness())
    assert span.start_s == pytest.approx(1 - PAD_S, abs=0.05)
    assert span.end_s == pytest.approx(3.3 + PAD_S, abs=0.05)


def test_unsure_chunks_go_on_with_speech_but_do_not_begin_it() -> None:
    wave = steps((1, 0.4), (1, 0.9), (1, 0.4), (1, 0))
    (span,) = spans_of(wave, network=Loudness())
    assert (span.start_s, span.end_s) == pytest.approx((1 - PAD_S, 3 + PAD_S), abs=0.05)


def test_long_speech_is_cut_where_the_voice_is_weakest_and_nothing_is_lost_or_given_twice() -> None:
    wave = steps((1, 0), (18, 0.9), (0.1, 0.5), (30, 0.9), (1, 0))
    spans = spans_of(wave, network=Loudness())
    assert max(span.end_s - span.start_s for span in spans) <= MAX_SPAN_S + 2 * PAD_S
    assert min(span.end_s - span.start_s for span in spans[:-1]) >= CUT_FROM_S
    assert spans[0].end_s == pytest.approx(19.0, abs=0.1)
    for before, after in pairwise(spans):
        assert before.end_s == after.start_s
    first, last = round(spans[0].start_s * SAMPLE_RATE), round(spans[-1].end_s * SAMPLE_RATE)
    np.testing.assert_array_equal(np.concatenate([span.samples for span in spans]), wave[first:last])


def test_padding_of_neighbours_does_not_overlap() -> None:
    spans = spans_of(steps((1, 0), (1, 0.9), (0.45, 0), (1, 0.9), (1, 0)), network=Loudness())
    assert len(spans) == 2
    assert spans[0].end_s <= spans[1].start_s


def test_a_hole_in_the_audio_closes_the_span_and_the_clock_goes_on() -> None:
    voice = VoiceActivity(Loudness())
    talk = steps((2, 0.9))
    spans = voice.feed(talk, 5.0) + voice.feed(talk, 20.0) + voice.finish()
    length_s = len(talk) / SAMPLE_RATE
    assert [(s.start_s, s.end_s) for s in spans] == [(5.0, 5.0 + length_s), (20.0, 20.0 + length_s)]


def test_hours_of_sound_are_not_kept() -> None:
    voice = VoiceActivity(Loudness())
    loud, mute = np.full(SAMPLE_RATE, 0.9, np.float32), np.zeros(SAMPLE_RATE, np.float32)
    tracemalloc.start()
    heard = 0.0
    for second in range(1200):
        for span in voice.feed(loud if second % 200 < 150 else mute, float(second)):
            heard += span.end_s - span.start_s
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert heard == pytest.approx(900, abs=10)
    assert peak < 8 * 2**20  # 25 s of samples are 1.6 MB; twenty minutes would be 77 MB
