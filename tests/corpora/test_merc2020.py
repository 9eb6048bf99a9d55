"""The MERC2020 challenge: names, tree, templates, and the inputs made of it."""

import csv
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from merkit.corpora import CORPORA, clip_table, read_manifest, write_manifest
from merkit.corpora.merc2020 import LABELS, SPECS, file_id_of, file_ids
from merkit.corpora.merc2020.names import ClipName
from merkit.corpora.merc2020.prepare import prepare_inputs
from merkit.data.leakage import check_leakage
from merkit.errors import ConfigError, MediaError
from merkit.features import FeatureStore, sources
from merkit.features.face_pictures import PictureConfig
from merkit.features.raw_inputs import SeenExtraction
from merkit.media import probe, read_clip
from tests.colour_faces import ColourFaces
from tests.merc2020_tree import prepared_merc2020, write_challenge, write_templates

WHOLE = SeenExtraction(PictureConfig(side=24, crop="picture"), ColourFaces, "none")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_challenge(tmp_path_factory.mktemp("challenge"), train=3, val=2, test=3, test3=2)


@pytest.fixture
def in_process(monkeypatch):
    for name, function in (("read_clip", read_clip), ("probe", probe)):
        monkeypatch.setattr(sources, name, partial(function, isolate=False))


def answers(clip) -> list[str]:
    return [LABELS[int(target.value)] for target in clip.targets]


def test_the_published_class_numbers():
    assert LABELS == ("happy", "angry", "disgust", "fear", "sad", "neutral", "surprise")
    assert [spec.name for spec in SPECS] == ["emotion", "face_emotion", "speech_emotion"]
    # integrated, face, speech: in this order, each of its own
    name = ClipName.of("00017-12-34-m-sad-neu-sur", labelled=True)
    assert [(t.spec.name, int(t.value)) for t in name.targets] == [
        ("emotion", 4),
        ("face_emotion", 5),
        ("speech_emotion", 6),
    ]
    for written, number in (("hap", 0), ("ANG", 1), ("disgust", 2), ("3", 3), ("6", 6)):
        assert int(ClipName.of(f"7-{written}-hap-hap", labelled=True).targets[0].value) == number


@pytest.mark.parametrize(
    ("stem", "reason"),
    [
        ("00017-hap-neu", "must end in three labels"),
        ("00017-12-hap-joy-neu", "face_emotion is 'joy'"),
        ("00017-12-7-hap-neu", "emotion is '7'"),
        ("clip-hap-hap-hap", "must begin with a number, not 'clip'"),
        ("00017", "must end in three labels"),
        ("", "must begin with a number"),
    ],
)
def test_a_name_that_says_no_labels_is_told(stem, reason):
    with pytest.raises(MediaError, match=reason):
        ClipName.of(stem, labelled=True)


def test_the_tree(root):
    manifest = CORPORA["merc2020"].read(root)
    clips = {clip.id: clip for clip in manifest.clips}
    assert list(clips) == [
        "train/00001", "train/00002", "train/00003", "train/00900", "train/00901", "train/00903", "val/00101", "val/00102",
        "test/00201", "test/00202", "test/00203", "test3/00201", "test3/00202",
    ]  # fmt: skip
    assert answers(clips["train/00002"]) == ["angry"] * 3 and clips["val/00101"].split == "valid"
    assert [clips[f"test/0020{i}"].groups["phase"] for i in (1, 2, 3)] == ["test1", "test1", "test2"]
    assert clips["test3/00201"].groups == {"phase": "test3"} and clips["test3/00201"].split == "test"
    assert not clips["test/00201"].targets and file_id_of("test3/00201") == 201
    assert [s.modality for s in clips["train/00901"].streams] == ["face", "speech"]
    told = {r.item: r for r in manifest.rejected}
    assert told["train/00901"].what == "text" and "no word vectors" in told["train/00901"].reason
    assert told["qia2020/train/00902-31-f.mp4"].what == "clip"


