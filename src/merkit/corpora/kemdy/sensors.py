"""Sensor files of a person: rows of one recording, cut into segments by the id that ends them.

A row ends in the segment's id, with the time before it; between two segments the id is missing, so that rows of one file
differ in length, and some files lack a column. KEMDy19: skin conductance and temperature `value, offset, time, segment`,
ECG `offset, value, time, segment`. KEMDy20: conductance and temperature `value, time, segment` under two rows with start
and rate, intervals between beats `offset, value, time, segment` under one. A file covers what its wearer spoke and heard.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from merkit.corpora.kemdy.annotation import read_korean
from merkit.errors import MediaError

__all__ = ["COLUMNS", "Measured", "physiology_table", "read_sensor"]

# kind of file -> column of the table that `merkit.media.read_physiology` reads, with its unit
COLUMNS = {"ECG": "ecg_mV", "EDA": "eda_uS", "TEMP": "temperature_C", "IBI": "ibi_s"}
# samples a second where the file's own clock does not tell; an interval has no rate
_RATES_HZ = {"ECG": 250.0, "EDA": 4.0, "TEMP": 4.0}
# conductance and temperature come first in their row, ECG and intervals just before the time
_VALUE_AT = {"ECG": -3, "EDA": 0, "TEMP": 0, "IBI": -3}
_MAX_BYTES = 1 << 30
# what is below is no date: a clock of the file's own (1e8 s passed in 1973)
_CALENDAR_S = 1e8
# seconds; what lasts longer is no segment: its id stands in another place of the recording too
_MAX_S = 600.0


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One signal in one segment.

    Args:
        values: `(T,)` in the unit of its kind.
        times_s: `(T,)` seconds, increasing: on the calendar, else from 0.
        dated: whether the times are the calendar's, which all signals of a person share; else a clock of the file's own.
    """

    values: np.ndarray
    times_s: np.ndarray
    dated: bool


def read_sensor(file: Path, kind: str, wanted: Collection[str]) -> dict[str, Measured]:
    """Segment -> what was measured in it.

    Rows without an id and cells that are no number are passed over. A clock that ticks more coarsely than the sensor has
    its samples spread evenly over each tick; where no row has a readable time, samples follow one another at the usual rate
    (ECG 250 Hz, wristband 4 Hz; intervals one after the other).

    Args:
        file: `Sess01F.csv`, or `Sess01_script01_User001F.csv`.
        kind: `ECG`, `EDA`, `TEMP` or `IBI`.
        wanted: ids to keep.

    Raises:
        MediaError: it cannot be read as text.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "a.csv"
        ...     _ = file.write_text("0.5,0,10.0,Sess01_impro01_F001\\n0.7,0,10.25\\n0.6,0,10.5,Sess01_impro01_F001\\n")
        ...     read_sensor(file, "EDA", {"Sess01_impro01_F001"})["Sess01_impro01_F001"].values
        array([0.5, 0.6])
    """
    at = _VALUE_AT[kind]
    found: dict[str, tuple[list[float], list[str]]] = {}
    for row in read_korean(file, _MAX_BYTES).splitlines():
        cells = row.replace('"', "").rstrip(", ").split(",")
        segment = cells[-1].strip()
        if segment not in wanted or len(cells) < 3:
            continue
        try:
            value = float(cells[at])
        except ValueError:
            continue
        if np.isfinite(value):
            values, stamps = found.setdefault(segment, ([], []))
            values.append(value)
            stamps.append(cells[-2].strip())
    return {segment: _measured(kind, np.array(values), stamps) for segment, (values, stamps) in found.items()}


def physiology_table(signals: Mapping[str, Measured]) -> str:
    """CSV of one segment with a clock from 0: a row for every instant at which anything was measured.

    Zero is the first sample of any signal that has the calendar's time. A signal that has none begins there too.

    Args:
        signals: kind -> what was measured, at least one.

    Raises:
        MediaError: first and last sample are more than ten minutes apart.

    Example:
        >>> measured = Measured(np.array([0.5, 0.6]), np.array([10.0, 10.25]), True)
        >>> print(physiology_table({"EDA": measured}), end="")
        time_s,eda_uS
        0.000000,0.5
        0.250000,0.6
    """
    kinds = [kind for kind in COLUMNS if kind in signals]
    zero_s = min((signals[kind].times_s[0] for kind in kinds if signals[kind].dated), default=0.0)
    ticks = {}
    for kind in kinds:
        own_s = signals[kind].times_s - (zero_s if signals[kind].dated else signals[kind].times_s[0])
        ticks[kind] = np.rint(own_s * 1e6).astype(np.int64)
    axis = np.unique(np.concatenate(list(ticks.values())))
    if axis[-1] > _MAX_S * 1e6:
        raise MediaError(f"its samples lie {axis[-1] / 1e6:.0f} s apart: no segment lasts that long")
    cells = np.full((len(axis), 1 + len(kinds)), "", "U24")
    cells[:, 0] = [f"{tick / 1e6:.6f}" for tick in axis.tolist()]
    for place, kind in enumerate(kinds, 1):
        cells[np.searchsorted(axis, ticks[kind]), place] = [f"{value:.7g}" for value in signals[kind].values.tolist()]
    lines = [["time_s", *(COLUMNS[kind] for kind in kinds)], *cells.tolist()]
    return "".join(",".join(line) + "\n" for line in lines)


def _measured(kind: str, values: np.ndarray, stamps: list[str]) -> Measured:
    try:
        times_s = _seconds(stamps)
        dated = bool(times_s.min() > _CALENDAR_S)
        timed = True
    except ValueError:
        times_s, dated, timed = np.zeros(len(values)), False, False
    order = np.argsort(times_s, kind="stable")
    values, times_s = values[order], times_s[order]
    if kind == "IBI":
        if not timed:
            times_s = np.cumsum(values)
        # an interval that ends when another does was written twice
        keep = np.append(True, np.diff(times_s) > 0)
        return Measured(values[keep], times_s[keep], dated)
    return Measured(values, _spread(times_s, 1 / _RATES_HZ[kind]), dated)


def _spread(times_s: np.ndarray, step_s: float) -> np.ndarray:
    """Samples of one tick of the clock, evenly from there to the next tick; over a gap, at the usual rate."""
    ticks, first, count = np.unique(times_s, return_index=True, return_counts=True)
    if len(ticks) == len(times_s):
        return times_s
    room = np.append(np.diff(ticks), np.inf)
    step = np.repeat(np.minimum(room / count, step_s), count)
    return np.repeat(ticks, count) + step * (np.arange(len(times_s)) - np.repeat(first, count))


def _seconds(stamps: list[str]) -> np.ndarray:
    """`(T,)` seconds from dates such as `2019-10-21 13:29:34.250`, or from numbers of seconds or milliseconds.

    Raises:
        ValueError: they are neither.
    """
    try:
        numbers = np.array(stamps, np.float64)
    except ValueError:
        plain = [stamp.replace("/", "-").replace(" ", "T", 1) for stamp in stamps]
        return np.array(plain, "datetime64[us]").astype(np.int64) / 1e6
    if not np.isfinite(numbers).all():
        raise ValueError("a time is not finite")
    # beyond the year 5138 in seconds: it counts milliseconds
    return numbers / 1e3 if numbers[0] > 1e11 else numbers
