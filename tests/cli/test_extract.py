"""`merkit extract` as a user meets it: one manifest in, one store out, every clip accounted for."""

import csv
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from merkit.cli.extract import extract
from merkit.errors import ConfigError, MediaError, WeightError
from merkit.features import PHYSIOLOGY_COLUMNS, FeatureStore
from merkit.inference.extraction import extraction_tools
from merkit.schema import Clip, Stream

app = typer.Typer()
app.command()(extract)
# so that the command has a name of its own, as it has among the others
app.callback()(lambda: None)
runner = CliRunner()


@dataclass
class Manifest:
    clips: tuple[Clip, ...]
    rejected: tuple = ()


def fake_manifest(path: Path) -> Manifest:
    """Stands in for the corpora's reader: one JSON object a line, `id` and `text` or `file`."""
    if not path.is_file():
        raise MediaError("no such file", path=path)
    clips = []
    for line in path.read_text().splitlines():
        row = json.loads(line)
        stream = (
            Stream("text", None, text=row["text"]) if "text" in row else Stream("physiology", path.parent / row["file"])
        )
        clips.append(Clip(row["id"], (stream,)))
    return Manifest(tuple(clips))


@pytest.fixture
def corpus(tmp_path, monkeypatch) -> Path:
    import types

    corpora = types.ModuleType("merkit.corpora")
    corpora.read_manifest = fake_manifest
    monkeypatch.setitem(sys.modules, "merkit.corpora", corpora)
    (tmp_path / "good.csv").write_text("time_s,eda\n" + "".join(f"{t / 4},{t}\n" for t in range(80)))
    (tmp_path / "other.csv").write_text("time_s,eda\n" + "".join(f"{t / 4},{t % 7}\n" for t in range(80)))
    (tmp_path / "bad.csv").write_text("time_s,eda\n0,zero\n")
    rows = [{"id": n, "file": f"{n}.csv"} for n in ("good", "bad", "gone", "other")]
    (tmp_path / "clips.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "clips.jsonl"


def call(*words: object):
    return runner.invoke(app, ["extract", *map(str, words)])


def test_every_clip_is_accounted_for(corpus, tmp_path) -> None:
    store = tmp_path / "store"
    done = call(corpus, "--out", store, "--modalities", "physiology", "--engine", "serial")
    assert done.exit_code == 0, done.output
    assert f"2 extracted, 0 as before, 2 left out; store: {store}; reasons: {store / 'skipped.csv'}" in done.stdout
    assert "bad: left out: " in done.stderr
    assert "bad.csv" in done.stderr
    assert "4/4" in done.stderr  # the bar stays off stdout
    assert FeatureStore.open(store).clips == ["good", "other"]
    assert len(FeatureStore.open(store).read("good", "physiology"))
    rows = list(csv.DictReader((store / "skipped.csv").open()))
    assert [row["clip"] for row in rows] == ["bad", "gone"]
    assert rows[1]["reason"] == f"{tmp_path / 'gone.csv'}: no such file"


def test_a_table_of_ones_own_goes_in_as_it_is(tmp_path) -> None:
    """The real reader: words, a table cut to a span, and a row that cannot be used."""
    (tmp_path / "wrist.csv").write_text("time_s,eda\n" + "".join(f"{t / 4},{t}\n" for t in range(80)))
    (tmp_path / "own.csv").write_text(
        "id,physio_path,start_s,end_s\nearly,wrist.csv,0,5\nlate,wrist.csv,10,15\nlost,gone.csv,0,5\n"
    )
    store = tmp_path / "store"
    done = call(tmp_path / "own.csv", "--out", store, "--modalities", "physiology", "--engine", "serial", "--json")
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert (facts["extracted"], facts["skipped"]) == (2, [])
    assert [item["item"] for item in facts["rejected"]] == ["lost"]
    mean = PHYSIOLOGY_COLUMNS.index("eda_mean")
    kept = FeatureStore.open(store)
    assert kept.read("early", "physiology").x[0, mean] == pytest.approx(9.5)
    assert kept.read("late", "physiology").x[0, mean] == pytest.approx(49.5)
    assert kept.read("late", "physiology").end_s.max() <= 5.0
    rows = list(csv.DictReader((store / "skipped.csv").open()))
    assert [(row["clip"], row["stage"]) for row in rows] == [("lost", "manifest")]


def test_a_second_run_goes_on_where_the_first_was(corpus, tmp_path) -> None:
    words = (corpus, "--out", tmp_path / "store", "--modalities", "physiology", "--engine", "serial", "--json")
    first = json.loads(call(*words, "--limit", 1).stdout)
    assert (first["extracted"], first["reused"], first["skipped"]) == (1, 0, [])
    second = json.loads(call(*words).stdout)
    assert (second["extracted"], second["reused"]) == (1, 1)
    assert [skipped["clip"] for skipped in second["skipped"]] == ["bad", "gone"]
    (tmp_path / "bad.csv").unlink()
    (tmp_path / "gone.csv").write_text((tmp_path / "good.csv").read_text())
    third = json.loads(call(*words).stdout)
    assert (third["extracted"], third["reused"], [s["clip"] for s in third["skipped"]]) == (1, 2, ["bad"])
    assert (tmp_path / "store" / "skipped.csv").read_text().count("\n") == 2  # what is mended is out of the list
    assert not list((tmp_path / "store").glob(".*.tmp"))


def test_nothing_extracted_is_exit_code_1(corpus, tmp_path) -> None:
    corpus.write_text('{"id": "gone", "file": "gone.csv"}\n')
    done = call(corpus, "--out", tmp_path / "store", "--modalities", "physiology", "--engine", "serial")
    assert done.exit_code == 1
    assert "0 extracted, 0 as before, 1 left out" in done.stdout


def test_processes_are_the_default_and_give_the_same(corpus, tmp_path) -> None:
    def run(name: str, *more: object) -> dict[str, bytes]:
        words = (corpus, "--out", tmp_path / name, "--modalities", "physiology", "--dtype", "float16", *more)
        assert call(*words).exit_code == 0
        files = sorted(f for f in (tmp_path / name).rglob("*") if f.is_file())
        return {str(f.relative_to(tmp_path / name)): f.read_bytes() for f in files}

    assert run("one", "--workers", 1) == run("two", "--engine", "serial")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--modalities", "smell"), "'smell' is none of video, audio, face"),
        (("--dtype", "float8"), "--dtype is float32 or float16"),
        (("--extractor", "face"), "MODALITY=NAME"),
        (("--extractor", "nose=face-net"), "MODALITY=NAME"),
        (("--extractor", "physiology=minilm"), "for physiology there is: physiology-statistics"),
        (("--extractor", "text=minilm"), "extractor text=minilm: wanted are physiology"),
        (("--engine", "threads"), "engine is one of serial, processes, ray"),
        (("--engine", "serial", "--timeout", "3"), "a timeout needs the engine `processes`"),
    ],
)
def test_wrong_options_are_told(corpus, tmp_path, words, message) -> None:
    done = call(corpus, "--out", tmp_path / "store", "--modalities", "physiology", *words)
    assert isinstance(done.exception, ConfigError)
    assert message in str(done.exception)


