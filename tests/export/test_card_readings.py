"""What a model card says of test: figures of these very weights, and of whose clips."""

from pathlib import Path

import pytest
from small_corpus import ARRAYS, write_arrays

from merkit.config import override
from merkit.export.card import card_of
from merkit.export.parity import Parity
from merkit.export.source import Source
from merkit.systems.data import DataConfig
from merkit.systems.fusion import FusionConfig
from merkit.training import evaluate_runs, train

SHORT = ("trainer.max_epochs=1", "trainer.accelerator=cpu", "model.width=4", "trainer.watch=accuracy")


def said_of(path: Path) -> str:
    source = Source(path)
    return card_of(source.runs, source.config, "hf", Parity(0.0, "", 1, 12, False))


@pytest.fixture
def chosen(tmp_path: Path) -> FusionConfig:
    root = write_arrays(tmp_path / "corpus")
    return override(FusionConfig(data=DataConfig(root=root, arrays=ARRAYS)), SHORT)


def test_figures_of_another_folder_are_said_to_be_and_those_of_other_weights_are_not_shown(
    chosen: FusionConfig, tmp_path: Path
) -> None:
    run = train("fusion", chosen, tmp_path / "run")
    evaluate_runs([run.path], root=write_arrays(tmp_path / "held-out", seed=3), split="test", draws=20)
    accuracy = run.record["test_readings"][0]["emotion.accuracy"]
    card = said_of(run.path)
    assert "On test of `held-out`:" in card and f"| emotion.accuracy | {accuracy:.3f}" in card
    train("fusion", chosen, run.path, resume=False)
    card = said_of(run.path)
    assert "On test" not in card and "The test split was read 1 time." in card
