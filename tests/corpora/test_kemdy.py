"""KEMDy19 and KEMDy20 in their release formats: votes and ties, two views, folds, words, sensors, and all that is bad."""

import csv
import json
from itertools import pairwise

import numpy as np
import pytest

from merkit.corpora import CORPORA, clip_table, read_manifest, write_manifest
from merkit.corpora.kemdy import (
    CENTROIDS,
    EMOTION,
    KEMDY7,
    Options,
    SegmentName,
    both_with_options,
    fold_of,
    read_ratings,
    with_options,
)
from merkit.data.splits import leave_one_group_out
from merkit.data.votes import NearestCentroid, hard, with_soft
from merkit.errors import ConfigError, MediaError
from merkit.evaluation.agreement import agreement
from merkit.media import read_physiology
from tests.kemdy_tree import EMOTIONS, TURNS, WORDS, write_aihub, write_kemdy19, write_kemdy20


def target(clip, name):
    return next((each for each in clip.targets if each.spec.name == name), None)


def by_id(manifest):
    return {clip.id: clip for clip in manifest.clips}


def reasons(manifest):
    return {rejected.item: (rejected.what, rejected.reason) for rejected in manifest.rejected}


def cells_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def write_cells(path, rows, encoding="utf-8"):
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


@pytest.fixture(scope="module")
def tree19(tmp_path_factory):
    root = tmp_path_factory.mktemp("k19") / "KEMDy19"
    return write_kemdy19(root, sessions=(1, 5), turns=6, seconds=1.0)


@pytest.fixture
def small19(tmp_path):
    """A tree of one session to break."""
    return write_kemdy19(tmp_path / "k19", sessions=(2,), scripts=("script01",), turns=6, seconds=0.5)


@pytest.fixture
def small20(tmp_path):
    return write_kemdy20(tmp_path / "k20", sessions=(3,), scripts=("script01",), turns=6, seconds=1.0)


# -- names


def test_names_and_folds() -> None:
    name = SegmentName.of("Sess20_impro02_M012")
    assert (name.number, name.session, name.script, name.speaker, name.sex) == (20, "Sess20", "impro02", "Sess20M", "M")
    for wrong in (
        "Sess1_impro01_F001",
        "Sess01_impro01_X001",
        "Sess01_script01_User2M_001",
        "",
        "../Sess01_impro01_F001",
    ):
        with pytest.raises(MediaError, match="not like"):
            SegmentName.of(wrong)
    # as published: ranges of 4 and of 8 sessions
    assert [fold_of("kemdy19", s) for s in range(1, 21)] == [k for k in range(5) for _ in range(4)]
    assert [fold_of("kemdy20", s) for s in range(1, 41)] == [k for k in range(5) for _ in range(8)]
    with pytest.raises(MediaError, match="1 to 20"):
        fold_of("kemdy19", 21)


# -- KEMDy19


def test_either_speakers_own_rows(tree19, tmp_path) -> None:
    """What stands in the speaker's own table is the clip's; what the other table says of it is the listener's."""
    manifest = CORPORA["kemdy19"].read(tree19, tmp_path / "out")
    clips = by_id(manifest)
    assert len(clips) == 2 * 2 * 6 and manifest.rejected == ()
    for sex in "FM":
        other = "M" if sex == "F" else "F"
        own = {row[9]: row for row in cells_of(tree19 / f"annotation/Session01_{sex}_res.csv")[2:]}
        seen = {row[9]: row for row in cells_of(tree19 / f"annotation/Session01_{other}_res.csv")[2:]}
        for segment in (each for each in own if f"_{sex}" in each):
            for row, prefix in ((own[segment], ""), (seen[segment], "listener_")):
                emotion, affect = target(clips[segment], f"{prefix}emotion"), target(clips[segment], f"{prefix}affect")
                counts = [row[13::3].count(label) for label in EMOTIONS]
                assert emotion.votes.tolist() == counts and sum(counts) == 10
                assert affect.value.tolist() == pytest.approx([float(row[11]), float(row[12])])
                tied = ";" in row[10]
                assert bool(emotion.valid.all()) is not tied and bool(emotion.valid.any()) is not tied
                assert tied or EMOTIONS[int(emotion.value)] == row[10]
            spread = target(clips[segment], "affect_spread").value
            want = [np.std([float(x) for x in own[segment][k::3]]) for k in (14, 15)]
            assert spread.tolist() == pytest.approx(want, rel=1e-5)


