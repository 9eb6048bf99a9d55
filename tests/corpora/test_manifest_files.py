"""A manifest survives the disk, moves with its media, and never names a file outside of its root."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from merkit.corpora import Manifest, Rejected, read_manifest, write_manifest
from merkit.errors import ConfigError, MediaError, MerkitError
from merkit.schema import Clip, Stream, Target, TargetSpec

EMOTION = TargetSpec("emotion", "single_label", ("joy", "anger"))
CROWD = TargetSpec("crowd", "soft_label", ("joy", "anger"))
MOOD = TargetSpec("mood", "regression", ("valence", "arousal"), per_entity=True)


def corpus(root) -> Manifest:
    (root / "media").mkdir(parents=True, exist_ok=True)
    for name in ("a.wav", "b.mp4"):
        (root / "media" / name).write_bytes(b"RIFF")
    a = Clip(
        "a",
        (Stream("speech", root / "media" / "a.wav"), Stream("text", None, text="“Grüß dich”")),
        "train",
        {"speaker": "1", "dialogue": "d"},
        (
            Target(EMOTION, np.array(1)),
            Target(CROWD, np.array([0.25, 0.75], np.float32), votes=np.array([2, 6])),
        ),
        ("b",),
        0,
        (1.5, 2.25),
    )
    b = Clip(
        "b",
        (Stream("face", root / "media" / "b.mp4", "p1", 0.5),),
        None,
        {"dialogue": "d"},
        (Target(MOOD, np.array([0.5, 0.0], np.float32), "p1", np.array([True, False])),),
        ("a",),
        1,
    )
    rejected = (Rejected("c.wav", "no such file", "path", 4), Rejected("b", "known to be corrupt", what="speech"))
    return Manifest("mine", (a, b), (EMOTION, CROWD, MOOD), root, rejected, {"licence": "CC0", "provenance": {}})


def assert_same(found: Manifest, wanted: Manifest) -> None:
    assert (found.name, found.specs, found.rejected) == (wanted.name, wanted.specs, wanted.rejected)
    assert dict(found.facts) == dict(wanted.facts)
    for one, other in zip(found.clips, wanted.clips, strict=True):
        for name in ("id", "streams", "split", "context", "turn", "span"):
            assert getattr(one, name) == getattr(other, name), name
        assert dict(one.groups) == dict(other.groups)
        for target, expected in zip(one.targets, other.targets, strict=True):
            assert (target.spec, target.entity) == (expected.spec, expected.entity)
            for name in ("value", "valid", "votes"):
                given, want = getattr(target, name), getattr(expected, name)
                assert (given is None) == (want is None)
                assert want is None or np.array_equal(given, want)


def test_what_is_written_is_read(tmp_path) -> None:
    manifest = corpus(tmp_path / "media-root")
    write_manifest(manifest, tmp_path / "out")
    assert_same(read_manifest(tmp_path / "out"), manifest)
    assert_same(read_manifest(tmp_path / "out" / "manifest.parquet"), manifest)
    said = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert said["facts"]["licence"] == "CC0"
    assert [row["reason"] for row in said["rejected"]] == ["no such file", "known to be corrupt"]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["manifest.json", "manifest.parquet"]


def test_a_folder_that_holds_its_media_can_be_moved(tmp_path) -> None:
    write_manifest(corpus(tmp_path / "one"), tmp_path / "one")
    (tmp_path / "one").rename(tmp_path / "two")
    found = read_manifest(tmp_path / "two").clips[0].streams[0].path
    assert found == tmp_path / "two" / "media" / "a.wav"
    assert found.is_file()


def test_media_elsewhere_are_found_with_a_root(tmp_path) -> None:
    write_manifest(corpus(tmp_path / "one"), tmp_path / "out")
    (tmp_path / "one").rename(tmp_path / "two")
    found = read_manifest(tmp_path / "out", root=tmp_path / "two").clips[1].streams[0].path
    assert found == tmp_path / "two" / "media" / "b.mp4"


def test_a_file_outside_of_the_root_is_not_written(tmp_path) -> None:
    (tmp_path / "secret.wav").write_bytes(b"RIFF")
    root = tmp_path / "root"
    root.mkdir()
    for path in (tmp_path / "secret.wav", root / ".." / "secret.wav"):
        manifest = Manifest("mine", (Clip("a", (Stream("speech", path),)),), (), root)
        with pytest.raises(MediaError, match="leaves the root"):
            write_manifest(manifest, tmp_path / "out")


@pytest.mark.parametrize("path", ["../secret.wav", "/etc/passwd", "a/../../secret.wav", "link/secret.wav", "out.wav"])
def test_a_file_outside_of_the_root_is_not_read(tmp_path, path) -> None:
    (tmp_path / "secret.wav").write_bytes(b"RIFF")
    out = tmp_path / "out"
    write_manifest(corpus(out), out)
    (out / "link").symlink_to(tmp_path)
    (out / "out.wav").symlink_to(tmp_path / "secret.wav")
    table = pq.read_table(out / "manifest.parquet")
    rows = table.to_pylist(maps_as_pydicts="strict")
    rows[0]["groups"] = list(rows[0]["groups"].items())
    rows[1]["groups"] = list(rows[1]["groups"].items())
    rows[0]["streams"][0]["path"] = path
    pq.write_table(type(table).from_pylist(rows, table.schema), out / "manifest.parquet")
    with pytest.raises(MediaError, match=r"row 0 \(a\).*root"):
        read_manifest(out)


def test_damage_is_named(tmp_path) -> None:
    with pytest.raises(ConfigError, match="no such manifest"):
        read_manifest(tmp_path)
    write_manifest(corpus(tmp_path), tmp_path)
    file = tmp_path / "manifest.parquet"
    whole = file.read_bytes()
    for damaged in (b"", whole[:-40], whole[: len(whole) // 2], b"PAR1" + bytes(200) + b"PAR1"):
        file.write_bytes(damaged)
        with pytest.raises(MerkitError, match=r"manifest\.parquet"):
            read_manifest(tmp_path)


def test_a_killed_rewrite_leaves_a_whole_manifest(tmp_path, monkeypatch) -> None:
    first = corpus(tmp_path)
    write_manifest(first, tmp_path)
    second = Manifest("other", first.clips[:1], first.specs, tmp_path)
    monkeypatch.setattr(pq, "write_table", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_manifest(second, tmp_path)
    assert_same(read_manifest(tmp_path), first)


def test_ids_are_distinct_and_specs_complete(tmp_path) -> None:
    clip = Clip("a", (Stream("text", None, text="x"),), targets=(Target(EMOTION, np.array(0)),))
    with pytest.raises(ValueError, match="two clips have the id a"):
        Manifest("mine", (clip, clip), (EMOTION,), tmp_path)
    with pytest.raises(ValueError, match="emotion"):
        Manifest("mine", (clip,), (CROWD,), tmp_path)


def test_counts_by_split_and_label(tmp_path) -> None:
    assert corpus(tmp_path).counts() == {
        "train": {"emotion": {"joy": 0, "anger": 1}, "crowd": {"joy": 0, "anger": 1}},
        "": {"mood": {"valence": 1, "arousal": 0}},
    }