def test_other_folders_and_things_that_are_wrong(tmp_path):
    root = write_challenge(tmp_path, train=1, val=1, test=2, test3=1, odd=False)
    (root / "2020-3/test3").rename(root / "test_merc")
    test = root / "qia2020/test"
    (test / "00202-31-f.mp4").unlink()
    (test / "00201-99-copy.mp4").write_bytes((test / "00201-31-f.mp4").read_bytes())
    write_templates(root / "features", {"test1": [201, 777], "test3": [201]})
    (root / "features/test2.csv").write_text("FileID\n202\nx3\n")
    manifest = CORPORA["merc2020"].read(root)
    clips = {clip.id: clip for clip in manifest.clips}
    assert clips["test3/00201"].groups == {"phase": "test3"}, "the README's name for the folder"
    assert [s.modality for s in clips["test/00202"].streams] == ["text"], "words alone still have to be answered for"
    assert clips["test/00202"].groups == {"phase": "test"}, "no template says which phase"
    told = [str(r) for r in manifest.rejected]
    assert "test1 FileID 777 (FileID): the template asks for it, and there is neither clip nor words" in told
    assert any("x3" in each and "line 3" in each for each in told)
    assert any("00201-99-copy.mp4" in each or "00201-31-f.mp4" in each for each in told), "one id, two files"
    assert sum(clip.id == "test/00201" for clip in manifest.clips) == 1
    with pytest.raises(ConfigError, match="no usable clip"):
        CORPORA["merc2020"].read(tmp_path / "features")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ID\n1\n", "no column FileID; there are ID"),
        ("FileID\n1\n1\n", "line 3: asks about 1 again, after line 2"),
        ("FileID\n1\n\n1.5\n", "line 4: FileID is '1.5', not a whole number"),
        ("", "there are none"),
    ],
)
def test_templates_are_checked(tmp_path, text, reason):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(MediaError, match=reason):
        file_ids(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_bytes("\ufeffFileID,Emotion\r\n0012,\r\n7,\r\n".encode())
    assert file_ids(tmp_path / "t.csv") == (12, 7)


def test_from_tree_to_inputs(root, tmp_path, in_process):
    made = prepare_inputs(CORPORA["merc2020"].read(root), tmp_path, seen=WHOLE, engine="serial")
    write_manifest(made, tmp_path)
    manifest = read_manifest(tmp_path)
    ids = [clip.id for clip in manifest.clips]
    assert "train/00903" not in ids and len(ids) == 12
    left = {(r.item, r.what): r.reason for r in manifest.rejected}
    assert "not readable" in left["train/00900", "speech, face"], "its words are kept"
    assert "not readable" in left["train/00903", "clip"]
    assert [s.modality for c in manifest.clips if c.id == "train/00900" for s in c.streams] == ["text"]
    heard, seen = FeatureStore.open(tmp_path / "features"), FeatureStore.open(tmp_path / "faces")
    assert (heard.dtype, seen.dtype) == (np.float16, np.uint8)
    # red of class 0 (60) and of class 2 (110), through a codec
    red = [seen.read(f"train/0000{i}", "face").x.reshape(-1, 24, 24, 3)[:, 12, 12, 0].mean() for i in (1, 3)]
    assert red == pytest.approx([60, 110], abs=12)
    with np.load(root / "qia2020/test/00203.npz") as words:
        np.testing.assert_array_equal(heard.read("test/00203", "text").x, words["word_embed"].astype(np.float16))
    speech = heard.read("test3/00201", "speech")
    assert speech.x.shape[1] == 128 and 0.1 < speech.start_s[0] < 0.25 and 30 <= len(speech) <= 45
    # the loudest band rises with the class: 150 and 450 Hz
    loudest = [int(heard.read(f"train/0000{i}", "speech").x[10:20].mean(0).argmax()) for i in (1, 3)]
    assert loudest[0] < loudest[1]
    for phase in ("test1", "test2", "test3"):
        copied = tmp_path / manifest.facts["submissions"][phase]
        assert copied.read_bytes() == (root / f"features/{phase}.csv").read_bytes()
    table = clip_table(manifest, seen)
    assert table.streams["face"].x.dtype == np.uint8 and len(table.streams["face"].clip) == 11
    assert table.targets["emotion"].valid.tolist() == [True] * 7 + [False] * 5
    assert not [f for f in check_leakage(table).findings if f.kind in ("group", "id")]


def test_what_is_done_is_not_done_again(root, tmp_path, in_process, monkeypatch):
    manifest = CORPORA["merc2020"].read(root)
    first = prepare_inputs(manifest, tmp_path, seen=WHOLE, engine="serial")
    again = prepare_inputs(manifest, tmp_path, seen=WHOLE, engine="serial")
    # what cannot be read is tried again: 00900's face, 00903 in both
    assert first.facts["run"]["faces"] == {"done": 11, "as_before": 0, "lost": 2}
    assert again.facts["run"]["faces"] == {"done": 0, "as_before": 11, "lost": 2}
    assert again.facts["run"]["features"]["done"] == 0
    assert [str(r) for r in again.rejected] == [str(r) for r in first.rejected]
    smaller = SeenExtraction(PictureConfig(side=16, crop="picture"), ColourFaces, "none")
    changed = prepare_inputs(manifest, tmp_path, seen=smaller, engine="serial")
    assert changed.facts["run"]["faces"]["done"] == 11 and changed.facts["run"]["features"]["done"] == 0
    assert FeatureStore.open(tmp_path / "faces").read("train/00001", "face").x.shape[1] == 3 * 16 * 16


def test_no_clip_at_all(root, tmp_path, in_process):
    manifest = CORPORA["merc2020"].read(root)
    only = [clip for clip in manifest.clips if clip.id == "train/00903"]
    with pytest.raises(ConfigError, match=r"(?s)no clip can be used\n.*not readable"):
        prepare_inputs(replace(manifest, clips=tuple(only)), tmp_path, seen=WHOLE, engine="serial")


def test_the_made_folder_is_what_preparation_makes(tmp_path):
    """Tests of training stand on `prepared_merc2020`: it must not drift from the real thing."""
    manifest = read_manifest(prepared_merc2020(tmp_path, clips=20, side=24))
    assert manifest.specs == SPECS and manifest.counts()["train"]["emotion"]["happy"] == 2
    heard, seen = FeatureStore.open(tmp_path / "features"), FeatureStore.open(tmp_path / "faces")
    assert (heard.dtype, seen.dtype) == (np.float16, np.uint8)
    asked = []
    for phase, name in manifest.facts["submissions"].items():
        ids = file_ids(tmp_path / name)
        own = [clip for clip in manifest.clips if clip.groups.get("phase") == phase]
        assert sorted(ids) == sorted(file_id_of(clip.id) for clip in own) and len(ids) == 2
        with (tmp_path / name).open() as file:
            asked += list(csv.DictReader(file))
    assert len(asked) == 6
    assert heard.read("train/00001", "text").x.shape[1] == 200