def test_the_listeners_view(tree19, tmp_path) -> None:
    speaker = by_id(CORPORA["kemdy19"].read(tree19, tmp_path / "speaker"))
    listener = by_id(with_options("kemdy19", Options(view="listener")).read(tree19, tmp_path / "listener"))
    assert listener.keys() == speaker.keys()
    sensors = []
    for item, clip in listener.items():
        assert target(clip, "listener_emotion") is None
        assert target(clip, "emotion").votes.tolist() == target(speaker[item], "listener_emotion").votes.tolist()
        assert clip.streams[:2] == speaker[item].streams[:2]  # who listens is not heard
        eda = [
            next(s for s in read_physiology(each.path_of("physiology")) if s.name == "eda").values.mean()
            for each in (speaker[item], clip)
        ]
        # two people of a session have other levels in the tree
        sensors.append(abs(eda[0] - eda[1]))
    assert min(sensors) > 0.2


def test_groups_turns_and_context(tree19, tmp_path) -> None:
    manifest = CORPORA["kemdy19"].read(tree19.parent, tmp_path / "out")  # a folder above is found as well
    clips = by_id(manifest)
    clip = clips["Sess05_impro01_M002"]
    assert clip.groups == {
        "session": "Sess05",
        "speaker": "Sess05M",
        "script": "impro01",
        "dialogue": "Sess05_impro01",
        "fold": "1",
    }
    talk = [clip.id for clip in manifest.clips if clip.groups["dialogue"] == "Sess05_impro01"]
    assert talk == [f"Sess05_impro01_{sex}{turn:03d}" for turn in (1, 2, 3) for sex in "FM"]
    assert clip.turn == 3 and clip.context == tuple(each for each in talk if each != clip.id)


def test_folds_divide_speakers(tmp_path) -> None:
    root = write_kemdy19(tmp_path / "k", turns=2, scripts=("script01",), seconds=0.1, sensors=())
    table = clip_table(CORPORA["kemdy19"].read(root, tmp_path / "out"))
    held = set()
    for fold in range(5):
        split = leave_one_group_out(table, "fold", str(fold)).split
        valid = set(table.groups["speaker"][split == "valid"])
        assert len(valid) == 2 and not valid & set(table.groups["speaker"][split == "train"]) and not valid & held
        held |= valid
    assert len(held) == 10


def test_a_speaker_in_two_folds_is_told(tmp_path) -> None:
    root = write_kemdy20(tmp_path / "k", sessions=(1, 9), scripts=("script01",), turns=2, seconds=0.1, sensors=())
    rows = cells_of(root / "annotation/Sess09_eval.csv")
    table = [[cell.replace("User017F", "User001F") for cell in row] for row in rows]
    write_cells(root / "annotation/Sess09_eval.csv", table)
    for file in (root / "wav/Session09").iterdir():
        file.rename(file.with_name(file.name.replace("User017F", "User001F")))
    what, reason = reasons(CORPORA["kemdy20"].read(root, tmp_path / "out"))["User001F"]
    assert what == "folds" and "0, 1" in reason


def test_ties_are_settled_by_the_published_centroids(tree19, tmp_path) -> None:
    column = clip_table(CORPORA["kemdy19"].read(tree19, tmp_path / "out"))
    emotion, place = column.targets["emotion"], column.targets["affect"].value
    assert emotion.spec.labels == EMOTIONS == KEMDY7.labels
    _, clear = hard(emotion.votes)
    assert (clear == emotion.valid).all() and not clear.all()
    chosen, known = hard(emotion.votes, NearestCentroid(place, CENTROIDS["kemdy19"]))
    assert known.all()
    for row in np.flatnonzero(~clear):
        tied = np.flatnonzero(emotion.votes[row] == emotion.votes[row].max())
        distance = [np.hypot(*(place[row] - CENTROIDS["kemdy19"][k])) for k in tied]
        assert chosen[row] == tied[int(np.argmin(distance))]
    assert with_soft(emotion).value.sum(1) == pytest.approx(1.0)


def test_unusable_scenes(tmp_path) -> None:
    root = write_kemdy19(
        tmp_path / "k", sessions=(1,), scripts=("script01", "impro03", "impro04"), turns=2, seconds=0.1, sensors=()
    )
    manifest = CORPORA["kemdy19"].read(root, tmp_path / "out")
    assert {clip.groups["script"] for clip in manifest.clips} == {"script01"}
    assert reasons(manifest)["Sess01_impro03"][1].startswith("2 segments: skin conductance")
    kept = with_options("kemdy19", Options(unusable=True)).read(root, tmp_path / "all")
    assert len(kept) == 6
    assert [bad.item for bad in CORPORA["kemdy19"].known_bad] == [
        "Sess01_impro03",
        "Sess01_impro04",
        "Sess03_script04",
        "Sess06_script02",
        "Sess07_script02",
    ]


