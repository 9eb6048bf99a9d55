"""Samples as one vector a clip: through an encoder that is trained along, or through linear layers alone."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from merkit.data.batch import Batch, Tokens
from merkit.data.moments import moments_of
from merkit.errors import ConfigError
from merkit.models.dropout import Dropout
from merkit.models.hlm12erc.fusion import heads_of_degree
from merkit.models.pooling import build_pooling, hide
from merkit.models.streams import over_clips, rows_of
from merkit.models.tuned import WaveStates
from merkit.networks.speech_clock import SAMPLE_RATE
from merkit.networks.speech_encoder import SpeechEncoder

__all__ = ["SpeechVector", "WaveformLayers"]


class SpeechVector(nn.Module):
    """The states of an encoder of the wav2vec 2.0 kind, pooled over real ones.

    Args:
        encoder: over samples at 16 kHz.
        pooling: a name in `POOLINGS`; published: mean and largest side by side.
        out: width of the vector; 0 = as it comes.

    Example:
        >>> from merkit.networks.speech_pretrained import load_speech_encoder
        >>> SpeechVector(load_speech_encoder("wav2vec2-base", freeze_layers=0)).width  # doctest: +SKIP
        1536
    """

    def __init__(self, encoder: SpeechEncoder, pooling: str = "mean_max", out: int = 0) -> None:
        super().__init__()
        self.encoder = WaveStates(encoder)
        self.pool: Any = build_pooling(pooling, encoder.width)
        self.project: Any = nn.Linear(self.pool.width, out) if out else nn.Identity()
        self.width = out or self.pool.width

    def forward(self, tokens: Tokens, batch: Batch) -> tuple[Tensor, Tensor]:
        """Frames of samples `(R, N, T, F)` -> `(B, width)` and `(B,)` bool; zeros where a clip is too short for a state."""
        states = self.encoder(rows_of(over_clips(tokens), batch.size))
        x = self.project(self.pool(hide(states.x, states.mask), states.mask))
        return hide(x, states.present), states.present


class WaveformLayers(nn.Module):
    """A fixed number of samples through three linear layers: `n -> 3 o -> 2 o -> o`, ReLU and dropout behind each.

    What is missing at the end is zero. With `chunk_s` the layers read one stretch of the sound after another, and the
    stretches look at one another, residual and LayerNorm: attention over time, where the published one went over the batch.

    Args:
        max_s: seconds that are read.
        out: `o`.
        chunk_s: seconds of a stretch; 0 = all at once.
        degree: of the attention's heads (`heads_of_degree`).
        dropout: behind each layer.

    Raises:
        ConfigError: stretches longer than the whole.

    Example:
        >>> tokens = Tokens(torch.randn(1, 1, 30, 320), torch.ones(1, 1, 30) > 0)
        >>> WaveformLayers(1.0, out=8, chunk_s=0.25)(tokens, Batch(("a",), 1, {}))[0].shape
        torch.Size([1, 8])
    """

    def __init__(
        self, max_s: float, *, out: int = 256, chunk_s: float = 0.0, degree: int = 3, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.level: Tensor
        self.register_buffer("level", torch.tensor([0.0, 1.0]))  # of all samples: mean, deviation
        self.samples = round(max_s * SAMPLE_RATE)
        self.chunk = round(chunk_s * SAMPLE_RATE) or self.samples
        if not 0 < self.chunk <= self.samples:
            raise ConfigError(f"speech.chunk_s={chunk_s}: stretches of {max_s:g} s (speech.max_s) cannot be longer")
        self.width = out
        layers: list[nn.Module] = []
        for size, made in ((self.chunk, 3 * out), (3 * out, 2 * out), (2 * out, out)):
            layers += [nn.Linear(size, made), nn.ReLU(), Dropout(dropout)]
        self.layers = nn.Sequential(*layers)
        self.attention: Any = None
        if self.chunk < self.samples:
            self.attention = nn.MultiheadAttention(out, heads_of_degree(out, degree), batch_first=True)
            self.norm = nn.LayerNorm(out)

    def fit(self, x: Any) -> None:
        """Sets mean and deviation of all samples from the training tokens `(R, F)`; how loud a clip is, stays."""
        if len(x):
            found = moments_of(x)
            mean = float(found.mean.mean())
            variance = float(found.variance.mean() + found.mean.var())
            self.level.copy_(torch.tensor([mean, math.sqrt(variance) or 1.0]))

    def forward(self, tokens: Tokens, batch: Batch) -> tuple[Tensor, Tensor]:
        """Frames of samples `(R, N, T, F)` -> `(B, o)`, zeros where a clip has none, and `(B,)` bool."""
        own = rows_of(over_clips(tokens), batch.size)
        # what is real stands on the left, or is brought there
        order = torch.sort((~own.mask).to(torch.uint8), dim=1, stable=True).indices
        x = hide((own.x - self.level[0]) / self.level[1], own.mask)
        x = x.take_along_dim(order[..., None], 1).flatten(1)
        chunks = -(-self.samples // self.chunk)
        x = nn.functional.pad(x[:, : self.samples], (0, max(chunks * self.chunk - min(x.shape[1], self.samples), 0)))
        length = (own.mask.sum(1) * own.x.shape[-1]).clamp(max=self.samples)
        begins = torch.arange(chunks, device=x.device) * self.chunk
        real = begins < length[:, None]  # (B, C)
        made = self.layers(x.unflatten(1, (chunks, self.chunk)))
        if self.attention is not None:
            alone = ~real.any(1, keepdim=True)  # attention over nothing is not a number
            found, _ = self.attention(made, made, made, key_padding_mask=~(real | alone), need_weights=False)
            made = self.norm(made + found)
        made = hide(made, real)
        return made.sum(1) / real.sum(1, keepdim=True).clamp_min(1), own.present
