"""A timeline as JSON and as a tidy CSV. Both formats are described in docs/timeline.md."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from merkit.report.files import inert, write_atomic
from merkit.schema import MODALITIES, Timeline, to_plain

__all__ = ["CSV_COLUMNS", "write_csv", "write_json"]

CSV_COLUMNS = (
    "clip",
    "entity",
    "start_s",
    "end_s",
    "modality",
    "label",
    "prob",
    "low",
    "high",
    "contribution",
)


def write_json(timeline: Timeline, path: str | Path) -> Path:
    """Write the whole timeline as one JSON document, one window, line or person per line. Returns `path`.

    It is written as it is made: an hour's windows as Python lists would be a hundred megabytes.

    Raises:
        ValueError: a number is not finite; nothing is written then.
    """
    return write_atomic(path, _json_lines(timeline))


def _json_lines(timeline: Timeline) -> Iterator[str]:
    opening = "{"
    for name in timeline.__dataclass_fields__:
        value = getattr(timeline, name)
        yield f'{opening}\n "{name}": '
        opening = ","
        if isinstance(value, tuple) and value and not isinstance(value[0], str | float):
            for i, item in enumerate(value):
                yield f"{',' if i else '['}\n  {_json(item)}"
            yield "\n ]"
        else:
            yield _json(value)
    yield "\n}\n"


def _json(value: object) -> str:
    return json.dumps(to_plain(value), ensure_ascii=False, allow_nan=False)


def write_csv(timeline: Timeline, path: str | Path) -> Path:
    """Write one row per window, modality (`fused` among them) and label. Returns `path`.

    A window or modality without evidence has no rows: an absent answer is never a zero. Text that a spreadsheet would
    run as a formula gets an apostrophe in front.
    """
    return write_atomic(path, _csv_lines(timeline))


def _csv_lines(timeline: Timeline) -> Iterator[str]:
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    clip = inert(str(timeline.clip.get("id", "")))
    labels = [inert(label) for label in timeline.labels]
    for window in timeline.windows:
        where = (clip, inert(window.person or "clip"), f"{window.start_s:.3f}", f"{window.end_s:.3f}")
        for modality in (*MODALITIES, *sorted(set(window.prob) - set(MODALITIES))):
            if modality in window.prob:
                share = window.contribution.get(modality)
                tail = ("", "", "" if share is None else f"{share:.6f}")
                for label, prob in zip(labels, window.prob[modality], strict=True):
                    writer.writerow((*where, inert(modality), label, f"{prob:.6f}", *tail))
        if window.fused is not None:
            low, high = (_band(side, len(labels)) for side in (window.low, window.high))
            for k, label in enumerate(labels):
                writer.writerow((*where, "fused", label, f"{window.fused[k]:.6f}", low[k], high[k], ""))
        yield line.getvalue()
        line.seek(0)
        line.truncate()
    yield line.getvalue()


def _band(side: np.ndarray | None, n: int) -> list[str]:
    return [""] * n if side is None else [f"{value:.6f}" for value in side]
