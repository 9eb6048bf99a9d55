"""The published lists of SSE-FT and BERT-like: what is taken from them, what is not believed, and the split that leaks."""

import random

import numpy as np
import pytest
from sse_lists import HOME, stems_of, write_labels, write_leaking, write_list, write_media
from tokenizers import Tokenizer, models

from merkit.corpora import CORPORA, clip_table, read_manifest, write_manifest
from merkit.corpora.token_ids import read_token_ids
from merkit.data.leakage import check_leakage
from merkit.data.splits import kfold_by_group, leave_one_group_out, official
from merkit.errors import ConfigError, LeakageError, MediaError, MerkitError

LEAKING = "sse-ft-iemocap-leaking"


def by_id(manifest):
    return {clip.id: clip for clip in manifest.clips}


def modalities(clip) -> list[str]:
    return sorted(stream.modality for stream in clip.streams)


def answers(clip) -> dict[str, object]:
    return {
        target.spec.name: target.spec.labels[int(target.value)]
        if target.spec.kind == "single_label"
        else target.value.tolist()
        for target in clip.targets
    }


def reasons(manifest) -> dict[str, str]:
    return {rejected.item: f"{rejected.reason} [{rejected.what}]" for rejected in manifest.rejected}


# -- IEMOCAP


@pytest.mark.parametrize("bert_like", [False, True])
def test_clips_of_iemocap_come_once_and_are_divided_by_session(tmp_path, bert_like) -> None:
    parts = write_leaking(tmp_path, bert_like)
    manifest = CORPORA["sse-ft-iemocap"].read(tmp_path, tmp_path / "out")
    assert len(manifest) == 50
    assert {clip.id for clip in manifest.clips} == {stem for stems in parts.values() for stem in stems}
    assert {clip.split for clip in manifest.clips} == {None}
    assert {clip.groups["session"] for clip in manifest.clips} == {f"Ses0{i}" for i in range(1, 6)}
    words = {"neu": "neutral", "exc": "excited", "sad": "sad", "hap": "happy", "ang": "angry"}
    for clip in manifest.clips:
        assert answers(clip) == {"emotion": words[clip.id[-3:]]}
        assert clip.groups == {"session": f"Ses0{clip.id.split('_')[2]}"}
        assert modalities(clip) == (["speech"] if bert_like else ["face", "speech"])
        assert clip.path_of("speech").name == f"{clip.id}.wav"
    assert not manifest.rejected
    table = clip_table(manifest)
    for fold in range(5):
        divided = kfold_by_group(table, "session", 5, fold)
        valid = divided.split == "valid"
        assert len(set(table.groups["session"][valid])) == 1
        assert not check_leakage(divided, group="session").errors
    held_out = leave_one_group_out(table, "session", "Ses05")
    assert set(held_out.ids[held_out.split == "valid"]) == set(parts["test"])
    assert not check_leakage(held_out, group="session").errors
    with pytest.raises(ConfigError, match="no official training clips"):
        official(table)


@pytest.mark.parametrize(("bert_like", "where"), [(False, ("valid", "test")), (True, ("train", "valid"))])
def test_the_published_split_has_a_name_that_says_so_and_is_stopped(tmp_path, bert_like, where) -> None:
    write_leaking(tmp_path, bert_like)
    write_manifest(CORPORA[LEAKING].read(tmp_path, tmp_path / "out"), tmp_path / "out")
    manifest = read_manifest(tmp_path / "out")
    sizes = {name: sum(clip.split == name for clip in manifest.clips) for name in ("train", "valid", "test")}
    assert sizes == {"train": 40, "valid": 6, "test": 10}
    shared = {"train and valid": 6 * bert_like, "train and test": 0, "valid and test": 6 * (not bert_like)}
    assert manifest.facts["in_two_lists"] == shared
    table = official(clip_table(manifest))
    # whichever group a run declares, or none
    for group in (None, "session"):
        report = check_leakage(table, group=group)
        found = {finding.kind: finding for finding in report.errors}
        assert found["duplicate_media"].splits == where
        assert found["duplicate_media"].count == 6
        first, again = found["duplicate_media"].examples[:2]
        assert first.partition("/")[2] == again.partition("/")[2]
        with pytest.raises(LeakageError, match="duplicate_media"):
            report.raise_if_leaking()
    allowed = check_leakage(table, allow=["duplicate_media"])
    assert not allowed.errors
    assert "duplicate_media" in {finding.kind for finding in allowed.warnings}


