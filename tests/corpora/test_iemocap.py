"""IEMOCAP in its release layout: turns, votes, dimensions, streams on one clock, folds by session, and all that is bad."""

import csv
import json
import random

import numpy as np
import pytest
import soundfile
import typer
from iemocap_tree import FIRST, evaluation, write_dialogue, write_iemocap
from made import write_clip
from typer.testing import CliRunner

from merkit.corpora import CORPORA, check_headers, clip_table, read_manifest, write_manifest
from merkit.corpora.iemocap import DIMENSIONS, EMOTION, TurnName
from merkit.corpora.label_maps import LABEL_MAPS
from merkit.data.columns import TargetColumn
from merkit.data.context import dialogue_context
from merkit.data.group_folds import group_fold, group_folds
from merkit.data.leakage import check_leakage
from merkit.data.votes import with_soft
from merkit.errors import ConfigError, MediaError, MerkitError
from merkit.features.sources import Sources
from merkit.labels import IEMOCAP6, IEMOCAP10
from merkit.media import AudioChunk, VideoChunk
from merkit.schema import TargetSpec

# turns of each emotion in the release, as its users count them
RELEASE = {
    "ang": 1103,
    "dis": 2,
    "exc": 1041,
    "fea": 40,
    "fru": 1849,
    "hap": 595,
    "neu": 1708,
    "oth": 3,
    "sad": 1084,
    "sur": 107,
}


def by_id(manifest):
    return {clip.id: clip for clip in manifest.clips}


def target(clip, name):
    return next(each for each in clip.targets if each.spec.name == name)


def label(clip) -> str | None:
    found = target(clip, "emotion")
    return EMOTION.labels[int(found.value)] if found.valid.all() else None


def votes(clip) -> dict[str, int]:
    counts = target(clip, "emotion").votes
    return {word: int(count) for word, count in zip(EMOTION.labels, counts, strict=True) if count}


def reasons(manifest) -> dict[str, str]:
    return {rejected.item: f"{rejected.reason} [{rejected.what}]" for rejected in manifest.rejected}


def file_of(root, dialogue="Ses01F_impro01", folder="EmoEvaluation"):
    return root / f"Session{dialogue[4]}" / "dialog" / folder / f"{dialogue}.txt"


# -- the tree


@pytest.mark.parametrize("base", ["", "IEMOCAP_full_release"])
def test_turns_of_the_release(tmp_path, base) -> None:
    write_iemocap(tmp_path / base)
    manifest = CORPORA["iemocap"].read(tmp_path)
    assert len(manifest) == 40
    clips = by_id(manifest)
    first, second, third, fourth = (clips[f"Ses01F_impro01_{turn}"] for turn in ("F000", "M000", "F001", "M001"))
    assert [label(clip) for clip in (first, second, third, fourth)] == ["neutral", "excited", None, "frustrated"]
    # the actors' own ratings (F1) are no votes, and a rater may name two
    assert votes(first) == {"neutral": 2, "angry": 1}
    assert votes(second) == {"excited": 2, "happy": 1}
    assert votes(third) == {"sad": 1, "neutral": 1, "fearful": 1}
    assert target(second, "dimensions").value.tolist() == [4.0, 3.5, 3.0]
    assert target(third, "dimensions").valid.all()
    assert first.groups == {
        "session": "Ses01",
        "speaker": "Ses01F",
        "dialogue": "Ses01F_impro01",
        "scenario": "impro01",
    }
    assert clips["Ses04M_script01_1_F000"].groups["speaker"] == "Ses04F"
    assert [clip.turn for clip in (first, second, third, fourth)] == [0, 1, 2, 3]
    assert third.context == (first.id, second.id, fourth.id, "Ses01F_impro01_F002")
    assert manifest.facts["transcript_lines_without_label"] == 20
    assert reasons(manifest) == {
        f"Ses0{i}F_impro01_F001": "raters agree on no emotion (xxx) [emotion]" for i in range(1, 6)
    }
    assert {clip.split for clip in manifest.clips} == {None}


