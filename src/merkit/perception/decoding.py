"""Greedy decoding of Whisper with timestamps, all windows of a batch at once.

The rules are the published ones (Radford et al. 2022, section 4.5, and the code released with it): timestamps come in
pairs and never go back, text gives way to a timestamp where the timestamps together are likelier than any one word,
symbols that stand for no speech are barred. They are masks over the whole batch, so the only Python per token is the
loop itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from merkit.networks.whisper import Whisper

__all__ = ["END", "TIME_0", "TIME_STEP_S", "Heard", "decode"]

# ids of the English-only vocabulary
END, START, NO_SPEECH, TIME_0 = 50_256, 50_257, 50_361, 50_363
TIME_STEP_S = 0.02
MAX_TOKENS = 200
_FIRST_WITHIN = 50  # a window opens with a timestamp in its first second


@dataclass(frozen=True, slots=True)
class Heard:
    """What was decoded from one window.

    Args:
        tokens: ids without the closing one.
        log_prob: mean natural log-probability of the tokens, the closing one included.
        no_speech_prob: the model's probability that nobody speaks, in [0, 1].
        finished: False where decoding ran into its limit of tokens.
    """

    tokens: tuple[int, ...]
    log_prob: float
    no_speech_prob: float
    finished: bool


@torch.inference_mode()
def decode(model: Whisper, mel: Tensor, durations_s: Sequence[float], barred: Tensor) -> list[Heard]:
    """The likeliest next token, again and again, for every window until it ends.

    Args:
        model: the network, in the number type it shall compute in.
        mel: `(B, 80, T)` float32, padded with silence.
        durations_s: seconds of each window that are not padding: no timestamp lies beyond.
        barred: ids that are never said.
    """
    states = model.encode(mel.to(model.places.dtype))[-1]
    cache = model.begin(states)
    count = len(mel)
    alive = torch.arange(count)
    said = torch.full((count, MAX_TOKENS), END)
    total = torch.zeros(count)
    length = torch.zeros(count, dtype=torch.long)
    rules = _Rules(torch.tensor([round(duration_s / TIME_STEP_S) for duration_s in durations_s]), barred)
    logit = model.step(torch.full((count, 1), START), cache).float()
    no_speech = torch.softmax(logit, -1)[:, NO_SPEECH]
    for step in range(MAX_TOKENS):
        chosen, log_prob = rules.choose(logit)
        said[alive, step] = chosen
        total[alive] += log_prob
        length[alive] += 1
        rows = torch.nonzero(chosen != END)[:, 0]
        if len(rows) < len(alive):
            alive, chosen = alive[rows], chosen[rows]
            if not len(alive):
                break
            cache.keep(rows)
            rules.keep(rows)
        if step < MAX_TOKENS - 1:
            logit = model.step(chosen[:, None], cache).float()
    finished = said[:, -1] == END
    return [
        Heard(
            tuple(token for token in said[i, : int(length[i])].tolist() if token != END),
            float(total[i] / length[i]),
            float(no_speech[i]),
            bool(finished[i]),
        )
        for i in range(count)
    ]


class _Rules:
    """What may follow in each window: the state of the timestamp grammar as arrays over the batch.

    A window reads `<t> words <t> <t> words <t> … end`. `_opened` is True after a timestamp that no other may follow,
    `_closed` after one that only another timestamp or the end may follow.
    """

    def __init__(self, last_place: Tensor, barred: Tensor) -> None:
        self._last_place = last_place  # (B,) highest timestamp, in steps
        self._barred = barred
        self._earliest = torch.zeros_like(last_place)
        self._opened = torch.zeros(len(last_place), dtype=torch.bool)
        self._closed = torch.zeros(len(last_place), dtype=torch.bool)
        self._begun = False

    def choose(self, logit: Tensor) -> tuple[Tensor, Tensor]:
        """The next token of each window `(B,)` and its log-probability `(B,)`; `logit (B, V)` is overwritten."""
        logit[:, self._barred] = -torch.inf
        text, time = logit[:, :TIME_0], logit[:, TIME_0:]
        place = torch.arange(time.shape[1])
        if not self._begun:
            text.fill_(-torch.inf)
            last = self._last_place.clamp(max=_FIRST_WITHIN)
            time.masked_fill_(place > last[:, None], -torch.inf)
        else:
            last = torch.maximum(self._last_place, self._earliest)
            time.masked_fill_((place < self._earliest[:, None]) | (place > last[:, None]), -torch.inf)
            time.masked_fill_(self._opened[:, None], -torch.inf)
            text[:, :END].masked_fill_(self._closed[:, None], -torch.inf)
        best_text, best_time = text.max(-1), time.max(-1)
        all_time = torch.logsumexp(time, -1)
        is_time = all_time > best_text.values
        chosen = torch.where(is_time, best_time.indices + TIME_0, best_text.indices)
        everything = torch.where(is_time, all_time, torch.logsumexp(logit, -1))
        log_prob = torch.where(is_time, best_time.values, best_text.values) - everything
        closing = is_time & ~self._closed if self._begun else torch.zeros_like(is_time)
        # a phrase lasts longer than nothing; the next one may open where it closed
        self._earliest = torch.where(is_time, best_time.indices + ~closing, self._earliest)
        self._opened, self._closed, self._begun = is_time & ~closing, closing, True
        return chosen, log_prob

    def keep(self, rows: Tensor) -> None:
        """Drops windows that have ended."""
        self._last_place, self._earliest = self._last_place[rows], self._earliest[rows]
        self._opened, self._closed = self._opened[rows], self._closed[rows]
