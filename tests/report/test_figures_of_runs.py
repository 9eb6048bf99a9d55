"""From a run on disk to figures: the numbers are those of its predictions and of what its model looks at, scene by scene."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, confusion_matrix, f1_score
from small_scenes import CHARACTERS, LABELS, small_scenes

from merkit.data.batch import Batch, Tokens, collate
from merkit.data.table import ClipTable
from merkit.errors import ConfigError, StoreError
from merkit.evaluation.by_class import by_class
from merkit.report.figures import attention_figures, run_figures
from merkit.report.figures.collected import collect_attention
from merkit.report.figures.of_attention import scene_timelines
from merkit.schema import TargetSpec
from merkit.systems.fusion import FusionConfig
from merkit.systems.system import SYSTEMS
from merkit.training.evaluate import Predictions, predictions_of
from merkit.training.run import Run, facts_of
from merkit.training.train import train

SCENE = TargetSpec("scene", "multi_label", LABELS)


@pytest.fixture(scope="module")
def table() -> ClipTable:
    made = small_scenes(48)
    names = np.empty(len(made), object)
    names[:] = [tuple(f"Ann {j}" for j in range(len(present))) for present in made.entities]
    return replace(made, entities=names)


@pytest.fixture(scope="module")
def trained(table: ClipTable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of a tiny EmoTx, one epoch, answered on valid."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    recipe = SYSTEMS["emotx"]
    config = recipe.config(hidden_dim=16, num_heads=2, feedforward=16, num_enc_layers=1)
    for seed in (0, 1):
        trainer = config.trainer.model_copy(update={"max_epochs": 1, "accelerator": "cpu", "seed": seed})
        run = train("emotx", config.model_copy(update={"trainer": trainer}), folder / f"seed-{seed}", table=table)
        predictions_of(run, table.where("valid")).save(run.path / "predictions" / "valid.npz")
    Run.of_seeds(folder, "emotx", config)
    return folder


@pytest.fixture
def data(table: ClipTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run's data can be read."""

    def load(config: object, *, root: Path | None = None, split: str | None = None) -> ClipTable:
        return table if split is None else table.where(split)

    monkeypatch.setitem(SYSTEMS, "emotx", replace(SYSTEMS["emotx"], load=load))


def rows_of(drawing, *key: str) -> dict:
    """Columns that follow the key, by the key."""
    return {row[: len(key)]: row[len(key) :] for row in drawing.rows}


def test_bars_of_one_seed_hold_average_precision_and_draw_whole_movies(table: ClipTable, trained: Path) -> None:
    (drawing,), said = run_figures(trained / "seed-0", draws=100)
    assert said == []
    made = Predictions.load(trained / "seed-0" / "predictions" / "valid.npz")
    rows = rows_of(drawing, "target", "label")
    valid = table.where("valid")
    there = valid.targets["character"].valid.any(-1)
    movies = {"scene": valid.groups["movie"]}
    movies["character"] = np.array(
        [valid.groups["movie"][i] for i in range(len(valid)) for j in range(CHARACTERS) if there[i, j]]
    )
    for name in ("scene", "character"):
        target, prob = made.target[name], made.output[name]
        want = by_class([prob], target, made.valid[name], groups=movies[name], draws=100)
        for k, label in enumerate(LABELS):
            value, low, high, positives, answers, prevalence, interval = rows[name, label]
            assert value == pytest.approx(average_precision_score(target[:, k], prob[:, k]))
            assert (low, high) == (pytest.approx(want.low[k]), pytest.approx(want.high[k]))
            assert (positives, answers) == (target[:, k].sum(), len(movies[name]))
            assert prevalence == positives / answers and "whole groups" in interval