# -- KEMDy20


def test_kemdy20_by_position(small20, tmp_path) -> None:
    """`disqust`, ties, cp949, users, and the columns that have no title."""
    manifest = CORPORA["kemdy20"].read(small20, tmp_path / "out")
    rows = {row[3]: row for row in cells_of(small20 / "annotation/Sess03_eval.csv")[2:]}
    assert any("disqust" in cell for row in rows.values() for cell in row)
    clips = by_id(manifest)
    assert clips.keys() == rows.keys() and manifest.rejected == ()
    for segment, row in rows.items():
        said = [cell.replace("disqust", "disgust") for cell in row]
        clip = clips[segment]
        assert target(clip, "emotion").votes.tolist() == [said[7::3].count(label) for label in EMOTIONS]
        assert target(clip, "affect").value.tolist() == pytest.approx([float(row[5]), float(row[6])])
        assert {spec.name for spec in manifest.specs} == {"emotion", "affect", "affect_spread"}
        words = next(stream.text for stream in clip.streams if stream.modality == "text")
        turn = int(row[0]) - 1
        assert words.startswith(WORDS[TURNS[(turn + 3) % len(TURNS)]])
    assert clips["Sess03_script01_User006M_002"].groups["speaker"] == "User006M"
    assert manifest.facts["folds"] == {"0": ["Sess03"]}


def test_words_in_either_encoding_and_marks(small20, tmp_path) -> None:
    folder = small20 / "wav/Session03"
    texts = {
        "001": "그래. b/\n좋아 l/ 정말\n".encode("cp949"),
        "002": "\ufeff그래 c/알았어".encode(),
        "003": b"\xff\xfe\xff\xff broken \x81",
    }
    for number, data in texts.items():
        (folder / f"Sess03_script01_User005F_{number}.txt").write_bytes(data)
    found = []
    for marks in ("keep", "drop"):
        manifest = with_options("kemdy20", Options(marks=marks)).read(small20, tmp_path / marks)
        clips = by_id(manifest)
        found.append(
            [
                [s.text for s in clips[f"Sess03_script01_User005F_{number}"].streams if s.modality == "text"]
                for number in texts
            ]
        )
        assert reasons(manifest)["Sess03_script01_User005F_003"] == (
            "text", "is neither UTF-8 nor cp949 text: wav/Session03/Sess03_script01_User005F_003.txt",
        )  # fmt: skip
    assert found == [[["그래. b/ 좋아 l/ 정말"], ["그래 c/알았어"], []], [["그래. 좋아 정말"], ["그래 알았어"], []]]


def test_kemdy20_has_no_listeners() -> None:
    with pytest.raises(ConfigError, match="speaker alone"):
        with_options("kemdy20", Options(view="listener"))
    for bad in ({"view": "both"}, {"marks": "some"}, {"workers": 0}, {"timeout_s": 0.0}):
        with pytest.raises(ConfigError):
            Options(**bad)


# -- what is bad costs no more than itself


def test_faults_of_tables(small19, tmp_path) -> None:
    file = small19 / "annotation/Session02_F_res.csv"
    rows = cells_of(file)
    by_segment = {row[9]: row for row in rows}
    by_segment["Sess02_script01_F001"][13] = "bored"
    by_segment["Sess02_script01_F001"][14] = "7"
    by_segment["Sess02_script01_F002"][9] = "Sess2_F2"
    third = by_segment["Sess02_script01_F003"]
    said_of_third = third[10]
    third[10:13] = ["", "", ""]
    alien = [*third[:9], "Sess03_script01_F001", *third[10:]]
    write_cells(file, [*rows, list(by_segment["Sess02_script01_F001"]), alien, ["", "", "mean"], []], "cp949")
    manifest = CORPORA["kemdy19"].read(small19, tmp_path / "out")
    clips = by_id(manifest)
    assert sorted(clips) == [f"Sess02_script01_{each}" for each in ("F001", "F003", "M001", "M002", "M003")]
    assert target(clips["Sess02_script01_F001"], "emotion").votes.sum() == 9
    # the total was empty: the raters themselves say it
    emotion = target(clips["Sess02_script01_F003"], "emotion")
    assert emotion.valid.all() and EMOTIONS[int(emotion.value)] == said_of_third
    means = [np.mean([float(x) for x in third[k::3]]) for k in (14, 15)]
    assert target(clips["Sess02_script01_F003"], "affect").value.tolist() == pytest.approx(means)
    said = "\n".join(str(rejected) for rejected in manifest.rejected)
    for words in ("'bored'", "7 is not from 1 to 5", "'Sess2_F2' is not like", "stands there twice", "another session"):
        assert said.count(words) == 1, words
    what, why = reasons(manifest)["Sess02_script01_F002"]
    assert what == "clip" and "speaker's state is not known" in why


