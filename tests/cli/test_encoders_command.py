"""`--encoder` of `merkit extract`, and `merkit units`, as a user meets them: sound in, two stores out."""

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from tiny_sights_and_sounds import write_speech_encoder
from typer.testing import CliRunner

from merkit.cli.main import app
from merkit.errors import ConfigError, WeightError
from merkit.features import FeatureStore

runner = CliRunner()


def call(*words: object):
    return runner.invoke(app, list(map(str, words)))


@pytest.fixture
def corpus(tmp_path) -> Path:
    sound = Path(str(files("merkit.demo") / "speech.flac"))
    rows = [
        f"{name},{sound.name},{split},{start},{start + 2}"
        for name, split, start in (("a", "train", 0), ("b", "test", 1))
    ]
    (tmp_path / "clips.csv").write_text("\n".join(["id,path,split,start_s,end_s", *rows]) + "\n")
    assert call("prepare", tmp_path / "clips.csv", "--root", sound.parent, "--out", tmp_path / "made").exit_code == 0
    return tmp_path


def test_states_then_units_then_tokens(corpus) -> None:
    encoder = f"{write_speech_encoder(corpus / 'tiny', norm='layer')}:1"
    asked = ["extract", corpus / "made", "--modalities", "speech", "--engine", "serial", "--json"]
    done = call(*asked, "--out", corpus / "states", "--encoder", f"speech={encoder}")
    assert done.exit_code == 0 and json.loads(done.stdout)["extracted"] == 2, done.output
    states = FeatureStore.open(corpus / "states")
    assert states.read("a", "speech").x.shape[1] == 16
    units = ["units", corpus / "made", "--states", corpus / "states", "--encoder", encoder, "--units", 5]
    done = call(*units, "--out", corpus / "units", "--store", corpus / "kept", "--json")
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert facts["clips"] == 1 and facts["states"] == len(states.read("a", "speech"))
    done = call(*asked, "--out", corpus / "heard", "--encoder", f"speech={corpus / 'units'}")
    assert done.exit_code == 0, done.output
    heard, kept = FeatureStore.open(corpus / "heard"), FeatureStore.open(corpus / "kept")
    for clip in "ab":
        np.testing.assert_array_equal(heard.read(clip, "speech").x, kept.read(clip, "speech").x)
        np.testing.assert_array_equal(heard.read(clip, "speech").end_s, states.read(clip, "speech").end_s)
    again = call(*asked, "--out", corpus / "states", "--encoder", f"speech={encoder}")
    assert json.loads(again.stdout)["reused"] == 2
    other = call(*asked, "--out", corpus / "states", "--encoder", f"speech={corpus / 'tiny'}:2")
    assert json.loads(other.stdout)["extracted"] == 2


def test_wrong_words_end_before_a_store_is_made(corpus) -> None:
    asked = ["extract", corpus / "made", "--out", corpus / "store", "--modalities", "speech", "--encoder"]
    for words, error, message in (
        ("speech", ConfigError, "--encoder is MODALITY=NAME"),
        ("scene=x/y", ConfigError, "wanted are speech"),
        ("speech=nobody/nothing", WeightError, "--download"),
    ):
        done = call(*asked, words)
        assert isinstance(done.exception, error) and message in str(done.exception)
    assert not (corpus / "store").exists()