def test_sound_pictures_and_words_lie_on_one_clock(tmp_path) -> None:
    write_iemocap(tmp_path, 1)
    clip = by_id(CORPORA["iemocap"].read(tmp_path))["Ses01F_impro01_M001"]
    assert clip.span == (14.0, 18.0175)
    assert {stream.modality: stream.start_s for stream in clip.streams if stream.path} == {
        "face": 0.0,
        "scene": 0.0,
        "speech": 14.0,
    }
    assert clip.path_of("face").name == "Ses01F_impro01.avi"
    assert clip.path_of("speech").name == "Ses01F_impro01_M001.wav"
    assert [stream.text for stream in clip.streams if stream.text] == ["I have waited. Number 1."]
    # the sound of the turn begins with the span: extraction reads it from its own beginning
    sound = CORPORA["iemocap"].read(tmp_path)
    info = Sources.of(by_id(sound)["Ses01F_impro01_M001"])
    assert (info.start_s, info.sound.start_s) == (14.0, 14.0)


def test_extraction_hears_the_turn_and_sees_its_stretch_of_the_dialogue(tmp_path) -> None:
    write_dialogue(tmp_path, "Ses01F_impro01", FIRST[:1], pictures=False)  # from 6.2901 s to 8.2357 s
    film = tmp_path / "Session1/dialog/avi/DivX/Ses01F_impro01.avi"
    film.parent.mkdir(parents=True)
    red = lambda time_s: (round(20 * time_s), 0, 0)  # noqa: E731
    write_clip(film, seconds=9, fps=15, video_codec="mpeg4", audio_codec="mp2", tone_hz=440, colour=red)
    wav = tmp_path / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav"
    times_s = np.arange(round(1.9456 * 16_000)) / 16_000
    soundfile.write(wav, (0.4 * np.sin(2 * np.pi * 1000 * times_s)).astype(np.float32), 16_000)
    manifest = check_headers(CORPORA["iemocap"].read(tmp_path))
    (clip,) = manifest.clips
    assert len(clip.streams) == 4
    heard, seen = [], []
    for chunk in Sources.of(clip).chunks(3.0, video=True, audio=True):
        if isinstance(chunk, AudioChunk):
            heard.append(chunk.samples)
        elif isinstance(chunk, VideoChunk):
            seen += [(time_s, frame[10, 10, 0]) for time_s, frame in zip(chunk.times_s, chunk.frames, strict=True)]
    sound = np.concatenate(heard)
    assert len(sound) / 16_000 == pytest.approx(1.9456, abs=0.01)
    assert np.abs(np.fft.rfft(sound)).argmax() * 16_000 / len(sound) == pytest.approx(1000, abs=2)
    assert len(seen) >= 5
    for time_s, value in seen:
        assert 0 <= time_s < 1.9456
        assert int(value) == pytest.approx(20 * (6.2901 + time_s), abs=6)


def test_without_pictures_a_turn_is_its_own_file(tmp_path) -> None:
    write_iemocap(tmp_path, 2, pictures=False)
    manifest = CORPORA["iemocap"].read(tmp_path)
    clip = by_id(manifest)["Ses01F_impro01_M001"]
    assert clip.span is None
    assert [(stream.modality, stream.start_s) for stream in clip.streams] == [("speech", 0.0), ("text", 0.0)]
    assert Sources.of(clip).info().duration_s == pytest.approx(0.05)
    said = reasons(manifest)
    assert said["Session1/dialog/avi/DivX"] == "no such folder: no pictures [face, scene]"
    assert said["Session3"] == "no such session [session]"
    assert len(manifest) == 16


def test_words_alone_are_a_corpus(tmp_path) -> None:
    write_iemocap(tmp_path, 1, pictures=False, sound=False)
    manifest = CORPORA["iemocap"].read(tmp_path)
    assert {stream.modality for clip in manifest.clips for stream in clip.streams} == {"text"}
    assert len(manifest) == 8


