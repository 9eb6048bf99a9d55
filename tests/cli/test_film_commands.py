"""`merkit prepare film` and `merkit predict` as a user meets them."""

import json
import subprocess
import sys

import pytest
from made import write_clip
from small_corpus import ARRAYS, write_arrays
from typer.testing import CliRunner

from merkit.cli import film
from merkit.cli.main import app
from merkit.config import override
from merkit.corpora.storage import read_manifest
from merkit.corpora.utterances import read_utterances
from merkit.errors import ConfigError, WeightError
from merkit.features.store import FeatureStore
from merkit.systems.fusion import FusionConfig
from merkit.training.train import train

runner = CliRunner()


def call(*words: object):
    return runner.invoke(app, [*map(str, words)])


@pytest.mark.parametrize("words", [["prepare", "film"], ["predict"]])
def test_help_has_examples(words):
    done = call(*words, "--help")
    assert done.exit_code == 0
    assert f"merkit {' '.join(words)}" in done.stdout
    assert "Examples" in done.stdout
    # the other corpora's options are not those of a film, and the other way round
    assert "--headers" not in done.stdout
    assert "--min-scene" not in call("prepare", "--help").stdout


def test_neither_command_waits_for_torch_to_say_what_it_does():
    code = "import sys; import merkit.cli.main; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_film_with_subtitles_becomes_scenes(tmp_path, weights):
    weights("efficientnet-lite0")
    # two colours, and nothing else to see
    media = write_clip(
        tmp_path / "two.mp4", seconds=8, fps=6, colour=lambda t: (200, 30, 30) if t < 5 else (20, 60, 220)
    )
    (tmp_path / "two.srt").write_text(
        "1\n00:00:00,500 --> 00:00:02,000\nRed it is.\n\n2\n00:00:06,000 --> 00:00:07,000\nAnd blue now.\n"
    )
    (tmp_path / "bad.mp4").write_text("nothing")
    words = ("prepare", "film", media, tmp_path / "bad.mp4", "--out", tmp_path / "out", "--modalities", "scene")
    done = call(*words, "--min-scene", 2, "--max-scene", 6)
    assert done.exit_code == 0, done.output
    assert "two: 8 s, 2 scenes, 0 persons, 2 utterances" in done.stdout
    assert "bad.mp4: left out: " in done.stderr
    first, second = read_manifest(tmp_path / "out").clips
    # what changed is the colour at 5 s, seen at 3 frames a second
    assert first.span[1] == second.span[0] == pytest.approx(5.0, abs=0.35)
    assert [(line.clip, line.text) for line in read_utterances(tmp_path / "out")] == [
        (first.id, "Red it is."), (second.id, "And blue now.")
    ]  # fmt: skip
    store = FeatureStore.open(tmp_path / "out" / "features")
    assert store.read(second.id, "scene").start_s[0] == pytest.approx(0.0, abs=0.35)
    again = call(*words, "--min-scene", 4, "--max-scene", 20, "--json")
    assert json.loads(again.stdout)["reading"] == {"read": [], "as_before": ["two"]}
    assert len(read_manifest(tmp_path / "out").clips) == 1


def test_what_cannot_be_meant_is_refused_before_anything_is_read(tmp_path):
    media = tmp_path / "x.mp4"
    media.write_text("nothing")
    for options, message in (
        (("--modalities", "smell"), "smell: a film has face"),
        (("--extractor", "face"), "--extractor is MODALITY=NAME"),
        (("--names", tmp_path / "gone.csv"), "no such file"),
    ):
        done = call("prepare", "film", media, "--out", tmp_path / "out", *options)
        assert done.exit_code == 1
        assert message in str(done.exception)
    assert not (tmp_path / "out").exists()
    assert call("prepare", "film", "--out", tmp_path / "out").exit_code == 2  # no film


