"""`merkit prepare merc2020` and `… --for merc2020`."""

import csv
import json
from functools import partial

import pytest
from typer.testing import CliRunner

from merkit.cli.main import app
from merkit.corpora import read_manifest
from merkit.errors import ConfigError
from merkit.features import FeatureStore, sources
from merkit.media import probe, read_clip
from tests.made import write_clip
from tests.merc2020_tree import write_challenge

runner = CliRunner()


def call(*words):
    result = runner.invoke(app, ["prepare", *map(str, words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def in_process(monkeypatch):
    for name, function in (("read_clip", read_clip), ("probe", probe)):
        monkeypatch.setattr(sources, name, partial(function, isolate=False))


def test_the_challenge(tmp_path, in_process):
    root = write_challenge(tmp_path / "data", train=2, val=1, test=2, test3=1)
    out = tmp_path / "out"
    options = ("--root", root, "--out", out, "--side", 24, "--crop", "picture", "--workers", 1)
    made = json.loads(call("merc2020", *options, "--json").stdout)
    assert made["splits"] == {"train": 4, "valid": 1, "test": 3} and made["clips"] == 8
    assert made["run"]["faces"]["done"] == 7 and made["bytes"]["faces"] > 7 * 6 * 3 * 24 * 24
    with (out / "rejected.csv").open() as file:
        told = {(row["item"], row["left_out"]): row["reason"] for row in csv.DictReader(file)}
    assert set(told) == {
        ("train/00901", "text"), ("qia2020/train/00902-31-f.mp4", "clip"), ("train/00903", "text"),
        ("train/00900", "speech, face"), ("train/00903", "clip"),
    }  # fmt: skip
    assert sorted(file.name for file in (out / "submissions").iterdir()) == ["test1.csv", "test2.csv", "test3.csv"]
    with pytest.raises(ConfigError, match="holds a manifest already; --force goes over it again"):
        call("merc2020", *options)
    text = call("merc2020", *options, "--force").stdout
    assert "8 clips in" in text and f"next:  merkit train merc2020 data.root={out}" in text


def test_clips_of_your_own(tmp_path, in_process):
    write_clip(tmp_path / "a.mp4", seconds=0.6, fps=10)
    write_clip(tmp_path / "b.wav", seconds=0.6, video=False, audio_codec="pcm_s16le", rate=16_000)
    (tmp_path / "words.vec").write_text("hello 1 0\nagain 0 1\n")
    (tmp_path / "clips.csv").write_text("path,text,label,split\na.mp4,Hello again,joy,train\nb.wav,hello,fear,valid\n")
    out = tmp_path / "out"
    words = ("--words", tmp_path / "words.vec", "--crop", "picture", "--side", 32, "--most-faces", 3)
    call(tmp_path / "clips.csv", "--out", out, "--for", "merc2020", "--labels", "joy,fear", "--workers", 1, *words)
    manifest = read_manifest(out)
    assert {c.id: [s.modality for s in c.streams] for c in manifest.clips} == {
        "a": ["face", "scene", "speech", "text"],
        "b": ["speech", "text"],
    }
    assert manifest.specs[0].labels == ("joy", "fear")
    heard = FeatureStore.open(out / "features")
    assert heard.read("a", "text").x.tolist() == [[1, 0], [0, 1]] and heard.read("b", "speech").x.shape[1] == 128
    assert FeatureStore.open(out / "faces").read("a", "face").x.shape == (3, 3 * 32 * 32)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("merc2020", "--out", "o"), "--root is needed"),
        (("nothing", "--for", "merc2020", "--out", "o"), "nothing"),
        (("none.csv", "--for", "merc2020", "--out", "o"), "no such table"),
        (("merc2020", "--root", ".", "--out", "o", "--for", "emotx"), "--for emotx"),
        (("merc2020", "--root", ".", "--out", "o", "--crop", "hand"), "crop"),
        (("merc2020", "--root", ".", "--out", "o", "--labels", "ekman7"), "has its own labels"),
    ],
)
def test_what_cannot_be_meant(tmp_path, monkeypatch, words, reason):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=reason):
        call(*words)
    assert not (tmp_path / "o").exists(), "nothing is begun"


def test_help_shows_the_options_of_this_corpus():
    result = runner.invoke(app, ["prepare", "merc2020", "--help"])
    assert result.exit_code == 0 and "--face-fps" in result.stdout and "--detect-every" in result.stdout
    assert "--face-fps" not in runner.invoke(app, ["prepare", "--help"]).stdout
