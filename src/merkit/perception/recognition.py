"""Speech to phrases: batched greedy Whisper with timestamps, and any Hugging Face recogniser by name.

Decoding follows the published rules (Radford et al. 2022, section 4.5): timestamps come in pairs and never go back,
text gives way to a timestamp where the timestamps together are likelier than any word, non-speech symbols are barred.
In place of the published temperature fallback a phrase that fails the published checks is left out: silence is
better than an invented sentence, and the voice is judged without its words.
"""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from merkit.errors import WeightError
from merkit.media.words import Cue
from merkit.networks.mel import log_mel
from merkit.networks.whisper import Whisper, load_whisper
from merkit.weights import locate

__all__ = ["HubRecogniser", "Recogniser"]

SAMPLE_RATE = 16_000
WINDOW_S = 30.0
MAX_TOKENS = 200
# Published checks: a phrase that compresses this well repeats itself; one this unlikely, where silence is likely, is noise.
MAX_COMPRESSION, MIN_LOG_PROB, NO_SPEECH_PROB = 2.4, -1.0, 0.6
_END, _START, _NO_SPEECH, _NO_TIMES, _TIME_0 = 50_256, 50_257, 50_361, 50_362, 50_363
_SPECIAL = [_START, *range(50_258, _NO_TIMES + 1)]


@dataclass(slots=True)
class _Heard:
    tokens: list[int]
    log_prob: float
    no_speech_prob: float


