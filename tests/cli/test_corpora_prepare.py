"""`merkit corpora` and `merkit prepare` as a user meets them: facts, counts, every rejected row, and exit codes."""

import csv
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from merkit.cli.corpora import corpora
from merkit.cli.prepare import prepare
from merkit.corpora import CORPORA, clip_table, read_manifest
from merkit.errors import ConfigError, MediaError
from merkit.features import FeatureStore

app = typer.Typer()
app.command()(corpora)
app.command()(prepare)
runner = CliRunner()


def call(*words: object):
    return runner.invoke(app, [*map(str, words)])


def table(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


# -- corpora


def test_every_corpus_is_listed_and_explained() -> None:
    done = call("corpora")
    assert done.exit_code == 0
    rows = json.loads(call("corpora", "--json").stdout)
    assert [row["name"] for row in rows] == list(CORPORA)
    for row in rows:
        assert row["name"] in done.stdout
        for key in (
            "title",
            "licence",
            "obtain",
            "citation",
            "tree",
            "modalities",
            "labels",
            "official_split",
            "people",
        ):
            assert row[key], (row["name"], key)


@pytest.mark.parametrize("name", CORPORA)
def test_one_corpus_in_full(name: str) -> None:
    done = call("corpora", name)
    corpus = CORPORA[name]
    assert done.exit_code == 0
    for words in (
        corpus.licence,
        corpus.obtain,
        corpus.tree.splitlines()[0],
        f"merkit prepare {name}",
        "not what the person",
    ):
        assert words in done.stdout
    assert json.loads(call("corpora", name, "--json").stdout)["known_bad"] == corpus.facts()["known_bad"]


def test_melds_known_bad_clips_are_stated() -> None:
    said = call("corpora", "meld").stdout
    for item in ("dia125_utt3", "dia110_utt7", "dia38_utt4", "dia220_utt0"):
        assert item in said


def test_a_typo_names_the_nearest_corpus() -> None:
    for words in (("corpora", "medl"), ("prepare", "medl", "--root", ".", "--out", "x")):
        error = call(*words).exception
        assert isinstance(error, ConfigError)
        assert "did you mean meld?" in str(error)


def test_the_list_answers_without_torch() -> None:
    code = (
        "import sys\nfrom merkit.cli.corpora import corpora\ncorpora(as_json=True)\n"
        "print([m for m in ('torch', 'av', 'scipy') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


# -- prepare


@pytest.fixture
def clips(tmp_path) -> Path:
    return table(
        tmp_path / "clips.csv",
        "id,text,split,group:speaker,label",
        "a,Hello,train,s1,joy",
        "b,Go away,train,s2,anger",
        "c,Well,test,s3,anger",
        "d,Hm,test,s3,boredom",
        "a,Again,train,s1,joy",
        "e,,train,s1,joy",
    )


def test_counts_rejected_rows_and_files(clips, tmp_path) -> None:
    out = tmp_path / "out"
    done = call("prepare", clips, "--out", out)
    assert done.exit_code == 0, done.output
    assert "train: 2 clips\n  emotion: anger 1, joy 1\ntest: 1 clips\n  emotion: anger 1, joy 0\n" in done.stdout
    assert "3 clips, 3 left out, 0 in part" in done.stdout
    rows = list(csv.DictReader((out / "rejected.csv").open(encoding="utf-8")))
    assert [(row["item"], row["line"], row["field"], row["left_out"]) for row in rows] == [
        ("d", "5", "label", "clip"),
        ("a", "6", "id", "clip"),
        ("e", "7", "path", "clip"),
    ]
    for row in rows:
        assert row["reason"] in done.stderr
    assert [clip.id for clip in read_manifest(out).clips] == ["a", "b", "c"]
    assert sorted(file.name for file in out.iterdir()) == [
        "manifest.json",
        "manifest.parquet",
        "prepare.json",
        "rejected.csv",
    ]


def test_json_says_the_same(clips, tmp_path) -> None:
    facts = json.loads(call("prepare", clips, "--out", tmp_path / "out", "--json").stdout)
    assert (facts["clips"], facts["splits"]) == (3, {"train": 2, "test": 1})
    assert facts["labels"]["test"] == {"emotion": {"anger": 1, "joy": 0}}
    assert [row["line"] for row in facts["rejected"]] == [5, 6, 7]


def test_label_spaces_by_name_and_by_list(clips, tmp_path) -> None:
    call("prepare", clips, "--out", tmp_path / "named", "--labels", "ekman7")
    assert read_manifest(tmp_path / "named").specs[0].labels == CORPORA["meld"].read(_meld(tmp_path)).specs[0].labels
    call("prepare", clips, "--out", tmp_path / "listed", "--labels", "joy, boredom,anger")
    manifest = read_manifest(tmp_path / "listed")
    assert manifest.specs[0].labels == ("joy", "boredom", "anger")
    assert [clip.id for clip in manifest.clips] == ["a", "b", "c", "d"]
    for wrong in ("ekman", "joy,joy", "joy,"):
        assert "--labels" in str(call("prepare", clips, "--out", tmp_path / "x", "--labels", wrong).exception)
    error = call("prepare", "meld", "--root", tmp_path, "--out", tmp_path / "x", "--labels", "ekman7").exception
    assert "tables of your own" in str(error)
    assert not (tmp_path / "x").exists()


def _meld(folder: Path) -> Path:
    head = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime"
    for part in ("train", "dev", "test"):
        table(
            folder / f"{part}_sent_emo.csv",
            head,
            f'1,"Oh, {part}!",Monica,joy,positive,0,0,1,1,"00:00:01,0","00:00:02,0"',
        )
    return folder


def test_only_an_unusable_whole_is_a_failure(tmp_path) -> None:
    bad = table(tmp_path / "bad.csv", "id,path", "a,none.wav", "b,../b.wav")
    done = call("prepare", bad, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "a (line 2, path): no such file" in str(done.exception)
    assert "b (line 3, path): leaves the root" in str(done.exception)
    assert not (tmp_path / "out" / "manifest.parquet").exists()


def test_what_is_there_is_kept_unless_forced(clips, tmp_path) -> None:
    out = tmp_path / "out"
    call("prepare", clips, "--out", out)
    before = (out / "manifest.parquet").read_bytes()
    assert "--force" in str(call("prepare", clips, "--out", out).exception)
    assert (out / "manifest.parquet").read_bytes() == before
    other = table(tmp_path / "other.csv", "id,text", "z,Zed")
    (out / "manifest.parquet").unlink()
    assert "was begun for" in str(call("prepare", other, "--out", out).exception)
    assert call("prepare", other, "--out", out, "--force").exit_code == 0
    assert [clip.id for clip in read_manifest(out).clips] == ["z"]
    assert call("prepare", other, "--out", out, "--force").exit_code == 0
    # the old one is replaced at the end, so a run that fails loses nothing
    whole = (out / "manifest.parquet").read_bytes()
    assert call("prepare", table(tmp_path / "bad.csv", "id,path", "a,none.wav"), "--out", out, "--force").exit_code == 1
    assert (out / "manifest.parquet").read_bytes() == whole


def test_feature_corpora_come_with_their_store(tmp_path) -> None:
    rng = np.random.default_rng(0)
    part = {key: rng.normal(size=(4, 3, 2)) for key in ("text", "audio", "vision")}
    part |= {"labels": rng.uniform(-3, 3, (4, 1, 1)), "id": [[f"v{i % 2}", str(i), str(i + 1)] for i in range(4)]}
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "mosi_data.pkl").write_bytes(pickle.dumps({"train": part, "test": {**part, "id": None}}, 2))
    out = tmp_path / "out"
    done = call("prepare", "mosi", "--root", tmp_path / "root", "--out", out)
    assert done.exit_code == 0, done.output
    found = clip_table(read_manifest(out), FeatureStore.open(out / "features"))
    assert np.array_equal(
        found.streams["speech"].x, np.concatenate([part["audio"].reshape(-1, 2).astype(np.float32)] * 2)
    )


class _Attack:
    def __reduce__(self):
        return os.system, ("touch attacked",)


def test_a_pickle_that_calls_anything_is_refused_unexecuted(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mosi_data.pkl").write_bytes(pickle.dumps({"train": _Attack()}))
    done = call("prepare", "mosi", "--root", tmp_path, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert isinstance(done.exception, MediaError)
    assert "system" in str(done.exception)
    assert not list(tmp_path.rglob("attacked"))


def test_headers_are_read_where_asked(tmp_path) -> None:
    (tmp_path / "talk.mp4").write_bytes(b"\0\0\0\x18ftypmp42")  # begins like one, and ends there
    own = table(tmp_path / "own.csv", "id,path,text,label", "a,talk.mp4,Hello,joy", "b,talk.mp4,,joy")
    assert call("prepare", own, "--out", tmp_path / "trusting").stdout.count("2 clips, 0 left out")
    done = call("prepare", own, "--out", tmp_path / "checked", "--headers")
    assert "1 clips, 1 left out, 1 in part" in done.stdout
    assert [stream.modality for stream in read_manifest(tmp_path / "checked").clips[0].streams] == ["text"]


def test_order_depends_on_neither_hashes_nor_the_file_system(tmp_path) -> None:
    """Two processes with other hash seeds, over trees that were made in opposite order, write the same bytes."""
    names = [f"03-01-{e:02}-01-01-01-{a:02}.wav" for e in (1, 5, 8) for a in (1, 2, 13)]
    code = (
        "import sys; from pathlib import Path; from merkit.corpora import CORPORA, write_manifest\n"
        "root, out = map(Path, sys.argv[1:]); write_manifest(CORPORA['ravdess'].read(root), out)"
    )
    bytes_of = []
    for seed, order in ((1, names), (2, names[::-1])):
        root = tmp_path / "tree"
        for name in order:
            (root / f"Actor_{name[-6:-4]}").mkdir(parents=True, exist_ok=True)
            (root / f"Actor_{name[-6:-4]}" / name).write_bytes(b"RIFF")
        out = tmp_path / f"out{seed}"
        env = {**os.environ, "PYTHONHASHSEED": str(seed)}
        subprocess.run([sys.executable, "-c", code, str(root), str(out)], check=True, env=env)
        bytes_of.append([(out / name).read_bytes() for name in ("manifest.parquet", "manifest.json")])
        for file in root.rglob("*.wav"):
            file.unlink()
    assert bytes_of[0] == bytes_of[1]


def test_a_folder_that_nothing_came_into_is_free_again(tmp_path):
    """A root that holds nothing of a corpus claims OUT and leaves it empty: the corrected command must not need --force."""
    wrong, right, out = tmp_path / "wrong", tmp_path / "right", tmp_path / "out"
    wrong.mkdir()
    right.mkdir()
    header = "Utterance,Emotion,Sentiment,Speaker,Dialogue_ID,Utterance_ID"
    (right / "train_sent_emo.csv").write_text(f"{header}\nHi.,joy,positive,Ann,0,0\n")
    assert call("prepare", "meld", "--root", wrong, "--out", out).exit_code == 1
    assert call("prepare", "meld", "--root", right, "--out", out).exit_code == 0
    assert (out / "manifest.parquet").is_file()
