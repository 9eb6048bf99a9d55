"""Features on each person's own scale, as a run asks for it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from merkit.corpora.manifest import Manifest
from merkit.corpora.storage import write_manifest
from merkit.errors import ConfigError
from merkit.features.shard import ClipRecord, Row
from merkit.features.store import FeatureStore
from merkit.schema import Clip, Target, TargetSpec
from merkit.systems.data import DataConfig
from merkit.systems.fusion import FusionConfig
from merkit.systems.merc2020 import MERC2020Config
from merkit.systems.system import find_system
from merkit.training import train
from merkit.training.predict import predict_run

EMOTION = TargetSpec("emotion", "single_label", ("calm", "angry"))


def people(folder: Path, names: dict[str, str], tokens: int = 3, clips: int = 6, words: bool = False) -> Path:
    """Speakers whose voices lie far apart; angry clips of each lie a little above the calm ones."""
    rng = np.random.default_rng(len(names))
    folder.mkdir(exist_ok=True)
    store, made = FeatureStore.create(folder / "features"), []
    for number, (name, split) in enumerate(names.items()):
        for i in range(clips):
            x = (rng.normal(size=(tokens, 4)) * 0.3 + i % 2 + 40 * number * (-1) ** number).astype(np.float32)
            times = np.arange(tokens) * 1.0
            row = Row("speech", None, "voice@0", x, times, times + 1, np.zeros(tokens, int))
            rows = (row, replace(row, modality="text")) if words else (row,)
            store.add(ClipRecord(f"{name}{i}", "k", f"{name}{i}", {}, rows))
            made.append(
                Clip(
                    f"{name}{i}", (), split=split, groups={"speaker": name}, targets=(Target(EMOTION, np.array(i % 2)),)
                )
            )
    store.finalise()
    write_manifest(Manifest("voices", tuple(made), (EMOTION,), folder), folder)
    return folder


SPEAKERS = {"Ann": "train", "Ben": "train", "Cem": "train", "Dee": "valid"}


@pytest.mark.parametrize("system", ["fusion", "merc2020"])
def test_every_person_of_every_split_is_on_a_scale_of_their_own_once(tmp_path: Path, system: str) -> None:
    data = DataConfig(root=people(tmp_path / "a", SPEAKERS), own_scale=("speech",))
    config = FusionConfig(data=data) if system == "fusion" else MERC2020Config(mode="speech", data=data)
    for table in (find_system(system).load(config), find_system(system).load(config, split="valid")):
        column = table.streams["speech"]
        speaker = table.groups["speaker"][np.repeat(column.clip, column.lengths)]
        for name in np.unique(speaker):
            own = column.x[speaker == name]
            np.testing.assert_allclose(own.mean(0), 0, atol=1e-5)
            np.testing.assert_allclose(own.std(0), 1, atol=1e-4)
        assert table.provenance["speech"].source.count("scaled by each speaker") == 1


def test_a_run_answers_for_people_it_never_heard_from_their_own_clips_alone(tmp_path: Path) -> None:
    data = DataConfig(root=people(tmp_path / "a", SPEAKERS), own_scale=("speech",))
    config = FusionConfig(data=data, trainer={"max_epochs": 30, "watch": "last", "accelerator": "cpu"})
    found = {}
    for name, changed in (("own", data), ("as it is", data.model_copy(update={"own_scale": ()}))):
        train("fusion", config.model_copy(update={"data": changed}), tmp_path / name)
        new = people(tmp_path / "b", {"Eve": "test", "Fay": "test"}) if name == "own" else tmp_path / "b"
        prob = predict_run(tmp_path / name, new).output["emotion"]
        found[name] = np.mean(prob.argmax(1) == np.tile([0, 1], 6))
    assert found["own"] == 1.0
    assert found["as it is"] < 1.0


def test_a_person_with_one_short_clip_and_nobody_beside_is_refused(tmp_path: Path) -> None:
    data = DataConfig(root=people(tmp_path / "a", {"Eve": "test"}, clips=1), own_scale=("speech",))
    with pytest.raises(ConfigError, match=r"speaker Eve .* 3 tokens of speech"):
        find_system("fusion").load(FusionConfig(data=data))
    with pytest.raises(ConfigError, match="by=actor"):
        find_system("fusion").load(FusionConfig(data=data.model_copy(update={"own_scale_by": "actor"})))


@pytest.mark.parametrize("system", ["fusion", "merc2020"])
def test_a_misspelt_modality_is_refused_and_one_that_a_run_leaves_out_is_not(tmp_path: Path, system: str) -> None:
    def loaded(*own: str, modalities: tuple[str, ...] = ()) -> set[str]:
        data = DataConfig(root=root, own_scale=own, modalities=modalities)
        config = FusionConfig(data=data) if system == "fusion" else MERC2020Config(mode="multimodal", data=data)
        return set(find_system(system).load(config).streams)

    root = people(tmp_path / "a", SPEAKERS, words=True)
    # a study over subsets of the modalities keeps one list
    assert loaded("speech", "text", modalities=("text",)) == {"text"}
    with pytest.raises(ConfigError, match=r"data\.own_scale: no spech; did you mean speech\?"):
        loaded("spech")
    if system == "fusion":
        with pytest.raises(ConfigError, match=r"data\.own_scale: no face. There are speech, text"):
            loaded("face", modalities=("speech",))
