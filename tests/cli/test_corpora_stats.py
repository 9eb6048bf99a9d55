"""`merkit corpora --stats` against counts made with nothing but a Counter, with test's labels kept out of sight."""

import csv
import json
import math
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from merkit.cli.corpora import corpora
from merkit.corpora import Manifest, read_manifest, write_manifest
from merkit.errors import ConfigError
from merkit.report.corpus import corpus_statistics
from merkit.report.figures import Drawing
from merkit.schema import Clip, Stream, Target, TargetSpec

app = typer.Typer()
app.command()(corpora)
runner = CliRunner()

EMOTION = TargetSpec("emotion", "single_label", ("calm", "angry", "glad"))
MANY = TargetSpec("many", "multi_label", ("glad", "loud", "sad"))
VOTES = TargetSpec("voices", "soft_label", ("calm", "angry", "glad"))
RATING = TargetSpec("rating", "regression", ("valence", "arousal"))
# often enough to stand out against the thousand words of the prior
WORDS = {"calm": "well fine okay " * 12, "angry": "stop it now " * 12, "glad": "great great news " * 12}
SPEAKERS = ("Ann", "Bob", "Cy")


def talk(seed: int, test_label: str | None = None) -> list[Clip]:
    """Eleven dialogues: 6 train, 3 valid, 2 test; every seventh clip unlabelled, turn 2 of dialogue 1 is missing."""
    rng = np.random.default_rng(seed)
    clips = []
    for d in range(11):
        split = "train" if d < 6 else "valid" if d < 9 else "test"
        for turn in range(3 + d % 4):
            if (d, turn) == (1, 2):
                continue
            k = int(rng.integers(3))
            votes = np.array([(3, 0, 0), (1, 2, 0), (1, 1, 1)][int(rng.integers(3))], float)
            if split == "test" and test_label is not None:
                k, votes = EMOTION.labels.index(test_label), np.array([0.0, 3.0, 0.0])
            label = EMOTION.labels[k]
            text = f"{WORDS[label]} and so {'on ' * int(rng.integers(4))}" if split != "test" else "some words of test"
            many = np.array([label == "glad", d % 2, label == "angry"], np.float32)
            rated = np.array([k - 1.0, rng.normal()], np.float32)
            valid = None if turn else np.array([True, False])
            targets = (Target(EMOTION, np.array(k)), Target(MANY, many), Target(RATING, rated, valid=valid))
            targets = (*targets, Target(VOTES, (votes / 3).astype(np.float32), votes=votes))
            clips.append(
                Clip(
                    f"d{d}t{turn}",
                    (Stream("text", None, text=text),),
                    split,
                    {"dialogue": f"d{d}", "speaker": "Dee" if d == 10 else SPEAKERS[(turn + d) % 3 if d < 9 else 0]},
                    () if len(clips) % 7 == 6 else targets,
                    turn=turn,
                    span=(0.5, 2.0 + turn) if d != 3 else None,
                )
            )
    return clips


def prepared(folder: Path, clips: list[Clip]) -> Path:
    write_manifest(Manifest("talk", tuple(clips), (EMOTION, MANY, RATING, VOTES), folder), folder)
    return folder