def test_missing_weights_are_told_before_any_work(corpus, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MERKIT_HOME", str(tmp_path / "empty"))
    done = call(corpus, "--out", tmp_path / "store", "--modalities", "text")
    assert isinstance(done.exception, WeightError)
    assert "merkit weights fetch whisper-tiny-en minilm-l6" in str(done.exception)
    assert not (tmp_path / "store").exists()
    done = call(corpus, "--out", tmp_path / "store", "--modalities", "text", "--no-asr")
    assert "merkit weights fetch minilm-l6`" in str(done.exception)  # what is not asked for is not needed


def test_a_manifest_that_is_not_there_is_told(corpus, tmp_path) -> None:
    done = call(tmp_path / "none.jsonl", "--out", tmp_path / "store", "--modalities", "physiology")
    assert isinstance(done.exception, MediaError)


def test_another_extractor_can_be_chosen(weights) -> None:
    weights("minilm-l6", "mtcnn", "face-api-expression")
    tools = extraction_tools(("face", "text"), chosen={"face": "face-api-expression"}, asr=False)
    assert tools.face.name == "face-api-expression"
    assert tools.faces is not None
    assert (tools.recogniser, tools.voice, tools.speech) == (None, None, None)


def test_by_default_tools_are_those_of_analyze(weights) -> None:
    from merkit.inference import Predictor
    from merkit.inference.first import needed_weights

    weights(*needed_weights())
    mine = extraction_tools(("face", "speech", "text", "physiology"))
    theirs = Predictor.load("first").tools
    assert {m: e.id for m, e in mine.extractors.items()} == {m: e.id for m, e in theirs.extractors.items()}
    assert [(t.faces is None, t.voice is None, t.recogniser.name) for t in (mine, theirs)] == [
        (False, False, "whisper-tiny-en")
    ] * 2


def test_help_has_examples_and_loads_no_torch() -> None:
    done = call("--help")
    assert done.exit_code == 0
    assert "merkit extract data/meld --out stores/meld" in done.stdout
    code = "import sys, merkit.cli.extract; sys.exit('torch' in sys.modules or 'pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 0
