"""RAVDESS, CREMA-D, EmoDB and FER2013 in their published layouts: labels, speakers, votes, splits, and all that is bad."""

import csv
import os
import random

import numpy as np
import pytest
import soundfile
from PIL import Image

from merkit.corpora import CORPORA, read_manifest, write_manifest
from merkit.errors import ConfigError, MerkitError


def wave(path, samples: int = 160) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(samples, np.float32), 16000)


def film(path, head: bytes = b"\0\0\0\x18ftypmp42") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + bytes(64))


def label_of(clip, name: str = "emotion") -> str:
    target = next(target for target in clip.targets if target.spec.name == name)
    return target.spec.labels[int(target.value)]


def by_id(manifest):
    return {clip.id: clip for clip in manifest.clips}


def reasons(manifest) -> dict[str, str]:
    return {rejected.item: f"{rejected.reason} [{rejected.what}]" for rejected in manifest.rejected}


def modalities(clip) -> list[str]:
    return [stream.modality for stream in clip.streams]


# -- RAVDESS


def ravdess(root) -> None:
    wave(root / "Actor_12/03-01-06-01-02-01-12.wav")
    wave(root / "Actor_01/03-02-02-02-01-02-01.wav")
    film(root / "Actor_12/01-01-06-01-02-01-12.mp4")
    film(root / "Actor_12/02-01-06-01-02-01-12.mp4")
    for code in range(1, 9):
        wave(root / f"Actor_02/03-01-{code:02}-01-01-01-02.wav")


def test_ravdess_is_read_from_its_names(tmp_path) -> None:
    ravdess(tmp_path)
    clips = by_id(CORPORA["ravdess"].read(tmp_path))
    words = ["neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"]
    assert [label_of(clips[f"03-01-{code:02}-01-01-01-02"]) for code in range(1, 9)] == words
    fear = clips["03-01-06-01-02-01-12"]
    assert (label_of(fear), fear.groups["speaker"], fear.split, modalities(fear)) == ("fearful", "12", None, ["speech"])
    assert modalities(clips["01-01-06-01-02-01-12"]) == ["face", "scene", "speech"]
    assert modalities(clips["02-01-06-01-02-01-12"]) == ["face", "scene"]
    assert len({clips[f"{kind}-01-06-01-02-01-12"].groups["performance"] for kind in ("01", "02", "03")}) == 1
    assert clips["03-02-02-02-01-02-01"].groups["performance"] != fear.groups["performance"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Actor_01/03-01-09-01-01-01-01.wav", "emotion '09'"),
        ("Actor_01/03-01-01-02-01-01-01.wav", "neutral has no strong intensity"),
        ("Actor_01/03-01-03-01-01-01-25.wav", "actor '25'"),
        ("Actor_01/03-01-03-01-03-01-01.wav", "statement '03'"),
        ("Actor_01/03-01-03-01-01-01-02.wav", "actor 02"),
        ("Actor_01/03-01-03.wav", "seven numbers"),
        ("Actor_01/my own.wav", "seven numbers"),
        ("Actor_01/01-01-03-01-01-01-01.wav", ".mp4"),
    ],
)
def test_ravdess_lists_what_is_not_one_of_its_files(tmp_path, name, reason) -> None:
    ravdess(tmp_path)
    wave(tmp_path / name)
    manifest = CORPORA["ravdess"].read(tmp_path)
    assert len(manifest.clips) == 12
    assert reason in reasons(manifest)[name]


def test_ravdess_copies_and_empty_files_are_listed(tmp_path) -> None:
    ravdess(tmp_path)
    # a well-known archive holds every recording twice
    wave(tmp_path / "audio_speech_actors_01-24/Actor_12/03-01-06-01-02-01-12.wav")
    (tmp_path / "Actor_02/03-01-08-01-01-01-02.wav").write_bytes(b"")
    (tmp_path / "Actor_02/._03-01-07-01-01-01-02.wav").write_bytes(b"macOS leaves these")
    manifest = CORPORA["ravdess"].read(tmp_path)
    said = reasons(manifest)
    assert len(manifest.clips) == 11
    assert "twice" in said["audio_speech_actors_01-24/Actor_12/03-01-06-01-02-01-12.wav"]
    assert "empty" in said["Actor_02/03-01-08-01-01-01-02.wav"]
    assert len(said) == 2