def stub(self: Drawing, folder: Path) -> tuple[Path, ...]:
    """Rendering is what takes time; `tests/report` looks at rendered figures."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = tuple(folder / f"{self.name}.{kind}" for kind in ("png", "svg", "csv"))
    for path in paths:
        path.write_text(self.csv())
    return paths


@pytest.fixture(scope="module")
def counted(tmp_path_factory) -> tuple[list[Clip], dict, Path]:
    """The clips, what `--json` says of them, and the folder that `--out` made."""
    folder = tmp_path_factory.mktemp("talk")
    clips = talk(0)
    prepared(folder, clips)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Drawing, "write", stub)
        done = runner.invoke(app, ["talk", "--stats", "--data", str(folder), "--out", str(folder / "out"), "--json"])
    assert done.exit_code == 0, done.output
    return clips, json.loads(done.stdout), folder / "out"


def rows(found: dict, table: str, **where: object) -> list[dict]:
    return [row for row in found["tables"][table] if all(row[key] == value for key, value in where.items())]


def label_of(clip: Clip) -> str | None:
    return next((EMOTION.labels[int(t.value)] for t in clip.targets if t.spec == EMOTION), None)


def test_sizes_are_those_of_the_clips(counted) -> None:
    clips, found, _ = counted
    for split in ("train", "valid", "test"):
        own = [clip for clip in clips if clip.split == split]
        words = [clip.streams[0].text.split() for clip in own]
        (overview,) = rows(found, "overview", split=split)
        assert overview["clips"] == len(own) == found["splits"][split]
        assert overview["words"] == sum(map(len, words))
        assert overview["distinct_words"] == len({word for text in words for word in text})
        assert overview["dialogues"] == len({clip.groups["dialogue"] for clip in own})
        seconds = [clip.span[1] - clip.span[0] for clip in own if clip.span is not None]
        assert overview["with_duration"] == len(seconds)
        assert overview["hours"] == pytest.approx(sum(seconds) / 3600)
        (length,) = rows(found, "lengths", split=split, what="words per utterance")
        ordered = sorted(map(len, words))
        middle = len(ordered) // 2
        median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
        assert (length["n"], length["min"], length["median"], length["max"]) == (
            len(own), ordered[0], median, ordered[-1]
        )  # fmt: skip
        mean = sum(ordered) / len(ordered)
        assert length["sd"] == pytest.approx(math.sqrt(sum((n - mean) ** 2 for n in ordered) / (len(ordered) - 1)))
        (turns,) = rows(found, "lengths", split=split, what="turns per dialogue")
        per = Counter(clip.groups["dialogue"] for clip in own)
        assert (turns["n"], turns["max"], turns["mean"]) == (len(per), max(per.values()), len(own) / len(per))
        assert rows(found, "modalities", split=split, modality="text")[0]["clips"] == len(own)


def test_who_is_shared_between_splits(counted) -> None:
    clips, found, _ = counted
    of = {
        split: Counter(c.groups["speaker"] for c in clips if c.split == split) for split in ("train", "valid", "test")
    }
    for one in of:
        for other in set(of) - {one}:
            (row,) = rows(found, "shared-groups", group="speaker", split=one, other=other)
            both = set(of[one]) & set(of[other])
            assert row["groups_in_both"] == len(both)
            assert row["share_of_clips"] == pytest.approx(sum(of[one][name] for name in both) / of[one].total())
            (row,) = rows(found, "shared-groups", group="dialogue", split=one, other=other)
            assert row["clips"] == 0
    assert rows(found, "group-clips", group="speaker", split="test", name="Dee")[0]["clips"] == of["test"]["Dee"]
    assert "speaker" in found["notes"]["shared-groups"][0] and "dialogue" not in found["notes"]["shared-groups"][0]


def test_balance_of_every_kind_of_target(counted) -> None:
    clips, found, _ = counted
    for split in ("train", "valid"):
        own = [clip for clip in clips if clip.split == split]
        labels = Counter(label for clip in own if (label := label_of(clip)))
        for label in EMOTION.labels:
            (row,) = rows(found, "labels-emotion", split=split, label=label)
            assert (row["clips"], row["known"]) == (labels[label], labels.total())
            assert row["share"] == pytest.approx(labels[label] / labels.total())
        sets = [{MANY.labels[k] for k in range(3) if t.value[k]} for c in own for t in c.targets if t.spec == MANY]
        for one in MANY.labels:
            assert rows(found, "labels-many", split=split, label=one)[0]["clips"] == sum(one in held for held in sets)
            for other in set(MANY.labels) - {one}:
                (row,) = rows(found, "together-many", split=split, label=one, other=other)
                assert row["both"] == sum({one, other} <= held for held in sets)
        known = sorted(float(t.value[1]) for c in own for t in c.targets if t.spec == RATING and t.valid is None)
        (row,) = rows(found, "values-rating", split=split, label="arousal")
        assert (row["n"], row["min"], row["max"]) == (len(known), known[0], known[-1])
        assert row["mean"] == pytest.approx(sum(known) / len(known))
        votes = [tuple(t.votes.astype(int)) for c in own for t in c.targets if t.spec == VOTES]
        clear = Counter(VOTES.labels[v.index(max(v))] for v in votes if v.count(max(v)) == 1)
        for k, label in enumerate(VOTES.labels):
            (row,) = rows(found, "labels-voices", split=split, label=label)
            assert (row["clips"], row["known"]) == (clear[label], clear.total())
            assert row["mean_share"] == pytest.approx(sum(v[k] for v in votes) / 3 / len(votes))
        (row,) = rows(found, "agreement-voices", split=split)
        observed = sum((sum(n * n for n in v) - 3) / 6 for v in votes) / len(votes)
        shares = [sum(v[k] for v in votes) / 3 / len(votes) for k in range(3)]
        chance = sum(share**2 for share in shares)
        assert row["fleiss_kappa"] == pytest.approx((observed - chance) / (1 - chance), abs=1e-6)
        assert row["share_tied"] == pytest.approx(sum(v == (1, 1, 1) for v in votes) / len(votes))


def test_turns_follow_each_other_at_once(counted) -> None:
    clips, found, _ = counted
    own = sorted((c for c in clips if c.split == "train"), key=lambda c: (c.groups["dialogue"], c.turn))
    pairs: Counter[tuple[str, str, str]] = Counter()
    for one, other in pairwise(own):
        near = one.groups["dialogue"] == other.groups["dialogue"] and other.turn == one.turn + 1
        first, second = label_of(one), label_of(other)
        if near and first and second:
            who = "same" if one.groups["speaker"] == other.groups["speaker"] else "other"
            pairs["any", first, second] += 1
            pairs[who, first, second] += 1
    assert sum(count for key, count in pairs.items() if key[0] == "any") > 10
    for row in rows(found, "transitions-emotion", split="train"):
        own_row = sum(count for key, count in pairs.items() if key[:2] == (row["speaker"], row["label"]))
        count = pairs[row["speaker"], row["label"], row["next"]]
        assert row["pairs"] == count
        assert row["share"] == (pytest.approx(count / own_row) if own_row else None)


def test_words_set_apart_by_the_formula_written_out(counted) -> None:
    clips, found, _ = counted
    own = [(label, c.streams[0].text.split()) for c in clips if c.split == "train" and (label := label_of(c))]
    total = Counter(word for _, text in own for word in text)
    for label in EMOTION.labels:
        here = Counter(word for said, text in own if said == label for word in text)
        z = {}
        for word, both in total.items():
            prior = 1000 * both / total.total()
            one, other = here[word] + prior, both - here[word] + prior
            n_one, n_other = here.total() + 1000, total.total() - here.total() + 1000
            difference = math.log(one / (n_one - one)) - math.log(other / (n_other - other))
            z[word] = difference / math.sqrt(1 / one + 1 / other)
        listed = rows(found, "words-emotion", label=label)
        assert {row["word"] for row in listed} == {word for word, value in z.items() if value >= 1.96}
        for row in listed:
            assert row["z"] == pytest.approx(z[row["word"]]) and row["split"] == "train"
        assert {row["word"] for row in listed} & set(WORDS[label].split())
        assert not {row["word"] for row in listed} & {"and", "so"}  # everybody says them


def test_labels_of_test_are_counted_where_they_are_asked_for(tmp_path: Path) -> None:
    one, other = prepared(tmp_path / "a", talk(0, "calm")), prepared(tmp_path / "b", talk(0, "glad"))
    plain = [json.dumps(corpus_statistics(folder).to_dict()) for folder in (one, other)]
    assert plain[0] == plain[1] and '"labels_of": ["train", "valid"]' in plain[0]
    asked = corpus_statistics(other, split="test").to_dict()
    assert asked["labels_of"] == ["test"]
    labels = {row["label"]: row["clips"] for row in asked["tables"]["labels-emotion"]}
    assert labels["calm"] == labels["angry"] == 0 < labels["glad"]
    assert {row["split"] for row in asked["tables"]["labels-emotion"]} == {"test"}
    assert not any(name.startswith("words-") for name in asked["tables"])  # counted in train alone
    with pytest.raises(ConfigError, match="no clips in split dev"):
        corpus_statistics(one, split="dev")


def test_files_hold_the_same_numbers_and_the_page_needs_nothing(counted) -> None:
    _, found, out = counted
    files = [Path(file) for file in found["files"]]
    assert files[0] == out / "statistics.html" and all(file.is_file() for file in files)
    assert {k: v for k, v in found.items() if k != "files"} == json.loads((out / "statistics.json").read_text())
    for name, table in found["tables"].items():
        with (out / "tables" / f"{name}.csv").open(newline="") as file:
            held = list(csv.DictReader(file))
        assert held == [{key: "" if v is None else str(v) for key, v in row.items()} for row in table], name
    pictures = {file.stem for file in files if file.suffix == ".svg"}
    assert {"lengths", "modalities", "group-speaker", "label-frequency-emotion", "label-frequency-many",
            "label-frequency-voices", "co-occurrence-many", "values-rating", "words-emotion", "transitions-emotion",
            "transitions-emotion-other"} <= pictures  # fmt: skip
    page = (out / "statistics.html").read_text()
    assert page.count("<img") == len(pictures) == page.count("data:image/svg+xml;base64,")
    assert "http" not in page.replace("http-equiv", "") and "<script" not in page
    assert "not what the person feels" in page


def test_words_of_a_corpus_are_no_markup(tmp_path: Path) -> None:
    clips = [
        Clip(f"c{i}", (Stream("text", None, text="hello there"),), "train", {"speaker": "<b>[red]x</b>"},
             (Target(EMOTION, np.array(i % 2)),))
        for i in range(6)
    ]  # fmt: skip
    write_manifest(Manifest("mine", tuple(clips), (EMOTION,), tmp_path), tmp_path)
    from merkit.report.corpus.page import page

    text = page(corpus_statistics(tmp_path), {})
    assert "<b>[red]" not in text and "&lt;b&gt;[red]x" in text
    done = runner.invoke(app, ["--stats", "--data", str(tmp_path)])
    assert done.exit_code == 0 and "[red]" in done.stdout


def test_own_tables_and_durations_from_headers(tmp_path: Path) -> None:
    import soundfile

    soundfile.write(tmp_path / "a.wav", np.zeros(24_000, np.float32), 16_000)
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    table = tmp_path / "clips.csv"
    table.write_text("path,text,label\na.wav,so it is,calm\nbad.wav,oh no,angry\n")
    without = corpus_statistics(table).to_dict()
    assert without["tables"]["overview"][0]["with_duration"] == 0
    assert any("--headers" in note for note in without["notes"]["overview"])
    done = runner.invoke(app, ["--stats", "--data", str(table), "--headers", "--json"])
    (row,) = json.loads(done.stdout)["tables"]["overview"]
    assert (row["split"], row["with_duration"]) == ("all", 1)  # the other file cannot be read, and counts all the same
    assert row["hours"] == pytest.approx(1.5 / 3600, rel=1e-3)


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--stats"], "--data"), (["meld", "--stats", "--data", "{folder}"], "holds talk, not meld"),
     (["meld", "--split", "test"], "goes with --stats"), (["--stats", "--data", "{folder}/none"], "none")],
)  # fmt: skip
def test_what_is_wrong_is_said(tmp_path: Path, words: list[str], message: str) -> None:
    prepared(tmp_path, talk(0))
    assert read_manifest(tmp_path).name == "talk"
    done = runner.invoke(app, [word.format(folder=tmp_path) for word in words])
    assert isinstance(done.exception, ConfigError) and message in str(done.exception), done.output


def test_without_matplotlib_tables_are_shown_and_nothing_is_half_written(tmp_path: Path, monkeypatch) -> None:
    folder = prepared(tmp_path, talk(0))
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    done = runner.invoke(app, ["talk", "--stats", "--data", str(folder), "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, ConfigError) and "merkit[viz]" in str(done.exception)
    assert not (tmp_path / "out").exists()
    done = runner.invoke(app, ["talk", "--stats", "--data", str(folder)])
    assert done.exit_code == 0 and "labels counted: train, valid" in done.stdout and "great" in done.stdout
