"""A learned encoder of physiology: raw windows of ECG, skin conductance, temperature, beat intervals … in, one state each out.

It reads tokens of `merkit.features.physiology_windows`: the samples of one channel after another, then one column a
channel that is 1 where the channel was measured. It stands where another modality has its projection, so every model
that pools or fuses tokens can have it.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from merkit.data.batch import Tokens
from merkit.data.persons import Measured, centre_and_scale_of
from merkit.errors import ConfigError
from merkit.models.dropout import Dropout

if TYPE_CHECKING:
    from merkit.data.stored import StoredRows

__all__ = ["ChannelEncoder", "PhysiologyEncoder"]

# Each block of a channel's encoder sees a quarter of the steps of the one before; below this many it is no longer worth it.
_FEWEST_STEPS = 24
_STRIDE = 4
# Deviations smaller than this share of the training windows' are as good as none.
_STILL = 1e-2


class ChannelEncoder(nn.Module):
    """Windows of one signal -> one vector each: 1-D convolutions over the wave, and beside them how high it lies and how
    far it swings.

    Convolutions (width 7, stride 4, as many as bring the wave below 24 steps) see the window without its own mean; each
    is followed by a norm over the window and GELU, so that a window's answer hangs on that window alone. Mean and maximum
    over time, the window's mean and the logarithm of its deviation make the vector.

    Args:
        samples: of a window.
        width: `D` of the vector.
        hidden: convolution channels.

    Example:
        >>> ChannelEncoder(1280, width=32)(torch.randn(5, 1280)).shape
        torch.Size([5, 32])
    """

    def __init__(self, samples: int, width: int, hidden: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before, steps = 1, samples
        while not layers or steps > _FEWEST_STEPS:
            layers += [
                nn.Conv1d(before, hidden, 7, _STRIDE if steps > _FEWEST_STEPS else 1, padding=3),
                nn.GroupNorm(1, hidden),
                nn.GELU(),
            ]
            before, steps = hidden, -(-steps // _STRIDE) if steps > _FEWEST_STEPS else steps
        self.convolutions = nn.Sequential(*layers)
        self.out = nn.Linear(2 * hidden + 2, width)

    def forward(self, x: Tensor) -> Tensor:
        """`(M, S)` on a common scale to `(M, D)`."""
        level = x.mean(1, keepdim=True)
        wave = x - level
        swing = torch.log(wave.square().mean(1, keepdim=True) + _STILL**2) / 2
        found = self.convolutions(wave[:, None])
        return self.out(torch.cat([found.mean(2), found.amax(2), level, swing], 1))


class PhysiologyEncoder(nn.Module):
    """Raw windows -> states; a token of the one is a token of the other.

    Only real tokens are computed, and of each only the channels that were measured: neither padding nor a missing signal
    costs anything or can be seen. A channel that is missing has a learned vector in its place. A token without any
    channel is masked in what comes out.

    Values are brought to the scale of the training windows, each channel with one centre and one scale (`fit`); people
    differ far more than windows of a person do, so scale by person first (`merkit.data.persons.normalise_by_person`).

    Args:
        samples: channel -> samples of a window, in order: `window_layout(params).samples`.
        width: `D` of the states.
        hidden: convolution channels.
        dropout: on the states before the last layer.

    Raises:
        ConfigError: no channel, or a window without samples.

    Example:
        >>> encoder = PhysiologyEncoder({"ecg": 1280, "eda": 40}, width=16).eval()
        >>> x = torch.randn(2, 1, 3, 1322)
        >>> x[..., -2:] = torch.tensor([1.0, 0.0])           # ECG was measured, skin was not
        >>> states = encoder(Tokens(x, torch.ones(2, 1, 3) > 0))
        >>> states.x.shape, bool(states.mask.all())
        (torch.Size([2, 1, 3, 16]), True)
    """

    def __init__(self, samples: Mapping[str, int], width: int = 64, *, hidden: int = 32, dropout: float = 0.1) -> None:
        super().__init__()
        if not samples or min(samples.values()) < 1:
            raise ConfigError(f"an encoder of physiology needs channels with samples, not {dict(samples)}")
        self.samples, self.width = dict(samples), width
        self.dim = sum(samples.values()) + len(samples)
        """Width of the tokens that it reads."""
        self.channels: Any = nn.ModuleDict(
            {name: ChannelEncoder(count, width, hidden) for name, count in samples.items()}
        )
        self.absent: Any = nn.ParameterDict({name: torch.zeros(width) for name in samples})
        self.norm, self.dropout, self.out = nn.LayerNorm(width), Dropout(dropout), nn.Linear(width, width)
        self.centre: Tensor
        self.scale: Tensor
        self.register_buffer("centre", torch.zeros(len(samples)))
        self.register_buffer("scale", torch.ones(len(samples)))

    @property
    def measured(self) -> tuple[Measured, ...]:
        """Which columns are one channel."""
        first, found = 0, []
        for i, count in enumerate(self.samples.values()):
            found.append(Measured(slice(first, first + count), self.dim - len(self.samples) + i, True))
            first += count
        return tuple(found)

    def fit(self, x: "np.ndarray | StoredRows") -> None:
        """Sets each channel's centre and scale from the tokens `x (R, D)` of the TRAINING part in which it was measured.

        Raises:
            ConfigError: tokens of another width.
        """
        self._check(x.shape[1])
        if not len(x):
            return
        centre, scale, _ = centre_and_scale_of(np.asarray(x[:]), self.measured)
        first = [part.columns.start for part in self.measured]
        self.centre.copy_(torch.from_numpy(centre[first]))
        self.scale.copy_(torch.from_numpy(np.where(scale > 0, scale, 1.0)[first]))

    def per_column(self) -> tuple[np.ndarray, np.ndarray]:
        """Centre and scale of each column, both `(D,)`: what `merkit.data.persons.check_scales` asks for."""
        centre, scale = np.zeros(self.dim), np.ones(self.dim)
        for i, part in enumerate(self.measured):
            centre[part.columns], scale[part.columns] = float(self.centre[i]), float(self.scale[i])
        return centre, scale

    def forward(self, tokens: Tokens) -> Tokens:
        """`(…, T, D)` raw windows to `(…, T, width)` states.

        Raises:
            ConfigError: tokens of another width.
        """
        self._check(tokens.x.shape[-1])
        x = tokens.x[tokens.mask]  # (M, D): what is real
        there = x[:, -len(self.samples) :] > 0.5
        states = x.new_zeros(len(x), self.width)
        for i, (name, part) in enumerate(zip(self.samples, self.measured, strict=True)):
            rows = there[:, i].nonzero()[:, 0]
            values = (x[rows, part.columns] - self.centre[i]) / self.scale[i]
            if len(rows):
                states = states.index_add(0, rows, self.channels[name](values))
            states = states + (~there[:, i, None]) * self.absent[name]
        states = self.out(self.dropout(F.gelu(self.norm(states))))
        some = there.any(1)
        mask = tokens.mask.clone()
        mask[tokens.mask] = some
        out = states.new_zeros(*mask.shape, self.width)
        out[mask] = states[some]
        return Tokens(out, mask, tokens.times)

    def _check(self, dim: int) -> None:
        if dim != self.dim:
            raise ConfigError(
                f"tokens of physiology are {dim} wide; windows of {_told(self.samples)} are {self.dim} wide: extract with "
                "physiology-windows and the same parameters"
            )


def _told(samples: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in samples.items())
