"""Labels of the tensor mixer: what is made of votes, which clips are judged, which targets are learned."""

from pathlib import Path

import numpy as np
import pytest
from rated_clips import LABELS, VOTES, write

from merkit.config import override
from merkit.corpora.kemdy import CENTROIDS, KEMDY7
from merkit.data.votes import peak
from merkit.errors import ConfigError
from merkit.systems import find_system, tensor_mixer

RECIPE = find_system("tensor_mixer")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("rated"))


def config(root: Path, *changes: str, preset: str = "") -> tensor_mixer.TensorMixerConfig:
    base = RECIPE.presets[preset]() if preset else RECIPE.config()
    return override(base, [f"data.root={root}", *changes])


def test_labels_are_made_of_votes_when_training_begins(root):
    shares = VOTES / 10
    top = (shares == shares.max(1, keepdims=True)).sum(1)
    hard = tensor_mixer.load(config(root)).targets["emotion"]
    assert hard.spec.kind == "single_label"
    assert (hard.valid == (top == 1)).all() and 0 < hard.valid.sum() < len(VOTES)
    assert (hard.value[top == 1] == shares[top == 1].argmax(1)).all()
    soft = tensor_mixer.load(config(root, "labels.mode=soft")).targets["emotion"]
    np.testing.assert_allclose(soft.value, shares, atol=1e-6)
    assert soft.spec.kind == "soft_label" and soft.valid.all()


def test_peakl_sharpens_what_is_learned_and_never_what_is_judged(root):
    chosen, shares = config(root, "labels.mode=peakl"), (VOTES / 10).astype(np.float32)
    table = tensor_mixer.load(chosen)
    value, train = table.targets["emotion"].value, table.split == "train"
    np.testing.assert_allclose(value[train], peak(shares)[train], atol=1e-6)
    np.testing.assert_allclose(value[~train], shares[~train], atol=1e-6)
    assert np.abs(peak(shares) - shares)[train].max() > 0.05
    for split in ("train", "valid"):
        judged = tensor_mixer.load(chosen, split=split).targets["emotion"].value
        np.testing.assert_allclose(judged, shares[table.split == split], atol=1e-6)


def test_ties_go_to_the_nearest_centroid_published_or_counted_in_training(root):
    table = tensor_mixer.load(config(root))
    affect, train = table.targets["affect"].value, table.split == "train"
    tied = [np.flatnonzero(row == row.max()) for row in VOTES]
    clear = np.array([len(each) == 1 for each in tied])
    counted = {k: affect[train & clear & (VOTES.argmax(1) == k)].mean(0) for k in range(len(LABELS))}
    published = {k: CENTROIDS["kemdy20"][KEMDY7.labels.index(name)] for k, name in enumerate(LABELS)}
    for centroids, name in ((counted, "auto"), (published, "kemdy20")):
        found = tensor_mixer.load(config(root, "labels.ties=centroid", f"labels.centroids={name}")).targets["emotion"]
        nearest = [min(ks, key=lambda k: np.square(affect[i] - centroids[k]).sum()) for i, ks in enumerate(tied)]
        assert found.value.tolist() == nearest and found.valid.all()
    # the same of a split alone, and of classes alone: affect decides though it is not learned
    alone = config(root, "labels.ties=centroid", "task=classification")
    judged = tensor_mixer.load(alone, split="valid")
    whole = tensor_mixer.load(alone)
    assert list(judged.targets) == ["emotion"]
    assert judged.targets["emotion"].value.tolist() == whole.targets["emotion"].value[~train].tolist()
    assert tensor_mixer.load(config(root, "labels.ties=first")).targets["emotion"].valid.all()


def test_folds_are_groups_and_no_speaker_is_in_two(root, tmp_path):
    table = tensor_mixer.load(config(root, "validation_fold=2"))
    assert set(table.groups["fold"][table.split == "valid"]) == {"2"}
    assert set(table.split) == {"train", "valid"}
    judged = tensor_mixer.load(config(root, "validation_fold=2", "data.num_data=4"), split="valid")
    assert set(judged.groups["fold"]) == {"2"} and len(judged) == 4
    with pytest.raises(ConfigError, match="folds of rated are 0, 1, 2"):
        tensor_mixer.load(config(root, "validation_fold=7"))
    with pytest.raises(ConfigError, match="divides the clips alone"):
        tensor_mixer.load(config(root, "validation_fold=1", "data.split.kind=group"))
    torn = write(tmp_path, speakers=2)
    with pytest.raises(ConfigError, match="speak in other folds too"):
        tensor_mixer.load(config(torn, "validation_fold=1"))


def test_what_is_learned_is_chosen_and_spread_is_not_a_question(root):
    assert list(tensor_mixer.load(config(root)).targets) == ["emotion", "affect"]
    assert list(tensor_mixer.load(config(root, "task=regression")).targets) == ["affect"]
    named = tensor_mixer.load(config(root, "data.targets=[affect_spread, emotion]"))
    assert set(named.targets) == {"affect_spread", "emotion"}
    for preset, targets in (("speech_classification", ["emotion"]), ("speech_regression", ["affect"])):
        table = tensor_mixer.load(config(root, preset=preset))
        assert list(table.targets) == targets and list(table.streams) == ["speech"]
    with pytest.raises(ConfigError, match="task=classification"):
        tensor_mixer.load(config(root, "task=classification", "data.targets=[affect]"))