def test_a_folder_of_another_corpus_is_not_taken_over(tmp_path, weights):
    weights("efficientnet-lite0")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "prepare.json").write_text('{"corpus": "meld", "root": null}')
    (tmp_path / "out" / "rejected.csv").write_text("item,line,field,left_out,reason\n")
    done = call("prepare", "film", tmp_path / "x.mp4", "--out", tmp_path / "out", "--modalities", "scene")
    assert isinstance(done.exception, ConfigError)
    assert "take another folder" in str(done.exception)


def test_without_weights_a_film_does_without_or_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("MERKIT_HOME", str(tmp_path / "empty"))
    media = write_clip(tmp_path / "x.mp4", seconds=1, fps=6)
    asked = call("prepare", "film", media, "--out", tmp_path / "out", "--modalities", "scene")
    assert isinstance(asked.exception, WeightError)
    assert "merkit weights fetch" in str(asked.exception)


@pytest.mark.parametrize(
    ("here", "transcribes", "left_out"),
    [
        ({"face", "scene", "speech", "text", "asr"}, True, set()),
        ({"scene", "text"}, False, {"face", "speech", "text"}),  # words of subtitles need no recogniser
        ({"scene", "speech", "asr"}, True, {"face", "text"}),
    ],
)
def test_a_film_takes_what_weights_there_are(monkeypatch, here, transcribes, left_out):
    def tools(modalities, *, chosen, asr):
        for modality in (*modalities, *(("asr",) if asr and "text" in modalities else ())):
            if modality not in here:
                raise WeightError(f"no weights of {modality}")
        return set(modalities), asr

    monkeypatch.setattr("merkit.inference.extraction.extraction_tools", tools)
    extraction, without = film._extraction(None, (), True, 3.0)
    assert extraction.tools == (here - {"asr"}, transcribes)
    assert set(without) == left_out
    if left_out:  # what is asked for by name is not left out
        with pytest.raises(WeightError, match="no weights of"):
            film._extraction("face,scene,speech,text", (), True, 3.0)


def test_predictions_of_a_run_are_shown_and_written(tmp_path):
    config = FusionConfig(data={"root": write_arrays(tmp_path / "data"), "arrays": ARRAYS})
    train("fusion", override(config, ["trainer.max_epochs=1", "trainer.accelerator=cpu"]), tmp_path / "run")
    done = call("predict", tmp_path / "run", "--root", tmp_path / "data", "--top", 2)
    assert done.exit_code == 0, done.output
    written = json.loads((tmp_path / "data" / "predictions" / "run" / "answers.json").read_text())
    prob = written["clips"][0]["answers"]["emotion"]
    best = sorted(prob, key=lambda label: -prob[label])[:2]
    assert " · ".join(f"{label} {prob[label]:.2f}" for label in best) in done.stdout
    assert "… and 40 more clips" in done.stdout
    assert "not what the person feels" in done.stdout
    shown = call("predict", tmp_path / "run", "--root", tmp_path / "data", "--out", tmp_path / "mine", "--json")
    assert json.loads(shown.stdout) == json.loads((tmp_path / "mine" / "answers.json").read_text()) == written


@pytest.mark.data
def test_a_real_clip_has_one_person_who_speaks(tmp_path, real_data, weights):
    weights("mtcnn")
    clip = real_data / "av_samples" / "crema_d" / "1001_DFA_ANG_XX.flv"
    (tmp_path / "said.srt").write_text("1\n00:00:00,400 --> 00:00:01,900\nDon't forget a jacket.\n")
    done = call(
        "prepare", "film", clip, "--subtitles", tmp_path / "said.srt", "--out", tmp_path / "out",
        "--modalities", "face",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    (line,) = read_utterances(tmp_path / "out")
    assert line.entity == "person_1"
    assert (tmp_path / "out" / "portraits" / "1001_DFA_ANG_XX" / "person_1.jpg").read_bytes()[:2] == b"\xff\xd8"
    store = FeatureStore.open(tmp_path / "out" / "features")
    assert store.about(line.clip)["persons"] == ["person_1"]
    assert len(store.read(line.clip, "face", "person_1")) >= 6
