"""`merkit prepare kemdy19|kemdy20`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from merkit.cli.main import app
from merkit.corpora import read_manifest
from merkit.errors import ConfigError
from tests.kemdy_tree import write_aihub, write_kemdy19, write_kemdy20

runner = CliRunner()


def call(*words):
    result = runner.invoke(app, ["prepare", *map(str, words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def tree(tmp_path):
    return write_kemdy19(tmp_path / "k19", sessions=(1, 5), scripts=("script01", "impro03"), turns=4, seconds=0.2)


def test_a_preparation(tree, tmp_path) -> None:
    out = tmp_path / "out"
    done = call("kemdy19", "--root", tree, "--out", out, "--picture", tmp_path / "raters.png")
    assert done.exit_code == 0
    for words in (
        "12 clips, 1 left out, 0 in part",
        "folds: 0: Sess01; 1: Sess05",
        "fleiss kappa 0.",
        "licence: by agree",
    ):
        assert words in done.stdout, done.stdout
    assert "Sess01_impro03: 4 segments" in done.stderr
    assert (tmp_path / "raters.png").read_bytes()[1:4] == b"PNG"
    manifest = read_manifest(out)
    assert len(manifest) == 12 and manifest.facts["view"] == "speaker"
    assert sorted(path.name for path in out.iterdir()) == [
        "manifest.json",
        "manifest.parquet",
        "merged.csv",
        "physiology",
        "prepare.json",
        "rejected.csv",
    ]
    assert (out / "rejected.csv").read_text().count("\n") == 2


def test_numbers_for_programs(tmp_path) -> None:
    root = write_kemdy20(tmp_path / "k20", sessions=(1, 33), scripts=("script01",), turns=2, seconds=1.0)
    done = call("kemdy20", "--root", root, "--out", tmp_path / "out", "--json", "--marks", "drop", "--headers")
    facts = json.loads(done.stdout)
    assert facts["clips"] == 4 and facts["splits"] == {"": 4} and facts["rejected"] == []
    assert facts["folds"] == {"0": ["Sess01"], "4": ["Sess33"]}
    assert facts["physiology"]["EDA"] == 4 and 0 < facts["agreement"]["alpha_valence"] < 1
    assert Path(facts["merged_csv"]).read_text("utf-8").count("\n") == 5
    texts = [s.text for clip in read_manifest(tmp_path / "out").clips for s in clip.streams if s.modality == "text"]
    assert len(texts) == 4 and not any("b/" in text for text in texts)


def test_options_of_the_view(tree, tmp_path) -> None:
    listener = tmp_path / "listener"
    call("kemdy19", "--root", tree, "--out", listener, "--view", "listener", "--keep-unusable", "--json")
    manifest = read_manifest(listener)
    assert len(manifest) == 16 and manifest.facts["view"] == "listener"
    assert [spec.name for spec in manifest.specs] == ["emotion", "affect", "affect_spread"]
    assert manifest.clips[0].path_of("physiology").is_relative_to(listener / "physiology/listener")


def test_both_at_once(tmp_path) -> None:
    root, out = tmp_path / "data", tmp_path / "out"
    write_kemdy19(root / "KEMDy19", sessions=(1,), scripts=("script01",), turns=2, seconds=0.1, sensors=())
    write_kemdy20(root / "KEMDy20_v1_1", sessions=(1,), scripts=("script01",), turns=2, seconds=0.1, sensors=())
    with pytest.raises(ConfigError, match="--picture is for"):
        call("kemdy", "--root", root, "--out", out, "--picture", tmp_path / "raters.png")
    facts = json.loads(call("kemdy", "--root", root, "--out", out, "--json").stdout)
    assert facts["clips"] == 4 and facts["folds"] == {"0": ["kemdy19/Sess01", "kemdy20/Sess01"]}
    assert all(Path(each).is_file() for each in facts["merged_csv"]) and len(facts["merged_csv"]) == 2


def test_a_picture_without_matplotlib(tree, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"merkit\[viz\]"):
        call("kemdy19", "--root", tree, "--out", tmp_path / "out", "--picture", tmp_path / "raters.png")
    assert not (tmp_path / "out").exists()


def test_what_is_refused(tree, tmp_path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match="speaker alone"):
        call("kemdy20", "--root", tree, "--out", out, "--view", "listener")
    with pytest.raises(ConfigError, match="view is"):
        call("kemdy19", "--root", tree, "--out", out, "--view", "both")
    assert not out.exists()  # a wrong option claims nothing
    assert call("kemdy19", "--out", out).exit_code == 2  # no root
    call("kemdy19", "--root", tree, "--out", out)
    with pytest.raises(ConfigError, match="manifest already"):
        call("kemdy19", "--root", tree, "--out", out)
    before = (out / "manifest.parquet").read_bytes()
    assert call("kemdy19", "--root", tree, "--out", out, "--force").exit_code == 0
    assert (out / "manifest.parquet").read_bytes() == before
    with pytest.raises(ConfigError, match="annotation"):
        call("kemdy19", "--root", tmp_path, "--out", tmp_path / "other")


def test_other_corpora_keep_their_options(tmp_path) -> None:
    assert "--view" in call("kemdy19", "--help").stdout and "--view" not in call("meld", "--help").stdout
    root = write_aihub(tmp_path / "aihub", clips=20, seconds=0.05)
    facts = json.loads(call("kemdy-aihub", "--root", root, "--out", tmp_path / "out", "--json").stdout)
    assert facts["clips"] == 20 and sum(facts["splits"].values()) == 20 and set(facts["splits"]) == {"train", "valid"}


def test_help_needs_no_heavy_library() -> None:
    code = (
        "import sys\nfrom merkit.cli.main import app\n"
        "try:\n    app(['prepare', 'kemdy19', '--help'])\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('torch', 'av', 'scipy', 'pyarrow') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]" and "--keep-unusable" in done.stdout
