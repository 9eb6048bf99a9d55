"""`prepare_films`: what a film's one reading holds reaches its scenes, and nothing is read twice."""

import csv
from pathlib import Path

import numpy as np
import pytest
from made_films import DURATION_S, SCENE, SEEN, FilmReader, features_of, write_films

from merkit.corpora.film import prepare_films
from merkit.corpora.film_files import films_of, read_names
from merkit.corpora.storage import read_manifest, write_manifest
from merkit.corpora.utterances import read_utterances
from merkit.errors import ConfigError, MediaError
from merkit.features.store import FeatureStore
from merkit.schema import Clip

# person_2 of the making is seen most, then 3, then 1
ORDER = {"person_2": "person_1", "person_3": "person_2", "person_1": "person_3"}


def prepared(folder: Path, **options):
    reader = FilmReader()
    manifest = prepare_films(films_of(write_films(folder, talk="one")), reader, folder / "out", **options)
    write_manifest(manifest, folder / "out")
    return manifest, FeatureStore.open(folder / "out" / "features"), reader


def test_scenes_hold_every_token_of_the_film_once_on_their_own_clock(tmp_path):
    manifest, store, _ = prepared(tmp_path)
    # the picture changes at 60 s; neither part is longer than 90 s
    assert [clip.span for clip in manifest.clips] == [(0.0, 60.0), (60.0, DURATION_S)]
    assert [clip.id for clip in manifest.clips] == ["talk/scene-001", "talk/scene-002"]
    whole = features_of(Clip("talk", ())).tokens
    for made, person in [*ORDER.items(), (None, None)]:
        modality = "face" if made else "scene"
        parts = [(clip, store.read(clip.id, modality, person)) for clip in manifest.clips]
        parts = [(clip, part) for clip, part in parts if part is not None]
        np.testing.assert_array_equal(np.concatenate([part.x for _, part in parts]), whole[modality, made].x)
        back = np.concatenate([part.start_s + clip.span[0] for clip, part in parts])
        np.testing.assert_allclose(back, whole[modality, made].start_s)
        for clip, part in parts:
            assert part.end_s.max() <= clip.span[1] - clip.span[0]
    assert store.read("talk/scene-002", "face", "person_3") is None
    store.verify()


def test_persons_are_numbered_by_screen_time_and_hold_across_scenes(tmp_path):
    _, store, _ = prepared(tmp_path)
    rows = list(csv.DictReader((tmp_path / "out" / "persons.csv").open()))
    assert [(row["person"], float(row["seen_s"]), float(row["first_s"])) for row in rows] == [
        ("person_1", 90.0, 10.0), ("person_2", 30.0, 100.0), ("person_3", 15.0, 5.0)
    ]  # fmt: skip
    assert store.about("talk/scene-001")["persons"] == ["person_1", "person_3"]
    assert store.about("talk/scene-002")["persons"] == ["person_1", "person_2"]


def test_words_go_whole_to_the_scene_of_their_middle(tmp_path):
    _, store, _ = prepared(tmp_path, min_s=20.0, max_s=40.0)
    said = {line.text: line for line in read_utterances(tmp_path / "out")}
    assert set(said) == {"Hello.", "No, not that.", "Yes."}
    # the cut at 40 s lies within an utterance: another is taken, and nobody is torn
    assert said["No, not that."].end_s - said["No, not that."].start_s == pytest.approx(3.0)
    assert said["No, not that."].entity == "person_1"
    assert said["Hello."].entity is None
    spans = {clip.id: clip.span for clip in read_manifest(tmp_path / "out").clips}
    yes = said["Yes."]
    assert spans[yes.clip][0] + yes.start_s == pytest.approx(101.0)
    part = store.read(yes.clip, "text")
    assert part.x.tolist() == [[2.0] * 4]
    assert store.segment_of(store.row(yes.clip, "text")).tolist() == [0]
    assert store.about(yes.clip)["segments"][0]["text"] == "Yes."


def test_what_a_scene_lacks_is_said(tmp_path):
    _, store, _ = prepared(tmp_path, min_s=20.0, max_s=40.0)
    absent = {}
    for clip in store.clips:
        absent[clip] = {row["modality"]: row["reason"] for row in store.about(clip)["presence"] if not row["present"]}
    assert all(reasons["speech"] == "the file has no audio stream" for reasons in absent.values())
    quiet = [clip for clip in store.clips if store.read(clip, "text") is None]
    assert quiet
    assert all(absent[clip]["text"] == "there is none in this part" for clip in quiet)


