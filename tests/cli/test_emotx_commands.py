"""EmoTx through the commands a user types: a published tree is prepared, trained on, stopped, resumed, evaluated, drawn."""

import json

import numpy as np
import pytest
from moviegraphs_tree import write_moviegraphs
from typer.testing import CliRunner

from merkit.cli.main import app
from merkit.systems.emotx import JointRows
from merkit.training.run import Run

SMALL = (
    "hidden_dim=32", "num_heads=4", "feedforward=32", "optim.lr=0.003", "trainer.batch_size=8", "trainer.accelerator=cpu",
    "data.allow_leaks=[duplicate_text]",  # the writer draws its lines from a handful of sentences
    "use_emotic_mapping=true", "srt_feat_pretrained=true", "trainer.max_epochs=6",
)  # fmt: skip


def merkit(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output + str(done.exception or "")
    return done.stdout


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    features = ("scene_mvit_v1", "face_resnet50_fer", "text_independent_pretrained")
    write_moviegraphs(folder / "tree", movies=8, scenes=12, seed=1, features=features)
    merkit("prepare", "moviegraphs", "--root", folder / "tree", "--out", folder / "prepared", "--json")
    return folder / "prepared"


def test_from_the_published_tree_to_figures(prepared, tmp_path):
    run = tmp_path / "run"
    merkit("train", "emotx", f"data.root={prepared}", *SMALL, "--out", run, "--json")
    record = Run(run).record
    assert record["data"]["clips"]["train"] > 20 and record["data"]["clips"]["test"] > 0
    # four checkpoints: the geometric mean that was watched, and the best by each of three others
    assert set(record["best"]) == {
        "gmean(scene.map+character.map)", "scene.map", "character.map", "mean(scene.map+character.map)"
    }  # fmt: skip
    assert all((run / best["file"]).is_file() for best in record["best"].values())
    found = {item["split"]: item for item in json.loads(merkit("evaluate", run, "--split", "test", "--json"))}
    measures = found["test"]["measures"]
    assert found["test"]["test_readings"] == 1
    # labels are planted in the features: what was learned must show against the labels' own frequency
    with np.load(run / "predictions" / "test.npz") as held:
        for name in ("scene", "character"):
            target = held[f"target.{name}"]
            assert measures[f"{name}.map"][0] > target[:, target.any(0)].mean() + 0.1
    merkit("evaluate", run, "--split", "valid")


def test_a_stopped_run_goes_on_and_ends_the_same(prepared, tmp_path, monkeypatch):
    short = [
        *(change for change in SMALL if "max_epochs" not in change),
        "trainer.max_epochs=3",
        "trainer.save_every_steps=1",
    ]
    command = ("train", "emotx", f"data.root={prepared}", *short, "shuffle_characters=true", "--json", "--out")
    merkit(*command, tmp_path / "whole")
    inner, calls = JointRows.forward, []

    def stopping(self, model, batch):
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return inner(self, model, batch)

    with monkeypatch.context() as patch:
        patch.setattr(JointRows, "forward", stopping)
        done = CliRunner().invoke(app, [*command, str(tmp_path / "stopped")])
    assert done.exit_code != 0 and not Run(tmp_path / "stopped").finished
    merkit(*command, tmp_path / "stopped")
    whole, stopped = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "stopped"))
    assert whole == stopped
