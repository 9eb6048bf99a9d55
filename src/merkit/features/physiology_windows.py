"""Physiology as it was measured: every window of the signals, resampled to fixed rates and laid out flat.

A learned encoder (`merkit.models.physiology`) reads these tokens. What stands where is told by `window_layout`, from the
parameters that an extractor is known by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
from scipy.signal import butter, sosfiltfilt

from merkit.features.extractor import extractor_id
from merkit.features.physiology import SignalLike, window_edges
from merkit.schema import TokenSequence

__all__ = ["DEFAULT_RATES_HZ", "PhysiologyWindowsExtractor", "WindowLayout", "window_layout"]

# Samples a second that are enough for what the encoder is to see: an R wave is 80 to 100 ms wide, a pulse wave has its
# notch below 10 Hz, skin changes within seconds, and 4 Hz is the usual rate of a row of beat intervals (Task Force of the
# ESC 1996, doi:10.1161/01.CIR.93.5.1043).
DEFAULT_RATES_HZ = {"ecg": 128.0, "eda": 4.0, "temperature": 4.0, "ibi": 4.0, "bvp": 32.0, "resp": 16.0}

# A channel is there if at least this share of the window lies within its samples.
_LEAST_COVERED = 0.5
# What is further from both neighbouring samples than this is not covered by them: the longest interval between beats.
_REACH_S = 2.0
# Corner of the filter before a signal is thinned, as a share of the new rate.
_CORNER = 0.4


@dataclass(frozen=True, slots=True)
class WindowLayout:
    """What the columns of a raw window are: the samples of one channel after another, then one column a channel that is 1
    where the channel was measured.

    Args:
        window_s: seconds of a whole window.
        rates_hz: channel -> samples a second, in order.

    Example:
        >>> layout = WindowLayout(10.0, {"eda": 4.0, "ibi": 2.0})
        >>> layout.samples, layout.width, layout.slices()
        ({'eda': 40, 'ibi': 20}, 62, {'eda': slice(0, 40, None), 'ibi': slice(40, 60, None)})
        >>> layout.present_at
        slice(60, 62, None)
    """

    window_s: float
    rates_hz: Mapping[str, float]

    @property
    def samples(self) -> dict[str, int]:
        """Channel -> samples a window: what `PhysiologyEncoder` is made with."""
        return {name: max(1, round(self.window_s * rate_hz)) for name, rate_hz in self.rates_hz.items()}

    @property
    def width(self) -> int:
        """`D`: all samples and one column a channel."""
        return sum(self.samples.values()) + len(self.rates_hz)

    @property
    def present_at(self) -> slice:
        """Columns that say which channels were measured, in the channels' order."""
        return slice(self.width - len(self.rates_hz), self.width)

    def slices(self) -> dict[str, slice]:
        """Channel -> columns of its samples."""
        ends = list(accumulate(self.samples.values()))
        return {name: slice(end - n, end) for (name, n), end in zip(self.samples.items(), ends, strict=True)}


def window_layout(params: Mapping[str, Any]) -> WindowLayout:
    """The layout of tokens of an extractor with these parameters.

    Args:
        params: of `PhysiologyWindowsExtractor`; what is left out has its default.

    Raises:
        ValueError: no such signal, or a number that is none.

    Example:
        >>> window_layout({"window_s": 5.0, "rates_hz": {"eda": 8.0}}).width
        41
    """
    return PhysiologyWindowsExtractor(**params).layout


