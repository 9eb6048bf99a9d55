"""Heart beats: where they are in an ECG or a pulse wave, and how regular they are."""

import numpy as np
from scipy.signal import butter, find_peaks, sosfiltfilt

__all__ = ["beats_to_intervals", "even_stretches", "heart_statistics", "pulse_peaks", "r_peaks"]

# Intervals outside of this are missed or doubled beats, not heart beats (30 to 200 a minute).
_SHORTEST_S, _LONGEST_S = 0.3, 2.0


def r_peaks(ecg: np.ndarray, rate_hz: float) -> np.ndarray:
    """Samples at which the heart's ventricles contract.

    Band-pass 5 to 15 Hz, slope squared and averaged over 150 ms (Pan & Tompkins 1985, doi:10.1109/TBME.1985.325532);
    peaks of that above half of its local 95th percentile, then the tallest sample of the band-passed signal nearby.

    Args:
        ecg: `(n,)`, any unit; either polarity.
        rate_hz: samples a second, at least 60.

    Returns:
        `(beats,)` int sample numbers, increasing; empty where the signal is shorter than a second.

    Example:
        >>> ecg = np.zeros(1000); ecg[100::200] = 1.0   # a spike every 0.8 s at 250 Hz
        >>> r_peaks(ecg, 250.0)
        array([100, 300, 500, 700, 900])
    """
    if len(ecg) < rate_hz or rate_hz < 60:
        return np.zeros(0, np.int64)
    filtered = sosfiltfilt(butter(2, (5.0, 15.0), "bandpass", fs=rate_hz, output="sos"), ecg - np.median(ecg))
    width = max(1, round(0.15 * rate_hz))
    energy = np.convolve(np.gradient(filtered) ** 2, np.full(width, 1.0 / width), "same")
    # the threshold follows the recording in stretches of 5 s, so that a movement does not silence all other beats
    stretch = max(1, round(5.0 * rate_hz))
    starts = np.arange(0, len(energy), stretch)
    levels = np.array([np.percentile(energy[max(0, s - stretch) : s + 2 * stretch], 95) for s in starts])
    found, _ = find_peaks(energy, height=0.5 * levels.repeat(stretch)[: len(energy)], distance=round(0.25 * rate_hz))
    size = np.abs(filtered)
    reach = max(1, round(0.1 * rate_hz))
    # all neighbourhoods at once: (beats, 2 reach + 1)
    near = np.clip(found[:, None] + np.arange(-reach, reach + 1), 0, len(ecg) - 1)
    return np.unique(near[np.arange(len(found)), size[near].argmax(1)])


def pulse_peaks(bvp: np.ndarray, rate_hz: float) -> np.ndarray:
    """Samples of the systolic peaks of a pulse wave: band-pass 0.5 to 8 Hz, peaks that stand out by a deviation.

    Args:
        bvp: `(n,)`, any unit.
        rate_hz: samples a second, at least 20.

    Returns:
        `(beats,)` int sample numbers; empty where the signal is shorter than two seconds.

    Example:
        >>> wave = np.sin(2 * np.pi * np.arange(640) / 64)   # one beat a second at 64 Hz
        >>> np.diff(pulse_peaks(wave, 64.0))[1:-1]
        array([64, 64, 64, 64, 64, 64, 64])
    """
    if len(bvp) < 2 * rate_hz or rate_hz < 20:
        return np.zeros(0, np.int64)
    filtered = sosfiltfilt(butter(2, (0.5, 8.0), "bandpass", fs=rate_hz, output="sos"), bvp - np.median(bvp))
    return find_peaks(filtered, prominence=max(filtered.std(), 1e-12), distance=round(_SHORTEST_S * rate_hz))[0]


def even_stretches(
    times_s: np.ndarray, values: np.ndarray, rate_hz: float, gap_s: float
) -> list[tuple[np.ndarray, np.ndarray]]:
    """A signal on an even grid, by straight lines between its samples; across gaps nothing is filled in.

    Args:
        times_s: `(n,)` seconds, increasing, n at least 1.
        values: `(n,)`.
        rate_hz: of the grid.
        gap_s: two samples further apart than this belong to two stretches.

    Returns:
        (times, values) of each stretch.

    Example:
        >>> even_stretches(np.array([0.0, 0.5, 0.75, 9.0]), np.array([0.0, 2.0, 3.0, 7.0]), 4.0, 2.0)
        [(array([0.  , 0.25, 0.5 , 0.75]), array([0., 1., 2., 3.])), (array([9.]), array([7.]))]
    """
    breaks = np.flatnonzero(np.diff(times_s) > gap_s) + 1
    made = []
    for at_s, there in zip(np.split(times_s, breaks), np.split(values, breaks), strict=True):
        grid_s = np.arange(float(at_s[0]), float(at_s[-1]) + 1e-9, 1.0 / rate_hz)
        made.append((grid_s, np.interp(grid_s, at_s, there)))
    return made


def beats_to_intervals(beats_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Times of beats to (when each interval ends, its length), both `(beats - 1,)` seconds.

    Example:
        >>> beats_to_intervals(np.array([0.5, 1.5, 2.25]))
        (array([1.5 , 2.25]), array([1.  , 0.75]))
    """
    return beats_s[1:], np.diff(beats_s)


def heart_statistics(intervals_s: np.ndarray) -> tuple[float, float, float] | None:
    """Mean heart rate, SDNN and RMSSD of successive intervals between beats.

    SDNN is the deviation (n - 1) of the intervals, RMSSD the root of the mean square of their successive differences
    (Task Force of the ESC 1996, doi:10.1161/01.CIR.93.5.1043). Intervals of under 0.3 or over 2 s are left out, and so
    are the differences across them.

    Args:
        intervals_s: `(n,)` seconds, in order.

    Returns:
        (beats a minute, SDNN in ms, RMSSD in ms); None with fewer than three usable intervals.

    Example:
        >>> [round(value, 1) for value in heart_statistics(np.array([0.8, 0.9, 1.0]))]
        [66.7, 100.0, 100.0]
    """
    usable = (intervals_s >= _SHORTEST_S) & (intervals_s <= _LONGEST_S)
    if usable.sum() < 3:
        return None
    kept = intervals_s[usable]
    steps = np.diff(intervals_s)[usable[1:] & usable[:-1]]
    rmssd = float(np.sqrt(np.mean(steps**2))) if len(steps) else 0.0
    return 60.0 / float(kept.mean()), 1e3 * float(kept.std(ddof=1)), 1e3 * rmssd
