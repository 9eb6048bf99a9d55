"""`merkit predict` on raw input: the same tensors and the same answers as a prepared folder, and a word on all that is not so."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from kemdy_tree import write_wave
from tiny_encoders import write_encoder
from tiny_sights_and_sounds import write_speech_encoder
from typer.testing import CliRunner

from merkit.cli.main import app
from merkit.config import override
from merkit.corpora.own import read_user_manifest
from merkit.corpora.storage import write_manifest
from merkit.errors import ConfigError
from merkit.features.extraction_note import note_of_store
from merkit.features.store import FeatureStore
from merkit.inference.making import making_of
from merkit.report.notice import NOTICE_SHORT
from merkit.systems.fusion import FusionConfig
from merkit.training.predict import predict_run
from merkit.training.run import Run
from merkit.training.train import train

WORDS = "oh my god yes no good bad day film . !".split(" ")  # noqa: SIM905
LEAKS = [
    "duplicate_text", "near_duplicate_text", "duplicate_features", "near_duplicate_features", "duplicate_media", "group",
    "context",
]  # fmt: skip
runner = CliRunner()


def said(i: int) -> str:
    return f"{('good day', 'oh no')[i % 2]} {WORDS[i % len(WORDS)]} {WORDS[(3 * i + 1) % len(WORDS)]}"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A corpus of spoken dialogues, prepared and extracted, and a run over voice and words that sees the turn before."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("raw")
        patch.setenv("MERKIT_HOME", str(folder / "home"))
        write_encoder(folder / "text", words=WORDS)
        write_speech_encoder(folder / "speech")
        rng = np.random.default_rng(0)
        with (folder / "clips.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(("id", "path", "text", "label", "split", "dialogue", "turn", "group:speaker"))
            for i in range(6):
                write_wave(folder / f"wav/c{i}.wav", i % 2, 1.5, rng, voice=True)
                split = "train" if i < 3 else "valid"
                speaker = ("Ross", "Joey")[i % 2]
                row = (f"c{i}", f"wav/c{i}.wav", said(i), ("joy", "anger")[i % 2], split, f"d{i // 3}", i % 3, speaker)
                table.writerow(row)
        write_manifest(read_user_manifest(folder / "clips.csv"), folder / "data")
        extracted = _run(
            "extract", folder / "data", "--out", folder / "data/features", "--modalities", "speech", "--no-asr", "--engine",
            "serial", "--encoder", f"speech={folder / 'speech'}:1",
        )  # fmt: skip
        assert extracted.exit_code == 0, extracted.output
        config = override(
            FusionConfig(data={"root": folder / "data", "earlier": 1, "allow_leaks": LEAKS}),
            [
                f"data.text_encoder={folder / 'text'}",
                "model.context=fused",
                "trainer.max_epochs=2",
                "trainer.accelerator=cpu",
            ],
        )
        train("fusion", config, folder / "run")
        yield folder


def _run(*args: object):
    return runner.invoke(app, [str(arg) for arg in args])


def _asked(*args: object) -> dict:
    done = _run("predict", *args, "--json")
    assert done.exit_code == 0, (done.output, done.exception)
    return json.loads(done.stdout)


def _prob(document: dict) -> list[list[float]]:
    return [list(clip["answers"]["emotion"].values()) for clip in document["clips"]]


def test_raw_clips_give_the_tensors_and_answers_of_the_prepared_folder(made, tmp_path):
    expected = predict_run(made / "run", made / "data").output["emotion"]
    with (tmp_path / "talk.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("Speaker ", "UTTERANCE", "Video", "Dialogue_ID"))
        table.writerows((("Ross", "Joey")[i % 2], said(i), made / f"wav/c{i}.wav", 0) for i in range(3))
    # the store may go, and the corpus with it: the run knows how its features were made
    note = Run(made / "run").record["data"]["extraction"]
    assert note == note_of_store(made / "data/features")
    assert note["encoders"] == {"speech": f"{made / 'speech'}:1"}
    document = _asked(made / "run", "--dialogue", tmp_path / "talk.csv", "--no-asr", "--keep", tmp_path / "kept")
    np.testing.assert_array_equal(np.array(_prob(document)), expected[:3].round(6))
    before, again = FeatureStore.open(made / "data/features"), FeatureStore.open(tmp_path / "kept/features")
    for i in range(3):
        own, anew = before.read(f"c{i}", "speech"), again.read(f"talk turn {i + 1}", "speech")
        np.testing.assert_array_equal(own.x, anew.x)
        np.testing.assert_array_equal(own.start_s, anew.start_s)
    assert document["clips"][1]["speaker"] == "Joey"
    assert document["clips"][1]["words"] == said(1)


def test_a_turn_is_seen_behind_the_turn_before_it_and_no_other(made, tmp_path):
    table = tmp_path / "talk.jsonl"

    def asked(*texts: str) -> np.ndarray:
        table.write_text("".join(json.dumps({"who": "Ross", "line": text}) + "\n" for text in texts))
        return np.array(_prob(_asked(made / "run", "--dialogue", table)))

    first, other = asked("good day", "no", "yes"), asked("bad film", "no", "yes")
    assert (first[:2] != other[:2]).any(1).all()
    np.testing.assert_array_equal(first[2], other[2])
    later = asked("good day", "no", "bad bad")
    np.testing.assert_array_equal(first[:2], later[:2])
    # turns on the command line are a dialogue as well, and one is a dialogue of one
    lines = _asked(made / "run", "--text", "good day", "--text", "no", "--text", "yes", "--speaker", "Ross")
    np.testing.assert_array_equal(np.array(_prob(lines)), first)
    alone = _asked(made / "run", "--text", "good day")
    np.testing.assert_array_equal(_prob(alone)[0], first[0])
    assert "speech, of which there is nothing here" in " ".join(alone["warnings"])
    assert alone["clips"][0]["absent"] == {"speech": "the turn brings none"}


def test_one_bad_clip_is_told_and_the_others_are_answered(made, tmp_path):
    for i, name in ((0, "b2"), (1, "b10")):
        (tmp_path / f"{name}.wav").write_bytes((made / f"wav/c{i}.wav").read_bytes())
        (tmp_path / f"{name}.txt").write_text(said(i) + "\n")
    (tmp_path / "broken.wav").write_bytes(b"RIFF" + bytes(400))
    (tmp_path / "spoken.wav").write_bytes(b"RIFF" + bytes(400))
    (tmp_path / "spoken.txt").write_text("=oh no")
    done = _run("predict", made / "run", "--clip", tmp_path / "*.wav", "--no-asr", "--out", tmp_path / "a.csv")
    assert done.exit_code == 0, (done.output, done.exception)
    assert NOTICE_SHORT in done.stdout
    assert "broken.wav" in done.stderr
    assert "spoken.wav: without speech" in done.stderr
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert [row["turn"] for row in rows] == ["b2.wav", "b10.wav", "spoken.wav"]
    assert rows[2]["words"] == "'=oh no"
    for row in rows:
        assert float(row["probability"]) == max(float(row["p:joy"]), float(row["p:anger"]))
        assert float(row["probability"]) + float(row["second_probability"]) == pytest.approx(1.0, abs=2e-6)
        assert row["label"] == ("joy" if float(row["p:joy"]) > float(row["p:anger"]) else "anger")
    # words come from the file beside; a clip alone is answered as the first turn of a prepared dialogue is
    expected = predict_run(made / "run", made / "data").output["emotion"][0]
    assert [float(rows[0]["p:anger"]), float(rows[0]["p:joy"])] == expected.round(6).tolist()


def test_several_runs_are_a_panel(made):
    what = ("--text", said(3))
    both = _asked(made / "run", made / "run", *what, "--weight", "1", "--weight", "3")
    assert both["seeds"] == 2
    np.testing.assert_allclose(_prob(both), _prob(_asked(made / "run", *what)), atol=1e-6)


def test_what_cannot_be_made_again_is_named_with_its_reason(made, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    for file in (made / "run").iterdir():
        if file.is_file():
            (run / file.name).write_bytes(file.read_bytes())
    record = Run(run).record
    source = record["data"]["provenance"]["speech"]["source"]
    clip = ("--clip", made / "wav/c0.wav", "--text", "oh no", "--no-asr")

    def failed(*more: object) -> str:
        done = _run("predict", run, *clip, *more)
        assert isinstance(done.exception, ConfigError)
        return str(done.exception)

    record["data"]["provenance"]["speech"]["source"] = "somebody's networks"
    Run(run).note(**record)
    assert "speech: its numbers are from somebody's networks" in failed()
    assert _prob(_asked(run, *clip, "--without", "speech")) == _prob(_asked(run, "--text", "oh no"))
    # an encoder whose place nothing notes is asked for by name, and a wrong one is refused
    record["data"]["provenance"]["speech"]["source"] = source
    record["data"]["extraction"] = {"fps": 3.0}
    Run(run).note(**{**record, "data": record["data"]})
    Run(run).config.data.root.rename(tmp_path / "away")
    try:
        assert f"no extractor here is {source}" in failed()
        assert source in failed("--encoder", f"speech={made / 'speech'}:2")
        kept = ("--keep", tmp_path / "kept")
        own = _asked(run, *clip, "--encoder", f"speech={made / 'speech'}:1", *kept)
        assert _prob(own) == _prob(_asked(made / "run", *clip, *kept))
    finally:
        (tmp_path / "away").rename(made / "data")


def test_options_that_do_not_go_together_say_so(made):
    for args, told in (
        ((), "--text, --clip or --dialogue"),
        (("--text", "a", "--root", made / "data"), "--root is for prepared folders"),
        (("--text", "a", "--dialogue", "x.csv"), "give it alone"),
        (("--clip", made / "wav", "--text", "oh"), "several were given"),
        (("--clip", made / "nothing*.wav"), "no file matches"),
        (("--text", "a", "--text", "b", "--text", "c", "--speaker", "A", "--speaker", "B"), "2 speakers for 3 texts"),
        (("--text", "oh", "--without", "scene"), "--without scene"),
        (("--root", made / "data", "--without", "text"), "--without is for raw input"),
        (("--root", made / "data", "--no-asr"), "--no-asr is for raw input"),
        (("--root", made / "data", "--speaker", "A"), "--speaker is for raw input"),
    ):
        done = _run("predict", made / "run", *args)
        assert isinstance(done.exception, ConfigError), (args, done.output)
        assert told in str(done.exception)


def test_what_is_heard_needs_no_extractor_of_its_own(made):
    making = making_of(Run(made / "run"), {"text"})
    assert (making.words, making.extractors, making.passes) == (True, {}, ())
    assert Path(note_of_store(made / "data/features")["encoders"]["speech"].removesuffix(":1")).is_absolute()