def test_a_film_is_read_once_whatever_is_asked_of_it_later(tmp_path):
    manifest, _, first = prepared(tmp_path)
    again, _, second = prepared(tmp_path)
    assert (first.read, second.read) == (["talk"], [])
    assert [clip.span for clip in manifest.clips] == [clip.span for clip in again.clips]
    shorter, store, third = prepared(tmp_path, min_s=10.0, max_s=25.0)
    assert third.read == []
    assert len(shorter) > len(manifest)
    assert set(store.clips) == {clip.id for clip in shorter.clips}  # no scene of the earlier cut is left
    back, store, _ = prepared(tmp_path)
    assert set(store.clips) == {clip.id for clip in back.clips}
    write_films(tmp_path, talk="two")  # other bytes are another film
    reader = FilmReader()
    prepare_films(films_of([tmp_path / "talk.mp4"]), reader, tmp_path / "out")
    assert reader.read == ["talk"]


def test_a_bad_film_ends_nothing(tmp_path):
    files = [*write_films(tmp_path, a="one", b="bad", c="three"), tmp_path / "gone.mp4"]
    manifest = prepare_films(films_of(files), FilmReader(), tmp_path / "out")
    assert {clip.groups["movie"] for clip in manifest.clips} == {"a", "c"}
    assert {each.item: each.reason for each in manifest.rejected} == {
        "b.mp4": f"{files[1]}: is no film",
        "gone.mp4": f"{files[3]}: no such file",
    }
    facts = manifest.facts["films"][0]
    assert (facts["shots"], facts["persons"], facts["utterances"]) == (7, 3, 3)
    assert facts["absent"] == {"speech": "the file has no audio stream"}
    assert facts["warnings"] == ["one packet is damaged"]


def test_names_join_what_the_tracker_parted(tmp_path):
    names = {"talk": {"person_2": "Ada", "person_3": "Ada"}}
    manifest, store, _ = prepared(tmp_path, names=names)
    times = np.concatenate(
        [store.read(c.id, "face", "Ada").start_s + c.span[0] for c in manifest.clips if store.read(c.id, "face", "Ada")]
    )
    assert times.tolist() == [*SEEN["person_1"], *SEEN["person_3"]]
    assert {row.entity for row in read_utterances(tmp_path / "out")} == {None, "person_1", "Ada"}
    rows = list(csv.DictReader((tmp_path / "out" / "persons.csv").open()))
    assert [row["name"] for row in rows] == ["", "Ada", "Ada"]
    # the table that is written is the table that is read back, and asking for no names takes them away again
    assert read_names(tmp_path / "out" / "persons.csv", ["talk"]) == names
    assert "Ada" not in prepared(tmp_path)[1].index["entity"].to_pylist()


def test_names_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"seen together at 10\.0 s"):
        prepared(tmp_path, names={"talk": {"person_1": "Ada", "person_3": "Ada"}})
    with pytest.raises(ConfigError, match="no person_9; there are person_1, person_2, person_3"):
        prepared(tmp_path, names={"talk": {"person_9": "Ada"}})
    with pytest.raises(ConfigError, match="number of somebody else"):
        prepared(tmp_path, names={"talk": {"person_1": "person_2"}})


def test_a_table_of_names_says_what_is_wrong_with_it(tmp_path):
    file = tmp_path / "names.csv"
    file.write_text("\ufefffilm,person,name\na,person_1,Ada\nb,person_1, Bob \nb,person_2,\n", encoding="utf-8")
    assert read_names(file, ["a", "b"]) == {"a": {"person_1": "Ada"}, "b": {"person_1": "Bob"}}
    with pytest.raises(ConfigError, match="line 3: no film 'b'"):
        read_names(file, ["a", "c"])
    file.write_text("person,name\nperson_1,Ada\nperson_1,Eve\n")
    with pytest.raises(ConfigError, match="line 3: person_1 is Ada already"):
        read_names(file, ["a"])
    with pytest.raises(MediaError, match="no column film"):
        read_names(file, ["a", "b"])
    with pytest.raises(MediaError, match="no such file"):
        read_names(tmp_path / "gone.csv", ["a"])


def test_subtitles_are_found_beside_the_film_and_same_names_told_apart(tmp_path):
    (tmp_path / "b").mkdir()
    files = [*write_films(tmp_path, x="1"), *write_films(tmp_path / "b", x="2")]
    (tmp_path / "x.srt").write_text("")
    first, second = films_of([*files, files[0]])
    assert (first.id, second.id) == ("x", "x-2")
    assert (first.subtitles, second.subtitles) == ((tmp_path / "x.srt").resolve(), None)
    assert [stream.modality for stream in first.clip.streams] == ["face", "scene", "speech", "text"]
    with pytest.raises(ConfigError, match="one film, not 2"):
        films_of(files, tmp_path / "x.srt")


def test_without_shots_the_picture_parts_the_film(tmp_path, monkeypatch):
    monkeypatch.setattr("made_films.SHOTS_S", ())
    manifest, store, _ = prepared(tmp_path)
    assert [clip.span for clip in manifest.clips] == [(0.0, 60.0), (60.0, DURATION_S)]
    assert store.read("talk/scene-001", "scene").x.shape == (60, SCENE)
