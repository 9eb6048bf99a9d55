"""MELD, EmoryNLP and GoEmotions in their published layouts: words, turns, context, splits, and all that is bad."""

import csv

import pytest

from merkit.corpora import CORPORA, clip_table, read_manifest, write_manifest
from merkit.data.context import dialogue_context
from merkit.errors import MediaError

MELD = ("Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "Season", "Episode")
EMORY = ("Utterance", "Speaker", "Emotion", "Scene_ID", "Utterance_ID", "Season", "Episode", "Start_Time", "End_Time")


def table(path, header, rows, encoding="utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def said(dialogue, utterance, words, emotion="neutral", sentiment="neutral", speaker="Ross"):
    return (1, words, speaker, emotion, sentiment, dialogue, utterance, 3, 5)


def film(path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(64))


def answers(clip) -> dict[str, str]:
    return {target.spec.name: target.spec.labels[int(target.value)] for target in clip.targets}


def by_id(manifest):
    return {clip.id: clip for clip in manifest.clips}


def modalities(clip) -> list[str]:
    return sorted(stream.modality for stream in clip.streams)


# -- MELD


def meld(root, *, films: bool = True) -> None:
    table(
        root / "train_sent_emo.csv",
        MELD,
        [
            said(0, 1, "You must\x92ve had your hands full.", "joy", "positive"),
            said(0, 0, "also I was, the “point” person\u2028on it", "anger", "negative"),
            said(0, 2, "That I did.\nThat I did."),
            said(125, 3, "Nobody can watch this", "fear", "negative"),
        ],
    )
    table(root / "dev_sent_emo.csv", MELD, [said(0, 0, "Oh my God!", "surprise", "negative"), said(110, 7, "Gone")])
    table(root / "test_sent_emo.csv", MELD, [said(38, 4, "Long"), said(220, 0, "Longer"), said(220, 1, "Usual")])
    if not films:
        return
    folders = {
        "train_splits": ["dia0_utt0", "dia0_utt1", "dia0_utt2", "dia125_utt3"],
        "dev_splits_complete": ["dia0_utt0"],
        "output_repeated_splits_test": ["dia38_utt4", "dia220_utt0", "dia220_utt1", "._dia220_utt1"],
    }
    for folder, names in folders.items():
        for name in names:
            film(root / folder / f"{name}.mp4")


def test_meld_dialogues(tmp_path) -> None:
    meld(tmp_path)
    manifest = CORPORA["meld"].read(tmp_path)
    clips = by_id(manifest)
    assert {clip.split for clip in manifest.clips} == {"train", "valid", "test"}
    first, second, third = (clips[f"train_dia0_utt{i}"] for i in range(3))
    assert answers(first) == {"emotion": "anger", "sentiment": "negative"}
    assert answers(second) == {"emotion": "joy", "sentiment": "positive"}
    assert [stream.text for stream in second.streams if stream.text] == ["You must’ve had your hands full."]
    assert [stream.text for stream in first.streams if stream.text] == ["also I was, the “point” person\u2028on it"]
    assert modalities(first) == ["face", "scene", "speech", "text"]
    assert first.path_of("face").name == "dia0_utt0.mp4"
    assert (first.turn, second.turn, third.turn) == (0, 1, 2)
    assert (first.context, third.context) == ((second.id, third.id), (first.id, second.id))
    assert {clip.groups["character"] for clip in manifest.clips} == {"Ross"}
    # dia0 of dev is another dialogue than dia0 of train
    assert first.groups["dialogue"] == second.groups["dialogue"] != clips["valid_dia0_utt0"].groups["dialogue"]
    assert clips["valid_dia0_utt0"].context == ()


def test_every_known_bad_clip_of_meld_is_reported_and_keeps_its_words(tmp_path) -> None:
    meld(tmp_path)
    manifest = CORPORA["meld"].read(tmp_path)
    reported = {rejected.item: rejected for rejected in manifest.rejected}
    for item in ("train_dia125_utt3", "valid_dia110_utt7", "test_dia38_utt4", "test_dia220_utt0"):
        assert modalities(by_id(manifest)[item]) == ["text"]
        assert "known to be bad" in reported[item].reason
        assert reported[item].what == "face, scene, speech"
        assert reported[item].line is not None
    assert len(manifest.rejected) == 4
    known = " ".join(bad.item for bad in CORPORA["meld"].known_bad)
    for item in ("train dia125_utt3", "dev dia110_utt7", "test dia38_utt4", "test dia220_utt0"):
        assert item in known


def test_videos_that_no_row_names_are_reported(tmp_path) -> None:
    meld(tmp_path)
    for name in ("dev_splits_complete/dia66_utt9", "output_repeated_splits_test/final_videos_testdia101_utt0"):
        film(tmp_path / f"{name}.mp4")
    manifest = CORPORA["meld"].read(tmp_path)
    unnamed = {rejected.item for rejected in manifest.rejected if "no usable row" in rejected.reason}
    assert unnamed == {
        "dev_splits_complete/dia66_utt9.mp4",
        "output_repeated_splits_test/final_videos_testdia101_utt0.mp4",
    }
    assert len(manifest.clips) == 9


def test_meld_without_videos_is_a_corpus_of_words(tmp_path) -> None:
    meld(tmp_path, films=False)
    manifest = CORPORA["meld"].read(tmp_path)
    assert len(manifest.clips) == 9
    assert all(modalities(clip) == ["text"] for clip in manifest.clips)
    columns = clip_table(manifest)
    assert columns.texts[list(columns.ids).index("test_dia220_utt1")] == "Usual"


def test_meld_lists_broken_rows_and_missing_videos(tmp_path) -> None:
    meld(tmp_path)
    path = tmp_path / "train_sent_emo.csv"
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(said(1, 0, "Happy?", "happiness"))
        writer.writerow(said(1, "one", "A word for a number"))
        writer.writerow(said(0, 1, "Again"))
        writer.writerow(said(1, 3, "   "))
        writer.writerow(said(1, 4, "Too short a row")[:6])
        writer.writerow(said(1, 5, "No video of this"))
    manifest = CORPORA["meld"].read(tmp_path)
    listed = {(rejected.line, rejected.field) for rejected in manifest.rejected if rejected.what == "clip"}
    # the words of line 4 hold a line feed, so rows and lines differ by one from there
    assert listed == {
        (7, "Emotion"),
        (8, "Utterance_ID"),
        (9, "Utterance_ID"),
        (10, "Utterance"),
        (11, None),
    }
    missing = next(rejected for rejected in manifest.rejected if rejected.item == "train_dia1_utt5")
    assert "no such file" in missing.reason
    assert modalities(by_id(manifest)["train_dia1_utt5"]) == ["text"]


def test_meld_as_its_archives_unpack(tmp_path) -> None:
    meld(tmp_path / "flat")
    nested = tmp_path / "nested"
    for split, tables, folder in (
        ("train", "train_sent_emo.csv", "train_splits"),
        ("dev", "dev_sent_emo.csv", "dev_splits_complete"),
        ("test", "test_sent_emo.csv", "output_repeated_splits_test"),
    ):
        (nested / "MELD.Raw" / split).mkdir(parents=True)
        (tmp_path / "flat" / folder).rename(nested / "MELD.Raw" / split / folder)
        (tmp_path / "flat" / tables).rename(nested / "MELD.Raw" / split / tables)
    clips = by_id(CORPORA["meld"].read(nested))
    assert len(clips) == 9
    assert clips["test_dia220_utt1"].path_of("speech").is_file()


def test_a_meld_table_that_is_none(tmp_path) -> None:
    meld(tmp_path)
    table(tmp_path / "train_sent_emo.csv", ("Utterance", "Emotion"), [("Hi", "joy")])
    with pytest.raises(MediaError, match=r"train_sent_emo\.csv, line 1: has no column .*Dialogue_ID"):
        CORPORA["meld"].read(tmp_path)


def test_context_reaches_training_and_never_crosses_dialogues(tmp_path) -> None:
    meld(tmp_path / "root")
    write_manifest(CORPORA["meld"].read(tmp_path / "root"), tmp_path / "out")
    columns = clip_table(read_manifest(tmp_path / "out"))
    around = dialogue_context(columns, -1, -1)
    for row, context in enumerate(around):
        others = [int(other) for other in context if other >= 0]
        assert {columns.dialogue[other] for other in others} == {columns.dialogue[row]}
    ids = list(columns.ids)
    first = around[ids.index("train_dia0_utt0")]
    assert [ids[other] for other in first if other >= 0] == [f"train_dia0_utt{i}" for i in range(3)]


# -- EmoryNLP


def test_emorynlp_scenes_are_dialogues(tmp_path) -> None:
    def row(words, emotion, scene, turn, season=1, episode=15, speakers="['Rachel Green']"):
        return (words, speakers, emotion, scene, turn, season, episode, "00:00:03.795", "00:00:05.004")

    table(
        tmp_path / "emorynlp_train_final.csv",
        EMORY,
        [
            row("Thank you.", "Peaceful", 1, 2),
            row("Coffee.", "Neutral", 1, 1),
            row("Other scene", "Mad", 2, 1, speakers="['Ross Geller', \"Rachel's Dad\"]"),
            row("Other episode", "Scared", 1, 1, episode=16),
        ],
    )
    table(tmp_path / "emorynlp_dev_final.csv", EMORY, [row("Hm", "Powerful", 3, 1), row("Hm", "Bored", 3, 2)])
    table(tmp_path / "emorynlp_test_final.csv", EMORY, [row("So", "Joyful", 4, 1), row("Sad", "Sad", 4, "x")])
    manifest = CORPORA["emorynlp"].read(tmp_path)
    words = {next(s.text for s in clip.streams): clip for clip in manifest.clips}
    assert {text: answers(clip)["emotion"] for text, clip in words.items()} == {
        "Thank you.": "peaceful",
        "Coffee.": "neutral",
        "Other scene": "mad",
        "Other episode": "scared",
        "Hm": "powerful",
        "So": "joyful",
    }
    assert words["Coffee."].context == (words["Thank you."].id,)
    assert words["Coffee."].groups["character"] == "Rachel Green"
    assert words["Other scene"].groups["character"] == "Ross Geller & Rachel's Dad"
    assert words["Other scene"].context == words["Other episode"].context == ()
    assert {text: clip.split for text, clip in words.items()}["Hm"] == "valid"
    assert [(r.item, r.line, r.field) for r in manifest.rejected] == [
        ("emorynlp_dev_final.csv", 3, "Emotion"),
        ("emorynlp_test_final.csv", 3, "Utterance_ID"),
    ]


# -- GoEmotions

GO = (
    "admiration amusement anger annoyance approval caring confusion curiosity desire disappointment disapproval disgust "
    "embarrassment excitement fear gratitude grief joy love nervousness optimism pride realization relief remorse sadness "
    "surprise neutral"
)


def goemotions(root, order=GO) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / "emotions.txt").write_text("\n".join(order.split()) + "\n")
    (root / "train.tsv").write_text(
        'My favourite food\t27\teebbqej\n"Quoted at the start only\t2,14\ted00q6i\n'
        "A line\u2028separator and a next\x85line\t0,17,18\teezlygj\n",
        encoding="utf-8",
    )
    (root / "dev.tsv").write_text("Is this in New Orleans??\t26\tedgurhb\nno label\t\tedgurhc\nwrong\t28\tedgurhd\n")
    (root / "test.tsv").write_text("I’m really sorry\t25\teecwqtt\nonly two\t3\nagain\t3\teebbqej\n", encoding="utf-8")


@pytest.mark.parametrize("folder", ["", "data"])
def test_goemotions_has_several_labels_a_comment(tmp_path, folder) -> None:
    goemotions(tmp_path / folder)
    manifest = CORPORA["goemotions"].read(tmp_path)
    spec = manifest.specs[0]
    assert (spec.kind, len(spec.labels), spec.labels[27]) == ("multi_label", 28, "neutral")

    def on(clip):
        return [label for label, value in zip(spec.labels, clip.targets[0].value, strict=True) if value]

    clips = by_id(manifest)
    assert {item: (clip.split, on(clip)) for item, clip in clips.items()} == {
        "eebbqej": ("train", ["neutral"]),
        "ed00q6i": ("train", ["anger", "fear"]),
        "eezlygj": ("train", ["admiration", "joy", "love"]),
        "edgurhb": ("valid", ["surprise"]),
        "eecwqtt": ("test", ["sadness"]),
    }
    assert clips["ed00q6i"].streams[0].text == '"Quoted at the start only'
    assert clips["eezlygj"].streams[0].text == "A line\u2028separator and a next\x85line"
    assert [(r.item, r.line, r.field) for r in manifest.rejected] == [
        ("dev.tsv", 2, "labels"),
        ("dev.tsv", 3, "labels"),
        ("test.tsv", 2, None),
        ("test.tsv", 3, "id"),
    ]


def test_goemotions_with_labels_in_another_order_is_refused(tmp_path) -> None:
    goemotions(tmp_path, "neutral " + GO.removesuffix(" neutral"))
    with pytest.raises(MediaError, match=r"emotions\.txt: lists other labels"):
        CORPORA["goemotions"].read(tmp_path)
