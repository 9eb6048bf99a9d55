"""Raw input as users have it: forgiving headers, clocks, folders; and the line and column of everything that cannot be used."""

import numpy as np
import pytest
from kemdy_tree import write_wave

from merkit.errors import ConfigError
from merkit.inference.dialogues import read_dialogue, read_dialogues
from merkit.inference.turns import clip_files, manifest_of, turns_of_clips, turns_said


@pytest.fixture(scope="module")
def waves(tmp_path_factory):
    folder = tmp_path_factory.mktemp("waves")
    for name in ("c10", "c2", "c1"):
        write_wave(folder / f"{name}.wav", 0, 0.2, np.random.default_rng(0))
    return folder


def test_a_table_of_meld_is_a_dialogue_as_it_stands(tmp_path):
    table = tmp_path / "dev.csv"
    table.write_text(
        "Sr No.,Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID,StartTime,EndTime\n"
        '1,"Oh my God, he\'s lost it.",Phoebe,sadness,0,1,"00:20:57,256","00:21:00,049"\n'
        "2,What?,Monica,surprise,0,0,x,y\n3,Hm.,All,neutral,1,0,,\n"
    )
    turns, lost = read_dialogue(table)
    # times without a clip mean nothing, so nobody minds what they are
    assert lost == []
    assert [(t.dialogue, t.turn, t.speaker, t.words, t.span) for t in turns] == [
        ("dev 0", 1, "Phoebe", "Oh my God, he's lost it.", None),
        ("dev 0", 0, "Monica", "What?", None),
        ("dev 1", 0, "All", "Hm.", None),
    ]
    clips = manifest_of(turns).clips
    assert [clip.context for clip in clips] == [("dev turn 2",), ("dev turn 1",), ()]


def test_words_are_mended_as_when_meld_is_prepared(tmp_path):
    table = tmp_path / "dev.csv"
    table.write_text("Utterance,Dialogue_ID\nI\x92m\x85 sorry,0\n", encoding="utf-8")
    assert read_dialogue(table)[0][0].words == "I’m… sorry"


def test_a_table_of_merkit_keeps_its_groups(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("id,text,group:speaker,group:dialogue,turn\na,Hi,Ross,d1,0\nb,Oh,Joey,d2,0\n")
    assert [(t.speaker, t.dialogue) for t in read_dialogue(table)[0]] == [("Ross", "t d1"), ("Joey", "t d2")]


def test_a_blank_turn_among_numbered_ones_is_told_and_blank_ones_alone_are_in_order(tmp_path):
    table = tmp_path / "talk.csv"
    table.write_text("words,scene,turn\nfour,a,4\n?,a,\nx,b,\none,a,1\ny,b,\n")
    turns, lost = read_dialogue(table)
    assert [(t.words, t.turn) for t in turns] == [("four", 4), ("x", 2), ("one", 1), ("y", 4)]
    assert [(each.line, each.field) for each in lost] == [(3, "turn")] and "is blank" in lost[0].reason


def test_dialogues_of_one_name_are_told_apart_by_their_folders(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "talk.csv").write_text(f"speaker,words\nA,from {name}\nA,\n")
    paths = [tmp_path / name / "talk.csv" for name in ("a", "b")]
    turns, lost = read_dialogues(paths)
    assert [(t.id, t.dialogue, t.words) for t in turns] == [
        ("a/talk turn 1", "a/talk", "from a"), ("b/talk turn 1", "b/talk", "from b")
    ]  # fmt: skip
    assert [each.item for each in lost] == ["a/talk turn 2", "b/talk turn 2"]
    assert all(clip.context == () for clip in manifest_of(turns).clips)
    assert read_dialogues(paths[:1])[0][0].id == "talk turn 1"
    with pytest.raises(ConfigError, match="named twice"):
        read_dialogues([paths[0], paths[0]])
    (tmp_path / "a" / "talk.tsv").write_text("words\nmore\n")
    with pytest.raises(ConfigError, match="rename one"):
        read_dialogues([paths[0], tmp_path / "a" / "talk.tsv"])


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_tables_in_utf_16_are_read(tmp_path, encoding):
    table = tmp_path / "talk.csv"
    table.write_bytes("\ufeffspeaker,words\nRoss,It’s café\n".encode(encoding))
    assert [(t.speaker, t.words) for t in read_dialogue(table)[0]] == [("Ross", "It’s café")]


def test_every_row_that_cannot_be_used_is_named_by_line_and_column(waves, tmp_path):
    table = tmp_path / "talk.tsv"
    rows = (
        ("Clip", "who", "start", "End-S", "Words"),
        (f"{waves}/c1.wav", "A", "0:00:00.05", "0.15", ""),
        (f"{waves}/c1.wav", "A", "0.1", "0.05", ""),
        (f"{waves}/gone.wav", "A", "", "", ""),
        (f"{waves}/gone.wav", "A", "", "", "but said"),
        (f"{waves}/c1.wav", "A", "soon", "1", ""),
        (f"{waves}/c1.wav", "A", "0.1", "", ""),
        ("", "A", "", "", " "),
        ("too", "few"),
    )
    table.write_text("".join("\t".join(row) + "\n" for row in rows))
    turns, lost = read_dialogue(table)
    assert [(t.span, t.words, t.line, t.turn) for t in turns] == [((0.05, 0.15), "", 2, 0), (None, "but said", 5, 1)]
    assert [(each.line, each.field) for each in lost] == [
        (3, "End-S"), (4, "Clip"), (6, "start"), (7, "End-S"), (8, "Words"), (9, None)
    ]  # fmt: skip
    assert "before it begins at 0.1 s" in str(lost[0])
    manifest = manifest_of(turns, lost)
    assert [clip.span for clip in manifest.clips] == [(0.05, 0.15), None]
    # the clip that is gone is told, and its words are kept
    assert [s.modality for s in manifest.clips[1].streams] == ["text"]
    assert "gone.wav [kept without its clip]" in str(manifest.rejected[-1])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Text,words\na,b\n", "columns Text and words both give the words|columns words and Text both give the words"),
        ("speaker,mood\nA,glad\n", "line 1: no column with words or clips; there are speaker, mood"),
        ("speaker,text\nA,\n", r"no turn can be used\n  talk turn 1 \(line 2, text\): is empty"),
        ("", "no turn can be used: it is empty"),
    ],
)
def test_a_table_that_is_none_says_why(tmp_path, text, told):
    (tmp_path / "talk.csv").write_text(text)
    with pytest.raises(ConfigError, match=told):
        read_dialogue(tmp_path / "talk.csv")


