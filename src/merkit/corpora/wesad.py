"""WESAD: chest and wrist sensors while people rest, are stressed, and are amused; cut into windows of a minute."""

import json
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from merkit.atomic import replacing
from merkit.corpora.corpus import Corpus, Found
from merkit.corpora.manifest import Rejected
from merkit.corpora.paths import Root
from merkit.corpora.pickles import unpickled
from merkit.corpora.targets import class_target
from merkit.errors import ConfigError, MediaError
from merkit.labels import WESAD3
from merkit.schema import Clip, Stream, TargetSpec

__all__ = ["WESAD"]

STATE = TargetSpec("state", "single_label", WESAD3.labels)
_WINDOW_S = 60
_LABEL_HZ = 700
# column -> (device, key in the pickle, Hz). The chest has no pulse and the wrist no ECG; of what both measure the wrist's
# is taken, because a table has one column of a kind.
_SIGNALS = {
    "ecg_mV": ("chest", "ECG", 700),
    "resp": ("chest", "Resp", 700),
    "bvp": ("wrist", "BVP", 64),
    "eda_uS": ("wrist", "EDA", 4),
    "temperature": ("wrist", "TEMP", 4),
}
# every sample of every rate falls on a tick: lcm(700, 64, 4)
_TICKS = 11_200


def _read(root: Root, out: Path | None) -> Found:
    if out is None:
        raise ConfigError("wesad is converted once: use `merkit prepare wesad --root … --out …`")
    rejected: list[Rejected] = []
    clips: list[Clip] = []
    left_over = 0.0
    names = [name for name in root.walk(".pkl") if re.fullmatch(r"(?:.*/)?(S\d+)/\1\.pkl", name)]
    for name in sorted(names, key=lambda name: int(Path(name).stem[1:])):
        subject = Path(name).stem
        try:
            windows = _windows(root.file(name), out / "media" / subject, out)
        except MediaError as error:
            rejected.append(Rejected(subject, error.reason, error.field))
            continue
        left_over += windows["left_over_s"]
        for item, label in windows["windows"]:
            stream = Stream("physiology", out / "media" / subject / f"{item}.csv")
            clips.append(Clip(item, (stream,), groups={"subject": subject}, targets=(class_target(STATE, label),)))
    facts = {"window_s": _WINDOW_S, "left_over_s": round(left_over, 1)}
    return Found(clips, (STATE,), rejected, facts, out.absolute())


def _windows(path: Path, folder: Path, scratch: Path) -> dict[str, Any]:
    """Writes the tables of one subject; `windows.json`, written last, says that they are complete."""
    done = folder / "windows.json"
    source = {"bytes": path.stat().st_size, "modified_ns": path.stat().st_mtime_ns}
    if done.exists():
        before = json.loads(done.read_text("utf-8"))
        if before["source"] == source:
            return before
    folder.mkdir(parents=True, exist_ok=True)
    with unpickled(path, scratch) as content:
        labels, signals = _checked(content)
        found: list[tuple[str, str]] = []
        left_over = 0.0
        for code, first, last in _runs(labels):
            count = (last - first) // (_WINDOW_S * _LABEL_HZ)
            left_over += (last - first) / _LABEL_HZ - count * _WINDOW_S
            for k in range(count):
                start_s = first / _LABEL_HZ + k * _WINDOW_S
                item = f"{folder.name}_{start_s:07.1f}"
                _write(folder / f"{item}.csv", _table(signals, start_s))
                found.append((item, WESAD3.labels[code - 1]))
    about = {"source": source, "left_over_s": left_over, "windows": found}
    _write(done, json.dumps(about))
    return about


def _checked(content: Any) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    labels = content.get("label") if isinstance(content, dict) else None
    if not isinstance(labels, np.ndarray) or labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise MediaError("has no row of labels", field="label")
    signals = {}
    for column, (device, key, rate_hz) in _SIGNALS.items():
        try:
            values = np.asarray(content["signal"][device][key], np.float64)
        except (KeyError, TypeError, ValueError):
            raise MediaError("is missing", field=f"signal.{device}.{key}") from None
        values = values.reshape(len(values), -1)
        length_s = len(labels) / _LABEL_HZ
        if values.shape[1] != 1 or abs(len(values) / rate_hz - length_s) > 2.0:
            raise MediaError(
                f"has shape {values.shape}: not {length_s:.0f} s at {rate_hz} Hz", field=f"signal.{device}.{key}"
            )
        signals[column] = values[:, 0]
    return labels, signals


def _runs(labels: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """(label, first sample, one behind the last) of every stretch of baseline, stress or amusement."""
    edges = np.concatenate([[0], np.flatnonzero(np.diff(labels)) + 1, [len(labels)]])
    for first, last in pairwise(edges):
        if last > first and int(labels[first]) in (1, 2, 3):
            yield int(labels[first]), int(first), int(last)


def _table(signals: Mapping[str, np.ndarray], start_s: float) -> str:
    """CSV of one window: a row per instant at which anything was measured, its clock from 0; empty where nothing was."""
    begin = round(start_s * _TICKS)
    ticks: dict[str, np.ndarray] = {}
    values: dict[str, np.ndarray] = {}
    for column, x in signals.items():
        step = _TICKS // _SIGNALS[column][2]
        first, last = -(-begin // step), -(-(begin + _WINDOW_S * _TICKS) // step)
        values[column] = x[first:last]
        ticks[column] = np.arange(first, first + len(values[column])) * step - begin
        there = np.isfinite(values[column])
        values[column], ticks[column] = values[column][there], ticks[column][there]
    axis = np.unique(np.concatenate(list(ticks.values())))
    cells = np.full((len(axis), 1 + len(signals)), "", "U16")
    cells[:, 0] = np.char.mod("%.9f", axis / _TICKS)
    for place, column in enumerate(signals, 1):
        cells[np.searchsorted(axis, ticks[column]), place] = np.char.mod("%.7g", values[column])
    lines = [",".join(row) for row in cells.tolist()]
    return "\n".join([",".join(["time_s", *signals]), *lines]) + "\n"


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


WESAD = Corpus(
    name="wesad",
    title="Wearable Stress and Affect Detection (WESAD)",
    licence="for scientific, non-commercial use with citation",
    obtain="https://archive.ics.uci.edu/dataset/465 (WESAD.zip, 2.1 GB), unpacked",
    citation="P. Schmidt et al. ICMI 2018, pp. 400–408. doi:10.1145/3242969.3242985",
    tree="ROOT/[WESAD/]S2/S2.pkl … S17/S17.pkl",
    modalities=("physiology",),
    labels="state, one of 3: " + ", ".join(WESAD3.labels) + " (what the protocol did, not what was felt)",
    split="none; split by subject",
    people="15 volunteers, 12 of them men, in a laboratory; health data, with the care that they ask for.",
    reader=_read,
    notes=(
        "ECG and respiration (chest, 700 Hz), pulse, skin conductance and temperature (wrist); acceleration is not read.",
        "Windows of 60 s that do not overlap; meditation and transitions are left out.",
        "There is no S1 and no S12. State goes with posture and time of the session: a classifier may learn those.",
    ),
    derives=True,
)
