"""Speech to phrases: batched greedy Whisper with timestamps, and any Hugging Face recogniser by name.

In place of the published fallback over temperatures, which makes words depend on chance, a window that fails the
published checks is heard once more in the 30 s that Whisper was trained on. One that fails again is left out: silence
is better than an invented sentence, and the voice is judged without its words.
"""

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from merkit.errors import WeightError
from merkit.media.words import Cue
from merkit.networks.checkpoint import fast_dtype
from merkit.networks.mel import log_mel
from merkit.networks.whisper import Whisper, load_whisper
from merkit.perception.decoding import END, TIME_0, TIME_STEP_S, Heard, decode
from merkit.weights import locate

__all__ = ["HubRecogniser", "Recogniser"]

SAMPLE_RATE = 16_000
WINDOW_S = 30.0
MARGIN_S = 1.0  # with less silence behind the voice than this, sentences were invented to fill the window
# Published checks: a text that compresses this well repeats itself; one this unlikely is doubtful, and where silence is
# likely too it is noise.
MAX_COMPRESSION, MIN_LOG_PROB, NO_SPEECH_PROB = 2.4, -1.0, 0.6
# People do repeat themselves, loops of the decoder do so faster than anybody speaks or without end.
MAX_TOKENS_PER_S = 8.0
PAUSE_S = 0.5  # words of a recogniser without phrases are joined across shorter gaps
_SPECIAL = range(50_257, 50_363)  # start, languages, tasks, no speech, no timestamps: never said


class Recogniser:
    """Whisper tiny.en from the catalogue: English only.

    Args:
        model: shared where given, in the number type it shall compute in; else loaded from the cache in bfloat16 where
            the CPU multiplies that fast, which takes a third of the time and gave the same share of right words.
        batch: windows decoded together.
        context_s: each window is padded with silence to a multiple of this many seconds. Whisper was trained on 30. On
            96 RAVDESS utterances the word error rate was 2.4 % with 30, 3.0 % with 10 at a fifth of the time; with 5
            sentences repeat without end.
    """

    name = "whisper-tiny-en"

    def __init__(self, model: Whisper | None = None, *, batch: int = 8, context_s: float = 10.0) -> None:
        from tokenizers import Tokenizer

        folder = locate("whisper-tiny-en")
        self._model = model or load_whisper(folder).to(fast_dtype())
        self._words = Tokenizer.from_file(str(folder / "tokenizer.json"))
        barred = json.loads((folder / "config.json").read_text())["suppress_ids"]
        self._barred = torch.tensor(sorted({*barred, *_SPECIAL}))
        self._batch = batch
        self._context_s = context_s

    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[list[Cue]]:
        """Phrases of each waveform, with times relative to its first sample.

        Args:
            waveforms: `(n,)` float32 mono at 16 kHz each; longer than 30 s is cut into windows.
        """
        windows = _windows(waveforms)
        # the padding of a window follows from its own length alone, so that its words do not depend on its neighbours
        by_context: dict[float, list[int]] = {}
        for w, (_, _, part) in enumerate(windows):
            steps = math.ceil((len(part) / SAMPLE_RATE + MARGIN_S) / self._context_s)
            by_context.setdefault(min(WINDOW_S, steps * self._context_s), []).append(w)
        heard: dict[int, Heard] = {}
        doubtful: list[int] = []
        for context_s, some in sorted(by_context.items()):
            heard.update(zip(some, self._hear([windows[w][2] for w in some], context_s), strict=True))
            if context_s < WINDOW_S:
                doubtful += [w for w in some if self._doubtful(heard[w], len(windows[w][2]) / SAMPLE_RATE)]
        heard.update(zip(doubtful, self._hear([windows[w][2] for w in doubtful], WINDOW_S), strict=True))
        phrases: list[list[Cue]] = [[] for _ in waveforms]
        for w, (i, offset_s, part) in enumerate(windows):
            duration_s = len(part) / SAMPLE_RATE
            noise = heard[w].no_speech_prob > NO_SPEECH_PROB and heard[w].log_prob < MIN_LOG_PROB
            if noise or self._loops(heard[w], duration_s):
                continue
            for cue in self._phrases(heard[w], duration_s):
                phrases[i].append(Cue(offset_s + cue.start_s, offset_s + cue.end_s, cue.text))
        return phrases

    def _hear(self, parts: list[np.ndarray], context_s: float) -> list[Heard]:
        """What was said in windows that are all padded to `context_s`."""
        heard: dict[int, Heard] = {}
        # windows of like length share a batch: they end at about the same step
        order = sorted(range(len(parts)), key=lambda i: len(parts[i]))
        for first in range(0, len(order), self._batch):
            some = order[first : first + self._batch]
            mel = torch.stack([log_mel(parts[i], round(context_s * SAMPLE_RATE)) for i in some])
            durations_s = [len(parts[i]) / SAMPLE_RATE for i in some]
            heard.update(zip(some, decode(self._model, mel, durations_s, self._barred), strict=True))
        return [heard[i] for i in range(len(parts))]

    def _doubtful(self, heard: Heard, duration_s: float) -> bool:
        return heard.log_prob < MIN_LOG_PROB or self._loops(heard, duration_s)

    def _loops(self, heard: Heard, duration_s: float) -> bool:
        raw = self._text(heard.tokens).encode()
        repeats = len(raw) > MAX_COMPRESSION * len(zlib.compress(raw))
        return repeats and (not heard.finished or len(heard.tokens) > MAX_TOKENS_PER_S * duration_s)

    def _text(self, tokens: Sequence[int]) -> str:
        return self._words.decode([token for token in tokens if token < END]).strip()

    def _phrases(self, heard: Heard, duration_s: float) -> list[Cue]:
        """The words between timestamps, each stretch with its times."""
        cues: list[Cue] = []
        start_s, words = 0.0, []
        for token in [*heard.tokens, END]:
            if token < END:
                words.append(token)
                continue
            at_s = duration_s if token == END else min((token - TIME_0) * TIME_STEP_S, duration_s)
            text = self._text(words)
            if any(letter.isalnum() for letter in text) and at_s > start_s:
                cues.append(Cue(start_s, at_s, text))
            start_s, words = at_s, []
        return cues


