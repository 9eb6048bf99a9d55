"""Voice activity: a stream of samples in, spans of speech out, with no more audio kept than the open span."""

from dataclasses import dataclass

import numpy as np
import torch

from merkit.networks.silero import CHUNK, CONTEXT, SileroVAD, load_silero

__all__ = ["SpeechSpan", "VoiceActivity"]

SAMPLE_RATE = 16_000
# Silero's own defaults for the two thresholds; the silence that ends a span is longer than theirs (0.1 s), so that
# a breath inside a sentence does not cut it.
SPEECH_ON, SPEECH_OFF = 0.5, 0.35
MIN_SILENCE_S, MIN_SPEECH_S, PAD_S = 0.4, 0.25, 0.3
# Whisper hears 30 s at once; a span is cut at its quietest chunk before that.
MAX_SPAN_S, CUT_FROM_S = 25.0, 15.0
_CHUNK_S = CHUNK / SAMPLE_RATE
_BLOCK = 1024  # chunks that the network sees at once: bounds memory where a whole recording is fed in one piece


@dataclass(frozen=True, slots=True, eq=False)
class SpeechSpan:
    """A stretch in which somebody speaks.

    Args:
        start_s: seconds on the clip's clock.
        end_s: seconds.
        samples: `(n,)` float32 mono at 16 kHz, from `start_s` to `end_s`.
    """

    start_s: float
    end_s: float
    samples: np.ndarray


class VoiceActivity:
    """Streaming speech detection for one clip.

    Args:
        network: shared between clips where given; else loaded.

    Example:
        >>> import numpy as np
        >>> voice = VoiceActivity()
        >>> voice.feed(np.zeros(48_000, np.float32), start_s=0.0), voice.finish()
        ([], [])
    """

    def __init__(self, network: SileroVAD | None = None) -> None:
        self._network = network or load_silero()
        self._state: tuple[torch.Tensor, torch.Tensor] | None = None
        self._audio = np.zeros(0, np.float32)  # from _audio_from on
        self._audio_from = 0  # index of the first kept sample, counted from _zero_s
        self._judged = 0  # samples that have a probability
        self._zero_s = 0.0
        self._open: int | None = None  # chunk index where the open span begins
        self._quiet = 0  # chunks of silence at the end of the open span
        self._prob: list[float] = []  # probabilities of the open span's chunks
        self._given = 0  # index after the last sample that a span was given: spans never overlap
        self._begun = False

    def feed(self, samples: np.ndarray, start_s: float) -> list[SpeechSpan]:
        """Takes the next samples and returns the spans that they close.

        Args:
            samples: `(n,)` float32 mono at 16 kHz.
            start_s: seconds of the first sample. A hole to what came before closes the open span.
        """
        spans: list[SpeechSpan] = []
        reach_s = self._zero_s + (self._audio_from + len(self._audio)) / SAMPLE_RATE
        if not self._begun or abs(start_s - reach_s) > 0.05:
            spans += self.finish()
            self._zero_s, self._begun = start_s, True
        self._audio = np.concatenate([self._audio, samples.astype(np.float32, copy=False)])
        return spans + self._judge()

    def finish(self) -> list[SpeechSpan]:
        """Closes the open span, if there is one, and is ready for another stretch of samples."""
        spans: list[SpeechSpan] = []
        if self._begun:
            end = self._audio_from + len(self._audio)
            # the last chunk is filled up with silence to be judged; no span keeps any of that
            self._audio = np.pad(self._audio, (0, -(end - self._judged) % CHUNK))
            spans = self._judge()
            self._audio = self._audio[: max(0, end - self._audio_from)]
            if self._open is not None:
                spans += self._close(min(self._judged // CHUNK - self._quiet, -(-end // CHUNK)))
        self._state, self._audio, self._audio_from, self._judged = None, np.zeros(0, np.float32), 0, 0
        self._open, self._quiet, self._prob, self._given, self._begun = None, 0, [], 0, False
        return spans

    @torch.inference_mode()
    def _judge(self) -> list[SpeechSpan]:
        """Gives every complete new chunk a probability and moves the state machine on."""
        spans: list[SpeechSpan] = []
        while count := min((self._audio_from + len(self._audio) - self._judged) // CHUNK, _BLOCK):
            spans += self._judge_block(count)
        return spans

    def _judge_block(self, count: int) -> list[SpeechSpan]:
        new = self._audio[self._judged - self._audio_from :]
        before = self._audio[max(0, self._judged - self._audio_from - CONTEXT) : self._judged - self._audio_from]
        stretch = np.concatenate([np.zeros(CONTEXT - len(before), np.float32), before, new[: count * CHUNK]])
        windows = np.lib.stride_tricks.sliding_window_view(stretch, CONTEXT + CHUNK)[::CHUNK]
        prob, self._state = self._network(torch.from_numpy(windows.copy()), self._state)
        spans: list[SpeechSpan] = []
        for p in prob.tolist():
            self._judged += CHUNK
            spans += self._advance(p, self._judged // CHUNK - 1)
        self._forget()
        return spans

    def _advance(self, prob: float, chunk: int) -> list[SpeechSpan]:
        if self._open is None:
            if prob < SPEECH_ON:
                return []
            self._open, self._quiet, self._prob = chunk, 0, []
        self._prob.append(prob)
        self._quiet = self._quiet + 1 if prob < SPEECH_OFF else 0
        length = len(self._prob)
        if self._quiet * _CHUNK_S >= MIN_SILENCE_S:
            return self._close(chunk + 1 - self._quiet)
        if length * _CHUNK_S >= MAX_SPAN_S:
            # no pause for too long: cut where the voice is least sure and go on from there
            first = round(CUT_FROM_S / _CHUNK_S)
            cut = first + int(np.argmin(self._prob[first:]))
            rest = self._prob[cut:]
            at = self._open + cut
            spans = self._close(at, pad=False)
            self._open, self._prob = at, rest
            self._quiet = next((i for i, p in enumerate(reversed(rest)) if p >= SPEECH_OFF), len(rest))
            return spans
        return []

    def _close(self, end_chunk: int, *, pad: bool = True) -> list[SpeechSpan]:
        assert self._open is not None
        begin = self._open * CHUNK
        end = min(end_chunk * CHUNK, self._audio_from + len(self._audio))
        self._open, self._quiet, self._prob = None, 0, []
        if end - begin < MIN_SPEECH_S * SAMPLE_RATE:
            return []
        padding = round(PAD_S * SAMPLE_RATE)
        first = max(begin - padding, self._audio_from, self._given)
        last = min(end + (padding if pad else 0), self._audio_from + len(self._audio))
        self._given = last
        samples = self._audio[first - self._audio_from : last - self._audio_from].copy()
        return [SpeechSpan(self._zero_s + first / SAMPLE_RATE, self._zero_s + last / SAMPLE_RATE, samples)]

    def _forget(self) -> None:
        """Drops audio that no span can still need."""
        needed = (self._open * CHUNK if self._open is not None else self._judged) - round(PAD_S * SAMPLE_RATE) - CONTEXT
        drop = needed - self._audio_from
        if drop > 0:
            self._audio = self._audio[drop:].copy()
            self._audio_from = needed
