"""MERC2020 through the commands a user types: a prepared folder, four modes, networks that begin with others, a test reading."""

import json
from dataclasses import replace

import numpy as np
import pytest
from merc2020_tree import prepared_merc2020
from typer.testing import CliRunner

from merkit.cli.main import app
from merkit.config import override
from merkit.corpora import read_manifest, write_manifest
from merkit.errors import ConfigError
from merkit.systems import merc2020
from merkit.training.run import Run

TINY = (
    "speech_coeff=tiny", "face_coeff=tiny", "speech.frames=32", "speech.hidden=8", "face.hidden=8", "face.n_frames=2",
    "text.layers=1", "text.heads=4", "text.feedforward=16", "trainer.batch_size=10",
    "trainer.accelerator=cpu", "optim.name=adamw", "optim.lr=0.02",
)  # fmt: skip


def merkit(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output + str(done.exception or "")
    return done.stdout


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return prepared_merc2020(tmp_path_factory.mktemp("merc2020"), clips=40, side=32, frames=6, columns=40)


def config(root, *changes: str) -> merc2020.MERC2020Config:
    return override(merc2020.MERC2020Config(), [f"data.root={root}", *TINY, *changes])


@pytest.mark.parametrize(
    ("mode", "streams", "targets"),
    [
        ("speech", ["speech"], ["speech_emotion"]),
        ("face", ["face"], ["face_emotion"]),
        ("text", ["text"], ["emotion"]),
        ("multimodal", ["speech", "face", "text"], ["emotion", "speech_emotion", "face_emotion"]),
    ],
)
def test_each_mode_takes_its_streams_and_its_questions(prepared, mode, streams, targets):
    table = merc2020.load(config(prepared, f"mode={mode}"))
    assert (sorted(table.streams), list(table.targets)) == (sorted(streams), targets)
    manifest = read_manifest(prepared)
    assert table.ids.tolist() == [clip.id for clip in manifest.clips]
    if "face" in streams:
        assert table.streams["face"].x.dtype == np.uint8 and table.streams["face"].width == 3 * 32 * 32
        # every seventh clip lacks a modality, faces first
        assert (
            table.ids[6] not in table.ids[table.streams["face"].clip]
            and table.ids[5] in table.ids[table.streams["face"].clip]
        )
    # the test clips have no answers
    assert all(not column.valid[table.split == "test"].any() for column in table.targets.values())
    assert all(column.valid[table.split == "train"].all() for column in table.targets.values())
    answers = {clip.id: {target.spec.name: int(target.value) for target in clip.targets} for clip in manifest.clips}
    for row in np.flatnonzero(table.split == "valid"):
        for name, column in table.targets.items():
            assert column.value[row] == answers[table.ids[row]][name]


def test_what_a_corpus_lacks_is_done_without_or_told(prepared, tmp_path):
    alone = config(prepared, "data.modalities=[text]")
    assert list(merc2020.load(alone).streams) == ["text"]
    assert list(merc2020.load(config(prepared, "data.targets=emotion", "mode=speech")).targets) == ["emotion"]
    assert list(merc2020.load(config(prepared, "lam=0")).targets) == ["emotion"]
    # a corpus that asks one question: every mode answers it
    manifest = read_manifest(prepared)
    one = manifest.specs[:1]
    clips = tuple(replace(clip, targets=clip.targets[:1]) for clip in manifest.clips)
    write_manifest(replace(manifest, clips=clips, specs=one), tmp_path)
    for name in ("features", "faces"):
        (tmp_path / name).symlink_to(prepared / name)
    for mode in ("speech", "face", "multimodal"):
        assert list(merc2020.load(config(tmp_path, f"mode={mode}")).targets) == ["emotion"]
    # no pictures were prepared, no answers either: good enough to be answered for, not to be trained on
    (tmp_path / "faces").unlink()
    write_manifest(replace(manifest, clips=tuple(replace(clip, targets=()) for clip in clips), specs=()), tmp_path)
    assert sorted(merc2020.load(config(tmp_path)).streams) == ["speech", "text"]
    assert not merc2020.load(config(prepared), root=tmp_path).targets
    with pytest.raises(ConfigError, match="mode=face needs face"):
        merc2020.load(config(tmp_path, "mode=face"))


def test_three_networks_and_then_all_of_them(prepared, tmp_path):
    def train(mode: str, epochs: int, *changes: str) -> Run:
        merkit(
            "train", "merc2020", f"data.root={prepared}", *TINY, f"mode={mode}", f"trainer.max_epochs={epochs}", *changes,
            "--out", tmp_path / mode, "--json",
        )  # fmt: skip
        return Run(tmp_path / mode)

    for mode, target in (("speech", "speech_emotion"), ("face", "face_emotion"), ("text", "emotion")):
        run = train(mode, 3, "trainer.watch=last", "label_smoothing=0.1")
        assert [spec.name for spec in run.specs] == [target] and run.record["epochs"] == 3
    begun = [f"{mode}_load_weights={tmp_path / mode}" for mode in ("speech", "face", "text")]
    run = train("multimodal", 8, *begun, "mixup_prob=0.5", "label_smoothing=0.1", "lam=2")
    assert sorted(run.record["modalities"]) == ["face", "speech", "text"]
    assert set(run.record["best"]) == {"emotion.nll", "emotion.accuracy"}
    found = json.loads(merkit("evaluate", tmp_path / "multimodal", "--split", "valid", "--json"))[-1]["measures"]
    # every class has words, a pitch and a colour of its own; guessing one of seven is right for .14
    assert found["emotion.accuracy"][0] >= 0.5
    answers = json.loads(
        merkit("predict", tmp_path / "multimodal", "--root", prepared, "--json", "--out", tmp_path / "said")
    )
    assert len(answers["clips"]) == 40
