"""Pretrained encoders that are trained along with what reads them: tokens of ids or samples in, tokens of states out."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from merkit.data.batch import Tokens
from merkit.networks.speech_clock import SAMPLE_RATE
from merkit.networks.speech_encoder import SpeechEncoder
from merkit.networks.text_encoder import TextEncoder

__all__ = ["TextStates", "WaveStates"]


class TextStates(nn.Module):
    """Token ids -> the states of a text encoder, one each.

    Args:
        encoder: of the vocabulary that the ids are of.
    """

    def __init__(self, encoder: TextEncoder) -> None:
        super().__init__()
        self.encoder, self.width = encoder, encoder.width

    def forward(self, tokens: Tokens) -> Tokens:
        """Ids `(R, T, 1)` -> `(R, T, D)`."""
        # ids travel as float32, exact for whole numbers up to 2**24
        return Tokens(self.encoder.states(tokens.x[..., 0].long(), tokens.mask), tokens.mask, tokens.times)


class WaveStates(nn.Module):
    """Frames of samples -> the states of a speech encoder, whose tokens are other ones than the frames.

    Frames that follow one another are one waveform. Where frames have times and one does not begin where the last one ended,
    another waveform begins, so that a stretch of voice has the states that it has alone: those that a frozen encoder stores.

    Args:
        encoder: over samples at 16 kHz.
    """

    def __init__(self, encoder: SpeechEncoder) -> None:
        super().__init__()
        self.encoder, self.width = encoder, encoder.width

    def forward(self, tokens: Tokens) -> Tokens:
        """Frames `(R, T, F)` of `F` samples each -> `(R, T', D)`; a row too short for one state has none."""
        waves: list[Tensor] = []
        owner: list[int] = []
        for row in tokens.mask.any(1).nonzero()[:, 0].tolist():
            real = tokens.mask[row]
            times = None if tokens.times is None else tokens.times[row][real]
            samples = tokens.x[row][real]
            for first, last in _stretches(times, len(samples), samples.shape[1] / SAMPLE_RATE):
                wave = samples[first:last].flatten()
                parts = [wave[a:b] for a, b in self.encoder.parts(len(wave))]
                waves += parts
                owner += [row] * len(parts)
        if not waves:
            shape = (len(tokens.mask), 1)
            return Tokens(tokens.x.new_zeros(*shape, self.width), tokens.mask.new_zeros(shape))
        lengths = torch.tensor([len(wave) for wave in waves], device=tokens.x.device)
        samples = nn.utils.rnn.pad_sequence(waves, batch_first=True)
        mask = torch.arange(samples.shape[1], device=samples.device) < lengths[:, None]
        return _by_row(*self.encoder(samples, mask), owner, len(tokens.mask))


def _stretches(times: Tensor | None, count: int, frame_s: float) -> list[tuple[int, int]]:
    """First and last frame (excluded) of everything between two gaps."""
    if times is None:
        return [(0, count)]
    # of two utterances side by side, the first may have lost its last few samples: the next frame is late by them
    breaks = ((times[1:] - times[:-1] - frame_s).abs() > 0.5 / SAMPLE_RATE).nonzero()[:, 0] + 1
    return list(pairwise([0, *breaks.tolist(), count]))


def _by_row(states: Tensor, mask: Tensor, owner: list[int], rows: int) -> Tokens:
    """States `(W, T, D)` of waves, those of one row one behind the other."""
    of: Any = torch.tensor(owner, device=states.device)
    wave, step = mask.nonzero(as_tuple=True)
    row = of[wave]
    counts = torch.bincount(row, minlength=rows)
    place = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
    there = torch.arange(max(int(counts.max()), 1), device=row.device) < counts[:, None]
    x = states.new_zeros(*there.shape, states.shape[-1]).index_put((row, place), states[wave, step])
    return Tokens(x, there)
