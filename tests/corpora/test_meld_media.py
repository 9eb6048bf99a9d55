"""Copies of MELD as they lie about: which file belongs to which of three parts that count alike; words that survive."""

import csv

import pytest

from merkit.corpora import CORPORA
from tests.meld_tree import row, write_meld


def film(path, content=b"\0\0\0\x18ftypmp42" + bytes(64)):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def sound(path):
    film(path, b"RIFF\x24\0\0\0WAVE" + bytes(64))


def modalities(clip) -> set[str]:
    return {stream.modality for stream in clip.streams}


@pytest.mark.parametrize("layout", ["official", "kaggle"])
def test_the_same_numbers_in_three_parts_are_three_clips(tmp_path, layout):
    root = write_meld(tmp_path, layout, dialogues=(1, 1, 1), turns=2, odd=False)
    manifest = CORPORA["meld"].read(root)
    assert not manifest.rejected and len(manifest) == 6
    for clip in manifest.clips:
        path = clip.path_of("scene")
        assert {"train": "train_splits", "valid": "dev_splits_complete", "test": "output_repeated_splits_test"}[
            clip.split
        ] == path.parent.name
        assert clip.id.endswith(path.stem)
        assert clip.groups["dialogue"] == f"{clip.split}_dia0" and clip.groups["character"] in ("Ross", "Monica")
    assert manifest.clips[0].context == ("train_dia0_utt1",)


def test_any_folder_that_names_its_part_will_do(tmp_path):
    root = write_meld(tmp_path, dialogues=(1, 1, 1), turns=2, odd=False, media=False)
    film(root / "clips/My-Train/videos/dia0_utt0.mp4")
    film(root / "clips/validation/dia0_utt0.mp4")
    film(root / "clips/test/from_train_rips/dia0_utt0.mp4")
    film(root / "clips/dia0_utt1.mp4")
    film(root / "clips/contest/dia0_utt1.mp4")
    film(root / "clips/train/dia0_utt0.mp4")
    manifest = CORPORA["meld"].read(root)
    paths = {clip.id: clip.path_of("scene") for clip in manifest.clips}
    # the innermost folder that names a part says whose it is, and of two the one that lies less deep is taken
    assert paths["train_dia0_utt0"] == root / "clips/train/dia0_utt0.mp4"
    assert paths["valid_dia0_utt0"].parent.name == "validation" and paths["test_dia0_utt0"] is None
    told = {each.item: each.reason for each in manifest.rejected}
    assert "in no folder of train, dev or test" in told["clips/dia0_utt1.mp4"]
    assert "in no folder of train, dev or test" in told["clips/contest/dia0_utt1.mp4"]
    assert "is there twice; clips/train/dia0_utt0.mp4 was taken" in told["clips/My-Train/videos/dia0_utt0.mp4"]


def test_sound_alone(tmp_path):
    root = write_meld(tmp_path, dialogues=(1, 1, 1), turns=2, odd=False, media=False)
    for turn in range(2):
        sound(root / f"train_splits/dia0_utt{turn}.wav")
    film(root / "dev_splits_complete/dia0_utt0.mp4")
    sound(root / "dev_splits_complete/dia0_utt0.wav")
    film(root / "dev_splits_complete/dia0_utt1.mp4", b"no film")
    sound(root / "dev_splits_complete/dia0_utt1.wav")
    manifest = CORPORA["meld"].read(root)
    clips = {clip.id: clip for clip in manifest.clips}
    assert modalities(clips["train_dia0_utt1"]) == {"speech", "text"}
    assert modalities(clips["valid_dia0_utt0"]) == {"speech", "text", "face", "scene"}
    assert clips["valid_dia0_utt0"].path_of("speech").suffix == ".wav"
    assert modalities(clips["valid_dia0_utt1"]) == {"speech", "text"}, "a broken film does not take the sound with it"
    told = {each.item: (each.what, each.reason) for each in manifest.rejected}
    assert told["train"] == ("face, scene", "no .mp4 files: train clips have words and sound only")
    assert told["test"] == ("face, scene, speech", "no recordings: test clips have words only")
    assert told["valid_dia0_utt1"][0] == "face, scene" and "first bytes" in told["valid_dia0_utt1"][1]
    assert set(told) == {"train", "test", "valid_dia0_utt1"}, "what a whole part lacks is said once"


def test_a_known_bad_clip_is_left_alone_with_its_words(tmp_path):
    root = write_meld(tmp_path, dialogues=(1, 0, 0), turns=1, odd=False, media=False)
    with (root / "train_sent_emo.csv").open("a", newline="") as file:
        csv.writer(file).writerow(row(1, "joy", 125, 3))
    film(root / "train_splits/dia125_utt3.mp4")
    manifest = CORPORA["meld"].read(root)
    bad = next(clip for clip in manifest.clips if clip.id == "train_dia125_utt3")
    assert modalities(bad) == {"text"}
    (told,) = [each for each in manifest.rejected if each.item == bad.id]
    assert "known to be bad" in told.reason and told.line == 3