def test_names_tell_speaker_and_side() -> None:
    assert TurnName.of("Ses01F_impro01_F000").side == "left"
    assert TurnName.of("Ses01F_impro01_M000").side == "right"
    assert TurnName.of("Ses05M_script03_2b_M045").side == "left"
    assert TurnName.of("Ses05M_script03_2b_F045").speaker == "Ses05F"
    for name in (
        "Ses06F_impro01_F000",
        "Ses01X_impro01_F000",
        "Ses01F_impro01",
        "../Ses01F_impro01_F000",
        "Ses01F_impro01_F000\n",
    ):
        with pytest.raises(MediaError, match="not like"):
            TurnName.of(name)


def test_the_disk_keeps_votes_and_what_is_not_known(tmp_path) -> None:
    write_iemocap(tmp_path / "root", 1)
    write_manifest(CORPORA["iemocap"].read(tmp_path / "root"), tmp_path / "out")
    clips = by_id(read_manifest(tmp_path / "out"))
    assert votes(clips["Ses01F_impro01_M000"]) == {"excited": 2, "happy": 1}
    assert label(clips["Ses01F_impro01_F001"]) is None
    table = clip_table(read_manifest(tmp_path / "out"))
    column = table.targets["emotion"]
    row = list(table.ids).index("Ses01F_impro01_F001")
    assert not column.valid[row]
    # where no majority was found, shares of raters are still a label
    soft = with_soft(column)
    assert soft.valid[row].all()
    assert soft.value[row][list(EMOTION.labels).index("fearful")] == pytest.approx(1 / 3)
    assert table.targets["dimensions"].valid[row].all()


# -- folds


def test_folds_by_session_share_nothing(tmp_path) -> None:
    write_iemocap(tmp_path)
    manifest = CORPORA["iemocap"].read(tmp_path)
    table = clip_table(manifest)
    folds = group_folds(table)
    tested = np.concatenate([fold.ids[fold.split == "test"] for fold in folds])
    assert sorted(tested) == sorted(table.ids)
    for number, fold in enumerate(folds):
        sessions = {name: set(fold.groups["session"][fold.split == name]) for name in ("train", "valid", "test")}
        assert sessions["test"] == {f"Ses0{number + 1}"}
        assert sessions["valid"] == {f"Ses0{(number + 1) % 5 + 1}"}
        assert len(sessions["train"]) == 3
        assert not sessions["train"] & (sessions["valid"] | sessions["test"])
        report = check_leakage(fold, group="session", context=dialogue_context(fold, -1, -1))
        # the scripts were played in every session, which no fold can help: their lines are all that is found
        assert {finding.kind for finding in report.errors} == {"duplicate_text"}
        assert all("script01_1" in item for item in report.errors[0].examples)
        assert {finding.kind for finding in report.warnings} == {"group"}  # scenarios
        improvised = fold.take(np.char.startswith(fold.groups["scenario"], "impro"))
        assert not check_leakage(improvised, group="session").errors
    with pytest.raises(ConfigError, match="there are 5"):
        group_fold(table, 5)
    with pytest.raises(ConfigError, match="no groups of kind film"):
        group_fold(table, 0, "film")


def test_speakers_in_two_parts_tear_dialogues(tmp_path) -> None:
    write_iemocap(tmp_path)
    table = clip_table(CORPORA["iemocap"].read(tmp_path))
    torn = group_fold(table, 0, "speaker")
    report = check_leakage(torn, group="session")
    found = next(finding for finding in report.errors if finding.kind == "group")
    assert found.count == ((torn.groups["session"] == "Ses01") & (torn.split == "test")).sum()


# -- variants


