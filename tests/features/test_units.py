"""Speech units: k-means against scikit-learn, training clips alone, and one answer by either way into a store."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import KMeans
from tiny_sights_and_sounds import write_speech_encoder

from merkit.corpora.manifest import Manifest
from merkit.errors import ConfigError, StoreError, WeightError
from merkit.features import ClipRecord, FeatureStore, Row
from merkit.features import kmeans as module
from merkit.features.kmeans import fit_centroids, nearest
from merkit.features.speech_by_name import SpeechEncoderExtractor
from merkit.features.unit_tokens import SpeechUnitsExtractor, write_unit_store
from merkit.features.units import SpeechUnits, fit_units
from merkit.schema import Clip

RNG = np.random.default_rng(0)
BLOBS = np.concatenate([RNG.normal(size=(300, 6)) + centre for centre in RNG.normal(size=(5, 6)) * 6]).astype("float32")


def test_the_nearest_centroid_is_the_one_scikit_learn_predicts() -> None:
    theirs = KMeans(7, n_init=1, random_state=0).fit(BLOBS)
    many = np.concatenate([BLOBS] * 8)  # more rows than are measured at once
    which, far = nearest(many, theirs.cluster_centers_)
    np.testing.assert_array_equal(which, theirs.predict(many))
    np.testing.assert_allclose(far.sum(), 8 * theirs.inertia_, rtol=1e-4)


def test_rounds_are_those_of_scikit_learn_from_the_same_beginning(monkeypatch) -> None:
    import torch

    begin = BLOBS[[0, 1, 2, 700, 701, 1400]]
    monkeypatch.setattr(module, "_begin", lambda *_: torch.from_numpy(begin.copy()))
    theirs = KMeans(6, init=begin, n_init=1, max_iter=300, tol=0, algorithm="lloyd").fit(BLOBS).cluster_centers_
    found = fit_centroids(BLOBS, 6, tolerance=0.0, rounds=300)
    np.testing.assert_allclose(found, theirs[np.lexsort(theirs.T[::-1])], atol=1e-3)


def test_groups_are_found_from_any_seed_and_the_same_from_the_same() -> None:
    best = KMeans(5, n_init=10, random_state=0).fit(BLOBS).inertia_
    for seed in range(3):
        centroids = fit_centroids(BLOBS, 5, seed=seed)
        assert nearest(BLOBS, centroids)[1].sum() < 1.7 * best
        np.testing.assert_array_equal(centroids, fit_centroids(BLOBS, 5, seed=seed))
    spread = [nearest(BLOBS, fit_centroids(BLOBS, k))[1].sum() for k in (1, 5, 40)]
    assert spread == sorted(spread, reverse=True)
    np.testing.assert_allclose(fit_centroids(BLOBS, 1), BLOBS.mean(0, keepdims=True), atol=1e-4)


def test_there_are_no_more_units_than_vectors() -> None:
    with pytest.raises(ConfigError, match="at least one vector"):
        fit_centroids(BLOBS[:3], 4)
    with pytest.raises(ConfigError, match="only 2 different"):
        fit_centroids(np.repeat(BLOBS[:2], 5, 0), 3)
    assert len(np.unique(fit_centroids(BLOBS[:4], 4), axis=0)) == 4


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_speech_encoder(tmp_path_factory.mktemp("units") / "tiny"))


def clips(splits: dict[str, str]) -> Manifest:
    return Manifest("tiny", tuple(Clip(name, (), split=split) for name, split in splits.items()), (), Path())


SPLITS = {"a": "train", "b": "test", "c": "train", "d": "valid", "e": ""}


def states_store(folder: Path, encoder: str, shift: float = 0.0, made_by: str | None = None) -> FeatureStore:
    """States by chance for five clips; those of `b`, `d` and `e` are moved."""
    store = FeatureStore.create(folder)
    made_by = made_by or SpeechEncoderExtractor(encoder, layer=2).id
    for number, clip in enumerate(SPLITS):
        x = np.random.default_rng(number).normal(size=(40, 16)).astype(np.float32) + shift * (clip in "bde")
        start_s, segment = np.arange(40) / 50, np.repeat([0, 1], 20).astype(np.int32)
        rows = [Row("speech", None, made_by, x, start_s, start_s + 0.025, segment)]
        if clip == "a":
            rows.append(Row("face", "person_1", "f@000000000000", x[:3], start_s[:3], start_s[:3] + 1, segment[:3] - 1))
        store.add(
            ClipRecord(clip, f"key {clip}", f"input {clip}", {"duration_s": 1.0, "segments": [{}, {}]}, tuple(rows))
        )
    store.finalise()
    return FeatureStore.open(folder)


def test_training_clips_alone_make_the_units(tmp_path, encoder) -> None:
    manifest = clips(SPLITS)
    units = fit_units(manifest, states_store(tmp_path / "one", encoder), f"{encoder}:2", 6)
    moved = fit_units(manifest, states_store(tmp_path / "two", encoder, shift=50.0), f"{encoder}:2", 6)
    np.testing.assert_array_equal(units.centroids, moved.centroids)
    assert units.about["statistics_on"] == ["train"] and units.about["clips"] == ["a", "c"]
    assert units.about["tokens"] == 80 and units.about["corpus"] == "tiny"
    x = np.concatenate([np.random.default_rng(i).normal(size=(40, 16)).astype(np.float32) for i in (0, 2)])
    np.testing.assert_array_equal(units.centroids, fit_centroids(x, 6))
    assert units.leaks(manifest) == []
    assert units.leaks(clips(SPLITS | {"c": "test"})) == ["c"]


def test_states_are_thinned_by_chance_over_all_training_clips(tmp_path, encoder, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr("merkit.features.units.fit_centroids", lambda x, k, **_: seen.append(x) or x[:k])
    store = states_store(tmp_path / "store", encoder)
    units = fit_units(clips(SPLITS), store, f"{encoder}:2", 2, most=30)
    assert units.about["tokens"] == 30
    rows = {clip: np.asarray(store.x(store.row(clip, "speech"))) for clip in "ac"}
    of = [{tuple(x) for x in own} for own in rows.values()]
    shares = [sum(tuple(x) in own for x in seen[0]) for own in of]
    assert sum(shares) == 30 and min(shares) >= 8
    assert len({tuple(x) for x in seen[0]}) == 30


def test_states_of_another_encoder_or_layer_are_refused(tmp_path, encoder) -> None:
    store = states_store(tmp_path / "store", encoder)
    with pytest.raises(ConfigError, match="was made by speech-encoder@"):
        fit_units(clips(SPLITS), store, encoder, 6)
    with pytest.raises(ConfigError, match="none of the 0 training clips"):
        fit_units(clips({"b": "test"}), store, f"{encoder}:2", 6)


def test_units_are_kept_and_damage_is_found(tmp_path, encoder) -> None:
    units = fit_units(clips(SPLITS), states_store(tmp_path / "store", encoder), f"{encoder}:2", 6)
    folder = units.save(tmp_path / "units")
    again = SpeechUnits.load(folder)
    np.testing.assert_array_equal(again.centroids, units.centroids)
    assert again.about["encoder"] == f"{encoder}:2" and again.about["k"] == 6
    about = json.loads((folder / "units.json").read_text())
    (folder / "units.json").write_text(json.dumps(about | {"sha256": "0"}))
    with pytest.raises(WeightError, match="are not those"):
        SpeechUnits.load(folder)
    (folder / "units.json").write_text(json.dumps(about | {"states": "speech-encoder@0"}))
    with pytest.raises(WeightError, match="other weights, or another layer"):
        SpeechUnitsExtractor(str(folder))
    with pytest.raises(WeightError, match="no speech units"):
        SpeechUnits.load(tmp_path)
    with pytest.raises(ConfigError, match="16 wide cannot number"):
        units.assign(np.zeros((3, 4), np.float32))


@pytest.mark.parametrize("collapse", [False, True])
def test_a_store_of_states_becomes_one_of_units(tmp_path, encoder, collapse: bool) -> None:
    store = states_store(tmp_path / "store", encoder)
    units = fit_units(clips(SPLITS), store, f"{encoder}:2", 3)
    folder = units.save(tmp_path / "units")
    made = write_unit_store(store, folder, tmp_path / "out", collapse=collapse)
    extractor = SpeechUnitsExtractor(str(folder), collapse)
    assert extractor.statistics_on == ("train",)
    assert made.clips == store.clips and made.about("a") == store.about("a")
    np.testing.assert_array_equal(made.read("a", "face", "person_1").x, store.read("a", "face", "person_1").x)
    for clip in SPLITS:
        old, new = store.read(clip, "speech"), made.read(clip, "speech", extractor_id=extractor.id)
        which = KMeans(3, init=units.centroids, n_init=1, max_iter=1).fit(units.centroids).predict(old.x)
        expected, start_s, end_s, segment = [], [], [], []
        for i, unit in enumerate(which):
            # utterances are of 20 tokens each; a run does not reach into the next
            if collapse and expected and unit == expected[-1] and i != 20:
                end_s[-1] = old.end_s[i]
                continue
            expected.append(unit), start_s.append(old.start_s[i]), end_s.append(old.end_s[i]), segment.append(i // 20)
        assert new.x.shape == (len(expected), 1) and new.x.dtype == np.float32
        np.testing.assert_array_equal(new.x[:, 0], expected)
        np.testing.assert_array_equal(new.start_s, start_s)
        np.testing.assert_array_equal(new.end_s, end_s)
        np.testing.assert_array_equal(made.segment_of(made.row(clip, "speech")), segment)
    with pytest.raises(StoreError, match="a store of their own"):
        write_unit_store(store, folder, store.path)
    with pytest.raises(StoreError, match="was made by someone@1"):
        write_unit_store(states_store(tmp_path / "other", encoder, made_by="someone@1"), folder, tmp_path / "out2")
