"""Result tables: nothing goes out without its provenance, and Markdown, CSV and picture say the same."""

import csv
import io
import math
from dataclasses import replace

import numpy as np
import pytest

from merkit.errors import ConfigError
from merkit.evaluation.bootstrap import Interval
from merkit.evaluation.tables import ResultRow, ResultTable

NAN = float("nan")
DEFINITIONS = {"accuracy": "share of clips that are right", "nll": "negative log-likelihood, nats"}


def row(name: str, accuracy: float, nll: float = 1.0, **other) -> ResultRow:
    values = {
        "accuracy": Interval(accuracy, accuracy - 0.02, accuracy + 0.02),
        "nll": Interval(nll, nll - 0.1, nll + 0.1),
        "extra": Interval(0.0, 0.0, 0.0),
    }
    facts = {"split": "valid", "n": 536, "seeds": (0, 1, 2), "features": {"text": "MiniLM", "speech": "Whisper tiny"}}
    return ResultRow((name, "all"), values, **{**facts, **other})


def table(*rows: ResultRow, **other) -> ResultTable:
    facts = {"higher_is_better": {"accuracy": True, "nll": False}, **other}
    return ResultTable("Families", ("fusion", "modalities"), DEFINITIONS, rows, **facts)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_markdown_has_a_cell_for_every_column_and_says_shared_facts_once() -> None:
    text = table(row("concat", 0.6), row("tensor", 0.58, 0.9)).markdown()
    lines = text.split("\n")
    assert cells(lines[2]) == ["fusion", "modalities", "accuracy", "nll"]
    assert cells(lines[4]) == ["concat", "all", "**.600 [.580, .620]**", "1.000 [.900, 1.100]"]
    assert cells(lines[5]) == ["tensor", "all", ".580 [.560, .600]", "**.900 [.800, 1.000]**"]
    assert text.count("valid") == text.count("536") == text.count("MiniLM") == 1
    assert "split valid, n = 536 clips, seeds 0, 1, 2; in brackets: 95 % t interval over 3 seeds." in text
    for name, definition in DEFINITIONS.items():
        assert f"{name}: {definition}" in text


def test_facts_that_differ_become_columns_and_footnotes() -> None:
    other = row("concat", 0.55, split="test", n=2150, seeds=(7,), features={"text": "BERT"}, note="stopped early")
    text = table(row("concat", 0.6), other).markdown()
    lines = text.split("\n")
    assert cells(lines[2]) == ["fusion", "modalities", "split", "n", "seeds", "accuracy", "nll"]
    assert cells(lines[4])[:5] == ["concat", "all [1]", "valid", "536", "0, 1, 2"]
    assert cells(lines[5])[:5] == ["concat", "all [2] [3]", "test", "2150", "7"]
    assert "[1] features: text = MiniLM, speech = Whisper tiny." in text
    assert "[2] features: text = BERT." in text
    assert "[3] stopped early." in text
    assert "for rows of one seed 95 % bootstrap interval over clips" in text
    # a split with one row has no best, and splits are not compared with each other
    assert "**" not in "".join(lines[4:6])


def test_undefined_values_are_called_so_and_are_never_the_best() -> None:
    broken = replace(row("tensor", 0.5), values={"accuracy": Interval(NAN, NAN, NAN), "nll": Interval(10.03, NAN, NAN)})
    made = table(row("concat", 0.6), broken, row("label_query", 0.6))
    assert made.best("accuracy") == (0, 2)
    line = made.markdown().split("\n")[5]
    assert cells(line)[2:] == ["undefined", "10.030"]
    assert "nan" not in made.markdown()
    assert "nan" not in made.csv()
    assert table(row("a", 0.5), row("b", 0.6), higher_is_better=None).best("accuracy") == ()


def test_csv_carries_everything_with_every_number() -> None:
    rng = np.random.default_rng(0)
    rows = [
        row(f"model|{i}, no. {i}", float(v), note='said "so"' * (i == 1)) for i, v in enumerate(rng.uniform(size=4))
    ]
    read = list(csv.DictReader(io.StringIO(table(*rows).csv())))
    assert len(read) == 4 * len(DEFINITIONS)
    for line, (one, measure) in zip(read, [(one, m) for one in rows for m in DEFINITIONS], strict=True):
        assert line["fusion"] == one.cells[0]
        assert line["measure"] == measure
        assert line["definition"] == DEFINITIONS[measure]
        assert [float(line[key]) for key in ("value", "low", "high")] == [
            one.values[measure].value,
            one.values[measure].low,
            one.values[measure].high,
        ]
        assert (line["split"], line["n"], line["seeds"]) == ("valid", "536", "0 1 2")
        assert line["features"] == "text = MiniLM, speech = Whisper tiny"
        assert line["interval"] == "95 % t interval over 3 seeds"
        assert line["note"] == one.note
    # a bar in a name does not open a new cell
    assert "model\\|0" in table(*rows).markdown()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"split": ""}, "split"),
        ({"n": 0}, "n"),
        ({"seeds": ()}, "seeds"),
        ({"features": {}}, "features"),
        ({"features": {"text": " "}}, "features of text come from"),
        ({"cells": ("concat",)}, "1 cells for 2 columns"),
        ({"values": {"accuracy": Interval(0.1, 0.0, 0.2)}}, "has no nll"),
    ],
)
def test_a_number_without_its_provenance_is_refused(change: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        table(row("concat", 0.6), replace(row("tensor", 0.5), **change))


def test_tables_without_rows_or_definitions_are_refused() -> None:
    with pytest.raises(ConfigError, match="no rows"):
        table()
    with pytest.raises(ConfigError, match="nll needs a definition"):
        ResultTable("t", ("fusion", "modalities"), {**DEFINITIONS, "nll": " "}, (row("concat", 0.6),))


def test_files_are_written_whole_and_the_picture_shows_what_the_table_says(tmp_path) -> None:
    pytest.importorskip("matplotlib", reason="pictures need merkit[viz]")
    from PIL import Image

    made = table(row("concat", 0.6), row("tensor", 0.5), row("concat", 0.55, split="test", n=99))
    files = made.write(tmp_path / "new", "families")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["families.csv", "families.md", "families.png"]
    assert files[0].read_text() == made.markdown() + "\n"
    assert files[1].read_text() == made.csv()
    with Image.open(files[2]) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    # both splits' colours are there, and drawing the same table again gives the same picture
    for colour in ((0, 114, 178), (213, 94, 0)):
        assert (np.abs(pixels.astype(int) - colour).max(-1) < 8).sum() > 20
    again = made.write(tmp_path / "new", "families")[2].read_bytes()
    assert again == files[2].read_bytes()


def test_the_picture_takes_undefined_values_and_many_measures(tmp_path) -> None:
    pytest.importorskip("matplotlib", reason="pictures need merkit[viz]")
    from merkit.evaluation.picture import picture_of

    names = {f"measure_{i}": "a definition that is rather long, so that it must be broken " * 3 for i in range(6)}
    values = {name: Interval(*(NAN if i == 5 else x for x in (0.5, 0.4, 0.6))) for i, name in enumerate(names)}
    rows = tuple(replace(row(f"row {i}", 0.5), values=values) for i in range(9))
    content = picture_of(ResultTable("Many", ("fusion", "modalities"), names, rows))
    width, height = (int.from_bytes(content[i : i + 4], "big") for i in (16, 20))
    assert 300 < width < 4000
    assert 300 < height < 4000
    assert math.isfinite(width / height)