def test_leaking_lists_stay_an_error_beside_hashes_of_media(tmp_path) -> None:
    """A store knows the same from the bytes; pairs are not told twice, and other copies are."""
    from dataclasses import replace

    write_leaking(tmp_path)
    table = official(clip_table(CORPORA[LEAKING].read(tmp_path, tmp_path / "out")))
    stems = np.array([item.partition("/")[2] for item in table.ids])
    hashed = replace(table, media_sha256=stems)
    assert [(f.kind, f.count) for f in check_leakage(hashed).errors] == [("duplicate_media", 6)]
    copied = stems.copy()
    copied[table.ids == "test/0_s_5_neu"] = "100_s_1_neu"
    findings = check_leakage(replace(table, media_sha256=copied)).errors
    assert [(f.count, f.splits) for f in findings] == [(6, ("valid", "test")), (1, ("train", "test"))]


def test_no_other_corpus_of_the_lists_leaks_by_name(tmp_path) -> None:
    names = [name for name in CORPORA if name.startswith("sse-ft")]
    assert [name for name in names if "leaking" in name] == [LEAKING]
    for name in names:
        assert ("leaks" in CORPORA[name].split) == (name == LEAKING or "published one" in CORPORA[name].split)


def test_a_name_and_a_label_that_disagree(tmp_path) -> None:
    stems = stems_of(1, 0, 6)
    write_list(tmp_path, "train", [*stems, "7_s_6_neu", "8_s_1_xyz", "nonsense"])
    rows = [f"{stem},{stem[-3:]}" for stem in stems[:4]]
    write_labels(tmp_path, "train", [*rows, f"{stems[4]},sad", "8_s_1_xyz,xyz", "99_s_1_neu,neu", "0_s_1_neu,neu"])
    write_media(tmp_path, [*stems, "8_s_1_xyz"])
    manifest = CORPORA["sse-ft-iemocap"].read(tmp_path)
    assert set(by_id(manifest)) == set(stems[:4])
    said = reasons(manifest)
    assert "'sad', the name 'ang'" in said[stems[4]]
    assert "does not name it" in said[stems[5]]
    assert "unknown label 'xyz'" in said["8_s_1_xyz"]
    assert "not like 38_s_5_sad" in said["7_s_6_neu"]
    assert "not like 38_s_5_sad" in said["nonsense"]
    assert "1 labels are of clips that no list names, e.g. 99_s_1_neu" in said["label_file_train.csv"]
    lines = {rejected.item: rejected.line for rejected in manifest.rejected}
    assert (lines[stems[4]], lines["nonsense"]) == (6, 10)


def test_labels_of_names_stand_in_where_there_is_no_label_file(tmp_path) -> None:
    stems = stems_of(2, 0, 5)
    write_list(tmp_path / "iemocap", "train", stems)
    write_media(tmp_path / "media", stems)
    manifest = CORPORA["sse-ft-iemocap"].read(tmp_path)
    assert len(manifest) == 5
    assert "only labels in names are known" in reasons(manifest)["iemocap/label_file_train.csv"]


# -- lists


def test_the_first_line_is_never_believed(tmp_path) -> None:
    """A folder in line 1 is passed over, even one that exists; a first line that names a clip is a clip."""
    elsewhere = tmp_path / "elsewhere"
    write_media(elsewhere, ["0_s_1_neu"])
    root = tmp_path / "root"
    write_list(root, "train", ["0_s_1_neu", "1_s_1_exc"], head=str(elsewhere / "audio_pt"))
    write_list(root, "test", ["2_s_5_sad"], head=None)
    write_media(root / "here", ["1_s_1_exc", "2_s_5_sad"])
    manifest = CORPORA["sse-ft-iemocap"].read(root)
    clips = by_id(manifest)
    assert set(clips) == {"1_s_1_exc", "2_s_5_sad"}
    for clip in clips.values():
        for stream in clip.streams:
            assert stream.path is None or stream.path.is_relative_to(root)
    assert "nothing of it is below the root" in reasons(manifest)["0_s_1_neu"]


