"""`merkit figures` from the outside: what it writes, what it says, how it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from merkit.cli.main import app
from merkit.corpora import Manifest, write_manifest
from merkit.errors import ConfigError
from merkit.report.figures import Drawing
from merkit.schema import Clip, Stream, Target, TargetSpec
from merkit.systems.fusion import FusionConfig
from merkit.training.evaluate import Predictions
from merkit.training.run import Run, facts_of

runner = CliRunner()
EMOTIONS = TargetSpec("emotions", "multi_label", ("joy", "anger"))


def prepared(folder: Path) -> Path:
    clips = [
        Clip(f"c{i}", (Stream("text", None, text="hello"),), "train" if i < 6 else "valid",
             targets=(Target(EMOTIONS, np.array([i % 2, i % 3 == 0], np.float32)),))
        for i in range(9)
    ]  # fmt: skip
    write_manifest(Manifest("mine", tuple(clips), (EMOTIONS,), folder), folder)
    return folder


def evaluated(folder: Path) -> Path:
    Run.create(folder, "fusion", FusionConfig(), {"status": "finished", "targets": facts_of((EMOTIONS,))})
    rng = np.random.default_rng(0)
    target = (rng.random((40, 2)) < 0.4).astype(np.float32)
    made = Predictions(
        np.arange(40).astype(str), {"emotions": rng.random((40, 2))}, {"emotions": target},
        {"emotions": np.ones((40, 2), bool)}, np.arange(40) // 8,
    )  # fmt: skip
    made.save(folder / "predictions" / "valid.npz")
    return folder


def test_help_has_examples_for_every_use() -> None:
    text = runner.invoke(app, ["figures", "--help"]).stdout
    for part in ("merkit figures runs/mine", "--attention", "--data", "--split", "Example"):
        assert part in text


def test_a_run_and_a_corpus_at_once(tmp_path: Path) -> None:
    run, data = evaluated(tmp_path / "run"), prepared(tmp_path / "data")
    done = runner.invoke(
        app, ["figures", str(run), "--data", str(data), "--out", str(tmp_path / "out"), "--draws", "100", "--json"]
    )
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    names = sorted({Path(file).stem for file in answer["files"]})
    assert names == [
        "average-precision-emotions",
        "co-occurrence-emotions",
        "label-frequency-emotions",
        "labels-per-clip",
    ]
    assert all(Path(file).is_file() for file in answer["files"]) and len(answer["files"]) == 12
    assert answer["notes"] == []


def test_two_corpora_do_not_overwrite_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(self: Drawing, folder: Path) -> tuple[Path, ...]:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.name}.png").write_text("")
        return (folder / f"{self.name}.png",)

    monkeypatch.setattr(Drawing, "write", write)
    one, other = prepared(tmp_path / "one"), prepared(tmp_path / "other")
    out = tmp_path / "out"
    done = runner.invoke(app, ["figures", "--data", str(one), "--data", str(other), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in out.iterdir()) == ["one", "other"]
    assert str(out / "one" / "labels-per-clip.png") in done.stdout.replace("\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [([], "name a run, or a corpus"), (["{run}", "--scene", "a"], "--scene goes with --attention"),
     (["{run}", "--split", "train"], "merkit evaluate"), (["{run}", "--attention"], "no modalities|cannot|holds no|data.root")],
)  # fmt: skip
def test_what_is_wrong_is_said(tmp_path: Path, arguments: list[str], message: str) -> None:
    run = evaluated(tmp_path / "run")
    done = runner.invoke(app, ["figures", *(text.format(run=run) for text in arguments)])
    assert done.exit_code == 1
    assert done.exception is not None and not isinstance(done.exception, (AttributeError, TypeError, KeyError))
    assert any(part in str(done.exception) for part in message.split("|")), done.exception


def test_without_matplotlib_nothing_is_half_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    done = runner.invoke(app, ["figures", "--data", str(prepared(tmp_path / "one")), "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, ConfigError) and "merkit[viz]" in str(done.exception)
    assert not (tmp_path / "out").exists()
