"""SSE-FT through the commands a user types: trees and lists are prepared, trained on, stopped, resumed, measured, asked."""

import csv
import json
from importlib.resources import as_file, files

import numpy as np
import pytest
import soundfile
from iemocap_tree import write_iemocap
from planted_features import WIDTHS, plant
from sse_lists import write_leaking, write_set
from tiny_encoders import write_encoder
from tiny_sights_and_sounds import write_speech_encoder
from typer.testing import CliRunner

from merkit.cli.main import app
from merkit.corpora import read_manifest
from merkit.errors import MerkitError
from merkit.features import FeatureStore
from merkit.models.sse_ft import SSEFT
from merkit.report.notice import NOTICE
from merkit.training.run import Run

SMALL = (
    "encoder_ffn_embed_dim=16", "encoder_layers=1", "encoder_layers_cross=1", "optim.lr=0.015", "trainer.batch_size=8",
    "trainer.max_epochs=6", "trainer.accelerator=cpu", "trainer.save_every_steps=4",
)  # fmt: skip
SESSIONS = (
    "data.split.kind=group_fold", "data.split.by=session", "data.targets=[emotion]",
    "data.allow_leaks=[duplicate_text]",  # every session played the same scripts
)  # fmt: skip
# kind of target -> (corpus, config, measure, what has to be beaten)
KINDS = {
    "one against the rest": (
        "iemocap", ("target=one_vs_rest", "data.label_map=iemocap4_exc", *SESSIONS), "emotion.binary_accuracy", 0.8,
    ),
    "seven classes": ("meld", ("width=16",), "emotion.accuracy", 0.7),
    "sentiment": ("mosi", (), "sentiment.pearson", 0.75),
    "squared error": ("mosi", ("loss=mse",), "sentiment.pearson", 0.75),
    "two classes": ("mosei", ("data.targets=[sentiment2]",), "sentiment2.accuracy", 0.8),
}  # fmt: skip


