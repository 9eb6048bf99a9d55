"""Spans, subtitle lines and phrases become utterances; every second of voice is used once."""

from dataclasses import dataclass

import numpy as np
import pytest

from merkit.features.utterances import UtteranceCollector, cut_long


@dataclass
class Words:
    start_s: float
    end_s: float
    text: str


@dataclass
class Span:
    start_s: float
    end_s: float
    samples: np.ndarray


def span(start_s: float, end_s: float) -> Span:
    # each sample holds its own time in seconds, so that slices can be checked by content
    return Span(start_s, end_s, np.arange(round(start_s * 16_000), round(end_s * 16_000)) / 16_000)


class Ear:
    """Fake speech extractor: one token a waveform, holding its first and last sample."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, inputs):
        self.calls += 1
        return [np.array([[x[0], x[-1]]]) for x in inputs]


class Scribe:
    name = "scribe"

    def transcribe(self, waveforms):
        return [
            [Words(0.0, 1.0, f"at {w[0]:.0f}"), Words(1.0, 99.0, "rest")] if len(w) > 16_000 else [] for w in waveforms
        ]


def test_phrases_become_utterances_with_their_own_voice() -> None:
    collector = UtteranceCollector(None, Scribe(), Ear())
    collector.add([span(2.0, 5.0), span(7.0, 7.5)])
    first, second, third = collector.finish()
    assert (first.start_s, first.end_s, first.text, first.source) == (2.0, 3.0, "at 2", "scribe")
    assert (second.start_s, second.end_s, second.text) == (3.0, 5.0, "rest")  # clamped to the span
    np.testing.assert_allclose(second.speech, [[3.0, 5.0 - 1 / 16_000]])
    assert third.text is None  # too short for words: still voice
    np.testing.assert_allclose(third.speech[0, 0], 7.0)


def test_subtitle_lines_gather_their_voice_and_leave_the_rest_wordless() -> None:
    lines = [Words(1.0, 3.0, "one"), Words(3.5, 4.0, "two"), Words(20.0, 21.0, "silent")]
    collector = UtteranceCollector(lines, None, Ear())
    collector.add([span(0.0, 1.5), span(2.5, 6.0)])
    found = {(u.start_s, u.text): u for u in collector.finish()}
    np.testing.assert_allclose(found[1.0, "one"].speech[:, 0], [1.0, 2.5])  # two spans of voice in one line
    np.testing.assert_allclose(found[3.5, "two"].speech[:, 0], [3.5])
    assert found[20.0, "silent"].speech is None
    assert sorted(start for start, text in found if text is None) == [0.0, 3.0, 4.0]


def test_without_words_long_speech_is_cut_evenly() -> None:
    collector = UtteranceCollector(None, None, Ear())
    collector.add([span(0.0, 20.0)])
    lengths = [u.end_s - u.start_s for u in collector.finish()]
    assert len(lengths) == 3
    assert max(lengths) == pytest.approx(min(lengths))


def test_work_is_batched_and_samples_are_not_kept() -> None:
    ear = Ear()
    collector = UtteranceCollector(None, None, ear)
    for i in range(20):
        collector.add([span(10.0 * i, 10.0 * i + 6.0)])
    assert ear.calls == 2  # 120 s of speech in batches of 60 s
    assert not collector._waiting
    assert len(collector.finish()) == 20


def test_cut_long_covers_everything() -> None:
    parts = cut_long(3.0, 3.0 + 8.0)
    assert parts == [(3.0, 11.0)]