def test_the_order_is_not_the_file_systems(tmp_path, monkeypatch) -> None:
    ravdess(tmp_path)
    wanted = [clip.id for clip in CORPORA["ravdess"].read(tmp_path).clips]
    walk = os.walk

    def shuffled(*arguments, **options):
        for folder, folders, files in walk(*arguments, **options):
            random.Random(7).shuffle(folders)
            random.Random(3).shuffle(files)
            yield folder, folders, files

    monkeypatch.setattr(os, "walk", shuffled)
    assert [clip.id for clip in CORPORA["ravdess"].read(tmp_path).clips] == wanted


# -- CREMA-D

COLUMNS = ("A", "D", "F", "H", "N", "S", "fileName", "numResponses", "agreement", "emoVote", "meanEmoResp")


def crema_d(root, rows) -> None:
    for item in ("1001_DFA_ANG_XX", "1001_IEO_HAP_LO", "1091_WSI_DIS_XX", "1076_MTI_SAD_XX"):
        wave(root / f"AudioWAV/{item}.wav")
    film(root / "VideoFlash/1001_DFA_ANG_XX.flv", b"FLV\x01")
    table = root / "processedResults/tabulatedVotes.csv"
    table.parent.mkdir(parents=True)
    with table.open("w", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(("", *COLUMNS))
        writer.writerows(rows)


def votes(number, counts, item):
    return (str(number), *counts, item, sum(counts), 0.5, "A", 60.1)


def test_crema_d_keeps_the_crowds_counts(tmp_path) -> None:
    crema_d(
        tmp_path,
        [
            votes(300001, (8, 1, 0, 0, 1, 0), "1001_DFA_ANG_XX"),
            votes(100001, (2, 0, 0, 0, 6, 2), "1001_DFA_ANG_XX"),
            votes(200001, (0, 9, 0, 0, 0, 0), "1001_DFA_ANG_XX"),
            votes(100002, (0, 0, 0, 4, 4, 0), "1001_IEO_HAP_LO"),
        ],
    )
    clips = by_id(CORPORA["crema-d"].read(tmp_path))
    anger = clips["1001_DFA_ANG_XX"]
    found = {target.spec.name: target for target in anger.targets}
    assert list(found) == ["emotion", "voice", "face", "multimodal"]
    assert found["voice"].spec.labels == ("anger", "disgust", "fear", "happy", "neutral", "sad")
    assert found["voice"].votes.tolist() == [2, 0, 0, 0, 6, 2]
    assert found["face"].votes.tolist() == [0, 9, 0, 0, 0, 0]
    assert found["multimodal"].votes.tolist() == [8, 1, 0, 0, 1, 0]
    assert found["voice"].value.tolist() == pytest.approx([0.2, 0, 0, 0, 0.6, 0.2])
    assert (label_of(anger), anger.groups["speaker"]) == ("anger", "1001")
    assert modalities(anger) == ["face", "scene", "speech"]
    assert anger.path_of("speech").suffix == ".wav"
    happy = clips["1001_IEO_HAP_LO"]
    assert [target.spec.name for target in happy.targets] == ["emotion", "voice"]
    assert label_of(happy) == "happy"
    assert (clips["1091_WSI_DIS_XX"].groups["speaker"], label_of(clips["1091_WSI_DIS_XX"])) == ("1091", "disgust")


def test_crema_d_lists_what_is_bad(tmp_path) -> None:
    crema_d(
        tmp_path,
        [
            votes(100001, (2, 0, 0, 0, 6, 2), "1001_DFA_ANG_XX"),
            votes(100002, (0, 0, 0, 0, 0, 0), "1001_IEO_HAP_LO"),
            votes(400003, (1, 0, 0, 0, 0, 0), "1091_WSI_DIS_XX"),
            votes(100004, (1, 0, 0, 0, 0, 0), "1099_XXX_ANG_XX"),
        ],
    )
    (tmp_path / "AudioWAV/1002_DFA_ANG_XX.wav").write_bytes(
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 72862\n"
    )
    wave(tmp_path / "AudioWAV/notes.wav")
    manifest = CORPORA["crema-d"].read(tmp_path)
    said = reasons(manifest)
    assert "1076_MTI_SAD_XX" not in by_id(manifest)  # there is no video of it here, and the sound is none
    assert "known to be bad" in said["1076_MTI_SAD_XX"]
    assert "Git LFS" in said["AudioWAV/1002_DFA_ANG_XX.wav"]
    assert "not like 1001_DFA_ANG_XX" in said["AudioWAV/notes.wav"]
    assert "no recording" in said["1099_XXX_ANG_XX"]
    lines = {rejected.line for rejected in manifest.rejected}
    assert {3, 4} <= lines  # nobody voted; 400003 is no kind of presentation
    assert len(manifest.clips) == 3


def test_crema_d_files_that_are_known_to_be_bad_or_misnamed(tmp_path) -> None:
    crema_d(tmp_path, [votes(100001, (2, 0, 0, 0, 6, 2), "1040_ITH_SAD_XX")])
    wave(tmp_path / "AudioWAV/1040_ITH_SAD_X.wav")
    for item in ("1064_TIE_SAD_XX", "1064_IEO_DIS_MD", "1076_MTI_SAD_XX"):
        film(tmp_path / f"VideoFlash/{item}.flv", b"FLV\x01")
    wave(tmp_path / "AudioWAV/1064_IEO_DIS_MD.wav")
    manifest = CORPORA["crema-d"].read(tmp_path)
    clips = by_id(manifest)
    assert clips["1040_ITH_SAD_XX"].targets[1].votes.tolist() == [2, 0, 0, 0, 6, 2]
    assert modalities(clips["1064_IEO_DIS_MD"]) == ["speech"]
    assert "1064_TIE_SAD_XX" not in clips
    assert "1076_MTI_SAD_XX" not in clips
    bad = {(r.item, r.what) for r in manifest.rejected if "known to be bad" in r.reason}
    listed = {(known.item.partition("/")[2], known.what) for known in CORPORA["crema-d"].known_bad}
    assert bad == listed


def test_crema_d_votes_survive_the_disk(tmp_path) -> None:
    crema_d(tmp_path / "root", [votes(100001, (2, 0, 0, 0, 6, 2), "1001_DFA_ANG_XX")])
    write_manifest(CORPORA["crema-d"].read(tmp_path / "root"), tmp_path / "out")
    target = by_id(read_manifest(tmp_path / "out"))["1001_DFA_ANG_XX"].targets[1]
    assert target.votes.tolist() == [2, 0, 0, 0, 6, 2]


# -- EmoDB


def test_emodb_is_read_from_its_names(tmp_path) -> None:
    letters = {
        "W": "anger",
        "L": "boredom",
        "E": "disgust",
        "A": "fear",
        "F": "happiness",
        "T": "sadness",
        "N": "neutral",
    }
    for letter in letters:
        wave(tmp_path / f"wav/03a01{letter}a.wav")
    wave(tmp_path / "wav/16b10Td.wav")
    for name in ("03a01Xa", "99a01Fa", "03a01F", "lied"):
        wave(tmp_path / f"wav/{name}.wav")
    manifest = CORPORA["emodb"].read(tmp_path)
    clips = by_id(manifest)
    assert {letter: label_of(clips[f"03a01{letter}a"]) for letter in letters} == letters
    assert (clips["16b10Td"].groups["speaker"], clips["03a01Fa"].groups["speaker"]) == ("16", "03")
    assert len(clips) == 8
    assert set(reasons(manifest)) == {f"wav/{name}.wav" for name in ("03a01Xa", "99a01Fa", "03a01F", "lied")}


# -- FER2013


def faces(path, rows, header="emotion,pixels,Usage") -> None:
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (48, 48), np.uint8)


