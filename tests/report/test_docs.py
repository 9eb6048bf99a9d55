"""The page that describes the formats: its examples run, and it names every field and column that is written."""

import doctest
import json
from pathlib import Path

import pytest

from merkit.report import write_csv, write_json
from merkit.report.tables import CSV_COLUMNS

from .sample import sample_timeline

PAGE = Path(__file__).resolve().parents[2] / "docs" / "timeline.md"


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_json(sample_timeline(), tmp_path / "timeline.json")
    write_csv(sample_timeline(), tmp_path / "timeline.csv")
    monkeypatch.chdir(tmp_path)
    done = doctest.testfile(str(PAGE), module_relative=False)
    assert done.attempted > 10 and done.failed == 0


def test_every_field_and_column_is_described() -> None:
    text = PAGE.read_text(encoding="utf-8")
    document = json.loads(sample_timeline(signals=True).to_json())
    names = set(document) | set(document["clip"])
    for part in ("presence", "persons", "segments", "windows", "traces"):
        names |= set(document[part][0])
    assert [name for name in sorted({*names, *CSV_COLUMNS}) if f"`{name}`" not in text] == []
