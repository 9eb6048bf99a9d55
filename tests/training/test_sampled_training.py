"""Training on sampled tokens and shuffled persons: resumed bitwise, evaluated without chance, learnt by every place."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from merkit.config import override
from merkit.data.table import ClipTable, TargetColumn, TokenColumn
from merkit.data.token_sampling import Sampling, TokenSampling
from merkit.errors import ConfigError
from merkit.schema import TargetSpec
from merkit.systems import system
from merkit.systems.fusion import FusionConfig, plan
from merkit.training.evaluate import predictions_of
from merkit.training.fit import Fitted, fit, loader_for
from merkit.training.train import train

SAMPLING = Sampling({"face": TokenSampling(2, 5, random=True)}, shuffle_entities=True)
CHARACTER = TargetSpec("character", "multi_label", ("kind",), per_entity=True)
SCENE = TargetSpec("scene", "multi_label", ("busy",))
CONFIG = ("trainer.batch_size=8", "trainer.max_epochs=4", "trainer.accelerator=cpu", "model.width=8", "optim.lr=0.02")


def films(n: int = 60) -> ClipTable:
    """Whoever is kind shows it in every token of the face, and only the first two persons ever are."""
    rng = np.random.default_rng(1)
    kind = rng.random((n, 4)) < np.array([0.5, 0.5, 0, 0])
    lengths = rng.integers(2, 16, n * 4)
    x = rng.normal(size=(lengths.sum(), 5)) * 0.3
    x[:, 2] += np.repeat(kind.ravel() * 2.0 - 1, lengths)
    face = TokenColumn(
        x.astype(np.float32), np.append(0, np.cumsum(lengths)), np.repeat(np.arange(n), 4), np.tile(np.arange(4), n)
    )
    scene = TokenColumn.of_sequences([rng.normal(size=(3, 4)) for _ in range(n)])
    targets = {
        "character": TargetColumn(CHARACTER, kind[..., None].astype(np.float32), np.ones((n, 4, 1), bool)),
        "scene": TargetColumn(SCENE, kind.any(1)[:, None].astype(np.float32), np.ones((n, 1), bool)),
    }
    split = np.repeat(["train", "valid"], [n - 20, 20])
    return ClipTable("films", np.array([f"c{i}" for i in range(n)]), split, {"face": face, "scene": scene}, targets)


class Stopped(RuntimeError):
    """Stands for anything that ends a process."""


def run(folder: Path, sampling: Sampling | None, stop_after: int = 10**9) -> Fitted:
    config = override(FusionConfig(), [*CONFIG, "trainer.save_every_steps=1", "model.dropout=0.2"])
    torch.manual_seed(0)
    made = replace(plan(config, films()), sampling=sampling)
    inner, calls = made.objective.forward, []

    def forward(model, batch):
        if model.training:
            calls.append(1)
            if len(calls) > stop_after:
                raise Stopped
        return inner(model, batch)

    made.objective.forward = forward
    return fit(made, folder)


def same(a: Fitted, b: Fitted) -> bool:
    return all(
        torch.equal(x, y) for x, y in zip(a.model.state_dict().values(), b.model.state_dict().values(), strict=True)
    )


def test_resumed_equals_uninterrupted_bitwise(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", SAMPLING)
    for stop_after in (2, 5, 13):  # 5 batches an epoch
        with pytest.raises(Stopped):
            run(tmp_path / f"{stop_after}", SAMPLING, stop_after)
        resumed = run(tmp_path / f"{stop_after}", SAMPLING)
        assert same(whole, resumed) and whole.history == resumed.history
    assert not same(whole, run(tmp_path / "all", None))


def test_batches_are_bucketed_by_what_is_seen_of_clips() -> None:
    config = override(FusionConfig(), list(CONFIG))
    table = films().where("train")
    sampling = Sampling({"face": TokenSampling(1, 1)})
    _, order = loader_for(table, ("face",), config.trainer, train=True, sampling=sampling)
    assert order.lengths is None  # one token everywhere: nothing to sort by
    _, order = loader_for(table, ("face",), config.trainer, train=True, sampling=SAMPLING)
    assert order.lengths.max() == 5


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    recipe = replace(system.SYSTEMS["fusion"], name="sampled", sampling=lambda config, table: SAMPLING)
    monkeypatch.setitem(system.SYSTEMS, "sampled", recipe)
    yield "sampled"


def test_a_system_says_what_is_sampled_and_evaluation_does_the_same_each_time(tmp_path: Path, sampled: str) -> None:
    config = override(FusionConfig(), [*CONFIG, "trainer.max_epochs=25"])
    table = films()
    one, two = (train(sampled, config, tmp_path / name, table=table) for name in "ab")
    valid = table.where("valid")
    first, second = predictions_of(one, valid), predictions_of(two, valid)
    for name in ("character", "scene"):
        np.testing.assert_array_equal(first.output[name], second.output[name])
        np.testing.assert_array_equal(first.target[name].ravel(), valid.targets[name].value.ravel())
    # the clips with all but the tokens that evaluation takes left out are answered the same: nothing else was read
    column = valid.streams["face"]
    keep = SAMPLING.keep("face", None)
    shorter = replace(valid, streams={**valid.streams, "face": column.take(np.arange(20), keep=keep)})
    assert shorter.streams["face"].lengths.max() == 5
    plain = train("fusion", config, tmp_path / "plain", table=table)
    assert not np.array_equal(predictions_of(plain, valid).output["character"], first.output["character"])
    model, found = one.model(), []
    for clips, sampling in ((valid, SAMPLING), (shorter, None)):
        loader, _ = loader_for(clips, ("face", "scene"), config.trainer, sampling=sampling)
        with torch.inference_mode():
            found.append(torch.cat([model(batch)["character"] for batch in loader]))
    assert torch.equal(*found)
    # what shows in the face was learnt, though persons were shuffled and tokens drawn
    answers = first.output["character"].ravel() > 0.5
    assert (answers == first.target["character"].ravel().astype(bool)).mean() > 0.95


def test_a_plan_may_not_sample_otherwise_than_its_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(config, table):
        return replace(plan(config, table), sampling=SAMPLING)

    monkeypatch.setitem(system.SYSTEMS, "odd", replace(system.SYSTEMS["fusion"], plan=other))
    with pytest.raises(ConfigError, match=r"trains with Sampling.* would be evaluated with None"):
        train("odd", override(FusionConfig(), list(CONFIG)), tmp_path / "run", table=films())