def test_a_folder_is_a_dialogue_in_order_of_names_with_the_words_beside(waves, tmp_path):
    for name in ("c10", "c2", "c1"):
        (tmp_path / f"{name}.wav").write_bytes((waves / f"{name}.wav").read_bytes())
    (tmp_path / "c2.txt").write_text("Oh my God!\nReally?\n")
    (tmp_path / "c10.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHi\n")
    (tmp_path / "c10.txt").write_text("not this")
    (tmp_path / "c11.txt").write_text("Words alone.")
    (tmp_path / "notes.md").write_text("no turn")
    turns, lost = read_dialogue(tmp_path)
    assert lost == []
    assert [t.id for t in turns] == ["c1.wav", "c2.wav", "c10.wav", "c11.txt"]
    assert [t.words for t in turns] == ["", "Oh my God! Really?", "", "Words alone."]
    assert [t.words_file for t in turns] == [None, None, tmp_path / "c10.srt", None]
    assert [t.turn for t in turns] == [0, 1, 2, 3]
    assert {t.dialogue for t in turns} == {tmp_path.name}


def test_files_folders_and_patterns_are_clips_each_once(waves, monkeypatch):
    files, missing = clip_files([str(waves), f"{waves}/c1*.wav", "nowhere/*.mp4"])
    assert [file.name for file in files] == ["c1.wav", "c2.wav", "c10.wav"]
    assert [str(each) for each in missing] == ["nowhere/*.mp4: no file matches"]
    monkeypatch.chdir(waves)
    turns, lost = turns_of_clips(["c2.wav", "gone.wav", "what.xyz"])
    clips = manifest_of(turns, lost)
    assert [clip.id for clip in clips.clips] == ["c2.wav"]
    assert {each.item.rpartition("/")[2] for each in clips.rejected} == {"gone.wav", "what.xyz"}
    # clips are no turns of one another
    assert all(clip.context == () for clip in clips.clips)


def test_clips_of_one_name_are_told_apart_by_their_folders(waves, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "c.wav").write_bytes((waves / "c1.wav").read_bytes())
    turns, _ = turns_of_clips([str(tmp_path / "*" / "c.wav")])
    assert [turn.id for turn in turns] == ["a/c.wav", "b/c.wav"]


def test_what_is_said_needs_words():
    with pytest.raises(ConfigError, match="text 2 is empty"):
        turns_said(["a", " "])
    assert manifest_of(turns_said(["a"], ["Ann "])).clips[0].groups["speaker"] == "Ann"
