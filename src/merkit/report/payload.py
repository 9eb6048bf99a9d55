"""What the page's script reads: the timeline packed small, since an hour holds thousands of windows per person.

Numbers of a series travel as base64 of little-endian arrays, which the browser turns into typed arrays at once:
probabilities and box edges as uint16 in 1/10000 (65535 = absent), times as uint32 in milliseconds.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from merkit.report.preview import Preview
from merkit.schema import MODALITIES, Person, Segment, Timeline, Trace, Window

__all__ = ["cell_edges", "report_data"]

SCALE = 10_000
ABSENT = 65_535
THUMBNAIL_BUDGET_BYTES = 2_500_000  # for all persons together; beyond it each person keeps fewer


def report_data(timeline: Timeline, preview: Preview | None) -> dict[str, Any]:
    """Everything that the page shows, as JSON types.

    Raises:
        ValueError: a probability vector has another length than the labels.
    """
    # The long parts are packed below; writing them out as lists first would take most of the time.
    document = replace(timeline, windows=(), persons=(), segments=(), traces=()).to_dict()
    by_entity: dict[str | None, list[Window]] = {None: []}
    for person in timeline.persons:
        by_entity[person.id] = []
    for window in timeline.windows:
        by_entity.setdefault(window.person, []).append(window)
    return {
        **{name: document[name] for name in ("schema_version", "clip", "model", "settings", "labels", "warnings")},
        "duration": _duration(timeline),
        "presence": document["presence"],
        "shots": document["shots_s"],
        "segments": [_segment(segment) for segment in timeline.segments],
        "summary": document["summary"],
        "entities": [_entity(name, rows, len(timeline.labels)) for name, rows in by_entity.items()],
        "persons": [_person(p, keep) for p, keep in zip(timeline.persons, _thumbnails_kept(timeline), strict=True)],
        "traces": [_trace(trace) for trace in timeline.traces],
        "player": _player(timeline, preview),
        "media": None if preview is None else {"mime": preview.mime, "kind": preview.kind},
    }


def cell_edges(start_s: np.ndarray, end_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The stretch of the time axis that each window answers for, `(n,)` left and right edges in seconds.

    Windows overlap where the hop is shorter than the window. Neighbours that touch share the axis half-way between
    their centres; a window with no neighbour on a side reaches to its own end.

    Example:
        >>> low, high = cell_edges(np.array([0.0, 1.0, 6.0]), np.array([2.0, 3.0, 8.0]))
        >>> low.tolist(), high.tolist()
        ([0.0, 1.5, 6.0], [1.5, 3.0, 8.0])
    """
    low, high = start_s.astype(float), end_s.astype(float)
    if len(low) > 1:
        touch = start_s[1:] <= end_s[:-1] + 1e-3
        centre = (start_s + end_s) / 2
        middle = (centre[1:] + centre[:-1]) / 2
        low[1:] = np.where(touch, middle, start_s[1:])
        high[:-1] = np.where(touch, middle, end_s[:-1])
    return low, high


def _entity(name: str | None, windows: list[Window], n_labels: int) -> dict[str, Any]:
    """One row of the timeline. Windows without an answer shape their neighbours' cells, then go: they are gaps."""
    windows = sorted(windows, key=lambda window: window.start_s)
    low, high = cell_edges(np.array([w.start_s for w in windows]), np.array([w.end_s for w in windows]))
    kept = [i for i, window in enumerate(windows) if window.fused is not None or window.prob]
    rows = [windows[i] for i in kept]
    named = {modality for row in rows for modality in row.prob}
    modalities = [m for m in MODALITIES if m in named] + sorted(named - set(MODALITIES))
    return {
        "id": name,
        "start": _times([row.start_s for row in rows]),
        "end": _times([row.end_s for row in rows]),
        "lo": _times(low[kept]),
        "hi": _times(high[kept]),
        "fused": _probs((row.fused for row in rows), n_labels),
        "low": _probs((row.low for row in rows), n_labels),
        "high": _probs((row.high for row in rows), n_labels),
        "prob": {m: _probs((row.prob.get(m) for row in rows), n_labels) for m in modalities},
        "share": {m: _probs((_scalar(row.contribution, m) for row in rows), 1) for m in modalities},
    }