class HubRecogniser:
    """Any Hugging Face speech recogniser, by folder or by name. A name reaches the network where it is not cached.

    Only weights stored as safetensors are read, and no code that comes with a model is run.

    Args:
        name: a local folder, or a model name on the hub.

    Raises:
        WeightError: no such recogniser, or it cannot be had from here.

    Example:
        >>> HubRecogniser("openai/whisper-small.en").transcribe([samples])  # doctest: +SKIP
        [[Cue(start_s=0.0, end_s=2.4, text='Kids are talking by the door.', speaker=None)]]
    """

    def __init__(self, name: str) -> None:
        from transformers import pipeline

        self.name = name
        try:
            self._pipe: Any = pipeline(
                "automatic-speech-recognition", model=name, device="cpu", model_kwargs={"use_safetensors": True}
            )
        except (OSError, ValueError, KeyError) as error:
            raise WeightError(f"no recogniser {name!r}: {error}") from None
        # what the pipeline can say about time depends on the kind of model
        kinds: dict[str, dict[str, Any]] = {
            "seq2seq_whisper": {"return_timestamps": True},
            "ctc": {"return_timestamps": "word"},
            "ctc_with_lm": {"return_timestamps": "word"},
        }
        self._options = kinds.get(self._pipe.type, {})

    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[list[Cue]]:
        """As `Recogniser.transcribe`; a recogniser that knows no times gives one phrase per window."""
        phrases: list[list[Cue]] = [[] for _ in waveforms]
        for i, offset_s, part in _windows(waveforms):
            duration_s = len(part) / SAMPLE_RATE
            said = self._pipe({"raw": np.array(part, np.float32), "sampling_rate": SAMPLE_RATE}, **self._options)
            pieces = said.get("chunks") or [{"text": said["text"], "timestamp": (0.0, duration_s)}]
            for start_s, end_s, text in _joined(
                pieces, duration_s, "" if self._pipe.type == "seq2seq_whisper" else " "
            ):
                phrases[i].append(Cue(offset_s + start_s, offset_s + end_s, text))
        return phrases


def _windows(waveforms: Sequence[np.ndarray]) -> list[tuple[int, float, np.ndarray]]:
    """Every waveform cut into windows of at most 30 s: whose it is, where it begins in seconds, its samples."""
    longest = round(WINDOW_S * SAMPLE_RATE)
    return [
        (i, first / SAMPLE_RATE, wave[first : first + longest])
        for i, wave in enumerate(waveforms)
        for first in range(0, len(wave), longest)
    ]


def _joined(pieces: Sequence[Mapping[str, Any]], duration_s: float, glue: str) -> list[tuple[float, float, str]]:
    """Phrases as they are; single words (`glue` is a blank) joined until a pause."""
    found: list[tuple[float, float, str]] = []
    for piece in pieces:
        text = piece["text"].strip()
        start_s, end_s = piece["timestamp"]
        start_s, end_s = start_s or 0.0, min(duration_s if end_s is None else end_s, duration_s)
        if not text or end_s <= start_s:
            continue
        if glue and found and start_s - found[-1][1] < PAUSE_S:
            found[-1] = (found[-1][0], end_s, f"{found[-1][2]}{glue}{text}")
        else:
            found.append((start_s, end_s, text))
    return found
