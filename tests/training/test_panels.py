"""Several runs, several views, one answer: against loops written out, with everything that can be missing missing."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from picture_system import LABELS, SIDE, PictureModel, picture_clips, picture_system
from scipy.special import softmax

from merkit.config import override
from merkit.errors import ConfigError
from merkit.report.answers import answers_document
from merkit.systems import system
from merkit.systems.fusion import FusionConfig
from merkit.training import evaluate_runs
from merkit.training.answering import Answering
from merkit.training.panel import open_panel
from merkit.training.predict import predict_panel, predict_run, predict_runs
from merkit.training.run import Run
from merkit.training.train import train, train_seeds

QUICK = (
    "trainer.max_epochs=4",
    "trainer.accelerator=cpu",
    "trainer.batch_size=8",
    "optim.lr=0.03",
    "trainer.watch=last",
)
OLD, NEW = Path("old"), Path("new")
FOLDERS = {"old": picture_clips(60), "new": picture_clips(20, seed=9, split="test", prefix="new")}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two seeds that see pictures and words, one run on pictures alone, one on words alone, one that is asked less."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(system.SYSTEMS, "pictures", picture_system(FOLDERS))
        config = override(FusionConfig(data={"root": "old"}), QUICK)
        train_seeds("pictures", config, folder / "both", 2)
        train("pictures", override(config, ["data.modalities=[face]"]), folder / "face")
        train("pictures", override(config, ["data.modalities=[text]"]), folder / "text")
        train("pictures", override(config, ["data.targets=[emotion]"]), folder / "asked_less")
    for i, seed in enumerate(Run(folder / "both").seeds()):
        seed.note(temperature={"emotion": 1.3 + i, "face_emotion": 0.8})
    return folder


@pytest.fixture(autouse=True)
def folders(monkeypatch):
    held = dict(FOLDERS)
    monkeypatch.setitem(system.SYSTEMS, "pictures", picture_system(held))
    return held


def by_hand(run: Run, views: int, power: float, calibrated: bool = True, table=FOLDERS["new"]) -> np.ndarray:
    """`(n, K)` of `emotion`: clip by clip, view by view, pictures turned by numpy."""
    model, made = run.model(), []
    tau = run.record["temperature"]["emotion"] if calibrated else 1.0
    factors = (0.9, 1.0, 1.1) if views > 2 else (1.0,)
    flips = [(a, b) for a in ((0, 1) if views > 1 else (0,)) for b in ((0, 1) if views == 12 else (0,))]
    for i in range(len(table)):
        total = np.zeros(len(LABELS))
        for left_right, upside_down in flips:
            for factor in factors:
                hidden = torch.zeros(9)
                for name in run.record["modalities"]:
                    column = table.streams[name].take(np.array([i]))
                    if not len(column.x):
                        hidden += torch.tanh(torch.zeros(9))
                        continue
                    x = torch.tensor(column.x, dtype=torch.float32)
                    if name == "face":
                        pictures = x.numpy().reshape(-1, SIDE, SIDE, 3) / 255
                        pictures = pictures[:, :, ::-1] if left_right else pictures
                        pictures = pictures[:, ::-1] if upside_down else pictures
                        pictures = np.minimum(pictures * factor, 1)
                        pictures = (pictures - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
                        x = torch.tensor(pictures.reshape(len(pictures), -1).copy(), dtype=torch.float32)
                    hidden += torch.tanh(model.layers[name](x).mean(0))
                with torch.no_grad():
                    prob = softmax(model.heads["emotion"](hidden).double().numpy() / tau)
                total += prob**power / (prob**power).sum()
        made.append(total / (len(flips) * len(factors)))
    return np.array(made)


@torch.no_grad()
@pytest.mark.parametrize(
    ("views", "power", "calibrated"), [("12", 0.1, True), ("all", 0.1, False), ("6", 1.0, True), ("2", 2.0, True)]
)
def test_members_and_views_are_averaged_as_written_down(runs, views, power, calibrated):
    made = predict_runs([runs / "both"], NEW, how=Answering(views, power, calibrated))
    count = {"all": 12}.get(views) or int(views)
    expected = np.mean([by_hand(run, count, power, calibrated) for run in Run(runs / "both").seeds()], 0)
    np.testing.assert_allclose(made.output["emotion"][made.seen], expected[made.seen], atol=1e-5)
    assert (made.views, made.power, made.seeds) == (count, power, 2)
    assert any("tempered" in warning for warning in made.warnings) == (power != 1.0)


def test_views_change_answers_where_there_are_pictures_and_nowhere_else(runs):
    plain = predict_runs([runs / "both"], NEW)
    mirrored = predict_runs([runs / "both"], NEW, how=Answering("hflip"))
    differs = np.abs(plain.output["emotion"] - mirrored.output["emotion"]).max(1)
    assert (differs[[3, 5]] < 1e-6).all()
    assert (np.delete(differs, [3, 5]) > 1e-4).all()
    words = predict_runs([runs / "text"], NEW, how=Answering("12"))
    assert words.views == 1
    assert f"{runs / 'text'} looks at no pictures here: one view of each clip" in words.warnings
    np.testing.assert_array_equal(words.output["emotion"], predict_run(runs / "text", NEW).output["emotion"])


def test_who_sees_nothing_of_a_clip_is_left_out_of_its_mean(runs):
    face, text = (predict_run(runs / name, NEW).output["emotion"] for name in ("face", "text"))
    made = predict_runs([runs / "face", runs / "text"], NEW, weights=[1, 3])
    np.testing.assert_allclose(made.output["emotion"][3], text[3])  # no pictures
    np.testing.assert_allclose(made.output["emotion"][4], face[4])  # no words
    rest = np.delete(np.arange(20), [3, 4, 5])
    np.testing.assert_allclose(made.output["emotion"][rest], (0.25 * face + 0.75 * text)[rest], atol=1e-6)
    assert [warning.split(" clips hold")[0] for warning in made.warnings] == ["1 of 20", "1", "1"]
    assert np.flatnonzero(~made.seen).tolist() == [5]
    assert answers_document(made)["unanswered"] == ["new5"]


def test_a_clip_that_shows_nothing_gets_the_shares_of_training_and_is_marked(runs, folders):
    made = predict_runs([runs / "both"], NEW, missing="prior")
    old = FOLDERS["old"]
    shares = np.bincount(old.targets["emotion"].value[old.split == "train"], minlength=7) / (old.split == "train").sum()
    np.testing.assert_allclose(made.output["emotion"][5], shares)
    assert shares.argmax() == 0 and len(set(shares)) > 1
    assert made.warnings == (
        "1 of 20 clips hold nothing that the run looks at: they get the shares of the training labels",
    )
    document = answers_document(made)
    assert document["unanswered"] == []
    assert [clip["clip"] for clip in document["clips"] if clip["basis"] == "prior"] == ["new5"]
    assert {answer.basis for answer in made.answers() if answer.clip == "new4"} == {"clip"}
    folders.pop("old")  # the record says it, where the data has gone
    alone = predict_runs([runs / "face"], NEW, missing="prior")
    np.testing.assert_allclose(alone.output["emotion"][5], shares)


def test_figures_of_evaluate_are_those_of_what_is_answered(runs, folders):
    how = Answering("12", 0.1)
    answered = predict_runs([runs / "both", runs / "text"], NEW, how=how, weights=[1, 0.5], missing="prior")
    *_, last = evaluate_runs(
        [runs / "both", runs / "text"], root=NEW, draws=50, how=how, weights=[1, 0.5], missing="prior"
    )
    for name in ("emotion", "face_emotion"):
        right = answered.output[name].argmax(-1) == FOLDERS["new"].targets[name].value
        assert last.measures[f"{name}.accuracy"].value == pytest.approx(right.mean())
    truth = FOLDERS["new"].targets["emotion"].value
    assert last.measures["emotion.nll"].value == pytest.approx(
        -np.log(answered.output["emotion"][np.arange(20), truth]).mean(), abs=1e-6
    )
    assert last.to_dict()["answering"] == "views12-T0.1-prior"
    seed = Run(runs / "both").seeds()[0]
    assert seed.record["test_readings"][-1]["answering"] == "views12-T0.1-prior"
    assert not (seed.path / "predictions" / "test.npz").exists()  # plain figures are not mixed up with these
    (tag,) = {file.stem.removeprefix("evaluation-") for file in (runs / "text").glob("evaluation-*.json")}
    assert tag.startswith("test-views12-T0.1-prior@new-")  # nor those of other clips with those of the run's own
    assert (seed.path / "predictions" / f"{tag}.npz").is_file()
    (held,) = json.loads((runs / "text" / f"evaluation-{tag}.json").read_text())
    assert held["root"] == str(NEW.resolve())
    assert not list(runs.glob("**/so-far"))


def test_a_stopped_answer_goes_on_and_ends_the_same(runs, tmp_path, monkeypatch):
    how, calls = Answering("6", 0.5), []
    whole = predict_runs([runs / "both"], NEW, how=how)
    inner = PictureModel.forward

    def counted(self, batch):
        calls.append(1)
        if stop_at and len(calls) > stop_at:
            raise KeyboardInterrupt
        return inner(self, batch)

    monkeypatch.setattr(PictureModel, "forward", counted)
    monkeypatch.setattr("merkit.training.answering._SAVE_EVERY_S", 0.0)
    stop_at = 3 * 6 + 2 * 6 + 3  # the first network is through its 3 batches, the second in its third
    with pytest.raises(KeyboardInterrupt):
        predict_runs([runs / "both"], NEW, how=how, kept=tmp_path)
    stop_at, calls[:] = 0, []
    told = []
    again = predict_runs([runs / "both"], NEW, how=how, kept=tmp_path, told=lambda *each: told.append(each))
    assert len(calls) == 6  # the last batch of the second network
    for name in ("emotion", "face_emotion"):
        np.testing.assert_array_equal(again.output[name], whole.output[name])
    assert told[0][:2] == (120, 240) and told[-1][:2] == (240, 240)
    calls[:] = []
    predict_runs([runs / "both"], NEW, how=Answering("6", 0.1, calibrated=False), kept=tmp_path)
    assert not calls  # another power asks no network again
    predict_runs([runs / "both"], NEW, how=Answering("2"), kept=tmp_path)
    predict_runs([runs / "both"], OLD, how=Answering("6"), kept=tmp_path)
    assert len(calls) == 2 * 3 * 2 + 2 * 8 * 6  # other views and other clips do


def test_runs_must_answer_the_same_questions_in_the_same_way(runs, folders):
    both = [runs / "both", runs / "asked_less"]
    with pytest.raises(ConfigError, match=r"asked_less does not answer face_emotion; it answers emotion"):
        open_panel(both, NEW)
    with pytest.raises(ConfigError, match=r"seed-0 also answers face_emotion.*--target"):
        open_panel(both[::-1], NEW)
    made = predict_runs(both, NEW, targets=["emotion"])
    assert [spec.name for spec in made.specs] == ["emotion"] and made.seeds == 3
    config = Run(runs / "face").config
    spec = replace(FOLDERS["old"].targets["emotion"].spec, labels=LABELS[::-1])
    folders["old"] = replace(FOLDERS["old"], targets={"emotion": replace(FOLDERS["old"].targets["emotion"], spec=spec)})
    train("pictures", override(config, ["data.targets=[emotion]", "trainer.seed=5"]), runs / "turned")
    with pytest.raises(ConfigError, match=r"turned answers emotion over surprise.*seed-0 over happy"):
        open_panel([runs / "both", runs / "turned"], NEW, targets=["emotion"])
    for weights in ([1.0], [1.0, -1.0], [0.0, 0.0], [1.0, float("nan")]):
        with pytest.raises(ConfigError, match="weights"):
            open_panel([runs / "both", runs / "text"], NEW, weights=weights)


def test_only_the_clips_that_are_asked_about_are_answered(runs):
    panel = open_panel([runs / "both"], NEW)
    wanted = np.isin(np.arange(20), [2, 7, 11])
    few, rows = panel.take(wanted)
    assert rows.tolist() == [2, 7, 11]
    made, whole = (predict_panel(each, Answering("2")) for each in (few, panel))
    assert made.ids.tolist() == ["new2", "new7", "new11"]
    np.testing.assert_allclose(made.output["emotion"], whole.output["emotion"][rows], atol=1e-6)


@pytest.mark.parametrize("wrong", [{"views": "5"}, {"power": 0.0}, {"power": float("inf")}, {"device": "tpu"}])
def test_what_cannot_be_asked_is_refused(wrong):
    with pytest.raises(ConfigError):
        Answering(**wrong)