def run_cli(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def merkit(*words: object) -> str:
    done = run_cli(*words)
    assert done.exit_code == 0, done.output + str(done.exception or "")
    return done.stdout


def refused(*words: object) -> str:
    """What merkit says in place of doing it."""
    done = run_cli(*words)
    assert done.exit_code == 1 and isinstance(done.exception, MerkitError), done.output
    return str(done.exception)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Corpus -> its prepared folder with planted features."""
    folder = tmp_path_factory.mktemp("sse_ft")
    write_iemocap(folder / "iemocap")
    write_leaking(folder / "leaking")
    names = {"iemocap": "iemocap", "leaking": "sse-ft-iemocap-leaking"}
    for of in ("meld", "mosi", "mosei"):
        write_set(folder / of, of)
        names[of] = f"sse-ft-{of}"
    for of, name in names.items():
        said = json.loads(merkit("prepare", name, "--root", folder / of, "--out", folder / "prepared" / of, "--json"))
        assert said["clips"] == {"iemocap": 40, "leaking": 56}.get(of, 42)
        plant(folder / "prepared" / of)
    return folder / "prepared"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_target_trains_stops_resumes_is_measured_and_answers(prepared, tmp_path, monkeypatch, kind):
    of, changes, measure, floor = KINDS[kind]
    command = ("train", "sse_ft", f"data.root={prepared / of}", *SMALL, *changes, "--json", "--out")
    record = json.loads(merkit(*command, tmp_path / "whole"))[0]
    assert record["modalities"] == sorted(WIDTHS) and record["widths"] == WIDTHS
    inner, calls = SSEFT.outputs, []

    def stopping(self, batch):
        calls.append(1)
        if len(calls) == 8:  # within the second or third epoch
            raise KeyboardInterrupt
        return inner(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(SSEFT, "outputs", stopping)
        done = run_cli(*command, tmp_path / "stopped")
    assert done.exit_code != 0 and not Run(tmp_path / "stopped").finished
    assert json.loads(merkit(*command, tmp_path / "stopped"))[0]["epochs"] == record["epochs"]
    whole, stopped = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "stopped"))
    assert whole == stopped
    run = tmp_path / "whole"
    found = json.loads(merkit("evaluate", run, "--split", "test", "--draws", 100, "--json"))[-1]
    assert found["test_readings"] == 1 and found["measures"][measure][0] > floor
    # what is answered without labels is what was measured
    document = json.loads(merkit("predict", run, "--root", prepared / of, "--out", tmp_path / "answers", "--json"))
    answers = {clip["clip"]: clip["answers"] for clip in document["clips"]}
    with np.load(run / "predictions" / "test.npz") as held:
        (target,) = (spec.name for spec in Run(run).specs)
        assert len(held["ids"])
        for clip, output in zip(held["ids"], held[f"output.{target}"], strict=True):
            np.testing.assert_allclose(list(answers[clip][target].values()), output, atol=2e-5)
    assert document["notice"] == NOTICE == (tmp_path / "answers/NOTICE.txt").read_text().rstrip("\n")


def test_session_folds_ask_four_questions_of_clips_that_nobody_trained_on(prepared, tmp_path):
    tested = set()
    for fold in (0, 3):
        run = tmp_path / f"fold{fold}"
        changes = (*KINDS["one against the rest"][1], f"data.split.fold={fold}", "trainer.max_epochs=1")
        merkit("train", "sse_ft", f"data.root={prepared / 'iemocap'}", *SMALL, *changes, "--out", run, "--json")
        (spec,) = Run(run).specs
        assert (spec.kind, spec.labels) == ("multi_label", ("angry", "happy", "neutral", "sad"))
        merkit("evaluate", run, "--split", "test", "--draws", 100)
        with np.load(run / "predictions" / "test.npz") as held:
            assert {clip[:5] for clip in held["ids"]} == {f"Ses0{fold + 1}"}
            valid, target = held["valid.emotion"], held["target.emotion"]
            # of eight turns, one without a majority and one of frustration have no answer; exactly one of four is right
            assert valid.all(1).sum() == 6 and not valid[~valid.all(1)].any()
            assert (target[valid.all(1)].sum(1) == 1).all()
            tested |= set(held["ids"])
    assert len(tested) == 16
    said = refused(
        "train", "sse_ft", f"data.root={prepared / 'iemocap'}", *SESSIONS[:-1], "--out", tmp_path / "refused"
    )
    assert "duplicate_text (train and valid and test" in said


def test_published_splits_that_leak_are_refused_and_on_record_where_they_are_allowed(prepared, tmp_path):
    command = (
        "train",
        "sse_ft",
        f"data.root={prepared / 'leaking'}",
        *SMALL,
        "trainer.max_epochs=1",
        "--json",
        "--out",
    )
    assert "duplicate_media (valid and test; 6 clips" in refused(*command, tmp_path / "refused")
    assert not (tmp_path / "refused" / "config.json").exists()
    allowed = (*command[:-2], "data.allow_leaks=[duplicate_media,duplicate_features]", *command[-2:])
    record = json.loads(merkit(*allowed, tmp_path / "run"))[0]
    leaks = {finding["kind"]: finding for finding in record["leakage"]}
    assert leaks["duplicate_media"]["count"] == 6


def test_clips_without_targets_and_without_a_face_are_answered(prepared, tmp_path):
    """Words and voice of strangers, for a run that looks at three modalities."""
    run = tmp_path / "run"
    merkit("train", "sse_ft", f"data.root={prepared / 'meld'}", *SMALL, "trainer.max_epochs=2", "--out", run)
    (tmp_path / "new.csv").write_text("id,text\na,Nobody has labelled this\nb,nor this\nc,\n")
    merkit("prepare", tmp_path / "new.csv", "--out", tmp_path / "new")
    plant(tmp_path / "new", {name: WIDTHS[name] for name in ("text", "speech")})
    shown = run_cli("predict", run, "--root", tmp_path / "new")
    assert shown.exit_code == 0 and "the run looks at face, of which there is nothing here" in shown.stderr
    assert shown.stdout.rstrip().endswith("not what the person feels.")
    document = json.loads((tmp_path / "new/predictions/run/answers.json").read_text())
    assert [clip["clip"] for clip in document["clips"]] == ["a", "b"]
    for clip in document["clips"]:
        prob = clip["answers"]["emotion"]
        assert sorted(prob) == sorted(Run(run).specs[0].labels) and sum(prob.values()) == pytest.approx(1, abs=1e-5)
    rows = list(csv.DictReader((tmp_path / "new/predictions/run/answers.csv").open()))
    assert len(rows) == 14
    # an answer to less is another answer
    merkit("prepare", tmp_path / "new.csv", "--out", tmp_path / "new2")
    plant(tmp_path / "new2", faceless=0)
    seen = json.loads(merkit("predict", run, "--root", tmp_path / "new2", "--json"))
    assert seen["warnings"] == [] and seen["clips"][0]["answers"] != document["clips"][0]["answers"]


def test_from_sounds_and_words_through_extraction(tmp_path):
    """Lists with real speech and words beside them; encoders are asked, and the store holds what they say."""
    said = write_set(tmp_path / "root", "mosei", {"train": 3, "valid": 2, "test": 1}, "at")
    with as_file(files("merkit.demo") / "speech.flac") as path:
        speech, rate_hz = soundfile.read(path, dtype="float32")
    for i, file in enumerate(sorted((tmp_path / "root").rglob("*.wav"))):
        first = int((0.5 + 0.1 * i) * rate_hz)
        soundfile.write(file, speech[first : first + rate_hz], rate_hz)
    encoders = {"speech": write_speech_encoder(tmp_path / "ears"), "text": write_encoder(tmp_path / "words")}
    merkit("prepare", "sse-ft-mosei", "--root", tmp_path / "root", "--out", tmp_path / "data")
    named = [word for modality, folder in encoders.items() for word in ("--encoder", f"{modality}={folder}")]
    report = json.loads(
        merkit("extract", tmp_path / "data", "--out", tmp_path / "data/features", "--modalities", "speech,text",
               "--no-asr", "--engine", "serial", "--json", *named)
    )  # fmt: skip
    assert report["extracted"] == sum(map(len, said.values())) == 6 and report["skipped"] == []
    store = FeatureStore.open(tmp_path / "data/features")
    # <s>, four words, a number, the parts of a name, </s>: as many tokens as the words have; voice is 400 tokens a second
    clip = read_manifest(tmp_path / "data").clips[0]
    assert store.read(clip.id, "text").x.shape[1] == 16 and len(store.read(clip.id, "text")) >= 8
    assert len(store.read(clip.id, "speech")) > 50
    pair = ("t_only=true", "a_only=true", "cls={text: first}", "data.targets=[sentiment7]", "trainer.max_epochs=1")
    run = tmp_path / "run"
    merkit("train", "sse_ft", f"data.root={tmp_path / 'data'}", *SMALL, *pair, "--out", run, "--json")
    assert Run(run).record["modalities"] == ["text", "speech"] and Run(run).record["widths"] == {
        "text": 16,
        "speech": 16,
    }
    merkit("evaluate", run, "--draws", 100, "--json")
    answers = json.loads(merkit("predict", run, "--root", tmp_path / "data", "--json"))["clips"]
    assert len(answers) == 6
    # the encoders of training or none: other features of the same width mean nothing to the run
    merkit("prepare", "sse-ft-mosei", "--root", tmp_path / "root", "--out", tmp_path / "else")
    plant(tmp_path / "else", {"text": 16, "speech": 16})
    assert "Answers would mean nothing" in refused("predict", run, "--root", tmp_path / "else")
