"""Text features that are made from words, beside a feature store that has none or has others."""

from pathlib import Path

import numpy as np
import pytest
from tiny_encoders import write_encoder

from merkit.corpora.manifest import Manifest
from merkit.corpora.storage import write_manifest
from merkit.features.shard import ClipRecord, Row
from merkit.features.store import FeatureStore
from merkit.schema import Clip, Stream
from merkit.systems.data import DataConfig, load_table


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MERKIT_HOME", str(tmp_path / "home"))
    clips = tuple(Clip(name, (Stream("text", None, text="the film ."),), split="train") for name in "ab")
    write_manifest(Manifest("own", clips, (), tmp_path), tmp_path)
    store = FeatureStore.create(tmp_path / "features")
    x, times = np.ones((2, 3), np.float32), np.arange(2.0)
    rows = tuple(Row(name, None, f"{name}@0", x, times, times + 1, np.zeros(2, int)) for name in ("speech", "text"))
    store.add(ClipRecord("a", "k", "h", {}, rows[:1]))
    store.add(ClipRecord("b", "k", "h", {}, rows))
    store.finalise()
    return tmp_path


@pytest.mark.parametrize("wanted", [("text",), ("speech",), ("text", "speech"), ()])
def test_any_choice_of_modalities_may_take_its_words_from_an_encoder(folder: Path, wanted: tuple[str, ...]) -> None:
    encoder = write_encoder(folder / "bert", "bert")
    table = load_table(DataConfig(root=folder, text_encoder=str(encoder), modalities=wanted))
    assert set(table.streams) == set(wanted or ("speech", "text"))
    if "text" in table.streams:
        # every clip has the encoder's vector: the store's own text, of one clip and another width, is passed over
        assert table.streams["text"].clip.tolist() == [0, 1]
        assert table.streams["text"].width != 3