def words(picture: np.ndarray) -> str:
    return " ".join(map(str, picture.ravel()))


def test_fer2013_rows_become_pictures_of_the_same_pixels(tmp_path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    root.mkdir()
    order = ["anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral"]
    usages = ["Training", "PublicTest", "PrivateTest", "Training", "Training", "Training", "Training"]
    faces(root / "fer2013.csv", [(str(i), words(pixels(i)), usages[i]) for i in range(7)])
    manifest = CORPORA["fer2013"].read(root, out)
    assert [label_of(clip) for clip in manifest.clips] == order
    assert [clip.split for clip in manifest.clips][:4] == ["train", "valid", "test", "train"]
    for i, clip in enumerate(manifest.clips):
        assert np.array_equal(np.asarray(Image.open(clip.path_of("face"))), pixels(i))
        assert clip.path_of("face").is_relative_to(out)
    assert [file.name for file in root.iterdir()] == ["fer2013.csv"]  # nothing is written beside the corpus
    write_manifest(manifest, out)
    out.rename(tmp_path / "moved")
    assert read_manifest(tmp_path / "moved").clips[3].path_of("face").is_file()


def test_fer2013_lists_rows_that_are_no_pictures(tmp_path) -> None:
    good = words(pixels(0))
    rows = [
        ("0", good, "Training"),
        ("7", good, "Training"),
        ("0", good, "Sideways"),
        ("0", good.rsplit(" ", 1)[0], "Training"),
        ("0", good.replace(" ", " 999 ", 1).rsplit(" ", 1)[0], "Training"),
        ("0", "x " + good.split(" ", 1)[1], "Training"),
        ("0", " ".join(["0"] * 2304), "Training"),
    ]
    faces(tmp_path / "fer2013.csv", rows)
    manifest = CORPORA["fer2013"].read(tmp_path, tmp_path / "out")
    assert len(manifest.clips) == 1
    assert [(rejected.line, rejected.field) for rejected in manifest.rejected] == [
        (3, "emotion"),
        (4, "Usage"),
        (5, "pixels"),
        (6, "pixels"),
        (7, "pixels"),
        (8, "pixels"),
    ]
    with pytest.raises(ConfigError, match="out"):
        CORPORA["fer2013"].read(tmp_path)


def test_fer2013_as_folders(tmp_path) -> None:
    for name in ("train/angry/1.png", "train/happy/2.jpg", "test/sad/3.png", "train/bored/4.png", "train/5.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(1)).save(path)
    manifest = CORPORA["fer2013"].read(tmp_path)
    assert [(clip.id, label_of(clip), clip.split, modalities(clip)) for clip in manifest.clips] == [
        ("test/sad/3", "sadness", "test", ["face", "scene"]),
        ("train/angry/1", "anger", "train", ["face", "scene"]),
        ("train/happy/2", "joy", "train", ["face", "scene"]),
    ]
    assert set(reasons(manifest)) == {"train/bored/4.png", "train/5.png"}


@pytest.mark.parametrize("name", sorted(CORPORA))
def test_a_folder_without_the_corpus_says_what_is_expected(tmp_path, name) -> None:
    (tmp_path / "root").mkdir()
    with pytest.raises(MerkitError) as caught:
        CORPORA[name].read(tmp_path / "root", tmp_path / "out")
    assert "root" in str(caught.value)
    with pytest.raises(MerkitError, match="nowhere"):
        CORPORA[name].read(tmp_path / "nowhere", tmp_path / "out")