def test_lists_that_are_not_aligned_move_no_label(tmp_path) -> None:
    stems = stems_of(3, 0, 8)
    write_list(tmp_path, "train", stems)
    (tmp_path / "train_v.tsv").write_text("\n".join([HOME, *(f"{s}.mp4" for s in stems[:2] + stems[3:])]))
    write_labels(tmp_path, "train", [f"{stem},{stem[-3:]}" for stem in stems])
    write_media(tmp_path / "media", stems)
    manifest = CORPORA["sse-ft-iemocap"].read(tmp_path)
    clips = by_id(manifest)
    for stem in stems:
        assert clips[stem].path_of("speech").stem == stem
        assert (clips[stem].path_of("face") is None) == (stem == stems[2])
    order = next(rejected for rejected in manifest.rejected if rejected.item == "train_v.tsv")
    assert (order.line, order.what) == (4, "order of lines")
    assert "not aligned with train_a.tsv" in order.reason
    assert "train_v.tsv does not name it [face, scene]" in reasons(manifest)[stems[2]]


def test_lines_that_are_swapped_are_said_to_be(tmp_path) -> None:
    stems = stems_of(3, 0, 4)
    write_list(tmp_path, "train", stems)
    (tmp_path / "train_t.tsv").write_text("\n".join([HOME, *(f"{stems[i]}.txt" for i in (0, 2, 1, 3))]))
    write_media(tmp_path / "media", stems)
    for stem in stems:
        (tmp_path / "media/text_T" / f"{stem}.txt").write_text(f"words of {stem}")
    manifest = CORPORA["sse-ft-iemocap"].read(tmp_path)
    assert [(r.item, r.line) for r in manifest.rejected if r.what == "order of lines"] == [("train_t.tsv", 3)]
    for clip in manifest.clips:
        assert [stream.text for stream in clip.streams if stream.text] == [f"words of {clip.id}"]


def test_names_that_lead_out_of_the_root_are_no_names(tmp_path) -> None:
    root = tmp_path / "root"
    write_list(root, "train", ["0_s_1_neu"])
    write_media(root / "media", ["0_s_1_neu"])
    write_media(tmp_path, ["1_s_1_exc"])
    for letter, suffix in (("a", "wav"), ("t", "txt")):
        with (root / f"train_{letter}.tsv").open("a") as file:
            file.write(f"../1_s_1_exc.{suffix}\n/etc/passwd.{suffix}\n0_s_1_neu.{suffix}\njust words\n")
    manifest = CORPORA["sse-ft-iemocap"].read(root)
    assert set(by_id(manifest)) == {"0_s_1_neu"}
    bad = [(r.item, r.line) for r in manifest.rejected if r.item.endswith(".tsv") and r.line]
    assert bad == [(f"train_{letter}.tsv", line) for letter in "at" for line in (3, 4, 5, 6)]


def test_missing_media_are_said_of_each_clip(tmp_path) -> None:
    stems = stems_of(1, 0, 4)
    write_list(tmp_path, "train", stems)
    write_media(tmp_path / "media", stems)
    (tmp_path / "media/audio_pt/0_s_1_neu.wav").unlink()
    (tmp_path / "media/audio_pt/1_s_1_exc.wav").rename(tmp_path / "media/audio_pt/1_s_1_exc.pt")
    (tmp_path / "media/facevid/2_s_1_sad.mp4").write_bytes(b"no video at all")
    (tmp_path / "media/text_T/3_s_1_hap.txt").write_text("  \n")
    write_media(tmp_path / "copies", ["3_s_1_hap"], words=None)
    manifest = CORPORA["sse-ft-iemocap"].read(tmp_path, tmp_path / "out")
    lost = {(r.item, r.what): r.reason for r in manifest.rejected if r.item in stems}
    assert lost.keys() == {
        ("0_s_1_neu", "speech"),
        ("1_s_1_exc", "speech"),
        ("2_s_1_sad", "face"),
        ("3_s_1_hap", "speech"),
        ("3_s_1_hap", "face"),
        ("3_s_1_hap", "text"),
        ("3_s_1_hap", "clip"),
    }
    assert set(by_id(manifest)) == set(stems[:3])
    assert "only a tensor" in lost["1_s_1_exc", "speech"]
    assert "first bytes" in lost["2_s_1_sad", "face"]
    assert "2 files of that name" in lost["3_s_1_hap", "speech"]
    assert "holds no text" in lost["3_s_1_hap", "text"]


# -- words and numbers


def test_numbers_of_a_vocabulary_are_kept_as_they_are(tmp_path) -> None:
    write_leaking(tmp_path)
    manifest = CORPORA["sse-ft-iemocap"].read(tmp_path, tmp_path / "out")
    assert manifest.facts["token_ids"] == 50
    assert not manifest.facts["words_decoded"]
    ids = read_token_ids(tmp_path / "out")
    assert ids.keys() == {(clip.id, "text") for clip in manifest.clips}
    assert set(ids.values()) == {(0, 713, 16, 2)}