def _segment(segment: Segment) -> dict[str, Any]:
    return {
        "start_s": round(segment.start_s, 3),
        "end_s": round(segment.end_s, 3),
        **{name: getattr(segment, name) for name in ("text", "person", "source")},
        "prob": {m: np.round(np.asarray(prob, dtype=float), 4).tolist() for m, prob in segment.prob.items()},
    }


def _person(person: Person, keep: int) -> dict[str, Any]:
    pick = np.unique(np.linspace(0, len(person.thumbnails) - 1, keep).round().astype(int)) if keep else []
    return {
        "id": person.id,
        "t": _times(person.times_s),
        "box": _pack(np.asarray(person.boxes, dtype=float).reshape(-1, 4), SCALE, "<u2", SCALE),
        "faces": [
            [round(float(time_s), 3), f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"]
            for time_s, jpeg in (person.thumbnails[int(i)] for i in pick)
        ],
    }


def _trace(trace: Trace) -> dict[str, Any]:
    values = base64.b64encode(np.asarray(trace.values).astype("<f4").tobytes()).decode("ascii")
    return {"name": trace.name, "unit": trace.unit, "t": _times(trace.times_s), "v": values}


def _thumbnails_kept(timeline: Timeline) -> list[int]:
    """How many thumbnails each person keeps so that all together stay within the budget."""
    counts = [len(person.thumbnails) for person in timeline.persons]
    sizes = [sum(len(jpeg) for _, jpeg in person.thumbnails) for person in timeline.persons]
    cap = max(counts, default=0)
    while cap and sum(size * min(1.0, cap / n) for size, n in zip(sizes, counts, strict=True) if n) > (
        THUMBNAIL_BUDGET_BYTES
    ):
        cap -= 1
    return [min(count, cap) for count in counts]


def _duration(timeline: Timeline) -> float:
    known = timeline.clip.get("duration_s")
    ends = [item.end_s for item in (*timeline.windows, *timeline.segments)]
    ends += [float(item.times_s[-1]) for item in (*timeline.persons, *timeline.traces) if len(item.times_s)]
    return round(float(known or max(ends, default=0.0)), 3)


def _player(timeline: Timeline, preview: Preview | None) -> str:
    """`video`, `audio`, or `none` for clips of words or signals alone."""
    if preview is not None:
        return preview.kind
    if kind := timeline.clip.get("kind"):
        return kind if kind in ("video", "audio") else "none"
    if timeline.clip.get("width"):
        return "video"
    return "audio" if any(p.modality == "speech" and p.present for p in timeline.presence) else "none"


def _scalar(values: Mapping[str, float], key: str) -> np.ndarray | None:
    return np.array([values[key]]) if key in values else None


def _probs(rows: Iterable[np.ndarray | None], width: int) -> str:
    """`(n, width)` probabilities; a row that is None is absent."""
    filled = [np.full(width, np.nan) if row is None else np.asarray(row, dtype=float) for row in rows]
    for row in filled:
        if row.shape != (width,):
            raise ValueError(f"a probability vector has shape {row.shape}, but there are {width} labels")
    return _pack(np.array(filled).reshape(-1, width), SCALE, "<u2", SCALE)


def _times(values: Sequence[float] | np.ndarray) -> str:
    return _pack(np.asarray(values, dtype=float), 1000, "<u4", 2**32 - 1)


def _pack(values: np.ndarray, scale: int, kind: str, top: int) -> str:
    scaled = np.clip(np.round(values * scale), 0, top)
    return base64.b64encode(np.nan_to_num(scaled, nan=ABSENT).astype(kind).tobytes()).decode("ascii")