def test_predictions_that_do_not_say_who_shares_a_scene_have_no_interval(trained: Path, tmp_path: Path) -> None:
    made = Predictions.load(trained / "seed-0" / "predictions" / "valid.npz")
    for name in ("config.json", "record.json"):
        (tmp_path / name).write_bytes((trained / "seed-0" / name).read_bytes())
    replace(made, owner={}).save(tmp_path / "predictions" / "valid.npz")
    (drawing,), _ = run_figures(tmp_path, draws=100)
    rows = rows_of(drawing, "target", "label")
    assert not np.isnan(rows["scene", "happy"][1])
    assert np.isnan(rows["character", "happy"][1]) and rows["character", "happy"][0] > 0
    notes = " ".join(text.get_text() for text in drawing.figure.texts).replace("\n   ", " ")
    assert "character: no interval: these predictions do not say who shares a clip" in notes


def test_without_groups_characters_of_a_scene_are_drawn_together(
    table: ClipTable, trained: Path, tmp_path: Path
) -> None:
    made = Predictions.load(trained / "seed-0" / "predictions" / "valid.npz")
    for name in ("config.json", "record.json"):
        (tmp_path / name).write_bytes((trained / "seed-0" / name).read_bytes())
    replace(made, groups=None).save(tmp_path / "predictions" / "valid.npz")
    (drawing,), _ = run_figures(tmp_path, draws=100)
    there = table.where("valid").targets["character"].valid.any(-1)
    scene = np.array([i for i in range(len(there)) for j in range(CHARACTERS) if there[i, j]])
    want = by_class(
        [made.output["character"]], made.target["character"], made.valid["character"], groups=scene, draws=100
    )
    low, high, *_, interval = rows_of(drawing, "target", "label")["character", "happy"][1:]
    # names of scenes sort otherwise than their numbers, so other scenes are drawn: alike, not equal
    assert (low, high) == (pytest.approx(want.low[0], abs=0.08), pytest.approx(want.high[0], abs=0.08))
    assert interval == "95 % bootstrap interval over whole clips"


def test_several_seeds_are_drawn_as_mean_lowest_and_highest(trained: Path) -> None:
    (drawing,), _ = run_figures(trained, draws=100)
    made = [Predictions.load(trained / f"seed-{seed}" / "predictions" / "valid.npz") for seed in (0, 1)]
    each = [average_precision_score(one.target["scene"][:, 0], one.output["scene"][:, 0]) for one in made]
    value, low, high, *_, interval = rows_of(drawing, "target", "label")["scene", "happy"]
    assert (value, low, high) == (pytest.approx(np.mean(each)), pytest.approx(min(each)), pytest.approx(max(each)))
    assert interval == "lowest to highest of 2 seeds"
    assert "mean of 2 seeds" in drawing.figure.texts[0].get_text()


def test_a_split_that_was_not_evaluated_names_the_command(trained: Path) -> None:
    with pytest.raises(StoreError, match=r"merkit evaluate .*tiny --split test"):
        run_figures(trained, split="test")


