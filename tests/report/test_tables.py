"""JSON and CSV: read back with the standard library, they are the timeline; and files are whole or absent."""

import csv
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from merkit.report import write_csv, write_json
from merkit.report.files import write_atomic
from merkit.report.tables import CSV_COLUMNS

from .sample import LABELS, sample_timeline


def test_json_is_the_timeline_with_vectors_on_one_line(tmp_path: Path) -> None:
    timeline = sample_timeline(8.0, signals=False)
    path = write_json(timeline, tmp_path / "t.json")
    text = path.read_text(encoding="utf-8")
    assert json.loads(text) == json.loads(timeline.to_json())
    fused = next(line for line in text.splitlines() if '"fused": [' in line)
    assert fused.count(",") >= len(LABELS) - 1
    numbers_alone = [line for line in text.splitlines() if line.strip().rstrip(",").replace(".", "", 1).isdigit()]
    assert numbers_alone == []


def test_text_that_looks_like_a_list_is_left_alone(tmp_path: Path) -> None:
    timeline = sample_timeline(6.0)
    odd = "[\n 1,\n 2\n]"
    timeline = replace(timeline, warnings=(odd,))
    assert json.loads(write_json(timeline, tmp_path / "t.json").read_text())["warnings"] == [odd]


def test_csv_rows_are_window_modality_label(tmp_path: Path) -> None:
    timeline = sample_timeline(8.0)
    with write_csv(timeline, tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == CSV_COLUMNS
    expected = sum((len(w.prob) + (w.fused is not None)) * len(LABELS) for w in timeline.windows)
    assert len(rows) == expected
    window = next(w for w in timeline.windows if w.person == "person_1" and w.fused is not None)
    mine = [r for r in rows if r["entity"] == "person_1" and float(r["start_s"]) == window.start_s]
    assert [r["label"] for r in mine] == list(LABELS) * 2
    for row, k in zip([r for r in mine if r["modality"] == "fused"], range(len(LABELS)), strict=True):
        got = [float(row[name]) for name in ("prob", "low", "high")]
        assert np.allclose(got, [window.fused[k], window.low[k], window.high[k]], atol=1e-6)
    assert {r["contribution"] for r in mine if r["modality"] == "fused"} == {""}
    assert {r["low"] for r in mine if r["modality"] == "face"} == {""}
    gaps = [w for w in timeline.windows if w.fused is None]
    assert gaps and not any(r["entity"] == g.person and float(r["start_s"]) == g.start_s for g in gaps for r in rows)


@pytest.mark.parametrize("name", ["=1+1", "+cmd", "-2", "@SUM(A1)", "\t=1", 'a,"b\nc'])
def test_no_cell_is_a_formula_and_every_cell_is_one_cell(name: str, tmp_path: Path) -> None:
    timeline = sample_timeline(4.0)
    timeline = replace(timeline, clip={**timeline.clip, "id": name})
    with write_csv(timeline, tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        cells = {row["clip"] for row in csv.DictReader(file)}
    assert cells == {name if name[0] == "a" else f"'{name}"}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text("old")

    def parts():
        yield "new"
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError):
        write_atomic(path, parts())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_number_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    timeline = sample_timeline(4.0)
    bad = replace(timeline, windows=(replace(timeline.windows[0], fused=np.full(len(LABELS), np.nan)),))
    with pytest.raises(ValueError):
        write_json(bad, tmp_path / "t.json")
    assert not list(tmp_path.iterdir())


def test_new_files_have_ordinary_permissions(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        assert write_atomic(tmp_path / "a", ["x"]).stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(mask)


def test_a_name_that_is_not_utf8_is_written(tmp_path: Path) -> None:
    timeline = sample_timeline(4.0)
    timeline = replace(timeline, clip={**timeline.clip, "file": "caf\udce9.mp4"})
    written = write_json(timeline, tmp_path / "t.json").read_text(encoding="utf-8")
    assert json.loads(written)["clip"]["file"] == "caf\udce9.mp4"
