"""Answers per person: which clip each belongs to, what the bootstrap draws, what two runs are compared on."""

from dataclasses import replace

import numpy as np
import pytest
from small_scenes import small_scenes

from merkit.config import override
from merkit.evaluation.measures import measure_all
from merkit.systems import emotx
from merkit.training.compare import compare_runs
from merkit.training.evaluate import Predictions, evaluate_runs
from merkit.training.run import Run
from merkit.training.train import train

SMALL = (
    "hidden_dim=8", "num_heads=2", "feedforward=8", "trainer.batch_size=8", "trainer.accelerator=cpu", "trainer.max_epochs=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    table = small_scenes(30)

    def load(config, *, root=None, split=None):
        return table if split is None else table.where(split)

    from merkit.systems import system

    patch.setitem(system.SYSTEMS, "emotx", replace(system.SYSTEMS["emotx"], load=load))
    folder = tmp_path_factory.mktemp("runs")
    for name, model in (("queries", "emotx"), ("mlp", "mlp")):
        train("emotx", override(emotx.EmoTxConfig(), [*SMALL, f"model_no={model}"]), folder / name)
    yield folder, table.where("valid")
    patch.undo()


def test_every_answer_knows_its_clip_and_people_of_a_clip_are_drawn_together(runs):
    folder, table = runs
    evaluate_runs([folder / "queries"], split="valid", draws=50)
    made = Predictions.load(folder / "queries" / "predictions" / "valid.npz")
    people = table.targets["character"].valid.any(-1)
    assert made.owner["character"].tolist() == np.repeat(np.arange(len(table)), people.sum(1)).tolist()
    expected = table.targets["character"].value[people]
    np.testing.assert_array_equal(made.target["character"], expected)
    units = made.units("character")
    assert units.tolist() == table.groups["movie"][made.owner["character"]].tolist()
    alone = replace(made, groups=None)
    assert alone.units("character").tolist() == table.ids[made.owner["character"]].tolist()
    assert alone.units("scene") is None
    assert made.rows("character", np.array([3, 0])).tolist() == [
        *np.flatnonzero(made.owner["character"] == 3), *np.flatnonzero(made.owner["character"] == 0)
    ]  # fmt: skip


def test_runs_are_compared_on_persons_as_well(runs):
    folder, _ = runs
    rows = {row.measure: row for row in compare_runs(folder / "queries", folder / "mlp", split="valid", draws=40)}
    spec = next(spec for spec in Run(folder / "queries").specs if spec.per_entity)
    made = Predictions.load(folder / "queries" / "predictions" / "valid.npz")
    own = measure_all(spec, made.output["character"], made.target["character"], made.valid["character"])
    assert rows["character.map"].first == pytest.approx(own["map"])
    assert rows["character.map"].difference.low <= rows["character.map"].difference.value
    same = compare_runs(folder / "mlp", folder / "mlp", split="valid", measure="character.map", draws=20)
    assert same[0].difference.value == 0
