"""KEMDy through the commands a user types: both releases, faults and all, to features, folds, answers and a map."""

import csv
import json
from functools import partial

import numpy as np
import pytest
from kemdy_tree import WORDS, write_kemdy19, write_kemdy20
from sklearn.decomposition import PCA
from sklearn.metrics import f1_score
from tiny_encoders import write_encoder
from tiny_sights_and_sounds import write_speech_encoder
from typer.testing import CliRunner

from merkit.cli.main import app
from merkit.corpora import read_manifest
from merkit.data.votes import hard
from merkit.features import sources
from merkit.training.run import Run

FOLDS = range(5)


def merkit(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output + str(done.exception or "")
    return done.stdout


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Both corpora in five common folds, 30 clips, with samples of voice and raw windows of sensors."""
    folder = tmp_path_factory.mktemp("kemdy")
    data, out = folder / "data", folder / "prepared"
    old = write_kemdy19(data / "KEMDy19", scripts=("impro01",), turns=2, seconds=0.8, voice=True)
    new = write_kemdy20(data / "KEMDy20_v1_1", scripts=("script01",), turns=4, seconds=0.8, voice=True)
    # neither sound nor words, sensors alone; no words; no skin conductance of a person
    for kind in ("wav", "txt"):
        min((old / "wav/Session01").rglob(f"*_F001.{kind}")).unlink()
    min((new / "wav/Session09").rglob("*.txt")).unlink()
    min((old / "EDA/Session05").rglob("*F.csv")).unlink()
    facts = json.loads(merkit("prepare", "kemdy", "--root", data, "--out", out, "--workers", "1", "--json"))
    assert facts["clips"] == 30 and sorted(facts["folds"]) == list("01234") and facts["ties"] > 0
    why = "\n".join(f"{item['item']}: {item['reason']}" for item in facts["rejected"])
    for word in ("Sess01_impro01_F001", "no such file: EDA/Session05", "F_001.txt"):
        assert word in why, why
    with pytest.MonkeyPatch.context() as patch:
        # a process for every recording protects from foreign files, which these are not
        for name in ("probe", "read_clip"):
            patch.setattr(sources, name, partial(getattr(sources, name), isolate=False))
        merkit(
            "extract", out, "--out", out / "features", "--engine", "serial", "--modalities", "speech,physiology",
            "--no-asr", "--encoder", "speech=waveform", "--extractor", "physiology=physiology-windows", "--json",
        )  # fmt: skip
    return out


SMALL = ("width=8", "mixer.patch=2", "mixer.channels=12", "mixer.depth=1", "trainer.accelerator=cpu")


@pytest.fixture(scope="module")
def study(prepared, tmp_path_factory):
    """Three label modes in five folds, on samples and windows as they are."""
    folder = tmp_path_factory.mktemp("study")
    merkit(
        "study", "tensor_mixer", f"data.root={prepared}", *SMALL, "trainer.max_epochs=2", "trainer.watch=affect.mae",
        "--over", "labels.mode=hard,soft,peakl", "--over", "validation_fold=0,1,2,3,4", "--seeds", "1", "--workers", "1",
        "--out", folder,
    )  # fmt: skip
    return folder


def test_three_label_modes_in_five_folds_are_judged_together(prepared, study):
    clips = {clip.id: clip for clip in read_manifest(prepared).clips}
    fold_of = {item: int(clip.groups["fold"]) for item, clip in clips.items()}
    votes = {item: clip.targets[0].votes for item, clip in clips.items()}
    label = {item: hard(np.array([row]))[0][0] for item, row in votes.items()}
    untied = {item for item, row in votes.items() if hard(np.array([row]))[1][0]}
    for mode in ("hard", "soft", "peakl"):
        runs = [study / f"{mode}_{fold}" for fold in FOLDS]
        *alone, mean, whole = json.loads(merkit("evaluate", *runs, "--split", "valid", "--draws", "100", "--json"))
        said = {}
        for fold, run in zip(FOLDS, runs, strict=True):
            with np.load(run / "seed-0/predictions/valid.npz") as held:
                assert {fold_of[item] for item in held["ids"]} == {fold}
                said |= dict(zip(held["ids"].tolist(), held["output.emotion"], strict=True))
                if mode != "hard":  # whatever was sharpened for training, shares are what is judged
                    shares = np.array([votes[item] / votes[item].sum() for item in held["ids"]])
                    np.testing.assert_allclose(held["target.emotion"], shares, atol=1e-6)
        assert set(said) == set(clips) and len(said) == whole["n"] == mean["n"] == sum(item["n"] for item in alone)
        judged = sorted(untied)
        expected = f1_score([label[i] for i in judged], [said[i].argmax() for i in judged], average="macro")
        assert whole["measures"]["emotion.macro_f1"][0] == pytest.approx(expected, abs=1e-6)
        each = [item["measures"]["affect.mae"][0] for item in alone]
        middle, low, high = mean["measures"]["affect.mae"]
        assert middle == pytest.approx(np.mean(each), abs=1e-5) and mean["folds"] == 5
        assert (high - low) / 2 == pytest.approx(np.std(each, ddof=1), abs=1e-5)
    assert len({(study / f"{mode}_0/seed-0/model.safetensors").read_bytes() for mode in ("hard", "soft", "peakl")}) == 3


def test_what_raters_would_say_of_clips_that_nobody_rated(prepared, study, tmp_path):
    merkit("predict", study / "peakl_0", "--root", prepared, "--out", tmp_path, "--json")
    with (tmp_path / "answers.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len({row["clip"] for row in rows}) == len(read_manifest(prepared))


def test_a_map_of_what_the_network_makes_of_clips(prepared, study, tmp_path):
    run = study / "peakl_1"
    files = json.loads(merkit("figures", run, "--embeddings", "--out", tmp_path, "--json"))["files"]
    assert sorted(file.rsplit("/", 1)[1] for file in files) == sorted(
        ["embeddings-valid.npz", *(f"embeddings-pca.{kind}" for kind in ("png", "svg", "csv"))]
    )
    with np.load(tmp_path / "embeddings-valid.npz", allow_pickle=False) as held:
        x, ids, valence = held["embedding"].astype(float), held["clip"].tolist(), held["rated.valence"]
    targets = {clip.id: clip.targets[1].value for clip in read_manifest(prepared).clips if clip.groups["fold"] == "1"}
    assert set(ids) == set(targets) and valence == pytest.approx([targets[item][0] for item in ids], abs=1e-6)
    with (tmp_path / "embeddings-pca.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["clip"] for row in rows] == ids and {"valence", "arousal", "emotion"} <= set(rows[0])
    place = np.array([[float(row["x"]), float(row["y"])] for row in rows])
    np.testing.assert_allclose(np.abs(place), np.abs(PCA(2).fit_transform(x)), atol=1e-4)


def test_encoders_learn_along_from_a_few_clips(prepared, tmp_path):
    text = write_encoder(tmp_path / "text", words=[word for line in WORDS for word in line.split()])
    speech = write_speech_encoder(tmp_path / "speech", norm="layer", num_hidden_layers=1)
    merkit(
        "train", "tensor_mixer", f"data.root={prepared}", *SMALL, f"tune.text={text}", f"tune.speech={speech}",
        "tune.max_tokens=16", "physiology.encoder=true", "physiology.hidden=4", "data.num_data=4", "validation_fold=2",
        "trainer.max_epochs=2", "--out", tmp_path / "run", "--json",
    )  # fmt: skip
    run = Run(tmp_path / "run")
    assert run.record["data"]["clips"] == {"train": 4, "valid": 4}
    assert sorted(run.record["modalities"]) == ["physiology", "speech", "text"]
    with (tmp_path / "run" / "history.csv").open() as file:
        assert float(next(csv.DictReader(file))["lr"]) > 0
