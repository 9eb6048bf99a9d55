"""Raw physiology as a stream of every fusion family of the generic recipe: there, partly there, absent."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rated_clips import write
from torch.nn import functional as F

from merkit.config import override
from merkit.data.batch import Tokens, collate
from merkit.errors import ConfigError, LeakageError
from merkit.features.physiology_windows import PhysiologyWindowsExtractor
from merkit.models.fusion import FUSIONS
from merkit.models.physiology import PhysiologyEncoder
from merkit.systems import find_system
from merkit.systems.physiology import check_windows

RECIPE = find_system("fusion")
WINDOWS = PhysiologyWindowsExtractor(2.0, 2.0, {"eda": 4.0, "ibi": 4.0})


def windows(shares, rng):
    """Skin that swings with the class, missing from one window; beats are missing from every other."""
    x = np.zeros((4, WINDOWS.width))
    x[:, :8] = 5 + rng.normal() + (0.1, 1, 3)[int(shares.argmax())] * np.sin(np.arange(8) + rng.uniform(0, 6, (4, 1)))
    x[::2, 8:16] = 0.8 + rng.normal(0, 0.05, (2, 8))
    x[:, 16], x[::2, 17] = 1, 1
    x[2, :8], x[2, 16] = 0, 0
    return x


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("sensed"), physiology=(WINDOWS.id, windows))


def planned(root: Path, *changes: str):
    config = override(
        RECIPE.config(),
        [
            f"data.root={root}", "data.targets=[emotion]", "model.width=8", "model.physiology.encoder=true", "model.dropout=0",
            "model.physiology.window_s=2", "model.physiology.rates_hz={eda: 4, ibi: 4}", "model.physiology.hidden=4",
            "trainer.accelerator=cpu", *changes,
        ],
    )  # fmt: skip
    torch.manual_seed(0)
    table = RECIPE.load(config)
    return table, RECIPE.plan(config, table)


@pytest.mark.parametrize("family", sorted(FUSIONS))
def test_every_family_has_it_and_can_do_without(root, family):
    table, made = planned(root, f"model.fusion={family}")
    model = made.model.eval()
    assert isinstance(model.projections["physiology"], PhysiologyEncoder)
    lacks = np.setdiff1d(np.arange(len(table)), table.streams["physiology"].clip)
    rows = np.concatenate([lacks[:2], np.arange(1, 6)])
    batch = collate(table, rows, modalities=made.modalities)
    whole = model(batch)["emotion"]
    # one by one, and behind padding that holds garbage
    for i, row in enumerate(rows):
        alone = model(collate(table, np.array([row]), modalities=made.modalities))["emotion"]
        torch.testing.assert_close(alone[0], whole[i], atol=1e-5, rtol=1e-4)
    tokens = batch.tokens["physiology"]
    x = torch.cat([torch.where(tokens.mask[..., None], tokens.x, torch.nan), torch.full_like(tokens.x, torch.nan)], 2)
    longer = Tokens(x, torch.cat([tokens.mask, torch.zeros_like(tokens.mask)], 2))
    padded = replace(batch, tokens={**batch.tokens, "physiology": longer})
    torch.testing.assert_close(model(padded)["emotion"], whole, atol=1e-5, rtol=1e-4)
    # taken away, it is missed where it was and only there
    absent = replace(batch, tokens={**batch.tokens, "physiology": Tokens(tokens.x, torch.zeros_like(tokens.mask))})
    moved = (model(absent)["emotion"] - whole).abs().amax(1)
    assert (moved[:2] < 1e-6).all() and (moved[2:] > 1e-6).all()
    made.objective(model.train(), batch).backward()
    for name, parameter in model.projections["physiology"].named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), name


def test_it_tells_classes_apart_alone(root):
    table, made = planned(root, "data.modalities=[physiology]")
    there = np.intersect1d(np.flatnonzero(table.targets["emotion"].valid), table.streams["physiology"].clip)
    batch = collate(table, there, modalities=made.modalities)
    optimiser = torch.optim.Adam(made.model.parameters(), lr=0.02)
    for _ in range(60):
        optimiser.zero_grad()
        F.cross_entropy(made.model(batch)["emotion"], batch.targets["emotion"].long()).backward()
        optimiser.step()
    said = made.model.eval()(batch)["emotion"].argmax(1)
    assert (said == batch.targets["emotion"]).float().mean() > 0.9


def test_scales_are_those_of_training_and_what_is_read_must_be_windows(root):
    table, made = planned(root)
    encoder = made.model.projections["physiology"]
    check_windows(encoder, table)
    column = table.streams["physiology"]
    encoder.fit(column.x[:])  # of all clips
    with pytest.raises(LeakageError, match="fit them on train alone"):
        check_windows(encoder, table)
    with pytest.raises(ConfigError, match="18 wide; windows of eda"):
        planned(root, "model.physiology.window_s=3")
    with pytest.raises(ConfigError, match="tensor_mixer"):
        planned(root, "data.own_scale=[physiology]")
    _, several = planned(root, "model.members=2")
    assert sum(isinstance(part, PhysiologyEncoder) for part in several.model.modules()) == 2
