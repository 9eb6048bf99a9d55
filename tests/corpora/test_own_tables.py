"""Anyone's own clips from CSV, JSONL and Parquet: what can be used is, and every row that cannot is listed with a reason."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from merkit.corpora import own, read_manifest, read_user_manifest, write_manifest
from merkit.errors import ConfigError, MediaError
from merkit.labels import EKMAN7, LABEL_SPACES


@pytest.fixture
def media(tmp_path):
    for name in ("a.wav", "b.wav", "deep/c.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, np.zeros(160, np.float32), 16000)
    (tmp_path / "d.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(64))
    (tmp_path / "d.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n")
    (tmp_path / "e.csv").write_text("time_s,eda\n0,1\n")
    (tmp_path / "page.wav").write_text("<html>404</html>")
    (tmp_path / "lfs.mp4").write_text("version https://git-lfs.github.com/spec/v1\nsize 3\n")
    (tmp_path / "empty.wav").write_bytes(b"")
    return tmp_path


def write(folder, rows, kind="csv"):
    """The same rows as each kind of table; cells that are missing stay away or empty."""
    path = folder / f"clips.{kind}"
    names = list(dict.fromkeys(name for row in rows for name in row))
    if kind == "csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names, restval="")
            writer.writeheader()
            writer.writerows(rows)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        columns = {name: [None if row.get(name) is None else str(row[name]) for row in rows] for name in names}
        pq.write_table(pa.table(columns), path)
    return path


ROWS = [
    {"path": "a.wav", "split": "train", "group:speaker": "1", "label": "joy", "value:valence": 0.5},
    {"path": "deep/c.wav", "split": "train", "group:speaker": "1", "label": "anger", "start_s": 0.5, "end_s": 2},
    {"id": "film", "path": "d.mp4", "text_path": "d.srt", "physio_path": "e.csv", "split": "dev", "label": "joy"},
    {"text": "“Said”, in a table", "split": "test", "dialogue": "talk", "turn": 1, "id": "t1", "value:valence": -1},
    {"text": "and before it", "split": "test", "dialogue": "talk", "turn": 0, "id": "t0"},
    {"text": "Words without a name"},
]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_the_same_clips_from_every_kind_of_table(media, kind) -> None:
    manifest = read_user_manifest(write(media, ROWS, kind))
    assert not manifest.rejected
    clips = {clip.id: clip for clip in manifest.clips}
    assert list(clips) == ["a", "deep/c@0.5-2", "film", "t1", "t0", "line-7" if kind == "csv" else "line-6"]
    assert [clip.split for clip in manifest.clips] == ["train", "train", "valid", "test", "test", None]
    assert clips["deep/c@0.5-2"].span == (0.5, 2.0)
    assert sorted(stream.modality for stream in clips["film"].streams) == [
        "face",
        "physiology",
        "scene",
        "speech",
        "text",
    ]
    assert clips["a"].groups == {"speaker": "1"}
    assert clips["t1"].groups == {"dialogue": "talk"}
    assert (clips["t1"].context, clips["t0"].context, clips["a"].context) == (("t0",), ("t1",), ())
    emotion, values = manifest.specs
    assert (emotion.kind, emotion.labels, values.kind, values.labels) == (
        "single_label",
        ("anger", "joy"),
        "regression",
        ("valence",),
    )
    assert [emotion.labels[int(t.value)] for t in clips["film"].targets] == ["joy"]
    assert clips["t1"].targets[0].value.tolist() == [-1]
    assert clips["t0"].targets == ()
    write_manifest(manifest, media / "out")
    assert [clip.id for clip in read_manifest(media / "out").clips] == list(clips)


def test_a_table_can_be_given_wherever_a_manifest_is(media) -> None:
    assert read_manifest(write(media, ROWS)).clips[0].id == "a"


BAD = [
    ({"path": "gone.wav"}, "path", "no such file"),
    ({"path": "empty.wav"}, "path", "empty"),
    ({"path": "page.wav"}, "path", "first bytes"),
    ({"path": "lfs.mp4"}, "path", "Git LFS"),
    ({"path": "deep"}, "path", "not a regular file"),
    ({"path": "clips.csv"}, "path", ".csv"),
    ({"path": "../outside.wav"}, "path", "leaves the root"),
    ({"path": "/etc/passwd"}, "path", "root"),
    ({"path": "link.wav"}, "path", "leaves the root"),
    ({"path": "b.wav", "start_s": "2", "end_s": "1"}, "end_s", "reversed"),
    ({"path": "b.wav", "start_s": "1", "end_s": "1"}, "end_s", "empty"),
    ({"path": "b.wav", "start_s": "-1", "end_s": "1"}, "start_s", "before the file begins"),
    ({"path": "b.wav", "start_s": "1"}, "end_s", "needed"),
    ({"path": "b.wav", "start_s": "one", "end_s": "2"}, "start_s", "not a number"),
    ({"path": "b.wav", "start_s": "0", "end_s": "inf"}, "end_s", "not a number"),
    ({"path": "b.wav", "label": "glee"}, "label", "unknown label 'glee'"),
    ({"path": "b.wav", "label": "joy|anger"}, "label", "several labels"),
    ({"path": "b.wav", "labels": "calm|glee"}, "labels", "unknown label 'glee'"),
    ({"path": "b.wav", "votes:joy": "-1", "votes:anger": "3"}, "votes:…", "votes"),
    ({"path": "b.wav", "votes:joy": "many"}, "votes:joy", "not a number"),
    ({"path": "b.wav", "value:valence": "0,5"}, "value:valence", "not a number"),
    ({"path": "b.wav", "split": "training set"}, "split", "train, valid, test"),
    ({"path": "b.wav", "dialogue": "d", "turn": "1.5"}, "turn", "whole number"),
    ({"path": "b.wav", "turn": "1"}, "dialogue", "no dialogue"),
    ({"id": "a", "path": "b.wav"}, "id", "line 2"),
    ({"id": "nothing here"}, "path", "nothing to read"),
    ({"path": "b.wav", "text": "x", "text_path": "d.srt"}, "text", "one of them"),
]


@pytest.mark.parametrize(("row", "field", "reason"), BAD)
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_bad_row_is_listed_and_the_rest_survives(media, kind, row, field, reason) -> None:
    (media.parent / "outside.wav").write_bytes(b"RIFF")
    (media / "link.wav").symlink_to(media.parent / "outside.wav")
    (media / "clips.csv").write_text("")
    good = {"path": "a.wav", "split": "train", "label": "joy", "labels": "calm"}
    more = {"path": "deep/c.wav", "split": "train", "label": "anger", "votes:joy": 1, "votes:anger": 2}
    file = write(media, [good, row, more], kind)
    manifest = read_user_manifest(file)
    assert [clip.id for clip in manifest.clips] == ["a", "deep/c"]
    (rejected,) = manifest.rejected
    # a CSV's header is its line 1
    first = 2 if kind == "csv" else 1
    assert (rejected.line, rejected.field) == (first + 1, field)
    assert reason.replace("line 2", f"line {first}") in rejected.reason


def test_lines_are_those_of_the_file(media) -> None:
    (media / "clips.csv").write_text('\ufeffid;text\r\na;"two\r\nlines"\r\n\r\nb;\r\nc;d;e\r\n', encoding="utf-8")
    manifest = read_user_manifest(media / "clips.csv")
    assert manifest.clips[0].streams[0].text == "two\r\nlines"
    assert [(rejected.line, rejected.item) for rejected in manifest.rejected] == [(5, "b"), (6, "c")]
    (media / "clips.jsonl").write_text('{"text": "x"\n\n[1]\n{"id": "k", "text": "y"}\n')
    manifest = read_user_manifest(media / "clips.jsonl")
    assert [rejected.line for rejected in manifest.rejected] == [1, 3]
    assert [clip.id for clip in manifest.clips] == ["k"]


def test_labels_of_held_out_rows_do_not_make_the_vocabulary(media) -> None:
    rows = [
        {"id": "1", "text": "a", "split": "train", "label": "joy"},
        {"id": "2", "text": "b", "split": "train", "label": "fear"},
        {"id": "3", "text": "c", "split": "test", "label": "zeal"},
    ]
    manifest = read_user_manifest(write(media, rows))
    assert manifest.specs[0].labels == ("fear", "joy")
    assert [(rejected.item, rejected.field) for rejected in manifest.rejected] == [("3", "label")]
    unsplit = read_user_manifest(write(media, [{**row, "split": ""} for row in rows]))
    assert unsplit.specs[0].labels == ("fear", "joy", "zeal")


def test_a_label_space_understands_its_aliases(media) -> None:
    rows = [{"id": str(i), "text": "x", "label": word} for i, word in enumerate(["Happy", "anger", "sad", "meh"])]
    manifest = read_user_manifest(write(media, rows), label_space=EKMAN7)
    assert [EKMAN7.labels[int(clip.targets[0].value)] for clip in manifest.clips] == ["joy", "anger", "sadness"]
    assert "unknown label 'meh'" in manifest.rejected[0].reason


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_several_labels_none_and_not_asked(media, kind) -> None:
    rows = [
        {"id": "both", "text": "x", "labels": "joy|fear" if kind == "csv" else ["joy", "fear"]},
        {"id": "none", "text": "x", "labels": "none" if kind == "csv" else []},
        {"id": "unasked", "text": "x"},
    ]
    manifest = read_user_manifest(write(media, rows, kind))
    assert manifest.specs[0].labels == ("fear", "joy")
    assert {clip.id: [t.value.tolist() for t in clip.targets] for clip in manifest.clips} == {
        "both": [[1, 1]],
        "none": [[0, 0]],
        "unasked": [],
    }


def test_votes_stay_counts_and_shares_are_shares(media) -> None:
    rows = [
        {"id": "1", "text": "x", "votes:joy": 3, "votes:fear": 1, "soft:joy": 0.5, "soft:fear": 0.5},
        {"id": "2", "text": "x", "votes:joy": 0, "votes:fear": 0},
        {"id": "3", "text": "x", "value:v": 1},
    ]
    manifest = read_user_manifest(write(media, rows))
    targets = {target.spec.name: target for target in manifest.clips[0].targets}
    votes = next(target for target in targets.values() if target.votes is not None)
    assert (votes.votes.tolist(), votes.value.tolist()) == ([3, 1], [0.75, 0.25])
    assert [t.value.tolist() for t in targets.values() if t.votes is None] == [[0.5, 0.5]]
    assert [rejected.item for rejected in manifest.rejected] == ["2"]


def test_a_table_of_which_nothing_can_be_used_is_an_error(media) -> None:
    with pytest.raises(ConfigError, match=r"no row can be used\n  gone\.wav \(line 2, path\)"):
        read_user_manifest(write(media, [{"path": "gone.wav"}, {"path": "gone too.wav"}]).rename(media / "x.csv"))
    with pytest.raises(ConfigError, match="labl"):
        read_user_manifest(write(media, [{"path": "a.wav", "labl": "joy"}]))
    with pytest.raises((ConfigError, MediaError)):
        read_user_manifest(media / "a.wav")
    with pytest.raises(MediaError, match="no such file"):
        read_user_manifest(media / "nowhere.csv")
    with pytest.raises(MediaError, match="nowhere"):
        read_user_manifest(write(media, ROWS), media / "nowhere")


def test_media_under_another_root(media) -> None:
    table = media.parent / "tables"
    table.mkdir()
    file = write(table, [{"path": "deep/c.wav"}])
    assert read_user_manifest(file, media).clips[0].streams[0].path == media / "deep/c.wav"


@settings(max_examples=60, deadline=None)
@given(
    cells=st.lists(st.text(max_size=20).filter(lambda cell: "\0" not in cell), min_size=4, max_size=4),
    kind=st.sampled_from(["csv", "jsonl"]),
)
def test_no_cell_ends_the_reading(tmp_path_factory, cells, kind) -> None:
    folder = tmp_path_factory.mktemp("any")
    row = dict(zip(("id", "path", "start_s", "label"), cells, strict=True))
    row["turn"] = "x"  # so that the row is bad, and never blank
    manifest = read_user_manifest(write(folder, [{"id": "good one", "text": "Hello", "label": "joy"}, row], kind))
    assert [clip.id for clip in manifest.clips] == ["good one"]
    assert len(manifest.rejected) == 1


def test_the_documented_columns_are_the_columns() -> None:
    page = (Path(__file__).parents[2] / "docs" / "own-data.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    documented = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    plain = {name for name in documented if ":" not in name} - {"label", "labels"}
    assert plain == set(own._PLAIN)
    assert {name.partition(":")[0] for name in documented if ":" in name} == set(own._PREFIXES)
    spaces = re.search(r"`--labels (\S+)` \(or ([^)]+)\)", page)
    assert spaces is not None
    assert {spaces[1], *re.findall(r"`([^`]+)`", spaces[2])} <= set(LABEL_SPACES)