def test_sounds_as_numbers_are_no_waveform(tmp_path) -> None:
    stems = stems_of(4, 0, 3)
    write_list(tmp_path / "iemocap", "train", stems, "at", None)
    for stem in stems:
        for folder, numbers in (("audio_token", "0\t55\t56\t57\t2"), ("text", "0\t9\t2")):
            (tmp_path / "train" / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / "train" / folder / f"{stem}.txt").write_text(numbers)
    manifest = CORPORA["sse-ft-iemocap"].read(tmp_path, tmp_path / "out")
    assert all(clip.streams == () for clip in manifest.clips)
    ids = read_token_ids(tmp_path / "out")
    assert {key[1]: value for key, value in ids.items()} == {"speech": (0, 55, 56, 57, 2), "text": (0, 9, 2)}
    assert len(ids) == 6


def roberta_like(path, marks=("<s>", "<pad>", "</s>")) -> None:
    vocabulary = {mark: number for number, mark in enumerate([*marks, "<unk>", "good", "morning"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>"])
    tokenizer.save(str(path))


def test_a_users_tokenizer_turns_numbers_into_words(tmp_path) -> None:
    stems = stems_of(1, 0, 2)
    write_list(tmp_path, "train", stems)
    write_media(tmp_path / "media", stems, words="0\t4\t5\t2\n")
    (tmp_path / "media/text_T" / f"{stems[1]}.txt").write_text("Words of my own.\n")
    roberta_like(tmp_path / "tokenizer.json")
    manifest = CORPORA["sse-ft-iemocap"].read(tmp_path, tmp_path / "out")
    texts = clip_table(manifest).texts
    assert sorted(texts) == ["Words of my own.", "good morning"]
    assert manifest.facts["words_decoded"]
    assert read_token_ids(tmp_path / "out") == {(stems[0], "text"): (0, 4, 5, 2)}
    roberta_like(tmp_path / "tokenizer.json", marks=("</s>", "<pad>", "<s>"))
    with pytest.raises(MediaError, match="not RoBERTa's"):
        CORPORA["sse-ft-iemocap"].read(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(MediaError, match="no tokenizer"):
        CORPORA["sse-ft-iemocap"].read(tmp_path)


# -- MELD, MOSI, MOSEI


def test_the_same_name_in_two_splits_of_meld_is_two_clips(tmp_path) -> None:
    for split, folder, emotion in (("train", "train", "joy"), ("valid", "dev", "fear"), ("test", "test", "disgust")):
        write_list(tmp_path / "T_data/meld", split, ["dia0_utt1", "dia0_utt0"])
        write_labels(tmp_path / "T_data/meld", split, [f"dia0_utt0,{emotion}", "dia0_utt1,neutral"])
        write_media(tmp_path / "media" / folder, ["dia0_utt0", "dia0_utt1"])
    for folder in ("dev", "test"):
        (tmp_path / "media" / folder / "facevid/dia0_utt1.mp4").unlink()
    manifest = CORPORA["sse-ft-meld"].read(tmp_path, tmp_path / "out")
    clips = by_id(manifest)
    assert len(clips) == 6
    assert [answers(clips[f"{split}_dia0_utt0"])["emotion"] for split in ("train", "valid", "test")] == [
        "joy",
        "fear",
        "disgust",
    ]
    assert clips["valid_dia0_utt0"].path_of("face").parts[-3] == "dev"
    assert clips["valid_dia0_utt1"].context == ("valid_dia0_utt0",)
    # the file of another split is no stand-in, not even the only one of that name
    assert clips["train_dia0_utt1"].path_of("face").parts[-3] == "train"
    assert clips["valid_dia0_utt1"].path_of("face") is clips["test_dia0_utt1"].path_of("face") is None
    assert not check_leakage(clip_table(manifest), group="dialogue").errors
    assert manifest.specs[0].labels == ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")


def test_sentiment_is_rounded_as_published(tmp_path) -> None:
    stems = ["WKA5OygbEKI_1", "WKA5OygbEKI_10", "_dI--eQ6qVU_2", "ZUXBRvtny7o_27"]
    write_list(tmp_path / "mosi", "train", stems)
    scores = ("1.79999995231628", "-0.400000005960465", "3", "3.5")
    write_labels(
        tmp_path / "mosi",
        "train",
        [f"{stem},{score}" for stem, score in zip(stems, scores, strict=True)],
        "FileName,sentiment_score",
    )
    write_media(tmp_path / "media", stems)
    manifest = CORPORA["sse-ft-mosi"].read(tmp_path)
    clips = by_id(manifest)
    assert {item: clip.targets[0].value.tolist() for item, clip in clips.items()} == {
        "WKA5OygbEKI_1": [pytest.approx(1.8, abs=1e-6)],
        "WKA5OygbEKI_10": [pytest.approx(-0.4, abs=1e-6)],
        "_dI--eQ6qVU_2": [3.0],
    }
    assert clips["WKA5OygbEKI_10"].groups == {"dialogue": "WKA5OygbEKI"}
    assert clips["WKA5OygbEKI_10"].context == ("WKA5OygbEKI_1",)
    assert "not from -3 to 3" in reasons(manifest)["ZUXBRvtny7o_27"]
    assert [spec.name for spec in manifest.specs] == ["sentiment"]


def test_whole_numbers_and_signs_of_sentiment(tmp_path) -> None:
    rows = ("257534_0,-2,0", "257534_2,0,non", "vTAV6FThy30_2,3,1", "vTAV6FThy30_3,4,1", "vTAV6FThy30_4,1,maybe")
    stems = [row.split(",")[0] for row in rows]
    write_list(tmp_path / "mosei", "test", stems, "t")
    write_labels(tmp_path / "mosei", "test", rows, "FileName,SEVEN,TWO")
    write_media(tmp_path / "media", stems)
    manifest = CORPORA["sse-ft-mosei"].read(tmp_path, tmp_path / "out")
    assert {item: answers(clip) for item, clip in by_id(manifest).items()} == {
        "257534_0": {"sentiment7": "-2", "sentiment2": "negative"},
        "257534_2": {"sentiment7": "0"},
        "vTAV6FThy30_2": {"sentiment7": "3", "sentiment2": "positive"},
    }
    assert {r.field for r in manifest.rejected if r.item.startswith("vTAV")} == {"SEVEN", "TWO"}


def test_a_clip_in_two_lists_of_mosi_stays_in_the_first(tmp_path) -> None:
    for split in ("train", "test"):
        write_list(tmp_path / "mosi", split, ["a_1", f"{split}_2"])
        write_labels(tmp_path / "mosi", split, ["a_1,1", f"{split}_2,2"], "FileName,sentiment_score")
    write_media(tmp_path / "media", ["a_1", "train_2", "test_2"])
    manifest = CORPORA["sse-ft-mosi"].read(tmp_path)
    assert {clip.id: clip.split for clip in manifest.clips} == {"a_1": "train", "train_2": "train", "test_2": "test"}
    assert "test names it, and so does train" in reasons(manifest)["a_1"]


# -- damage


def test_broken_lists_never_end_in_anything_but_an_error_of_merkit(tmp_path) -> None:
    write_leaking(tmp_path)
    files = sorted((tmp_path / "T_data/emocap").iterdir())
    whole = {file: file.read_bytes() for file in files}
    rng = random.Random(3)
    read = 0
    for _ in range(30):
        for file in files:
            data = bytearray(whole[file])
            for _ in range(rng.randrange(1, 5)):
                at = rng.randrange(len(data))
                kind = rng.randrange(4)
                if kind == 0:
                    data[at] = rng.randrange(256)
                elif kind == 1:
                    del data[at : at + rng.randrange(1, 40)]
                elif kind == 2:
                    data[at:at] = rng.choice([b"\n", b"\t", b",", b'"', b"\0", "é".encode("latin-1"), b"/", b"../"])
                else:
                    data[at:at] = data[: rng.randrange(1, 60)]
                data = data or bytearray(b"x")
            file.write_bytes(bytes(data))
        name = rng.choice(["sse-ft-iemocap", LEAKING])
        try:
            manifest = CORPORA[name].read(tmp_path, tmp_path / "out")
        except MerkitError:
            continue
        read += 1
        for clip in manifest.clips:
            stem = clip.id.rpartition("/")[2]
            assert answers(clip)["emotion"][:2] == {"exc": "ex"}.get(stem[-3:], stem[-3:])[:2]
            for stream in clip.streams:
                assert stream.path is None or stream.path.stem == stem
    assert read > 15  # most damage is to single lines
