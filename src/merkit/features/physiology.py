"""Physiology tokens: statistics of each signal over sliding windows."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
from scipy.signal import butter, find_peaks, sosfiltfilt

from merkit.features.extractor import extractor_id
from merkit.features.heart import beats_to_intervals, even_stretches, heart_statistics, pulse_peaks, r_peaks
from merkit.schema import TokenSequence

__all__ = ["PHYSIOLOGY_COLUMNS", "PhysiologyExtractor", "SignalLike", "window_edges"]

_SIGNALS = ("ecg", "eda", "temperature", "ibi", "bvp", "resp")
_MOMENTS = ("present", "mean", "std", "min", "max", "slope_per_s")
_EDA = ("eda_tonic_mean", "eda_tonic_slope_per_s", "eda_phasic_std", "eda_responses_per_min")
_HEART = ("heart_present", "heart_rate_per_min", "heart_sdnn_ms", "heart_rmssd_ms")
PHYSIOLOGY_COLUMNS = (*(f"{signal}_{moment}" for signal in _SIGNALS for moment in _MOMENTS), *_EDA, *_HEART)
_AT = {column: i for i, column in enumerate(PHYSIOLOGY_COLUMNS)}

# What changes slower than this is skin conductance level, what changes faster is response to events.
_TONIC_HZ = 0.05
# Electrodermal activity has nothing above 2 Hz: at 8 Hz nothing is lost and the filter stays well conditioned.
_EDA_RATE_HZ = 8.0
# Across a gap of this many seconds nothing is filled in: for skin a few of its own responses, for a wave less than a beat.
_EDA_GAP_S, _WAVE_GAP_S = 10.0, 0.25
_FASTEST_HZ = 1000.0
# The smallest rise that counts as a response, in µS (Boucsein 2012: 0.01 to 0.05).
_RESPONSE_US = 0.05


class SignalLike(Protocol):
    """What `merkit.media.read_physiology` gives."""

    @property
    def name(self) -> str: ...
    @property
    def values(self) -> np.ndarray: ...
    @property
    def times_s(self) -> np.ndarray: ...
    @property
    def rate_hz(self) -> float | None: ...


class PhysiologyExtractor:
    """Signals to `(T, 44)` window statistics; `PHYSIOLOGY_COLUMNS` names the columns.

    Per signal: whether it has samples in the window (0 or 1), mean, standard deviation, minimum, maximum and slope per
    second, in the signal's unit. For skin conductance also level and response: a zero-phase Butterworth low-pass at
    0.05 Hz is the level, the rest the response, with the rate of rises of at least 0.05 µS. For the heart mean rate,
    SDNN and RMSSD of the intervals that end in the window, from `ibi` where there is one, else from the ECG's R peaks,
    else from the pulse wave; unevenly sampled waves are laid on an even grid first, and nothing is filled in across gaps
    (10 s of skin, 0.25 s of a wave). What a window does not have is 0 with its `present` at 0: never NaN. Windows in which
    nothing was measured are left out.

    Signals carry their own times, so this extractor returns a `TokenSequence`, not a bare array.

    Args:
        window_s: length of a window; heart variability wants 30 s or more.
        hop_s: from one window's start to the next.

    Example:
        >>> from merkit.media import Signal
        >>> times_s = np.arange(240) / 4.0
        >>> tokens = PhysiologyExtractor(30.0, 10.0)([Signal("eda", "µS", 2.0 + 0.01 * times_s, times_s, 4.0)])
        >>> tokens.x.shape, tokens.start_s
        ((4, 44), array([ 0., 10., 20., 30.]))
        >>> round(float(tokens.x[0, PHYSIOLOGY_COLUMNS.index("eda_slope_per_s")]), 6)
        0.01
    """

    name = "physiology-statistics"
    version = 2
    modality = "physiology"
    width = len(PHYSIOLOGY_COLUMNS)
    weights: tuple[str, ...] = ()

    def __init__(self, window_s: float = 30.0, hop_s: float = 5.0) -> None:
        if not (window_s > 0 and hop_s > 0):
            raise ValueError(f"window_s and hop_s are seconds above 0; got {window_s}, {hop_s}")
        self.window_s = float(window_s)
        self.hop_s = float(hop_s)
        self.rate_hz = 1.0 / self.hop_s
        self.params = {"window_s": self.window_s, "hop_s": self.hop_s}

    @cached_property
    def id(self) -> str:
        return extractor_id(self.name, self.version, self.params)

    def __call__(self, inputs: Sequence[SignalLike]) -> TokenSequence:
        """One token per window, from the earliest sample of any signal to the latest.

        The windows are whole: a recording that is shorter than one window gives one window of its own length.

        Args:
            inputs: signals of one clip. A name that this extractor does not know is left out.
        """
        signals = {signal.name: signal for signal in inputs if signal.name in _SIGNALS and len(signal.values)}
        if not signals:
            return TokenSequence(np.zeros((0, self.width), np.float32), np.zeros(0), np.zeros(0))
        start_s, end_s = window_edges(list(signals.values()), self.window_s, self.hop_s)
        x = np.zeros((len(start_s), self.width))
        for name, signal in signals.items():
            at = _AT[f"{name}_present"]
            x[:, at : at + len(_MOMENTS)] = _moments(signal.values, signal.times_s, start_s, end_s)
        if "eda" in signals:
            x[:, _AT[_EDA[0]] : _AT[_EDA[-1]] + 1] = _skin(signals["eda"], start_s, end_s)
        x[:, _AT[_HEART[0]] : _AT[_HEART[-1]] + 1] = _heart(signals, start_s, end_s)
        return TokenSequence(x.astype(np.float32), start_s, end_s)


def window_edges(
    signals: Sequence[SignalLike], window_s: float, hop_s: float, reach_s: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Seconds at which each window begins and ends, both `(T,)`, from the earliest sample of any signal to the latest.

    Windows are whole; a recording that is shorter than one is a single window of its own length. Windows in which no signal
    has a sample are left out: a table may say very little about a very long time.

    Args:
        signals: at least one, each with a sample.
        window_s: length of a window.
        hop_s: from one window's start to the next.
        reach_s: how far beyond a window a sample still counts.

    Example:
        >>> from merkit.media import Signal
        >>> times_s = np.append(np.arange(40) / 4.0, 86_400.0)
        >>> window_edges([Signal("eda", "µS", times_s, times_s, None)], 4.0, 4.0)
        (array([0., 4., 8.]), array([ 4.,  8., 12.]))
    """
    first_s = min(float(signal.times_s[0]) for signal in signals)
    last_s = max(float(signal.times_s[-1]) + _step_s(signal) for signal in signals)
    count = max(1, int(np.floor((last_s - first_s - window_s) / hop_s + 1e-9)) + 1)
    start_s = first_s + hop_s * np.arange(count)
    end_s = np.minimum(start_s + window_s, last_s)
    some = np.zeros(count, bool)
    for signal in signals:
        low, high = _bounds(signal.times_s, start_s - reach_s, end_s + reach_s)
        some |= high > low
    return start_s[some], end_s[some]


