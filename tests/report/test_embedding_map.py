"""The map of fused vectors: coordinates, whose vectors they are, what colours them, and what is refused."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from small_scenes import small_scenes

from merkit.data.batch import collate
from merkit.data.table import TargetColumn
from merkit.errors import ConfigError, StoreError
from merkit.report.figures.embedding import embedding_map, explained, plane_of
from merkit.report.figures.of_embedding import embedding_figures, embeddings_of
from merkit.schema import TargetSpec
from merkit.systems.system import SYSTEMS
from merkit.training.run import Run


def test_coordinates_are_principal_components_that_never_turn_over() -> None:
    x = np.random.default_rng(0).normal(size=(40, 6)) @ np.diag([5, 3, 1, 1, 1, 1])
    place, names = plane_of(x)
    theirs = PCA(2).fit(x)
    np.testing.assert_allclose(np.abs(place), np.abs(theirs.transform(x)), atol=1e-9)
    assert names[0] == f"1st principal component, {100 * theirs.explained_variance_ratio_[0]:.0f} % of the variance"
    np.testing.assert_allclose(plane_of(x[::-1])[0][::-1], place, atol=1e-9)  # order of clips does not mirror the map
    single, _ = plane_of(x[:, :1])
    assert single.shape == (40, 2) and (single[:, 1] == 0).all()
    for wrong, said in ((dict(x=x[:2]), "at least three"), (dict(x=x, layout="tsne"), "there are pca and umap")):  # noqa: C408
        with pytest.raises(ConfigError, match=said):
            plane_of(**wrong)


def test_umap_is_asked_for_by_name_and_missed_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def importing(name: str) -> SimpleNamespace:
        assert name == "umap"
        if not present:
            raise ImportError("No module named 'umap'")
        made = lambda **given: SimpleNamespace(fit_transform=lambda x: x[:, :2] * given["n_components"])  # noqa: E731
        return SimpleNamespace(UMAP=made)

    monkeypatch.setattr("merkit.report.figures.embedding.importlib.import_module", importing)
    x, present = np.arange(12.0).reshape(4, 3), True
    place, names = plane_of(x, "umap")
    assert (place == 2 * x[:, :2]).all() and names == ("1st UMAP coordinate", "2nd UMAP coordinate")
    present = False
    with pytest.raises(ConfigError, match="pip install umap-learn"):
        plane_of(x, "umap")


def test_what_a_map_explains_is_the_fit_of_a_plane() -> None:
    rng = np.random.default_rng(1)
    place = rng.normal(size=(30, 2))
    rated = place @ [1.0, -0.5] + rng.normal(size=30)
    rated[:4] = np.nan
    expected = LinearRegression().fit(place[4:], rated[4:]).score(place[4:], rated[4:])
    assert explained(place, rated) == pytest.approx(expected, abs=1e-12) and 0.2 < expected < 0.95
    assert np.isnan(explained(place, np.full(30, 3.0)))


def test_dots_are_coloured_by_what_is_known() -> None:
    place = np.random.default_rng(2).normal(size=(5, 2))
    valence, index = np.array([1.0, 2, np.nan, 4, 5]), np.array([0, -1, 1, 1, 0])
    drawing = embedding_map(
        list("abcde"), place, axes_names=("one", "two"), title="made", name="m", numbers={"valence": valence},
        classes={"emotion": (("joy", "anger"), index)},
    )  # fmt: skip
    assert drawing.columns == ("clip", "x", "y", "valence", "emotion")
    assert [row[4] for row in drawing.rows] == ["joy", "", "anger", "anger", "joy"]
    assert drawing.csv().splitlines()[3].split(",")[3] == ""
    rated, named = drawing.figure.axes[:2]
    grey, seen = rated.collections
    assert len(grey.get_offsets()) == 1 and seen.get_array().tolist() == [1, 2, 4, 5]
    assert [text.get_text() for text in named.get_legend().get_texts()] == ["joy", "anger"]


def run_of(system: str, table, *changes) -> tuple[SimpleNamespace, torch.nn.Module]:
    """A run with fresh weights."""
    recipe = SYSTEMS[system]
    torch.manual_seed(0)
    config = recipe.config(**dict(changes))
    specs = tuple(column.spec for column in table.targets.values())
    model = recipe.build_model(config, {name: c.width for name, c in table.streams.items()}, specs).eval()
    record = {"modalities": tuple(table.streams)}
    return SimpleNamespace(
        context=recipe.context(config, list(table.streams)),
        model=lambda: model,
        config=config,
        record=record,
        system=SimpleNamespace(sampling=lambda *_: None),
    ), model


def test_vectors_are_of_persons_where_all_questions_are(tmp_path) -> None:
    scenes = small_scenes(12)
    only = replace(scenes, targets={"character": scenes.targets["character"]})
    run, model = run_of("fusion", only)
    made = embeddings_of(run, only, "valid")
    batch = collate(only, np.arange(12), modalities=run.record["modalities"])
    with torch.inference_mode():
        out = model.outputs(batch)
    there = torch.stack(list(out.present.values())).any(0).numpy()
    assert len(made.row) == there.sum() > 12 and made.place.max() > 0
    for i in (0, len(made.row) - 1):
        expected = out.embedding[int(made.row[i]), int(made.place[i])].numpy()
        np.testing.assert_allclose(made.x[i], expected, atol=1e-5)
    with np.load(made.write(tmp_path), allow_pickle=False) as held:
        assert held["embedding"].shape == made.x.shape and set(held["clip"]) <= set(scenes.ids)


def test_vectors_of_whole_clips_and_ratings_that_are_not_known() -> None:
    scenes = small_scenes(12)
    value = np.linspace(1, 5, 24).reshape(12, 2).astype(np.float32)
    valid = np.ones((12, 2), bool)
    valid[3, 1] = False
    affect = TargetColumn(TargetSpec("affect", "regression", ("valence", "arousal")), value, valid)
    table = replace(scenes, targets={**scenes.targets, "affect": affect})
    run, _ = run_of("emotx", scenes, ("hidden_dim", 16), ("num_heads", 2), ("feedforward", 16), ("num_enc_layers", 1))
    made = embeddings_of(run, table, "valid")
    assert made.ids.tolist() == scenes.ids.tolist() and made.x.shape == (12, 16) and (made.place == -1).all()
    np.testing.assert_allclose(made.numbers["valence"], value[:, 0])
    assert np.isnan(made.numbers["arousal"][3]) and set(made.numbers) == {"valence", "arousal"}
    run.model = lambda: torch.nn.Linear(1, 1)
    with pytest.raises(ConfigError, match="Linear does not say"):
        embeddings_of(run, table, "valid")


def test_clips_of_test_are_drawn_once_they_were_read(tmp_path) -> None:
    Run.create(tmp_path / "run", "fusion", SYSTEMS["fusion"].config(), {"status": "finished", "targets": []})
    with pytest.raises(StoreError, match="labels of test are read by `merkit evaluate` alone"):
        embedding_figures(tmp_path / "run", split="test")
