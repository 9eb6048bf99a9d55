"""From runs of MERC2020 to submissions through the commands a user types: ensemble, twelve views, power, templates."""

import csv
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from merkit.cli.main import app
from merkit.corpora.merc2020 import CODES
from merkit.training.run import Run
from tests.merc2020_tree import prepared_merc2020

SMALL = (
    "trainer.max_epochs=1", "trainer.batch_size=8", "trainer.accelerator=cpu", "optim.lr=0.003", "data.targets=[emotion]",
    "speech_coeff=tiny", "face_coeff=tiny", "speech.frames=32", "speech.hidden=8", "face.hidden=8", "face.n_frames=2",
    "text.layers=1", "text.feedforward=16", "data.allow_leaks=[duplicate_text,duplicate_media]",
)  # fmt: skip


def call(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def merkit(*words: object) -> str:
    done = call(*words)
    assert done.exit_code == 0, done.output + str(done.exception or "")
    return done.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("challenge")
    prepared_merc2020(folder / "data", clips=40, side=16)
    for mode in ("face", "text", "multimodal"):
        seeds = ("--seeds", 2) if mode == "multimodal" else ()
        merkit(
            "train",
            "merc2020",
            f"mode={mode}",
            f"data.root={folder / 'data'}",
            *SMALL,
            "--out",
            folder / mode,
            *seeds,
            "--json",
        )
    return folder


def submitted(path) -> tuple[list[str], list[str]]:
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["FileID", "Emotion"]
    return [row[0] for row in rows], [row[1] for row in rows]


def test_an_ensemble_with_twelve_views_becomes_one_file_for_every_template(made):
    data, runs = made / "data", [made / "multimodal", made / "face", made / "text"]
    templates = sorted((data / "submissions").glob("*.csv"))
    asked = [word for path in templates for word in ("--submission", path)]
    how = ("--views", 12, "--temper", 0.1)
    done = call("predict", *runs, "--root", data, *how, *asked, "--missing", "prior", "--out", made / "answers")
    assert done.exit_code == 0, done.output
    document = json.loads((made / "answers" / "answers.json").read_text())
    assert (document["seeds"], document["views"], document["power"]) == (4, 12, 0.1)
    assert "tempered (T=0.1)" in done.output
    prob = {clip["clip"]: clip["answers"]["emotion"] for clip in document["clips"]}
    codes, labels = list(CODES), list(CODES.values())
    written = 0
    for path in templates:
        files, classes = submitted(made / "answers" / f"{path.stem}_submission.csv")
        with path.open(newline="") as file:
            assert files == [row["FileID"] for row in csv.DictReader(file)]
        folder = "test3" if path.stem == "test3" else "test"
        for file, code in zip(files, classes, strict=True):
            best = max(prob[f"{folder}/{int(file):05d}"], key=prob[f"{folder}/{int(file):05d}"].get)
            assert code == codes[labels.index(best)]
        written += len(files)
    assert written == len(document["clips"]) == 12  # nothing but what is asked about was answered
    assert (
        len({code for path in templates for code in submitted(made / "answers" / f"{path.stem}_submission.csv")[1]}) > 1
    )
    assert not (made / "answers" / "so-far").exists()
    # views are only of the pictures
    assert "text looks at no pictures here: one view of each clip" in done.output
    assert "face looks at no pictures" not in done.output


def test_what_is_missing_stops_a_submission_before_any_work(made, tmp_path):
    data = made / "data"
    template = tmp_path / "test3.csv"
    template.write_text("FileID\n1\n999\n")
    done = call("predict", made / "text", "--root", data, "--submission", template, "--out", tmp_path / "never")
    assert done.exit_code == 1 and "1 of 2 files have no clip" in str(done.exception) and "999" in str(done.exception)
    assert not (tmp_path / "never").exists()
    words = ("--missing", "prior", "--submission-out", tmp_path / "mine.csv", "--submission-names", "numbers")
    done = call("predict", made / "text", "--root", data, "--submission", template, *words)
    assert done.exit_code == 0 and "1 of 2 files show nothing" in done.output
    files, classes = submitted(tmp_path / "mine.csv")
    assert files == ["1", "999"]
    label = json.loads(json.dumps(Run(made / "text").record["targets"]))[0]["labels"]
    from merkit.systems.system import find_system

    run = Run(made / "text")
    table = find_system("merc2020").load(run.config).where("train")
    shares = np.bincount(table.targets["emotion"].value, minlength=len(label))
    assert classes[1] == str(int(shares.argmax()))


def test_without_an_answer_of_the_folder_a_number_is_not_guessed(made, tmp_path):
    template = tmp_path / "mine.csv"
    template.write_text("FileID\n1\n")
    done = call("predict", made / "text", "--root", made / "data", "--submission", template)
    assert done.exit_code == 1 and "1 may be each of test/00001, test3/00001" in str(done.exception)
    merkit(
        "predict",
        made / "text",
        "--root",
        made / "data",
        "--submission",
        template,
        "--clips",
        "test3/*",
        "--out",
        tmp_path,
    )
    assert submitted(tmp_path / "mine_submission.csv")[0] == ["1"]
    assert [clip["clip"] for clip in json.loads((tmp_path / "answers.json").read_text())["clips"]] == ["test3/00001"]


def test_what_is_submitted_is_measured_on_valid(made):
    how = ("--views", 12, "--temper", 0.1, "--missing", "prior")
    found = json.loads(
        merkit("evaluate", made / "multimodal", made / "face", "--split", "valid", "--draws", 100, *how, "--json")
    )
    assert [item["name"].split()[0] for item in found][-1] == "ensemble"
    assert {item["answering"] for item in found} == {"views12-T0.1-prior"}
    merkit(
        "predict", made / "multimodal", made / "face", "--root", made / "data", *how, "--clips", "val/*", "--out",
        made / "on_valid",
    )  # fmt: skip
    run = Run(made / "face")
    table = run.system.load(run.config).where("valid")
    truth = dict(zip(table.ids, table.targets["emotion"].value, strict=True))
    labels = run.specs[0].labels
    clips = json.loads((made / "on_valid" / "answers.json").read_text())["clips"]
    assert len(clips) == len(truth) == 8
    right = np.mean(
        [max(c["answers"]["emotion"], key=c["answers"]["emotion"].get) == labels[truth[c["clip"]]] for c in clips]
    )
    assert found[-1]["measures"]["emotion.accuracy"][0] == pytest.approx(right)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--views", "7"), "no set of views '7'"),
        (("--temper", "0"), "power above 0"),
        (("--missing", "neu"), "`none` or `prior`"),
        (("--weight", "1", "--weight", "2"), "2 weights for 1 runs"),
        (("--submission-out", "x.csv"), "give one --submission"),
        (("--target", "mood"), "does not answer mood"),
    ],
)
def test_what_cannot_be_asked_is_said_in_a_line(made, words, said):
    done = call("predict", made / "text", "--root", made / "data", *words)
    assert done.exit_code == 1 and said in str(done.exception)
