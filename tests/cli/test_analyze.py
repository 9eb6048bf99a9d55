"""`merkit analyze` as a user meets it: real media, real weights, every subset of modalities, and one bad clip."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from merkit.cli.main import app

NEEDED = ("mtcnn", "whisper-tiny-en", "minilm-l6", "carphone")
runner = CliRunner()


@pytest.fixture(scope="module")
def demo_clip(weights, tmp_path_factory) -> Path:
    """The demo clip: a real face with a synthetic voice, 12 s."""
    weights(*NEEDED)
    from merkit.demo import build_demo_clip

    return build_demo_clip(tmp_path_factory.mktemp("demo"))


def analyze(*arguments: object) -> tuple[int, list[dict], str]:
    done = runner.invoke(app, ["analyze", "--json", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, json.loads(done.stdout), done.stderr


@pytest.mark.parametrize(
    ("chosen", "present"),
    [
        ("video", {"face"}),
        ("audio", {"speech"}),
        ("text", {"text"}),
        ("video,audio", {"face", "speech"}),
        ("video,text", {"face", "text"}),
        ("audio,text", {"speech", "text"}),
        ("video,audio,text", {"face", "speech", "text"}),
    ],
)
def test_every_subset_answers(demo_clip: Path, tmp_path: Path, chosen: str, present: set[str]) -> None:
    code, (result,), _ = analyze(demo_clip, "--modalities", chosen, "--out", tmp_path, "--no-media")
    assert code == 0
    assert {row["modality"] for row in result["presence"] if row["present"]} == present
    whole = result["summary"][0]
    assert set(whole["prob"]) == set(whole["contribution"]) == present
    assert sum(whole["fused"]) == pytest.approx(1.0, abs=1e-5)
    assert sum(whole["contribution"].values()) == pytest.approx(1.0, abs=1e-5)
    if present == {"face"}:
        np.testing.assert_allclose(whole["fused"], whole["prob"]["face"], atol=1e-5)
    for window in result["windows"]:
        if window["fused"] is not None:
            assert sum(window["fused"]) == pytest.approx(1.0, abs=1e-5)
    if "text" in present:
        heard = " ".join(s["text"] or "" for s in result["segments"]).lower()
        for words in ("wonderful news", "road is closed", "let us take the next"):
            assert words in heard
    if "face" in present:
        (person,) = result["persons"]
        assert person["id"] == "person_1"
        assert len(person["times_s"]) > 30
    assert all(row["reason"] for row in result["presence"] if not row["present"])


def test_files_are_written_and_agree(demo_clip: Path, tmp_path: Path) -> None:
    code, (result,), _ = analyze(demo_clip, "--out", tmp_path)
    folder = tmp_path / "carphone"
    assert code == 0
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "timeline.csv", "timeline.json"]
    kept = json.loads((folder / "timeline.json").read_text())
    assert kept["summary"] == result["summary"]
    with (folder / "timeline.csv").open() as file:
        assert {row["modality"] for row in csv.DictReader(file)} >= {"face", "speech", "text", "fused"}
    page = (folder / "report.html").read_text()
    assert "video/mp4" in page
    assert len(page) > demo_clip.stat().st_size  # the clip itself is inside
    assert "workplace" in page.lower()
    assert kept["model"]["non_commercial"] is True
    assert kept["model"]["weights"]["head:face"]


def test_one_bad_clip_is_reported_and_the_rest_go_on(demo_clip: Path, tmp_path: Path) -> None:
    bad = tmp_path / "broken.mp4"
    bad.write_bytes(b"\x00\x00\x00\x18ftypmp42 and nothing more")
    code, results, stderr = analyze(bad, demo_clip, "--modalities", "video", "--out", tmp_path / "out", "--no-media")
    assert code == 1
    assert "broken.mp4" in results[0]["error"]
    assert results[1]["summary"][0]["fused"]
    assert "broken.mp4" in stderr


def test_permissive_licence_leaves_non_commercial_heads_out(weights, demo_clip: Path, tmp_path: Path) -> None:
    weights("face-api-expression")
    code, (result,), _ = analyze(demo_clip, "--licence", "permissive", "--out", tmp_path, "--no-media")
    assert code == 0
    assert result["model"]["non_commercial"] is False
    assert "head:speech" not in result["model"]["weights"]
    (speech,) = (row for row in result["presence"] if row["modality"] == "speech")
    assert "licence" in speech["reason"]


def test_subtitles_beside_the_clip_are_taken(demo_clip: Path, tmp_path: Path) -> None:
    clip = tmp_path / "talk.mp4"
    clip.write_bytes(demo_clip.read_bytes())
    clip.with_suffix(".srt").write_text("1\n00:00:00,400 --> 00:00:03,200\nI am so angry with you!\n")
    _, (result,), _ = analyze(clip, "--modalities", "text", "--out", tmp_path / "out", "--no-media")
    lines = [s for s in result["segments"] if s["text"]]
    assert [(s["text"], s["source"]) for s in lines] == [("I am so angry with you!", "subtitles")]
    assert result["labels"][int(np.argmax(lines[0]["prob"]["fused"]))] == "anger"


def test_words_alone_and_signals_alone(weights, tmp_path: Path) -> None:
    weights("minilm-l6", "whisper-tiny-en", "mtcnn")
    words = tmp_path / "lines.srt"
    words.write_text("1\n00:00:00,000 --> 00:00:02,000\nThank you so much, this is wonderful!\n")
    table = tmp_path / "wrist.csv"
    table.write_text("time_s,eda_uS\n" + "\n".join(f"{t / 4},{1 + t % 7 / 10}" for t in range(400)))
    code, results, _ = analyze(words, table, "--out", tmp_path / "out")
    assert code == 0
    assert results[0]["labels"][int(np.argmax(results[0]["summary"][0]["fused"]))] == "joy"
    assert results[1]["summary"][0]["fused"] is None
    (row,) = (row for row in results[1]["presence"] if row["modality"] == "physiology")
    assert row["present"]
    assert "not judged" in row["reason"]
    assert results[1]["traces"][0]["name"] == "eda"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("a.mp4", "--modalities", "smell"), "smell"),
        (("a.mp4", "--licence", "mine"), "permissive"),
        (("a.mp4", "b.mp4", "--subtitles", "a.srt"), "one clip"),
        (("a.mp4", "--model", "third"), "third"),
    ],
)
def test_wrong_options_are_explained(arguments: tuple[str, ...], reason: str) -> None:
    done = runner.invoke(app, ["analyze", *arguments])
    assert done.exit_code != 0
    assert reason in str(done.exception)


def test_missing_weights_name_the_command_that_fetches_them(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MERKIT_HOME", str(tmp_path / "empty"))
    done = runner.invoke(app, ["analyze", "a.mp4"])
    assert "merkit weights fetch" in str(done.exception)
    assert "mtcnn" in str(done.exception)