class Recogniser:
    """Whisper tiny.en from the catalogue: English only.

    Args:
        model: shared where given; else loaded from the cache.
        batch: windows decoded together.
        context_s: each window is padded with silence to a multiple of this many seconds. Whisper was trained on 30,
            and 10 gave the same words on real clips at a third of the cost; at 5 it begins to invent.
    """

    name = "whisper-tiny-en"

    def __init__(self, model: Whisper | None = None, *, batch: int = 8, context_s: float = 10.0) -> None:
        from tokenizers import Tokenizer

        folder = locate("whisper-tiny-en")
        self._model = model or load_whisper(folder)
        self._words = Tokenizer.from_file(str(folder / "tokenizer.json"))
        barred = json.loads((folder / "config.json").read_text())["suppress_ids"]
        self._barred = torch.tensor(sorted({*barred, *_SPECIAL}))
        self._barred_first = torch.tensor([220, _END])
        self._batch = batch
        self._context_s = context_s

    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[list[Cue]]:
        """Phrases of each waveform, with times relative to its first sample.

        Args:
            waveforms: `(n,)` float32 mono at 16 kHz each; longer than 30 s is cut into windows.
        """
        windows: list[tuple[int, float, np.ndarray]] = []
        for i, wave in enumerate(waveforms):
            for first in range(0, max(1, len(wave)), round(WINDOW_S * SAMPLE_RATE)):
                part = wave[first : first + round(WINDOW_S * SAMPLE_RATE)]
                windows.append((i, first / SAMPLE_RATE, part))
        # windows of like length share a batch: they end decoding at about the same step
        order = sorted(range(len(windows)), key=lambda w: len(windows[w][2]))
        heard: dict[int, _Heard] = {}
        for first in range(0, len(order), self._batch):
            some = order[first : first + self._batch]
            for w, one in zip(some, self._decode([windows[w][2] for w in some]), strict=True):
                heard[w] = one
        phrases: list[list[Cue]] = [[] for _ in waveforms]
        for w, (i, offset_s, wave) in enumerate(windows):
            for cue in self._phrases(heard[w], len(wave) / SAMPLE_RATE):
                phrases[i].append(Cue(offset_s + cue.start_s, offset_s + cue.end_s, cue.text))
        return phrases

    @torch.inference_mode()
    def _decode(self, waves: list[np.ndarray]) -> list[_Heard]:
        longest_s = max(len(wave) for wave in waves) / SAMPLE_RATE
        context_s = min(WINDOW_S, np.ceil(longest_s / self._context_s + 1e-9) * self._context_s)
        mel = torch.stack([log_mel(wave, round(context_s * SAMPLE_RATE)) for wave in waves])
        cache = self._model.begin(self._model.encode(mel)[-1])
        count = len(waves)
        tokens: list[list[int]] = [[] for _ in waves]
        total = np.zeros(count)
        logit = self._model.step(torch.full((count, 1), _START), cache)
        no_speech = torch.softmax(logit, -1)[:, _NO_SPEECH].tolist()
        alive = list(range(count))
        limit = [_TIME_0 + round(len(wave) / SAMPLE_RATE / 0.02) for wave in waves]
        for step in range(MAX_TOKENS):
            log_prob = self._ruled(logit, [tokens[i] for i in alive], [limit[i] for i in alive])
            best = log_prob.max(-1)
            chosen = best.indices.tolist()
            for row, i in enumerate(alive):
                tokens[i].append(chosen[row])
                total[i] += float(best.values[row])
            going = [row for row, token in enumerate(chosen) if token != _END]
            if not going or step == MAX_TOKENS - 1:
                break
            if len(going) < len(alive):
                cache.keep(torch.tensor(going))
                alive = [alive[row] for row in going]
            logit = self._model.step(torch.tensor([[chosen[row]] for row in going]), cache)
        return [_Heard(tokens[i], total[i] / max(1, len(tokens[i])), no_speech[i]) for i in range(count)]

    def _ruled(self, logit: torch.Tensor, said: list[list[int]], limit: list[int]) -> torch.Tensor:
        """Log-probabilities after the timestamp rules; `logit (B, V)`."""
        logit[:, self._barred] = -torch.inf
        for row, tokens in enumerate(said):
            if not tokens:
                logit[row, self._barred_first] = -torch.inf
                logit[row, :_TIME_0] = -torch.inf  # a window opens with a timestamp ...
                logit[row, _TIME_0 + 51 :] = -torch.inf  # ... in its first second
                continue
            last_is_time = tokens[-1] >= _TIME_0
            before_is_time = len(tokens) < 2 or tokens[-2] >= _TIME_0
            if last_is_time and before_is_time:
                logit[row, _TIME_0:] = -torch.inf  # a pair is complete: words follow
            elif last_is_time:
                logit[row, :_END] = -torch.inf  # a phrase has ended: the next one opens, or all ends
            times = [token for token in tokens if token >= _TIME_0]
            earliest = times[-1] if times else _TIME_0
            if not (last_is_time and not before_is_time):
                earliest += 1  # phrases last longer than nothing
            logit[row, _TIME_0:earliest] = -torch.inf
            logit[row, max(limit[row], earliest) + 1 :] = -torch.inf
        log_prob = torch.log_softmax(logit, -1)
        as_time = torch.logsumexp(log_prob[:, _TIME_0:], -1)
        rather_time = as_time > log_prob[:, :_TIME_0].max(-1).values
        log_prob[rather_time, :_TIME_0] = -torch.inf
        return log_prob

    def _phrases(self, heard: _Heard, length_s: float) -> list[Cue]:
        text = self._words.decode([t for t in heard.tokens if t < _END]).strip()
        if not any(letter.isalnum() for letter in text):
            return []
        if heard.no_speech_prob > NO_SPEECH_PROB and heard.log_prob < MIN_LOG_PROB:
            return []
        raw = text.encode()
        if len(raw) / len(zlib.compress(raw)) > MAX_COMPRESSION:
            return []
        cues, start_s, words = [], 0.0, []
        for token in [*heard.tokens, _END]:
            if token >= _TIME_0 or token == _END:
                at_s = min((token - _TIME_0) * 0.02, length_s) if token >= _TIME_0 else length_s
                phrase = self._words.decode(words).strip()
                if any(letter.isalnum() for letter in phrase) and at_s > start_s:
                    cues.append(Cue(start_s, at_s, phrase))
                start_s, words = at_s, []
                if token == _END:
                    break
            else:
                words.append(token)
        return cues


class HubRecogniser:
    """Any Hugging Face speech recogniser, by folder or by name. A name reaches the network where it is not cached.

    Args:
        name: a local folder, or a model name on the hub.
    """

    def __init__(self, name: str) -> None:
        from transformers import pipeline

        self.name = name
        try:
            self._pipe: Any = pipeline("automatic-speech-recognition", model=name, device="cpu")
        except (OSError, ValueError) as error:
            raise WeightError(f"no recogniser {name!r}: {error}") from None

    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[list[Cue]]:
        """As `Recogniser.transcribe`; a recogniser without timestamps gives one phrase per waveform."""
        out = []
        for wave in waveforms:
            said = self._pipe({"raw": wave, "sampling_rate": SAMPLE_RATE})
            text = said["text"].strip()
            out.append([Cue(0.0, len(wave) / SAMPLE_RATE, text)] if text else [])
        return out