def release_column() -> TargetColumn:
    value = np.concatenate([np.full(count, IEMOCAP10.index(code)) for code, count in RELEASE.items()])
    value = np.concatenate([value, np.zeros(2507, np.int64)])
    valid = np.arange(len(value)) < sum(RELEASE.values())
    return TargetColumn(EMOTION, value, valid)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("iemocap4", {"angry": 1103, "happy": 595, "neutral": 1708, "sad": 1084}),
        ("iemocap4_exc", {"angry": 1103, "happy": 1636, "neutral": 1708, "sad": 1084}),
        (
            "iemocap6",
            {"happy": 595, "sad": 1084, "neutral": 1708, "angry": 1103, "excited": 1041, "frustrated": 1849},
        ),
    ],
)
def test_variants_have_the_published_sizes(name, sizes) -> None:
    column = LABEL_MAPS[name].apply(release_column())
    assert len(column.value) == 10_039
    assert {word: int(((column.value == k) & column.valid).sum()) for k, word in enumerate(column.spec.labels)} == sizes
    assert column.valid.sum() == {"iemocap4": 4490, "iemocap4_exc": 5531, "iemocap6": 7380}[name]


@pytest.mark.parametrize(("name", "happy"), [("one_vs_rest", 595), ("one_vs_rest_exc", 1636)])
def test_one_against_the_rest_asks_four_questions(name, happy) -> None:
    column = LABEL_MAPS[name].apply(release_column(), "questions")
    assert column.spec == TargetSpec("questions", "multi_label", ("angry", "happy", "neutral", "sad"))
    assert (column.value * column.valid).sum(0).tolist() == [1103, happy, 1708, 1084]
    assert column.valid.sum(0).tolist() == [3895 + happy] * 4
    # each clip that is asked is exactly one of the four
    assert set(column.value[column.valid.all(1)].sum(1)) == {1.0}
    assert not column.value[~column.valid.any(1)].any()


def test_variants_sum_votes_of_what_they_merge(tmp_path) -> None:
    write_iemocap(tmp_path, 1)
    table = clip_table(CORPORA["iemocap"].read(tmp_path))
    row = list(table.ids).index("Ses01F_impro01_M000")  # Excited; Excited and Happiness
    raw = table.targets["emotion"]
    merged, apart, six = (LABEL_MAPS[name].apply(raw) for name in ("iemocap4_exc", "iemocap4", "iemocap6"))
    assert merged.votes[row].tolist() == [0, 3, 0, 0]
    assert apart.votes[row].tolist() == [0, 1, 0, 0]
    assert (merged.valid[row], apart.valid[row]) == (True, False)
    assert six.votes[row][IEMOCAP6.index("exc")] == 2
    assert six.spec.labels[six.value[row]] == "excited"
    frustrated = list(table.ids).index("Ses01F_impro01_M001")
    assert not merged.valid[frustrated]
    assert merged.votes[frustrated].sum() == 0


def test_a_variant_is_for_the_corpus_it_is_of() -> None:
    other = TargetColumn(TargetSpec("emotion", "single_label", ("joy", "mad")), np.zeros(2, int), np.ones(2, bool))
    with pytest.raises(ConfigError, match="has none of them"):
        LABEL_MAPS["iemocap4"].apply(other)
    numbers = TargetColumn(DIMENSIONS, np.zeros((2, 3), np.float32), np.ones((2, 3), bool))
    with pytest.raises(ConfigError, match="is regression"):
        LABEL_MAPS["iemocap6"].apply(numbers)


# -- damage

_TURN = "[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]"


