"""A conversion that is broken off is taken up again, and what has changed is made anew and nothing else; at the command line."""

import csv
import json
import os
import shutil

import numpy as np
import pytest
import typer
from moviegraphs_tree import write_array, write_moviegraphs
from typer.testing import CliRunner

from merkit.cli.prepare import prepare
from merkit.corpora import read_manifest
from merkit.corpora.moviegraphs import Options, with_options
from merkit.errors import ConfigError
from merkit.features.store import FeatureStore

KINDS = ("scene_mvit_v1", "face_generic")
app = typer.Typer()
app.command()(prepare)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_moviegraphs(
        tmp_path_factory.mktemp("again") / "data", movies=3, scenes=3, features=KINDS, frames=(16, 24)
    )


@pytest.fixture
def tree(written, tmp_path):
    shutil.copytree(written.root, tmp_path / "data", copy_function=os.link)
    return written, tmp_path / "data"


def test_what_was_done_before_it_was_broken_off_is_not_done_again(tree, tmp_path, monkeypatch) -> None:
    _, root = tree
    out = tmp_path / "out"
    added: list[tuple[str, str]] = []
    real = FeatureStore.add

    def counted(store: FeatureStore, record) -> None:
        added.append((store.path.name, record.clip))
        real(store, record)

    def stop(done: int, total: int, last: str) -> None:
        assert total == 9
        if done == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(FeatureStore, "add", counted)
    with pytest.raises(KeyboardInterrupt):
        with_options(Options(features=KINDS, progress=stop)).read(root, out)
    before = list(added)
    assert len(before) == 8
    whole = with_options(Options(features=KINDS)).read(root, out)
    assert len(added) == len(set(added)) == 18
    assert len(whole) == 9
    straight = with_options(Options(features=KINDS)).read(root, tmp_path / "straight")
    assert [clip.id for clip in straight.clips] == [clip.id for clip in whole.clips]
    for kind in KINDS:
        shards = [
            sorted(p.name for p in (folder / "stores" / kind / "shards").iterdir())
            for folder in (out, tmp_path / "straight")
        ]
        assert shards[0] == shards[1]


def test_a_second_run_tells_the_same_and_a_changed_file_is_read_anew(tree, tmp_path, monkeypatch) -> None:
    written, root = tree
    out = tmp_path / "out"
    one, two = [scene for scene in written.scenes if len(scene.clips) == 1][:2]
    places = [root / "mvit_v1_scene_features" / s.movie / f"{s.clips[0].name}.npy" for s in (one, two)]
    places[0].unlink()
    first = with_options(Options(features=KINDS)).read(root, out)
    again = with_options(Options(features=KINDS)).read(root, out)
    assert [str(r) for r in again.rejected] == [str(r) for r in first.rejected]
    assert len(first.rejected) == 1
    added = []
    real = FeatureStore.add
    monkeypatch.setattr(FeatureStore, "add", lambda store, record: (added.append(record.clip), real(store, record))[1])
    write_array(places[0], np.ones((2, 768)))
    places[1].unlink()
    write_array(places[1], np.full((2, 768), 2.0))
    third = with_options(Options(features=KINDS[:1])).read(root, out)  # the other store is left as it is
    assert set(third.facts["provenance"]) == {f"moviegraphs-{kind}@1" for kind in KINDS}
    assert third.rejected == ()
    assert set(added) == {one.id, two.id}
    store = FeatureStore.open(out / "stores" / "scene_mvit_v1")
    assert (store.read(one.id, "scene").x == 1).all()
    assert (store.read(two.id, "scene").x == 2).all()


def call(*words: object):
    return CliRunner().invoke(app, [*map(str, words)])


def test_at_the_command_line(tree, tmp_path) -> None:
    written, root = tree
    out = tmp_path / "out"
    scene = next(scene for scene in written.scenes if len(scene.clips) == 1)
    (root / "mvit_v1_scene_features" / scene.movie / f"{scene.clips[0].name}.npy").unlink()
    options = ("--features", "scene_mvit_v1, face_generic", "--dtype", "float32", "--name-threshold", "0.6", "--json")
    done = call("moviegraphs", "--root", root.parent, "--out", out, *options)
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert (said["clips"], said["splits"]) == (9, {"train": 3, "valid": 3, "test": 3})
    (row,) = csv.DictReader((out / "rejected.csv").open(encoding="utf-8"))
    assert (row["item"], row["left_out"]) == (scene.id, "scene_mvit_v1")
    assert row["reason"].startswith(f"mvit_v1_scene_features/{scene.movie}/")
    assert sorted(path.name for path in out.iterdir()) == [
        "manifest.json", "manifest.parquet", "prepare.json", "rejected.csv", "stores", "utterances.parquet",
    ]  # fmt: skip
    facts = read_manifest(out).facts
    assert (facts["dtype"], facts["name_threshold"]) == ("float32", 0.6)
    assert FeatureStore.open(out / "stores" / "face_generic").dtype == np.float32


@pytest.mark.parametrize("option", [("--features", "face_emo"), ("--dtype", "float32"), ("--name-threshold", "0.4")])
def test_its_options_are_its_own(tmp_path, option) -> None:
    error = call("ravdess", "--root", tmp_path, "--out", tmp_path / "out", *option).exception
    assert isinstance(error, ConfigError)
    assert f"{option[0]} is for moviegraphs, not for ravdess" in str(error)