def _step_s(signal: SignalLike) -> float:
    """How long the last sample holds; just long enough to lie in a window where the samples have no rate."""
    return 1.0 / signal.rate_hz if signal.rate_hz else 1e-6


def _bounds(times_s: np.ndarray, start_s: np.ndarray, end_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First sample of each window `[start_s, end_s)` and the one after its last."""
    # half a nanosecond of slack: n / rate and start + hop * i round differently
    low = np.searchsorted(times_s, start_s - 5e-10)
    high = np.searchsorted(times_s, end_s - 5e-10)
    return low, high


def _moments(values: np.ndarray, times_s: np.ndarray, start_s: np.ndarray, end_s: np.ndarray) -> np.ndarray:
    """`(T, 6)` of present, mean, standard deviation, minimum, maximum, slope; zeros where a window is empty."""
    low, high = _bounds(times_s, start_s, end_s)
    n = (high - low).astype(float)
    there = n > 0
    out = np.zeros((len(low), len(_MOMENTS)))
    if not there.any():
        return out
    # running sums of the centred signal and time: every window is two look-ups, and nothing large cancels
    centre, middle_s = values.mean(), times_s.mean()
    v, t = values - centre, times_s - middle_s
    sums = [np.concatenate([[0.0], np.cumsum(part)]) for part in (v, v * v, t, t * t, t * v)]
    sv, svv, st, stt, stv = (np.divide(s[high] - s[low], n, out=np.zeros(len(n)), where=there) for s in sums)
    variance, spread = np.clip(svv - sv * sv, 0, None), np.clip(stt - st * st, 0, None)
    # reduceat over start, end, start, end …; the padding lets an end be the signal's own end
    edges = np.stack([low, np.maximum(high, low + 1)], 1).ravel()
    edges = np.minimum(edges, len(values))
    lowest, highest = (part.reduceat(np.append(values, values[-1]), edges)[::2] for part in (np.minimum, np.maximum))
    slope = np.divide(stv - st * sv, spread, out=np.zeros(len(n)), where=spread > 1e-12)
    found = np.stack([np.ones(len(n)), sv + centre, np.sqrt(variance), lowest, highest, slope], 1)
    out[there] = found[there]
    return out


def _skin(eda: SignalLike, start_s: np.ndarray, end_s: np.ndarray) -> np.ndarray:
    """`(T, 4)`: mean and slope of the level, deviation of the response, rises a minute; zeros where a window has no sample."""
    parts = [_level_and_response(*part) for part in even_stretches(eda.times_s, eda.values, _EDA_RATE_HZ, _EDA_GAP_S)]
    parts = [part for part in parts if part is not None]
    if not parts:
        return np.zeros((len(start_s), len(_EDA)))
    times_s, level, response, peaks_s = (np.concatenate(column) for column in zip(*parts, strict=True))
    low, high = _bounds(peaks_s, start_s, end_s)
    tonic = _moments(level, times_s, start_s, end_s)
    phasic = _moments(response, times_s, start_s, end_s)
    rises = 60.0 * (high - low) / (end_s - start_s)
    first, last = _bounds(eda.times_s, start_s, end_s)
    return np.stack([tonic[:, 1], tonic[:, 5], phasic[:, 2], rises], 1) * (last > first)[:, None]


def _level_and_response(times_s: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, ...] | None:
    """Times, level, response and the times of rises of one stretch; None where it is too short to tell."""
    if len(values) < 8:
        return None
    level = sosfiltfilt(
        butter(2, _TONIC_HZ, "lowpass", fs=_EDA_RATE_HZ, output="sos"),
        values,
        # long enough for the filter to settle: 20 s, or what there is
        padlen=min(len(values) - 1, round(_EDA_RATE_HZ / _TONIC_HZ)),
    )
    response = values - level
    return times_s, level, response, times_s[find_peaks(response, prominence=_RESPONSE_US)[0]]


def _heart(signals: dict[str, SignalLike], start_s: np.ndarray, end_s: np.ndarray) -> np.ndarray:
    """`(T, 4)` from the best source of beats that the clip has."""
    out = np.zeros((len(start_s), len(_HEART)))
    if "ibi" in signals:
        ends_s, intervals_s = signals["ibi"].times_s, signals["ibi"].values
    else:
        source = next((s for s in ("ecg", "bvp") if s in signals and len(signals[s].values) > 1), None)
        if source is None:
            return out
        ends_s, intervals_s = _beats(signals[source], r_peaks if source == "ecg" else pulse_peaks)
    low, high = _bounds(ends_s, start_s, end_s)
    for i, (a, b) in enumerate(zip(low, high, strict=True)):
        found = heart_statistics(intervals_s[a:b])
        if found is not None:
            out[i] = (1.0, *found)
    return out


def _beats(signal: SignalLike, find: Callable[[np.ndarray, float], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """When each interval between beats ends, and its length; an unevenly sampled wave is first laid on an even grid."""
    if signal.rate_hz:
        beats_s = signal.times_s[find(signal.values, float(signal.rate_hz))]
        return beats_to_intervals(beats_s)
    # clocks that stamp in bursts have a median of next to nothing
    rate_hz = min(1.0 / float(np.median(np.diff(signal.times_s))), _FASTEST_HZ)
    found = [
        beats_to_intervals(times_s[find(values, rate_hz)])
        for times_s, values in even_stretches(signal.times_s, signal.values, rate_hz, _WAVE_GAP_S)
    ]
    ends_s, intervals_s = zip(*found, strict=True)
    return np.concatenate(ends_s), np.concatenate(intervals_s)
