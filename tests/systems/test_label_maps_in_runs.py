"""A corpus's classes as another set, and folds by session, chosen in a run's config."""

import numpy as np
import pytest

from merkit.corpora.arrays import ArraysConfig, ArrayTarget
from merkit.errors import ConfigError
from merkit.systems.data import DataConfig, SplitConfig, load_table

CATEGORIES = ("neutral", "happy", "excited", "sad", "angry", "frustrated")


@pytest.fixture
def data(tmp_path) -> DataConfig:
    label = np.arange(30) % 6
    np.savez(tmp_path / "data.npz", id=np.arange(30).astype(str), x=np.random.default_rng(0).normal(size=(30, 3)),
             label=label, score=label * 1.0, split=np.full(30, "train"),
             session=np.char.add("Ses0", (np.arange(30) // 6 + 1).astype(str)))  # fmt: skip
    arrays = ArraysConfig(
        id="id",
        modalities={"text": "x"},
        targets={
            "emotion": ArrayTarget(column="label", labels=CATEGORIES),
            "score": ArrayTarget(column="score", kind="regression", labels=("score",)),
        },
        groups={"session": "session"},
    )
    return DataConfig(root=tmp_path, arrays=arrays)


def test_a_map_is_chosen_when_training_begins(data):
    merged = load_table(data.model_copy(update={"label_map": "iemocap4_exc"})).targets["emotion"]
    apart = load_table(data.model_copy(update={"label_map": "iemocap4"})).targets["emotion"]
    assert merged.spec.labels == apart.spec.labels and len(merged.spec.labels) == 4
    # excitement counts as happiness, or has no answer; frustration has none either way
    assert merged.valid[:6].tolist() == [True, True, True, True, True, False]
    assert apart.valid[:6].tolist() == [True, True, False, True, True, False]
    assert merged.value[1] == merged.value[2]
    rest = load_table(data.model_copy(update={"label_map": "one_vs_rest"})).targets
    assert rest["emotion"].spec.kind == "multi_label" and rest["score"].spec.kind == "regression"
    with pytest.raises(ConfigError, match="iemocap4_exc"):
        load_table(data.model_copy(update={"label_map": "iemocap5"}))


def test_sessions_are_tested_chosen_by_and_trained_on_apart(data):
    split = SplitConfig(kind="group_fold", by="session", fold=4)
    table = load_table(data.model_copy(update={"split": split}))
    found = {part: sorted(set(table.groups["session"][table.split == part])) for part in ("train", "valid", "test")}
    assert found == {"train": ["Ses02", "Ses03", "Ses04"], "valid": ["Ses01"], "test": ["Ses05"]}
