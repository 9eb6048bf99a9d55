"""Tables of measured signals: ECG, EDA, temperature, inter-beat intervals, blood volume pulse."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from merkit.errors import LimitError, MediaError
from merkit.media.limits import LIMITS, Limits

__all__ = ["SIGNALS", "Signal", "read_physiology"]

# name -> (other spellings of the column, unit, factor for units that differ)
SIGNALS: dict[str, tuple[tuple[str, ...], str]] = {
    "ecg": (("ecg", "ekg"), "mV"),
    "eda": (("eda", "gsr", "scl", "skin_conductance"), "µS"),
    "temperature": (("temperature", "temp", "skt", "skin_temperature"), "°C"),
    "ibi": (("ibi", "rr", "rri", "nn"), "s"),
    "bvp": (("bvp", "ppg", "pleth"), "a.u."),
    "resp": (("resp", "respiration", "rsp"), "a.u."),
}
_FACTORS = {"ms": 1e-3, "s": 1.0, "v": 1e3, "mv": 1.0, "uv": 1e-3, "us": 1.0, "ns": 1e-3, "c": 1.0, "celsius": 1.0}
# Seconds above this are a calendar clock (it passed 1e8 in 1973), as wearables write it; no clip lasts three years.
_CALENDAR_S = 1e8
_TIME_NAMES = ("time_s", "time", "t", "timestamp", "seconds", "time_ms")


@dataclass(frozen=True, slots=True, eq=False)
class Signal:
    """One measured signal.

    Args:
        name: a key of `SIGNALS`.
        unit: mV, µS, °C, s or a.u.
        values: `(T,)` float64 in `unit`.
        times_s: `(T,)` float64 seconds on the clip's clock, increasing.
        rate_hz: samples a second where they are evenly spaced; None for beats and irregular tables.
    """

    name: str
    unit: str
    values: np.ndarray
    times_s: np.ndarray
    rate_hz: float | None


def read_physiology(path: str | Path, *, rate_hz: float | None = None, limits: Limits = LIMITS) -> tuple[Signal, ...]:
    """Reads a table of signals.

    Three forms: a CSV with a header and a time column (`time_s`, `time_ms`, …); a CSV with a header without one, at
    `rate_hz`; and single-signal Empatica files (`EDA.csv`, `TEMP.csv`, `BVP.csv`: start time, rate, values; `IBI.csv`:
    start time, then `seconds, interval` pairs), told by the file's name. Columns are named as in `SIGNALS`, with the
    unit behind an underscore or in brackets where it differs: `eda_uS`, `ibi_ms`, `ecg (mV)`. Empty cells and cells
    that are not finite are left out of their signal. A time column in calendar seconds (Unix time) begins at 0, as an
    Empatica file does: the recording is taken to begin with the clip.

    Args:
        path: the table.
        rate_hz: samples a second of a table without a time column.
        limits: what is accepted.

    Raises:
        MediaError: unreadable; with line and column.
        LimitError: the table is too large.
    """
    path = Path(path)
    if not path.is_file():
        raise MediaError("no such file", path=path)
    if path.stat().st_size > limits.max_table_bytes:
        raise LimitError(f"{path.stat().st_size} bytes; the limit is {limits.max_table_bytes}", path=path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise MediaError("a physiology table is UTF-8 text", path=path) from None
    first = text.split("\n", 1)[0].strip()
    if not first:
        raise MediaError("the table is empty", path=path)
    separator = max(",;\t", key=first.count)
    head = [cell.strip().strip('"') for cell in first.split(separator)]
    if _number(head[0]) is not None:
        return (_empatica(path, text, separator),)
    columns = _columns(path, text, separator, len(head))
    time_at = next((i for i, name in enumerate(head) if name.lower() in _TIME_NAMES), None)
    if time_at is not None:
        times_s = columns[:, time_at] * (1e-3 if head[time_at].lower().endswith("_ms") else 1.0)
    elif rate_hz:
        times_s = np.arange(len(columns)) / rate_hz
    else:
        raise MediaError(f"no time column ({', '.join(_TIME_NAMES)}) and no rate was given", path=path, field="line 1")
    bad = ~np.isfinite(times_s)
    if bad.any():
        raise MediaError("the time is missing", path=path, field=f"line {int(bad.argmax()) + 2}")
    if times_s[0] > _CALENDAR_S:
        times_s = times_s - times_s[0]
    back = np.flatnonzero(np.diff(times_s) <= 0)
    if len(back):
        raise MediaError(
            "times must increase", path=path, time_s=float(times_s[back[0] + 1]), field=f"line {int(back[0]) + 3}"
        )
    signals = []
    for i, title in enumerate(head):
        known = _recognise(title)
        if i == time_at or known is None:
            continue
        name, factor = known
        there = np.isfinite(columns[:, i])
        if there.any():
            signals.append(_signal(name, columns[there, i] * factor, times_s[there]))
    if not signals:
        raise MediaError(
            f"none of the columns {', '.join(head)} is a known signal ({', '.join(SIGNALS)})", path=path, field="line 1"
        )
    return tuple(signals)


def _columns(path: Path, text: str, separator: str, width: int) -> np.ndarray:
    """The body as `(T, width)` float64; NaN where a cell is empty or no number."""
    body = text.split("\n", 1)[1] if "\n" in text else ""
    if body.strip() and '"' not in body and "," not in body.replace(separator, ""):
        try:
            columns = np.genfromtxt(io.StringIO(body), delimiter=separator, ndmin=2, invalid_raise=True)
            if columns.shape[1:] == (width,) and len(columns):
                return columns
        except ValueError:
            pass  # a ragged row: read it slowly below, to say which line it is
    rows = []
    for line, row in _lines(path, body, separator):
        if not row:
            continue
        if len(row) != width:
            raise MediaError(f"{len(row)} cells where the header has {width}", path=path, field=f"line {line}")
        rows.append([np.nan if (value := _number(cell)) is None else value for cell in row])
    if not rows:
        raise MediaError("the table has a header and no rows", path=path)
    return np.array(rows, np.float64)


def _lines(path: Path, body: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(body, newline=""), delimiter=separator)
    try:
        for row in reader:
            yield reader.line_num + 1, row
    except csv.Error as error:  # such as a quote that never closes over a very large field
        raise MediaError(str(error), path=path, field=f"line {reader.line_num + 1}") from None


def _empatica(path: Path, text: str, separator: str) -> Signal:
    known = _recognise(path.stem.lower())
    if known is None:
        raise MediaError(f"no header, and the file's name is none of {', '.join(SIGNALS)}", path=path, field="line 1")
    name, factor = known
    rows = [line.split(separator) for line in text.splitlines() if line.strip()]
    if name == "ibi":
        pairs = [(_number(row[0]), _number(row[1])) for row in rows[1:] if len(row) > 1]
        if not pairs or any(None in pair for pair in pairs):
            raise MediaError("expected `seconds, interval` pairs after the first line", path=path)
        table = np.array(pairs, np.float64)
        return _signal("ibi", table[:, 1] * factor, table[:, 0])
    numbers = [_number(row[0]) for row in rows]
    if len(numbers) < 3 or None in numbers[:2] or not numbers[1]:
        raise MediaError("expected a start time, a rate and values, one a line", path=path)
    values = np.array([np.nan if value is None else value for value in numbers[2:]], np.float64)
    times_s = np.arange(len(values)) / float(numbers[1])
    there = np.isfinite(values)
    if not there.any():
        raise MediaError("no value is a number", path=path, field="line 3")
    return _signal(name, values[there] * factor, times_s[there])


def _signal(name: str, values: np.ndarray, times_s: np.ndarray) -> Signal:
    steps = np.diff(times_s)
    even = name != "ibi" and len(steps) > 0 and np.ptp(steps) <= 0.02 * np.median(steps)
    return Signal(name, SIGNALS[name][1], values, times_s, float(1 / np.median(steps)) if even else None)


def _recognise(title: str) -> tuple[str, float] | None:
    """Signal name and factor to its unit, from a column title such as `eda_uS` or `ECG (mV)`."""
    words = [word for word in re.split(r"[^a-zµ°]+", title.strip().lower()) if word]
    flat = "_".join(words)
    for name, (spellings, _) in SIGNALS.items():
        for spelling in spellings:
            if flat == spelling or flat.startswith(spelling + "_"):
                unit = flat[len(spelling) :].strip("_").replace("µ", "u").replace("°", "")
                return name, _FACTORS.get(unit, 1.0)
    return None


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if np.isfinite(value) else None