def test_confusions_of_a_single_label_run(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    emotion = TargetSpec("emotion", "single_label", ("joy", "anger", "fear"))
    rating = TargetSpec("rating", "regression", ("valence",))
    prob, target, valid = rng.dirichlet(np.ones(3), 60), rng.integers(3, size=60), rng.random(60) < 0.8
    Run.create(
        tmp_path / "run", "fusion", FusionConfig(), {"status": "finished", "targets": facts_of((emotion, rating))}
    )
    zeros = np.zeros((60, 1))
    made = Predictions(
        np.arange(60).astype(str), {"emotion": prob, "rating": zeros}, {"emotion": target, "rating": zeros},
        {"emotion": valid, "rating": zeros > 0}, np.arange(60) // 6,
    )  # fmt: skip
    made.save(tmp_path / "run" / "predictions" / "valid.npz")
    (drawing,), said = run_figures(tmp_path / "run", draws=50)
    assert said == ["rating is a regression target; figures are drawn of labels and classes."]
    want = confusion_matrix(target[valid], prob[valid].argmax(1))
    assert [row[2] for row in drawing.rows] == want.ravel().tolist()
    bars = [bar.get_width() for bar in drawing.figure.axes[1].patches]
    assert bars == pytest.approx(f1_score(target[valid], prob[valid].argmax(1), average=None))
    assert f"n = {valid.sum()}" in drawing.figure.texts[0].get_text()


@pytest.mark.usefixtures("data")
def test_expressiveness_of_a_trained_model_scene_by_scene(table: ClipTable, trained: Path) -> None:
    """What the figure says of batches of eight equals what each scene says alone."""
    (bars, *_), said = attention_figures(trained, draws=50)
    assert said[0] == "2 seeds: attention is drawn of seed-0."
    model = Run(trained / "seed-0").model()
    valid = table.where("valid")
    ratios: dict[str, list[float]] = {label: [] for label in LABELS}
    for i in range(len(valid)):
        with torch.no_grad():
            out = model.outputs(collate(valid, np.array([i]), modalities=tuple(valid.streams)))
        for k, label in enumerate(LABELS):
            paid = {
                name.split(".")[1]: w[0, k].sum().item()
                for name, w in out.attention.items()
                if name.startswith("scene.")
            }
            assert sum(paid.values()) < 1.0001
            if valid.targets["scene"].value[i, k] and paid["scene"] + paid["text"] > 0:
                ratios[label].append((paid["face"] + paid["lines"]) / (paid["scene"] + paid["text"]))
    for label, value, low, high, scenes, left_out in bars.rows:
        assert value == pytest.approx(np.mean(ratios[label]), rel=1e-4)
        assert scenes == len(ratios[label]) and low <= value <= high
        assert scenes + left_out == valid.targets["scene"].value[:, LABELS.index(label)].sum()
    values = [row[1] for row in bars.rows]
    assert values == sorted(values, reverse=True)


@pytest.mark.usefixtures("data")
def test_a_scene_is_drawn_with_each_of_its_characters(table: ClipTable, trained: Path) -> None:
    valid = table.where("valid")
    row = next(i for i in range(len(valid)) if len(valid.entities[i]) == 2)
    (_, *timelines), _ = attention_figures(trained, scene=str(valid.ids[row]), draws=50, most=2)
    assert len(timelines) == 3  # the scene and two characters, not the empty third place
    panels = {drawn[0] for drawn in timelines[0].rows}
    assert {"face of Ann 0", "face of Ann 1"} <= panels and not any("Ann 2" in panel for panel in panels)
    assert "label queries of Ann 1" in timelines[2].figure.texts[0].get_text()
    faces = valid.take(np.array([row])).streams["face"]
    first = faces.start_s[: faces.offsets[1]]
    top = timelines[0].rows[0][1]
    assert [r[3] for r in timelines[0].rows if r[0] == "face of Ann 0" and r[1] == top] == pytest.approx(first)


@pytest.mark.usefixtures("data")
def test_what_cannot_be_drawn_is_refused(trained: Path) -> None:
    with pytest.raises(ConfigError, match="no scene s99 in valid"):
        attention_figures(trained, scene="s99")
    with pytest.raises(StoreError, match="read by `merkit evaluate` alone"):
        attention_figures(trained, split="test")


class Hand(torch.nn.Module):
    """A model whose attention is written down: `EmoTx`'s contract with weights that a reader can add up."""

    def __init__(self, attention: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.attention = attention
        self.modes: list[bool] = []

    def outputs(self, batch: Batch) -> SimpleNamespace:
        self.modes.append(self.training)
        first = [int(name) for name in batch.ids]
        return SimpleNamespace(
            attention={name: weight[first] for name, weight in self.attention.items()},
            logits={"scene": torch.tensor([[0.0, 2.0, -1.0]]).repeat(batch.size, 1)},
        )


def hand_batches() -> list[Batch]:
    masks = {"scene": torch.tensor([[[True, True]], [[True, False]], [[True, True]]])}
    masks["face"] = torch.tensor(
        [[[True, False], [True, True]], [[False, False], [False, False]], [[True, True], [False, False]]]
    )
    times = {"scene": torch.tensor([[[0.0, 4.0]]] * 3), "face": torch.tensor([[[1.0, 0.0], [2.0, 3.0]]] * 3)}
    made = []
    for rows in ([0, 1], [2]):
        tokens = {
            name: Tokens(torch.zeros(len(rows), *masks[name].shape[1:], 1), masks[name][rows], times[name][rows])
            for name in masks
        }
        made.append(Batch(tuple(map(str, rows)), len(rows), tokens))
    return made


def hand_model() -> Hand:
    face = torch.zeros(3, 3, 2, 2)
    face[0, :, 0, 0], face[0, :, 1, 1], face[2, :, 0, :] = 0.1, 0.2, 0.05
    scene = torch.zeros(3, 3, 1, 2)
    scene[..., 0] = torch.tensor([[0.3], [0.2], [0.1]])
    return Hand({"scene.scene": scene, "scene.face": face, "weights": torch.zeros(3, 3)})


def test_attention_is_collected_by_stream_in_the_order_of_the_clips() -> None:
    model = hand_model().train()
    told: list[int] = []
    paid, ids, kept = collect_attention(model, hand_batches(), SCENE, progress=told.append)
    assert told == [2, 3]
    assert ids == ["0", "1", "2"] and model.modes == [False, False]
    assert paid["face"] == pytest.approx(np.array([[0.3] * 3, [0] * 3, [0.1] * 3]))
    assert paid["scene"] == pytest.approx(np.array([[0.3, 0.2, 0.1]] * 3))
    assert kept is not None and kept.id == "0"  # the first with tokens in every stream
    _, _, other = collect_attention(model, hand_batches(), SCENE, keep="2", temperature={"scene": 2.0})
    assert other is not None and other.id == "2"
    assert other.prob["scene"] == pytest.approx(1 / (1 + np.exp([0.0, -1.0, 0.5])))


def test_a_timeline_shows_only_real_tokens_with_their_own_times() -> None:
    _, _, kept = collect_attention(hand_model(), hand_batches(), SCENE)
    assert kept is not None
    (drawing,) = scene_timelines(kept, (SCENE,), about="by hand", names=("Ann", "Bob"), most=1)
    assert drawing.rows == (
        ("picture of the scene", "angry", pytest.approx(0.8808, abs=1e-4), 0.0, pytest.approx(0.2)),
        ("picture of the scene", "angry", pytest.approx(0.8808, abs=1e-4), 4.0, 0.0),
        ("face of Ann", "angry", pytest.approx(0.8808, abs=1e-4), 1.0, pytest.approx(0.1)),
        ("face of Bob", "angry", pytest.approx(0.8808, abs=1e-4), 2.0, 0.0),
        ("face of Bob", "angry", pytest.approx(0.8808, abs=1e-4), 3.0, pytest.approx(0.2)),
    )


def test_a_scene_id_makes_no_folder() -> None:
    _, _, kept = collect_attention(hand_model(), hand_batches(), SCENE)
    assert kept is not None
    (drawing,) = scene_timelines(replace(kept, id="../../a/b c"), (SCENE,), about="by hand")
    assert drawing.name == "attention-.._.._a_b_c" and "/" not in drawing.name


def test_one_query_for_all_labels_is_no_label_query() -> None:
    """EmoTx-1CLS: its attention must not be drawn as if it were each label's own."""
    model = Hand({"scene.scene": torch.zeros(3, 1, 1, 2)})
    with pytest.raises(ConfigError, match="one query for all labels of scene"):
        collect_attention(model, hand_batches(), SCENE)


def test_a_model_without_label_queries_says_so() -> None:
    with pytest.raises(ConfigError, match="a Linear does not say what it looks at"):
        collect_attention(torch.nn.Linear(1, 1), hand_batches(), SCENE)
    model = Hand({"modalities": torch.zeros(3, 2)})
    with pytest.raises(ConfigError, match=r"does not say what its label queries .* \(its attention: modalities\)"):
        collect_attention(model, hand_batches(), SCENE)
