"""Answers without labels: the figures of `evaluate` where both can answer, and a word on everything that is missing."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from made_films import FilmReader, write_films
from small_corpus import ARRAYS, write_arrays
from small_scenes import small_scenes

from merkit.config import override
from merkit.corpora.film import prepare_films
from merkit.corpora.film_files import films_of
from merkit.corpora.storage import write_manifest
from merkit.data.table import Provenance
from merkit.errors import ConfigError
from merkit.report.answers import answers_document, write_answers
from merkit.report.notice import NOTICE
from merkit.schema import Target, TargetSpec
from merkit.systems import emotx, system
from merkit.systems.fusion import FusionConfig
from merkit.training.evaluate import predictions_of
from merkit.training.predict import predict_run, unlabelled
from merkit.training.run import Run
from merkit.training.train import train, train_seeds

QUICK = ("trainer.max_epochs=1", "trainer.accelerator=cpu", "trainer.batch_size=7")


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    """A run of two seeds over turns with context, and its data."""
    folder = tmp_path_factory.mktemp("arrays")
    config = override(
        FusionConfig(data={"root": write_arrays(folder / "data"), "arrays": ARRAYS}), [*QUICK, "data.earlier=2"]
    )
    train_seeds("fusion", config, folder / "run", 2)
    return folder


def test_answers_are_those_of_evaluation_and_seeds_answer_as_their_mean(arrays):
    runs = Run(arrays / "run").seeds()
    runs[0].note(temperature={"emotion": 0.37})
    expected = [predictions_of(run, run.system.load(run.config)).output["emotion"] for run in runs]
    alone = predict_run(runs[0].path, arrays / "data")
    np.testing.assert_allclose(alone.output["emotion"], expected[0], atol=1e-6)
    both = predict_run(arrays / "run", arrays / "data")
    np.testing.assert_allclose(both.output["emotion"], np.mean(expected, axis=0), atol=1e-6)
    assert not np.allclose(expected[0], expected[1])
    assert (both.seeds, both.warnings) == (2, ())
    first = next(both.answers())
    assert first.clip == both.ids[0]
    assert (first.start_s, first.entity, first.target) == (None, None, "emotion")
    assert sum(first.prob.values()) == pytest.approx(1.0, abs=1e-5)


def test_labels_splits_and_speakers_are_neither_needed_nor_looked_at(arrays, tmp_path):
    with np.load(arrays / "data" / "data.npz") as archive:
        held = dict(archive)
    bare = {name: value for name, value in held.items() if name not in ("label", "split", "speaker")}
    np.savez(tmp_path / "data.npz", **bare)
    made = predict_run(arrays / "run", tmp_path)
    np.testing.assert_array_equal(
        made.output["emotion"], predict_run(arrays / "run", arrays / "data").output["emotion"]
    )
    with pytest.raises(ConfigError, match="has no targets"):
        config = unlabelled(Run(arrays / "run").seeds()[0].config)
        train("fusion", config, tmp_path / "never")


def test_a_clip_with_nothing_is_not_answered(arrays, tmp_path):
    with np.load(arrays / "data" / "data.npz") as archive:
        held = dict(archive)
    held["text"][5] = np.nan  # it had no voice before
    np.savez(tmp_path / "data.npz", **held)
    made = predict_run(arrays / "run", tmp_path)
    gone = str(held["id"][5])
    assert np.flatnonzero(~made.seen).tolist() == [5]
    assert gone not in {answer.clip for answer in made.answers()}
    assert answers_document(made)["unanswered"] == [gone]
    assert made.warnings == ("1 of 60 clips hold nothing that the run looks at: no answer",)


@pytest.fixture
def scenes(tmp_path, monkeypatch):
    """A run of EmoTx on made scenes; what its folder holds can be changed."""
    held = {"table": small_scenes(30)}
    monkeypatch.setitem(
        system.SYSTEMS,
        "emotx",
        replace(system.SYSTEMS["emotx"], load=lambda config, *, root=None, split=None: held["table"]),
    )
    small = ("hidden_dim=8", "num_heads=2", "feedforward=8", "optim.lr=0.01")
    train("emotx", override(emotx.EmoTxConfig(), [*QUICK, *small]), tmp_path / "run")
    return held, tmp_path / "run"


def test_every_person_who_is_there_is_answered_for_by_name(scenes, tmp_path):
    held, run = scenes
    known = predictions_of(Run(run), held["table"])
    held["table"] = replace(held["table"], targets={})
    made = predict_run(run, tmp_path)
    np.testing.assert_array_equal(made.owner["character"], known.owner["character"])
    for name in ("scene", "character"):
        np.testing.assert_allclose(made.output[name], known.output[name], atol=1e-6)
    names = [f"person_{j + 1}" for clip in range(30) for j in range(int((known.owner["character"] == clip).sum()))]
    assert made.entity["character"].tolist() == names
    answers = [answer for answer in made.answers() if answer.clip == "s3"]
    assert [answer.entity for answer in answers] == [None, *held["table"].entities[3]]
    rows = np.flatnonzero(made.owner["character"] == 3)
    assert list(answers[-1].prob.values()) == pytest.approx(made.output["character"][rows[-1]], abs=1e-6)


def test_a_stream_that_is_not_there_is_absent_and_said(scenes, tmp_path):
    held, run = scenes
    table = held["table"]
    streams = {name: column for name, column in table.streams.items() if name != "lines"}
    none = table.streams["lines"].take(
        np.arange(30), keep=lambda clip, entity, lengths: (np.zeros(0, int), lengths * 0)
    )
    held["table"] = replace(table, streams={**streams, "lines": none})
    hidden = predict_run(run, tmp_path)
    held["table"] = replace(table, streams=streams)
    made = predict_run(run, tmp_path)
    np.testing.assert_allclose(made.output["character"], hidden.output["character"], atol=1e-6)
    assert made.warnings == ("the run looks at lines, of which there is nothing here",)
    held["table"] = replace(table, streams={})
    with pytest.raises(ConfigError, match="holds nothing of what"):
        predict_run(run, tmp_path)


def test_features_of_another_kind_are_refused(scenes, tmp_path):
    held, run = scenes
    table = held["table"]
    data = {**Run(run).record["data"], "provenance": {"face": {"source": "faces@1; 3 left out"}}}
    Run(run).note(data=data)
    held["table"] = replace(table, provenance={"face": Provenance("faces@1; all there")})
    assert predict_run(run, tmp_path).warnings == ()
    held["table"] = replace(table, provenance={"face": Provenance("faces@2")})
    with pytest.raises(ConfigError, match=r"face features are faces@2; .* trained with faces@1.*other-features"):
        predict_run(run, tmp_path)
    assert "faces@2" in predict_run(run, tmp_path, other_features=True).warnings[0]
    wide = table.streams["face"]
    held["table"] = replace(table, streams={**table.streams, "face": replace(wide, x=wide.x[:, :2])})
    with pytest.raises(ConfigError, match="2 wide"):
        predict_run(run, tmp_path)


MOOD = TargetSpec("mood", "multi_label", ("calm", "=loud"))
LOOK = TargetSpec("look", "single_label", ("glad", "grave", "cross"), per_entity=True)


def test_from_a_film_to_files(tmp_path):
    """Trained on one film with labels, asked about another without any."""
    labelled = prepare_films(
        films_of(write_films(tmp_path, old="1")), FilmReader(), tmp_path / "old", min_s=5, max_s=12
    )
    clips = []
    for i, clip in enumerate(labelled.clips):
        targets = [Target(MOOD, np.array([i % 2, 1], np.float32))]
        targets += [Target(LOOK, np.array(i % 3), entity="person_1")]
        clips.append(replace(clip, split="train" if i < 10 else "valid", targets=tuple(targets)))
    write_manifest(replace(labelled, clips=tuple(clips), specs=(MOOD, LOOK)), tmp_path / "old")
    config = override(FusionConfig(), [*QUICK, f"data.root={tmp_path / 'old'}", "data.allow_leaks=[duplicate_media]"])
    train("fusion", config, tmp_path / "run")
    films = films_of(write_films(tmp_path, new="2"))
    asked = prepare_films(films, FilmReader(), tmp_path / "new", names={"new": {"person_1": "-Ada"}})
    write_manifest(asked, tmp_path / "new")
    shutil.rmtree(tmp_path / "new" / "films")  # not needed any more
    made = predict_run(tmp_path / "run", tmp_path / "new")
    whole, sheet = write_answers(made, tmp_path / "answers")
    document = json.loads(whole.read_text())
    assert document["notice"] == NOTICE == (tmp_path / "answers" / "NOTICE.txt").read_text().rstrip("\n")
    assert [(clip["film"], clip["start_s"], clip["end_s"]) for clip in document["clips"]] == [
        ("new", 0.0, 60.0), ("new", 60.0, 130.0)
    ]  # fmt: skip
    assert [set(clip["entities"]) for clip in document["clips"]] == [{"-Ada", "person_3"}, {"-Ada", "person_2"}]
    rows = list(csv.DictReader(sheet.open(newline="")))
    assert len(rows) == 2 * 2 + 4 * 3
    for row in rows:
        clip = next(clip for clip in document["clips"] if clip["clip"] == row["clip"])
        place = clip["entities"][row["entity"].removeprefix("'")] if row["entity"] else clip["answers"]
        assert float(row["probability"]) == place[row["target"]][row["label"].removeprefix("'")]
    assert {row["entity"] for row in rows} == {"", "'-Ada", "person_2", "person_3"}  # no spreadsheet runs a name
    assert {row["label"] for row in rows if not row["entity"]} == {"calm", "'=loud"}