@pytest.mark.parametrize(
    ("line", "reason", "what"),
    [
        (_TURN.replace("8.2357", "6.1"), "begins at 6.2901 s and ends at 6.1 s", "clip"),
        (_TURN.replace(" - ", " "), "not like [start - end]", "clip"),
        (_TURN.replace("Ses01F_impro01", "Ses01F_impro02"), "belongs to another dialogue", "clip"),
        (_TURN.replace("F000", "M001"), "stands there twice", "clip"),
        (_TURN.replace("F000", "X000"), "not like Ses01F_impro01_F000", "clip"),
        (_TURN.replace(", 2.5000]", "]"), "not like [start - end]", "clip"),
        (_TURN.replace("6.2901", "nan"), "not like [start - end]", "clip"),
        (_TURN.replace("neu", "joy"), "unknown emotion 'joy'", "emotion"),
        (_TURN.replace("[2.5000", "[5.5000"), "valence 5.5 is not from 1 to 5", "valence"),
    ],
)
def test_a_turn_that_is_none_is_listed_with_its_line(tmp_path, line, reason, what) -> None:
    write_dialogue(tmp_path, "Ses01F_impro01", FIRST)
    file = file_of(tmp_path)
    lines = file.read_text().split("\n")
    place = lines.index(_TURN)
    if "M001" in line:
        lines += [line]
        place = len(lines) - 1
    else:
        lines[place] = line
    file.write_text("\n".join(lines))
    manifest = CORPORA["iemocap"].read(tmp_path)
    found = [rejected for rejected in manifest.rejected if reason in rejected.reason]
    assert [(rejected.what, rejected.line) for rejected in found] == [(what, place + 1)]
    kept = by_id(manifest)
    assert {"Ses01F_impro01_M000", "Ses01F_impro01_F001", "Ses01F_impro01_M001"} <= set(kept)
    assert ("Ses01F_impro01_F000" in kept) == (what != "clip" or "M001" in line)
    if what == "valence":
        assert target(kept["Ses01F_impro01_F000"], "dimensions").valid.tolist() == [False, True, True]
    if what == "emotion":
        assert label(kept["Ses01F_impro01_F000"]) is None
        assert votes(kept["Ses01F_impro01_F000"]) == {"neutral": 2, "angry": 1}


def test_raters_who_say_something_else(tmp_path) -> None:
    write_dialogue(tmp_path, "Ses01F_impro01", FIRST)
    file = file_of(tmp_path)
    text = file.read_text().replace("C-E3:\tNeutral;", "C-E3:\tJoyous; NEUTRAL STATE;", 1)
    text = text.replace("C-E4:\tAnger;\t()", "C-E4:\t();\nC-E5:\t(angry; sad)\nE6 thinks: Anger", 1)
    file.write_bytes(text.replace("\n", "\r\n").encode())
    manifest = CORPORA["iemocap"].read(tmp_path)
    assert votes(by_id(manifest)["Ses01F_impro01_F000"]) == {"neutral": 2}
    said = [r.reason for r in manifest.rejected if r.what == "votes"]
    assert said == ["a rater's unknown emotion 'joyous'", "not a rater's line: 'E6 thinks: Anger'"]


def test_lost_words_sounds_and_pictures(tmp_path) -> None:
    write_iemocap(tmp_path, 1)
    wav = tmp_path / "Session1/sentences/wav/Ses01F_impro01"
    (wav / "Ses01F_impro01_F000.wav").unlink()
    (wav / "Ses01F_impro01_M000.wav").write_bytes(b"not a wave")
    words = file_of(tmp_path, folder="transcriptions")
    words.write_text("".join(line for line in words.read_text().splitlines(True) if "_M001 " not in line))
    (tmp_path / "Session1/dialog/avi/DivX/Ses01M_script01_1.avi").unlink()
    file_of(tmp_path, "Ses01M_script01_1", "transcriptions").write_bytes(b"\0\1\2")
    (tmp_path / "Session1/dialog/EmoEvaluation/._Ses01F_impro01.txt").write_bytes(b"\0\5\x16\7")
    manifest = CORPORA["iemocap"].read(tmp_path)
    lost = {(r.item, r.what): r.reason for r in manifest.rejected}
    assert "no such file" in lost["Ses01F_impro01_F000", "speech"]
    assert "first bytes" in lost["Ses01F_impro01_M000", "speech"]
    assert "no words" in lost["Ses01F_impro01_M001", "text"]
    assert "Ses01M_script01_1 has no pictures" in lost["Session1/dialog/avi/DivX/Ses01M_script01_1.avi", "face, scene"]
    assert "zero bytes" in lost["Session1/dialog/transcriptions/Ses01M_script01_1.txt", "text"]
    assert len(lost) == 6 + 4  # and the one without a majority; four sessions
    assert len(manifest) == 8


