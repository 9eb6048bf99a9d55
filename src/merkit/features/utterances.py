"""Speech spans in, utterances out: what was said, when, and the waveform that belongs to it.

An utterance is the unit that the text and speech heads judge. Where subtitles are given their lines are the
utterances and voice activity only says where the voice really is; where not, each span of speech is transcribed and
the recogniser's phrases are the utterances. Spans are handled in batches and their samples dropped at once, so an
hour of talk needs no more memory than a minute.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

from merkit.features.extractor import Extractor

__all__ = ["Utterance", "UtteranceCollector", "cut_long"]

SAMPLE_RATE = 16_000
# The speech corpora behind the heads hold utterances of 2 to 6 s: longer stretches are cut, shorter ones left alone.
MAX_UTTERANCE_S = 8.0
# A piece of voice shorter than this says nothing that a head was trained on.
MIN_PIECE_S = 0.3
# Transcribe and encode once this much speech waits: enough to fill a batch, little enough to stay small in memory.
BATCH_S = 60.0


class _Words(Protocol):
    """A line of a subtitle file or a phrase of a recogniser."""

    @property
    def start_s(self) -> float: ...
    @property
    def end_s(self) -> float: ...
    @property
    def text(self) -> str: ...


class _Span(Protocol):
    @property
    def start_s(self) -> float: ...
    @property
    def end_s(self) -> float: ...
    @property
    def samples(self) -> np.ndarray: ...


class _Recogniser(Protocol):
    name: str

    def transcribe(self, waveforms: Sequence[np.ndarray]) -> Sequence[Sequence[_Words]]: ...


@dataclass(slots=True, eq=False)
class Utterance:
    """One unit of talk.

    Args:
        start_s: seconds on the clip's clock.
        end_s: seconds.
        text: the words, or None where nobody transcribed them.
        source: `subtitles`, or the recogniser's name; None where there are no words.
        speech: `(T, D)` speech tokens of the voice inside the utterance; None where there is none.
        speech_s: `(T, 2)` start and end of each speech token in seconds on the clip's clock; None where its extractor gives
            none, and tokens are spread evenly over the utterance.
    """

    start_s: float
    end_s: float
    text: str | None = None
    source: str | None = None
    speech: np.ndarray | None = None
    speech_s: np.ndarray | None = None


# an utterance, the voice that belongs to it, and when that begins in seconds
_Piece = tuple[Utterance, np.ndarray, float]


def cut_long(start_s: float, end_s: float, max_s: float = MAX_UTTERANCE_S) -> list[tuple[float, float]]:
    """Cuts a stretch into equal parts no longer than `max_s`.

    Example:
        >>> cut_long(1.0, 18.0)
        [(1.0, 6.666666666666667), (6.666666666666667, 12.333333333333334), (12.333333333333334, 18.0)]
    """
    parts = max(1, int(np.ceil((end_s - start_s) / max_s - 1e-9)))
    edges = np.linspace(start_s, end_s, parts + 1)
    return [(float(a), float(b)) for a, b in pairwise(edges)]


class UtteranceCollector:
    """Takes spans of speech as they close and keeps utterances.

    Args:
        cues: the lines of a subtitle file, in time order; None where there is none.
        recogniser: transcribes spans where there are no cues; None leaves the words out.
        speech: makes speech tokens; None leaves them out.
    """

    def __init__(
        self,
        cues: Sequence[_Words] | None,
        recogniser: _Recogniser | None,
        speech: Extractor | None,
        cue_source: str = "subtitles",
    ) -> None:
        self._recogniser = recogniser
        self._speech = speech
        self._cues = None if cues is None else [Utterance(c.start_s, c.end_s, c.text, cue_source) for c in cues]
        self._cue_start = np.array([c.start_s for c in self._cues or []])
        self._cue_end = np.array([c.end_s for c in self._cues or []])
        self._found: list[Utterance] = []
        self._waiting: list[_Span] = []
        self._waiting_s = 0.0
        self.speech_s = 0.0
        self.least_s = max(MIN_PIECE_S, getattr(speech, "least_s", 0.0))

    def add(self, spans: Sequence[_Span]) -> None:
        """Takes spans that voice activity has closed."""
        for span in spans:
            self._waiting.append(span)
            self._waiting_s += span.end_s - span.start_s
            self.speech_s += span.end_s - span.start_s
        if self._waiting_s >= BATCH_S:
            self._work()

    def finish(self) -> list[Utterance]:
        """All utterances in time order, subtitle lines without voice included."""
        self._work()
        return sorted((self._cues or []) + self._found, key=lambda u: (u.start_s, u.end_s))

    def _work(self) -> None:
        spans, self._waiting, self._waiting_s = self._waiting, [], 0.0
        if not spans:
            return
        if self._cues is not None:
            pieces = [piece for span in spans for piece in self._by_cues(span)]
        elif self._recogniser is not None:
            phrases = self._recogniser.transcribe([span.samples for span in spans])
            pieces = [p for span, said in zip(spans, phrases, strict=True) for p in self._by_phrases(span, said)]
        else:
            pieces = [p for span in spans for p in self._wordless(span, span.start_s, span.end_s)]
        if self._speech is None:
            return
        pieces = [piece for piece in pieces if len(piece[1]) >= self.least_s * SAMPLE_RATE]
        waves = [samples for _, samples, _ in pieces]
        timed = getattr(self._speech, "timed", None)
        if timed is None:
            for (utterance, _, _), tokens in zip(pieces, self._speech(waves), strict=True):
                utterance.speech = _behind(utterance.speech, tokens)
            return
        for (utterance, _, begins_s), tokens in zip(pieces, timed(waves), strict=True):
            utterance.speech = _behind(utterance.speech, tokens.x)
            spans_s = begins_s + np.stack([tokens.start_s, tokens.end_s], 1)
            utterance.speech_s = _behind(utterance.speech_s, spans_s)

    def _by_cues(self, span: _Span) -> list[_Piece]:
        """The span cut at the subtitle lines it overlaps; voice that no line covers becomes wordless utterances."""
        assert self._cues is not None
        pieces = []
        free_from = span.start_s
        for i in np.flatnonzero((self._cue_end > span.start_s) & (self._cue_start < span.end_s)):
            cue = self._cues[i]
            start_s, end_s = max(cue.start_s, span.start_s), min(cue.end_s, span.end_s)
            pieces.append((cue, *_slice(span, start_s, end_s)))
            pieces += self._wordless(span, free_from, start_s)
            free_from = max(free_from, end_s)
        return pieces + self._wordless(span, free_from, span.end_s)

    def _by_phrases(self, span: _Span, said: Sequence[_Words]) -> list[_Piece]:
        """The recogniser's phrases (times relative to the span) as utterances; a span without words stays wordless."""
        assert self._recogniser is not None
        if not said:
            return self._wordless(span, span.start_s, span.end_s)
        pieces = []
        for phrase in said:
            start_s = min(span.start_s + phrase.start_s, span.end_s)
            end_s = min(span.start_s + phrase.end_s, span.end_s)
            utterance = Utterance(start_s, end_s, phrase.text, self._recogniser.name)
            self._found.append(utterance)
            pieces.append((utterance, *_slice(span, start_s, end_s)))
        return pieces

    def _wordless(self, span: _Span, start_s: float, end_s: float) -> list[_Piece]:
        if self._speech is None or end_s - start_s < MIN_PIECE_S:
            return []
        pieces = []
        for part_start_s, part_end_s in cut_long(start_s, end_s):
            utterance = Utterance(part_start_s, part_end_s)
            self._found.append(utterance)
            pieces.append((utterance, *_slice(span, part_start_s, part_end_s)))
        return pieces


def _behind(known: np.ndarray | None, new: np.ndarray) -> np.ndarray:
    """A subtitle line may gather several spans of voice."""
    return new if known is None else np.concatenate([known, new])


def _slice(span: _Span, start_s: float, end_s: float) -> tuple[np.ndarray, float]:
    first = max(0, round((start_s - span.start_s) * SAMPLE_RATE))
    last = min(len(span.samples), round((end_s - span.start_s) * SAMPLE_RATE))
    return span.samples[first:last], span.start_s + first / SAMPLE_RATE
