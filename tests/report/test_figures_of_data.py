"""Figures of labelled corpora: counted by hand, test answers untouched unless asked for, and no identity beyond a movie."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from merkit.corpora import Manifest, write_manifest
from merkit.data.table import ClipTable, TargetColumn
from merkit.errors import ConfigError
from merkit.report.figures import Drawing, data_figures
from merkit.report.figures.of_data import table_figures
from merkit.schema import Clip, Stream, Target, TargetSpec
from merkit.systems.system import SYSTEMS
from merkit.training.run import write_json

LABELS = ("happy", "angry", "calm")
SCENE = TargetSpec("scene", "multi_label", LABELS)
CHARACTER = TargetSpec("character", "multi_label", LABELS, True)
MOOD = TargetSpec("mood", "single_label", ("good", "bad"))
RATING = TargetSpec("rating", "regression", ("valence",))


def on(*names: str) -> np.ndarray:
    return np.array([label in names for label in LABELS], np.float32)


def clip(name: str, split: str | None, movie: str, who: dict[str, np.ndarray], mood: int = 0) -> Clip:
    scene = np.max(list(who.values()), axis=0) if who else on()
    targets = [Target(SCENE, scene), Target(MOOD, np.array(mood)), Target(RATING, np.array([0.5], np.float32))]
    targets += [Target(CHARACTER, value, person) for person, value in who.items()]
    return Clip(name, (Stream("text", None, text="words"),), split, {"movie": movie}, tuple(targets))


CLIPS = (
    clip("a", "train", "m1", {"Ann": on("happy"), "Bob": on("happy", "calm")}),
    clip("b", "train", "m1", {"Ann": on("angry")}, 1),
    clip("c", "train", "m2", {"Ann": on("happy"), "person_1": on("calm"), "Cy": on()}),
    clip("d", "valid", "m3", {"Dee": on("angry", "calm")}, 1),
    clip("e", "test", "m4", {"Eve": on("happy", "angry", "calm")}),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_manifest(Manifest("films", CLIPS, (SCENE, CHARACTER, MOOD, RATING), tmp_path), tmp_path / "prepared")
    return tmp_path / "prepared"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Drawing]:
    """All figures of the corpus, drawn once."""
    root = tmp_path_factory.mktemp("films")
    write_manifest(Manifest("films", CLIPS, (SCENE, CHARACTER, MOOD, RATING), root), root)
    drawings, said = data_figures(root)
    assert said == ["rating: regression, no labels to count."]
    return by_name(drawings)


def by_name(drawings: list[Drawing]) -> dict[str, Drawing]:
    assert len({drawing.name for drawing in drawings}) == len(drawings)
    return {drawing.name: drawing for drawing in drawings}


def test_every_figure_of_a_prepared_corpus(drawn: dict[str, Drawing]) -> None:
    found = drawn
    assert sorted(found) == [
        "character-frequency", "characters-per-scene", "co-occurrence-character", "co-occurrence-scene",
        "co-occurrence-scene-character", "label-frequency-character", "label-frequency-mood", "label-frequency-scene",
        "labels-per-scene",
    ]  # fmt: skip
    assert found["label-frequency-scene"].rows == (
        ("train", "happy", 2, 3, 2 / 3), ("train", "calm", 2, 3, 2 / 3), ("train", "angry", 1, 3, 1 / 3),
        ("valid", "happy", 0, 1, 0.0), ("valid", "calm", 1, 1, 1.0), ("valid", "angry", 1, 1, 1.0),
    )  # fmt: skip
    assert found["label-frequency-character"].rows[0] == ("train", "happy", 3, 6, 0.5)
    assert found["label-frequency-mood"].rows[:2] == (("train", "good", 2, 3, 2 / 3), ("train", "bad", 1, 3, 1 / 3))


def test_labels_and_characters_per_scene(drawn: dict[str, Drawing]) -> None:
    found = drawn
    at_once = {row[:3]: row[3] for row in found["labels-per-scene"].rows}
    assert [at_once["scene: per scene", "train", n] for n in range(3)] == [0, 1, 2]
    assert [at_once["character: per character", "train", n] for n in range(3)] == [1, 4, 1]
    persons = {row[:3]: row[3] for row in found["characters-per-scene"].rows}
    assert [persons["characters in a scene", "train", n] for n in range(4)] == [0, 1, 1, 1]
    assert [persons["characters with labels (character)", "valid", n] for n in range(2)] == [0, 1]


def test_together_on_train_alone(drawn: dict[str, Drawing]) -> None:
    found = drawn
    of_scenes = {row[:2]: row[2:] for row in found["co-occurrence-scene"].rows}
    assert of_scenes["happy", "calm"] == (2, 2, 1.0) and of_scenes["angry", "calm"] == (0, 1, 0.0)
    of_characters = {row[:2]: row[2:] for row in found["co-occurrence-character"].rows}
    assert of_characters["happy", "calm"] == (1, 3, 1 / 3)  # Bob; Ann is happy twice without being calm
    assert of_characters["calm", "happy"] == (1, 2, 1 / 2)
    both = {row[:2]: row[2:] for row in found["co-occurrence-scene-character"].rows}
    assert both["happy", "calm"] == (2, 2, 1.0)  # in both happy scenes some character is calm


def test_named_characters_are_counted_within_their_movie(drawn: dict[str, Drawing]) -> None:
    rows = drawn["character-frequency"].rows
    assert ("m1", "Ann", 2, 2, 1.0) in rows and ("m2", "Ann", 1, 1, 1.0) in rows  # two Anns, not one
    assert ("m1", "Bob", 1, 2, 0.5) in rows
    # a number within a clip is no name, and m4 is test
    assert not {"person_1", "Eve"} & {row[1] for row in rows}


def test_answers_of_test_change_nothing_unless_asked_for(tmp_path: Path) -> None:
    tests = [clip("e", "test", "m4", {"Eve": on("angry")}, 1), clip("f", "test", "m9", {"Flo": on("calm")})]
    sources = []
    for name, clips in (("one", CLIPS), ("other", (*CLIPS[:-1], *tests))):
        only = tuple(replace(each, targets=tuple(t for t in each.targets if t.spec == SCENE)) for each in clips)
        write_manifest(Manifest("films", only, (SCENE,), tmp_path), tmp_path / name)
        sources.append(tmp_path / name)

    def tables(source: Path, split: str | None) -> dict[str, str]:
        return {drawing.name: drawing.csv() for drawing in data_figures(source, split=split)[0]}

    assert tables(sources[0], None) == tables(sources[1], None)
    of_test = [tables(source, "test")["label-frequency-scene"] for source in sources]
    assert of_test[0] != of_test[1]
    assert "test,angry,1,1" in of_test[0] and "test,happy,0,2" in of_test[1] and "train" not in of_test[0]


def test_a_split_that_is_not_there(folder: Path) -> None:
    with pytest.raises(ConfigError, match="films has no clips in split dev"):
        data_figures(folder, split="dev")


def test_a_corpus_without_splits_is_drawn_as_one() -> None:
    spec = TargetSpec("emotion", "multi_label", LABELS)
    value = np.array([on("happy"), on("happy", "calm")])
    table = ClipTable(
        "t", np.array(["a", "b"]), np.array(["", ""]), {}, {"emotion": TargetColumn(spec, value, np.ones((2, 3), bool))}
    )
    drawings, _ = table_figures(table)
    assert by_name(drawings)["label-frequency-emotion"].rows[0] == ("all", "happy", 2, 2, 1.0)
    assert "clips" in by_name(drawings)["label-frequency-emotion"].columns


def test_anonymous_persons_are_in_no_movie_twice(folder: Path) -> None:
    """Films of a user: persons are numbered within each scene, so the numbers say nothing across scenes."""
    names = np.empty(2, object)
    names[:] = [("person_1", "person_2"), ("person_1",)]
    spec = TargetSpec("scene", "multi_label", LABELS)
    value = np.array([on("happy"), on("calm")])
    table = ClipTable(
        "film", np.array(["a", "b"]), np.array(["train"] * 2), {},
        {"scene": TargetColumn(spec, value, np.ones((2, 3), bool))}, {"movie": np.array(["m", "m"])}, entities=names,
    )  # fmt: skip
    drawings, said = table_figures(table)
    assert "character-frequency" not in by_name(drawings)
    assert said == ["Persons have no names, so who is in how many scenes is not known."]
    named = names.copy()
    named[:] = [("Ann", "person_2"), ("Ann",)]
    assert by_name(table_figures(replace(table, entities=named))[0])["character-frequency"].rows == (
        ("m", "Ann", 2, 2, 1.0),
    )


def test_hundreds_of_words_are_cut_to_the_most_frequent() -> None:
    labels = tuple(f"w{k}" for k in range(120))
    there = np.random.default_rng(0).random((50, 120)) < np.linspace(0.01, 0.6, 120)
    spec = TargetSpec("scene_words", "multi_label", labels)
    table = ClipTable(
        "t", np.arange(50).astype(str), np.array(["train"] * 50), {},
        {"scene_words": TargetColumn(spec, there.astype(np.float32), np.ones(there.shape, bool))},
    )  # fmt: skip
    found = by_name(table_figures(table)[0])
    assert len(found["label-frequency-scene_words"].rows) == 120
    drawn = {row[0] for row in found["co-occurrence-scene_words"].rows}
    assert len(drawn) == 30
    assert min(there[:, int(name[1:])].sum() for name in drawn) >= np.sort(there.sum(0))[-30]


def test_a_run_gives_the_labels_that_it_was_trained_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []

    def load(config: object, *, root: Path | None = None, split: str | None = None) -> ClipTable:
        asked.append(split)
        spec = TargetSpec("chosen", "multi_label", ("happy",))
        return ClipTable(
            "t", np.array(["a", "b"]), np.array(["train", split or "valid"]), {},
            {"chosen": TargetColumn(spec, np.ones((2, 1), np.float32), np.ones((2, 1), bool))},
        )  # fmt: skip

    monkeypatch.setitem(SYSTEMS, "fusion", replace(SYSTEMS["fusion"], load=load))
    write_json({"system": "fusion", "config": {}}, tmp_path / "run" / "config.json")
    for source in (tmp_path / "run", tmp_path / "run" / "config.json"):
        assert by_name(data_figures(source)[0])["label-frequency-chosen"].rows[0] == ("train", "happy", 1, 1, 1.0)
    data_figures(tmp_path / "run", split="test")
    assert asked == [None, None, "test"]


@pytest.mark.parametrize("text", ["", "[]", '{"system": "fusion"}', "not json"])
def test_what_is_neither_corpus_nor_run_says_so(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="neither a prepared corpus"):
        data_figures(tmp_path)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match="not the config of a run"):
        data_figures(tmp_path)


def test_files_hold_what_is_drawn(drawn: dict[str, Drawing], tmp_path: Path) -> None:
    drawing = drawn["label-frequency-mood"]
    png, svg, table = drawing.write(tmp_path / "out" / "deep")
    assert [path.suffix for path in (png, svg, table)] == [".png", ".svg", ".csv"]
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    assert [(row["split"], row["label"], int(row["scenes"])) for row in rows] == [row[:3] for row in drawing.rows]
    assert sorted(path.name for path in (tmp_path / "out" / "deep").iterdir()) == sorted(
        p.name for p in (png, svg, table)
    )
