"""Whole scenes as texts, and what is said in them read alone or together."""

from pathlib import Path

import numpy as np
import pytest
from small_texts import LABELS
from tiny_encoders import write_encoder

from merkit.config import override
from merkit.errors import ConfigError
from merkit.networks.text_pretrained import load_text_encoder
from merkit.schema import TargetSpec
from merkit.systems import text_encoder as system


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What encoders said is remembered under the test's own folder."""
    monkeypatch.setenv("MERKIT_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("encoders")
    return {kind: write_encoder(root / f"tiny-{kind}", kind) for kind in ("roberta", "bert")}


WORDS_OF_SCENES = ("happy", "worried", "bored")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenes of two films, one without any label of the published ten, as `merkit prepare moviegraphs` leaves them."""
    from merkit.corpora.manifest import Manifest
    from merkit.corpora.storage import write_manifest
    from merkit.corpora.utterances import Said, write_utterances
    from merkit.schema import Clip, Stream, Target

    out = tmp_path_factory.mktemp("film")
    scene = TargetSpec("scene_words", "multi_label", WORDS_OF_SCENES)
    character = TargetSpec("character_words", "multi_label", WORDS_OF_SCENES, True)
    clips = []
    for name, split, words in (("s1", "train", [1, 0, 1]), ("s2", "valid", [0, 1, 0]), ("s3", "train", [0, 0, 1])):
        value = np.array(words, np.float32)
        streams = (Stream("text", None, text=""),)
        targets = (Target(scene, value), Target(character, value, entity="Ann"))
        clips.append(Clip(name, streams, split=split, targets=targets, groups={"movie": f"m{split}"}))
    write_manifest(Manifest("film", tuple(clips), (scene, character), out), out)
    write_utterances(
        [Said("s1", 5.0, 6.0, "bad day"), Said("s1", 1.0, 2.0, "yes", "Ann"), Said("s2", 0.0, 1.0, "the film .")], out
    )
    return out


def test_scenes_of_a_film_are_texts_with_the_runs_label_set(film: Path, folders) -> None:
    config = override(system.emotx(), [f"encoder={folders['roberta']}", f"data.root={film}"])
    table = system.load(config)
    # s3 shows nothing of the ten; nobody was tracked, which words do not need
    assert table.ids.tolist() == ["s1", "s2"] and table.texts.tolist() == ["yes bad day", "the film ."]
    assert list(table.targets) == ["scene"] and table.targets["scene"].spec.labels[:2] == ("happy", "worried")
    assert table.targets["scene"].value[:, :2].tolist() == [[1, 0], [0, 1]] and table.targets["scene"].value.sum() == 2
    counted = system.load(override(config, ["scenes.top_k=2", "scenes.label_source=train"]))
    assert counted.targets["scene"].spec.labels == ("bored", "happy") and counted.ids.tolist() == ["s1", "s3"]
    tokens = load_text_encoder(str(folders["roberta"])).tokeniser(["yes bad day", "the film ."]).ids
    assert table.streams["text"].x[:, 0].tolist() == tokens[0] + tokens[1]
    with pytest.raises(ConfigError, match="asked of persons"):
        named = override(config, ["data.targets=character"])
        system.plan(named, system.load(named))


@pytest.fixture(scope="module")
def dialogues(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two dialogues, their turns not in order."""
    from merkit.corpora.manifest import Manifest
    from merkit.corpora.storage import write_manifest
    from merkit.schema import Clip, Stream, Target

    out = tmp_path_factory.mktemp("dialogues")
    spec = TargetSpec("emotion", "single_label", LABELS)
    said = [("d1", 1, "the film", 1), ("d1", 0, "yes no", 0), ("d2", 0, "the film", 2)]
    clips = tuple(
        Clip(
            f"{dialogue}_{turn}", (Stream("text", None, text=text),), split="train", turn=turn,
            targets=(Target(spec, np.array(label)),), groups={"dialogue": dialogue, "character": f"Ann{turn}"},
        )
        for dialogue, turn, text, label in said
    )  # fmt: skip
    write_manifest(Manifest("talk", clips, (spec,), out), out)
    return out


def test_dialogues_are_scenes_too_and_their_words_are_read_alone_or_together(dialogues: Path, folders) -> None:
    from merkit.systems import emotx

    config = override(system.emotx(), [f"encoder={folders['bert']}", f"data.root={dialogues}", "max_tokens=12"])
    table = system.load(config)
    assert table.texts.tolist() == ["yes no the film", "the film"]
    assert table.targets["scene"].value.tolist() == [[1, 1, 0], [0, 0, 1]]

    features = {}
    for mode in ("independent", "concat"):
        asked = override(
            emotx.EmoTxConfig(),
            [f"data.root={dialogues}", f"data.text_encoder={folders['bert']}", f"srt_feat_type={mode}"],
        )
        features[mode] = emotx.load(asked).streams["text"].x
    encoder = load_text_encoder(str(folders["bert"]))
    np.testing.assert_allclose(features["independent"], encoder.encode(["yes no", "the film", "the film"]), atol=2e-6)
    np.testing.assert_allclose(
        features["concat"], np.concatenate(encoder.encode_joined([["yes no", "the film"], ["the film"]])), atol=2e-6
    )
    assert np.abs(features["independent"] - features["concat"]).max() > 1e-3


@pytest.mark.parametrize("mode", ["independent", "concat"])
def test_lines_of_a_film_are_read_alone_or_with_their_scene(film: Path, folders, mode: str) -> None:
    from merkit.systems import emotx

    asked = [f"data.root={film}", f"data.text_encoder={folders['bert']}", f"srt_feat_type={mode}"]
    table = emotx.load(override(emotx.EmoTxConfig(), asked))
    assert table.ids.tolist() == ["s1"]  # of s2 nobody is known, by face or by line
    encoder = load_text_encoder(str(folders["bert"]))
    said = ["yes", "bad day"]
    expected = encoder.encode(said) if mode == "independent" else encoder.encode_joined([said])[0]
    np.testing.assert_allclose(table.streams["text"].x, expected, atol=2e-6)
    np.testing.assert_allclose(table.streams["lines"].x, expected[:1], atol=2e-6)  # Ann says the first
    assert table.streams["text"].start_s.tolist() == [1.0, 5.0]