def test_raters_who_cannot_decide(small20, tmp_path) -> None:
    """Two emotions in a rater's cell are half a vote each, and no class of that rater's."""
    file = small20 / "annotation/Sess03_eval.csv"
    rows = cells_of(file)
    rows[2][4] = "happy"
    rows[2][7::3] = ["happy"] * 7 + ["sad;happy", "fear", "happy;disqust"]
    rows[3][4] = "sad"  # a total that is not what the raters said
    rows[3][7::3] = ["fear"] * 10
    write_cells(file, rows)
    manifest = CORPORA["kemdy20"].read(small20, tmp_path / "out")
    clips = by_id(manifest)
    votes = dict(zip(EMOTIONS, target(clips[rows[2][3]], "emotion").votes.tolist(), strict=True))
    assert {label: vote for label, vote in votes.items() if vote} == {"happy": 8, "sad": 0.5, "disgust": 0.5, "fear": 1}
    ratings = read_ratings(tmp_path / "out/merged.csv")
    chosen = ratings.emotion[ratings.segments.index(rows[2][3])]
    assert np.isnan(chosen[[7, 9]]).all() and np.isfinite(chosen).sum() == 8
    numbers = {"valence": ratings.valence, "arousal": ratings.arousal}
    assert manifest.facts["agreement"] == agreement(ratings.emotion, numbers)
    # the corpus's own total is the label; that it differs from the votes is told
    assert EMOTIONS[int(target(clips[rows[3][3]], "emotion").value)] == "sad"
    assert manifest.facts["votes_differ_from_total"] == [rows[3][3]]


def test_blank_cells_at_the_end(small20, tmp_path) -> None:
    """Table programs add blank columns, and leave out those that end a row."""
    file = small20 / "annotation/Sess03_eval.csv"
    rows = cells_of(file)
    rows = [[*row, "", "", "", ""] for row in rows]
    rows[2] = rows[2][:-10]  # the last two raters said nothing
    rows[3] = [*rows[3][:9], "", "", "", *rows[3][12:]]
    write_cells(file, rows)
    clips = by_id(CORPORA["kemdy20"].read(small20, tmp_path / "out"))
    votes = [int(target(clips[row[3]], "emotion").votes.sum()) for row in rows[2:]]
    assert votes == [8, 9, *[10] * 4]
    assert len(read_ratings(tmp_path / "out/merged.csv").raters) == 10


def test_a_missing_table_of_one_speaker(small19, tmp_path) -> None:
    (small19 / "annotation/Session02_M_res.csv").unlink()
    manifest = CORPORA["kemdy19"].read(small19, tmp_path / "out")
    assert {clip.groups["speaker"] for clip in manifest.clips} == {"Sess02F"}
    assert all(target(clip, "listener_emotion") is None for clip in manifest.clips)
    assert reasons(manifest)["Sess02_script01_M001"][0] == "clip"
    assert reasons(manifest)["Sess02_script01_F001"] == ("listener_emotion", "no row in the listener's table")


def test_missing_media(small19, tmp_path) -> None:
    wavs = small19 / "wav/Session02/Sess02_script01"
    (wavs / "Sess02_script01_F001.wav").unlink()
    (wavs / "Sess02_script01_M001.txt").write_text("")
    (wavs / "Sess02_script01_F002.wav").write_bytes(b"not a recording")
    (small19 / "EDA/Session02/Original/Sess02M.csv").unlink()
    manifest = CORPORA["kemdy19"].read(small19, tmp_path / "out")
    clips = by_id(manifest)
    kinds = {item: [stream.modality for stream in clip.streams] for item, clip in clips.items()}
    assert kinds["Sess02_script01_F001"] == ["text", "physiology"]
    assert kinds["Sess02_script01_M001"] == ["speech", "physiology"]
    assert kinds["Sess02_script01_F002"] == ["text", "physiology"]
    assert "first bytes" in reasons(manifest)["Sess02_script01_F002"][1]
    assert reasons(manifest)["EDA of Sess02M"] == (
        "physiology",
        "no such file: EDA/Session02/Original/Sess02M.csv",
    )
    names = {
        item: [signal.name for signal in read_physiology(clip.path_of("physiology"))] for item, clip in clips.items()
    }
    assert names["Sess02_script01_M001"] == ["ecg", "temperature"]
    assert names["Sess02_script01_F001"] == ["ecg", "eda", "temperature"]