class PhysiologyWindowsExtractor:
    """Signals to `(T, D)` raw windows; `layout` says what the columns are.

    An evenly sampled signal that has more samples than wanted is first freed of what lies above the new rate's reach (a
    zero-phase Butterworth low-pass of order 4 at 0.4 of that rate); other signals, beats among them, are read at the new
    instants by straight lines between their own samples. A window that is cut short by the recording's end holds its last
    value from there on.

    A channel is there in a window if at least half of the window lies within 2 s of its samples; else its columns are 0
    and so is its `present`. Windows in which no channel is there are left out. Values are in the signals' units:
    `merkit.features.physiology_persons` and the encoder bring them to a common scale.

    Args:
        window_s: length of a window in seconds.
        hop_s: from one window's start to the next.
        rates_hz: channel -> samples a second; None = `DEFAULT_RATES_HZ`, whose order is always that of the columns. Name
            the channels that a corpus has: absent ones cost columns.

    Raises:
        ValueError: no such signal, or a number that is none.

    Example:
        >>> from merkit.media import Signal
        >>> times_s = np.arange(80) / 4.0
        >>> extract = PhysiologyWindowsExtractor(10.0, 5.0, {"ecg": 100.0, "eda": 2.0})
        >>> tokens = extract([Signal("eda", "µS", times_s, times_s, 4.0)])
        >>> tokens.x.shape, tokens.x[:, extract.layout.present_at].tolist()
        ((3, 1022), [[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    """

    name = "physiology-windows"
    version = 1
    modality = "physiology"
    weights: tuple[str, ...] = ()

    def __init__(self, window_s: float = 10.0, hop_s: float = 5.0, rates_hz: Mapping[str, float] | None = None) -> None:
        given = DEFAULT_RATES_HZ if rates_hz is None else rates_hz
        # always in one order: a store keeps parameters with their keys sorted
        rates = {name: float(given[name]) for name in DEFAULT_RATES_HZ if name in given}
        if unknown := sorted(set(given) - set(DEFAULT_RATES_HZ)):
            raise ValueError(f"no signal {', '.join(unknown)}; there are {', '.join(DEFAULT_RATES_HZ)}")
        if not rates or not all(np.isfinite(n) and n > 0 for n in (window_s, hop_s, *rates.values())):
            raise ValueError(f"window_s, hop_s and rates_hz are above 0; got {window_s}, {hop_s}, {rates}")
        self.layout = WindowLayout(float(window_s), rates)
        self.window_s, self.hop_s = float(window_s), float(hop_s)
        self.rate_hz = 1.0 / self.hop_s
        self.width = self.layout.width
        self.params = {"window_s": self.window_s, "hop_s": self.hop_s, "rates_hz": rates}

    @cached_property
    def id(self) -> str:
        return extractor_id(self.name, self.version, self.params)

    def __call__(self, inputs: Sequence[SignalLike]) -> TokenSequence:
        """One token per window in which anything was measured.

        Args:
            inputs: signals of one clip. A name that this extractor was not made for is left out.
        """
        known = self.layout.rates_hz
        signals = {signal.name: signal for signal in inputs if signal.name in known and len(signal.values)}
        if not signals:
            return TokenSequence(np.zeros((0, self.width), np.float32), np.zeros(0), np.zeros(0))
        start_s, end_s = window_edges(list(signals.values()), self.window_s, self.hop_s, _REACH_S)
        x = np.zeros((len(start_s), self.width), np.float32)
        places = self.layout.slices()
        first_present = self.layout.present_at.start
        for channel, name in enumerate(known):
            if name not in signals:
                continue
            values, there = _windows(signals[name], start_s, end_s, known[name], self.layout.samples[name])
            x[:, places[name]] = values
            x[:, first_present + channel] = there
        kept = x[:, self.layout.present_at].any(1)
        return TokenSequence(x[kept], start_s[kept], end_s[kept])


def _windows(
    signal: SignalLike, start_s: np.ndarray, end_s: np.ndarray, rate_hz: float, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """`(T, count)` samples, zeros where the signal is not there, and `(T,)` bool whether it is."""
    values = np.asarray(signal.values, np.float64)
    if signal.rate_hz and signal.rate_hz > 1.01 * rate_hz:
        values = _thinned(values, float(signal.rate_hz), rate_hz)
    at_s = start_s[:, None] + np.arange(count) / rate_hz
    inside = at_s < end_s[:, None] - 5e-10
    at_s = np.minimum(at_s, end_s[:, None])
    after = np.clip(np.searchsorted(signal.times_s, at_s), 1, max(len(values) - 1, 1))
    before = after - 1
    after = np.minimum(after, len(values) - 1)
    # the nearer of both neighbours, and a gap between beats may be as long as two intervals
    away_s = np.minimum(np.abs(at_s - signal.times_s[before]), np.abs(signal.times_s[after] - at_s))
    covered = (away_s <= _REACH_S) & inside
    there = covered.sum(1) >= _LEAST_COVERED * np.maximum(inside.sum(1), 1)
    taken = np.interp(at_s, signal.times_s, values)
    return np.where(there[:, None], taken, 0.0), there


def _thinned(values: np.ndarray, rate_hz: float, wanted_hz: float) -> np.ndarray:
    """The signal without what a lower rate cannot hold."""
    if len(values) < 16:
        return values
    corner = butter(4, _CORNER * wanted_hz, "lowpass", fs=rate_hz, output="sos")
    return sosfiltfilt(corner, values, padlen=min(len(values) - 1, round(4 * rate_hz / wanted_hz) + 16))