def test_words_that_stand_there_twice(tmp_path) -> None:
    write_dialogue(tmp_path, "Ses01F_impro01", FIRST)
    words = file_of(tmp_path, folder="transcriptions")
    words.write_text(words.read_text() + "Ses01F_impro01_M001 [014.0000-018.0175]: Something else.\n")
    manifest = CORPORA["iemocap"].read(tmp_path)
    said = {item: clip.streams[-1].text for item, clip in by_id(manifest).items()}
    assert said["Ses01F_impro01_M001"] == "I have waited."
    assert "stand there twice" in reasons(manifest)["Ses01F_impro01_M001"]


def test_a_dialogue_in_the_folder_of_another_session(tmp_path) -> None:
    write_iemocap(tmp_path, 2)
    (tmp_path / "Session2/dialog/EmoEvaluation/Ses01F_impro01.txt").write_text(evaluation("Ses01F_impro01", FIRST))
    manifest = CORPORA["iemocap"].read(tmp_path)
    assert len(manifest) == 16
    assert "another session" in reasons(manifest)["Session2/dialog/EmoEvaluation/Ses01F_impro01.txt"]


def test_broken_files_never_end_in_anything_but_an_error_of_merkit(tmp_path) -> None:
    write_iemocap(tmp_path, 1)
    files = [file_of(tmp_path, folder=folder) for folder in ("EmoEvaluation", "transcriptions")]
    whole = {file: file.read_bytes() for file in files}
    rng = random.Random(5)
    read = 0
    for _ in range(150):
        for file in files:
            data = bytearray(whole[file])
            for _ in range(rng.randrange(1, 6)):
                at = rng.randrange(len(data))
                kind = rng.randrange(4)
                if kind == 0:
                    data[at] = rng.randrange(256)
                elif kind == 1:
                    del data[at : at + rng.randrange(1, 60)]
                elif kind == 2:
                    data[at:at] = rng.choice([b"\n", b"\t", b";", b"[", b"]", b"1e999", b"\xe9", b"-", b"C-E9:\tFear;"])
                else:
                    data[at:at] = data[: rng.randrange(1, 80)]
            file.write_bytes(bytes(data))
        try:
            manifest = CORPORA["iemocap"].read(tmp_path)
        except MerkitError:
            continue
        read += 1
        for clip in manifest.clips:
            assert clip.span is None or 0 <= clip.span[0] < clip.span[1] < np.inf
            known = target(clip, "dimensions")
            assert ((known.value >= 1) & (known.value <= 5))[known.valid].all()
        clip_table(manifest)
    assert read > 100  # most damage is to single lines


# -- commands


def test_prepare_and_corpora_as_a_user_meets_them(tmp_path) -> None:
    from merkit.cli.corpora import corpora
    from merkit.cli.prepare import prepare

    app = typer.Typer()
    app.command()(corpora)
    app.command()(prepare)
    runner = CliRunner()
    shown = runner.invoke(app, ["corpora", "iemocap"]).stdout
    for words in ("Session1 … Session5", "by agreement", "data.split.by=session", "10 actors", "left half"):
        assert words in shown
    write_iemocap(tmp_path / "root")
    done = runner.invoke(
        app, ["prepare", "iemocap", "--root", str(tmp_path / "root"), "--out", str(tmp_path / "out"), "--json"]
    )
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert facts["clips"] == 40
    assert facts["labels"][""]["emotion"]["excited"] == 5
    with (tmp_path / "out/rejected.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["item"], row["line"], row["field"], row["left_out"]) for row in rows] == [
        (f"Ses0{i}F_impro01_F001", "19", "EMOTION", "emotion") for i in range(1, 6)
    ]