def test_a_corpus_without_sensors(tmp_path) -> None:
    root = write_kemdy20(tmp_path / "k", sessions=(1,), scripts=("script01",), turns=2, seconds=0.1, sensors=())
    manifest = CORPORA["kemdy20"].read(root, tmp_path / "out")
    assert [s.modality for s in manifest.clips[0].streams] == ["speech", "text"]
    assert {rejected.item for rejected in manifest.rejected} == {"EDA", "IBI", "TEMP"}


def test_nothing_at_all(tmp_path) -> None:
    (tmp_path / "root/annotation").mkdir(parents=True)
    for name in ("kemdy19", "kemdy20", "kemdy-aihub"):
        with pytest.raises(ConfigError, match="no usable clip"):
            CORPORA[name].read(tmp_path / "root", tmp_path / "out")
    with pytest.raises(ConfigError, match="converted once"):
        CORPORA["kemdy19"].read(tmp_path / "root")


# -- the merged table


@pytest.mark.parametrize("corpus", ["kemdy19", "kemdy20"])
def test_merged_table(corpus, small19, small20, tmp_path) -> None:
    root, at = (small19, 13) if corpus == "kemdy19" else (small20, 7)
    out = tmp_path / "out"
    manifest = CORPORA[corpus].read(root, out)
    with (out / "merged.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["segment"] for row in rows] == [clip.id for clip in manifest.clips]
    for row, clip in zip(rows, manifest.clips, strict=True):
        assert [float(row[label]) for label in EMOTIONS] == target(clip, "emotion").votes.tolist()
        assert (row["emotion"] == "") == (";" in row["total"])
        assert row["fold"] == clip.groups["fold"] and (root / row["wav"]).is_file()
        assert ("listener_emotion" in row) == (corpus == "kemdy19")
    ratings = read_ratings(out / "merged.csv")
    assert ratings.raters[:2] == ("Eval01F", "Eval02M") and len(ratings.raters) == 10
    tables = (
        [root / "annotation/Sess03_eval.csv"]
        if corpus == "kemdy20"
        else [root / f"annotation/Session02_{sex}_res.csv" for sex in "FM"]
    )
    for table in tables:
        for cells in cells_of(table)[2:]:
            segment = cells[at - 4]
            if segment not in ratings.segments or (corpus == "kemdy19" and f"_{table.stem[10]}0" not in segment):
                continue
            i = ratings.segments.index(segment)
            assert [EMOTIONS[int(k)] for k in ratings.emotion[i]] == [
                c.replace("disqust", "disgust") for c in cells[at::3]
            ]
            assert ratings.valence[i].tolist() == [float(x) for x in cells[at + 1 :: 3]]
            assert ratings.arousal[i].tolist() == [float(x) for x in cells[at + 2 :: 3]]
    assert len(ratings.segments) == 6
    numbers = {"valence": ratings.valence, "arousal": ratings.arousal}
    assert manifest.facts["agreement"] == agreement(ratings.emotion, numbers)
    assert manifest.facts["agreement"]["raters"] == 10 and 0 < manifest.facts["agreement"]["fleiss_kappa"] < 1


def test_a_merged_table_that_is_none(tmp_path) -> None:
    (tmp_path / "a.csv").write_text("segment,valence\na,1\n")
    with pytest.raises(MediaError, match="no columns of raters"):
        read_ratings(tmp_path / "a.csv")


# -- both at once


def test_both_corpora_in_common_folds(tmp_path) -> None:
    """Fold k of one goes with fold k of the other; sessions of one name stay two."""
    root, out = tmp_path / "data", tmp_path / "out"
    write_kemdy19(root / "KEMDy19", sessions=(1, 20), scripts=("script01",), turns=2, seconds=0.1)
    write_kemdy20(root / "KEMDy20_v1_1", sessions=(1, 40), scripts=("script01",), turns=2, seconds=0.1)
    (root / "KEMDy20_v1_1/wav/Session40/Sess40_script01_User079F_001.wav").unlink()
    manifest = CORPORA["kemdy"].read(root, out)
    apart = {
        **by_id(CORPORA["kemdy19"].read(root, tmp_path / "o19")),
        **by_id(CORPORA["kemdy20"].read(root, tmp_path / "o20")),
    }
    clips = by_id(manifest)
    assert clips.keys() == apart.keys() and len(clips) == 8
    for item, clip in clips.items():
        assert [t.spec.name for t in clip.targets] == [t.spec.name for t in apart[item].targets]
        assert target(clip, "emotion").votes.tolist() == target(apart[item], "emotion").votes.tolist()
    first, second = clips["Sess01_script01_F001"].groups, clips["Sess01_script01_User001F_001"].groups
    assert first["fold"] == second["fold"] == "0" and first["session"] == "kemdy19/Sess01"
    assert second["dialogue"] == "kemdy20/Sess01_script01" and second["corpus"] == "kemdy20"
    assert manifest.facts["folds"]["4"] == ["kemdy19/Sess20", "kemdy20/Sess40"]
    assert clips["Sess01_script01_F001"].context == ("Sess01_script01_M001",)
    assert reasons(manifest)["kemdy20: Sess40_script01_User079F_001"][0] == "speech"
    write_manifest(manifest, out)
    table = clip_table(read_manifest(out))
    # who was not asked about is not known
    assert table.targets["listener_affect"].valid.any(1).tolist() == [g == "kemdy19" for g in table.groups["corpus"]]
    (root / "KEMDy20_v1_1/annotation/Sess01_eval.csv").unlink()
    (root / "KEMDy20_v1_1/annotation/Sess40_eval.csv").unlink()
    with pytest.raises(ConfigError, match="no usable clip of kemdy20"):
        CORPORA["kemdy"].read(root, out)
    with pytest.raises(ConfigError, match="speaker alone"):
        both_with_options(Options(view="listener"))


# -- storage and the pre-training set


def test_the_manifest_comes_back(tree19, tmp_path) -> None:
    out = tmp_path / "out"
    manifest = CORPORA["kemdy19"].read(tree19, out)
    write_manifest(manifest, out)
    again = read_manifest(out)
    assert again.facts == json.loads(json.dumps(manifest.facts))
    for before, after in zip(manifest.clips, again.clips, strict=True):
        assert before.streams == after.streams and before.groups == after.groups and before.context == after.context
        for one, other in pairwise([before.targets, after.targets]):
            assert [t.spec for t in one] == [t.spec for t in other]
            assert all(np.array_equal(a.value, b.value) for a, b in zip(one, other, strict=True))


def test_a_linked_corpus(tmp_path) -> None:
    """The published instructions link the data into the project: recordings then lie on another disk."""
    disk, project = tmp_path / "disk", tmp_path / "project"
    write_kemdy20(disk / "real", sessions=(1,), scripts=("script01",), turns=2, seconds=0.1)
    project.mkdir()
    (project / "data").symlink_to(disk / "real")
    manifest = CORPORA["kemdy20"].read(project / "data", project / "out")
    write_manifest(manifest, project / "out")
    streams = read_manifest(project / "out").clips[0].streams
    assert [stream.path is None or stream.path.is_file() for stream in streams] == [True] * 3


def test_pretraining_set(tmp_path) -> None:
    root = write_aihub(tmp_path / "aihub", clips=200, seconds=0.001)
    with (root / "annotation/part.csv").open("a", encoding="utf-8") as file:
        file.write("말,x1,분노\n말,x2,bored\n말,5e250000,sad\n,x3,sad\n말,,sad\n")
    manifest = CORPORA["kemdy-aihub"].read(tmp_path)
    clips = by_id(manifest)
    assert len(clips) == 201 and [spec.name for spec in manifest.specs] == ["emotion"]
    assert EMOTION.labels[int(target(clips["x1"], "emotion").value)] == "angry"
    assert [s.modality for s in clips["x1"].streams] == ["text"]
    share = np.mean([clip.split == "valid" for clip in manifest.clips])
    assert 0.12 < share < 0.28  # 0.2 within three deviations of 200 draws
    assert {"x2", "x3", "5e250000"} <= set(reasons(manifest))
    # what is drawn of a sentence depends on no other
    rest = write_aihub(tmp_path / "few", clips=50, seconds=0.001)
    for clip in CORPORA["kemdy-aihub"].read(rest).clips:
        assert clip.split == clips[clip.id].split
