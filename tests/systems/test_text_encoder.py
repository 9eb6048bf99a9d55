"""Fine-tuning text encoders: the invariants of every system, on words."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_texts import small_texts
from tiny_encoders import KINDS, write_encoder

from merkit.config import override
from merkit.data.batch import Batch, Tokens, collate
from merkit.data.table import ClipTable
from merkit.systems import text_encoder as system
from merkit.training.callbacks import Keeper
from merkit.training.fit import fit
from merkit.training.optim import parameter_groups


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("encoders")
    return {kind: write_encoder(root / f"tiny-{kind}", kind) for kind in KINDS}


def configured(folder: Path, *changes: str) -> system.TextEncoderConfig:
    common = (f"encoder={folder}", "trainer.batch_size=8", "trainer.max_epochs=3", "trainer.accelerator=cpu")
    return override(system.TextEncoderConfig(), [*common, *changes])


def planned(folder: Path, *changes: str, table: ClipTable | None = None):
    config = configured(folder, *changes)
    table = system.tokenised(config, small_texts() if table is None else table)
    torch.manual_seed(config.trainer.seed)
    return config, table, system.plan(config, table)


def batch_of(table: ClipTable, rows) -> Batch:
    return collate(table, np.asarray(rows), modalities=("text",))


def answers(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
    model.eval()
    with torch.inference_mode():
        return torch.cat([out.flatten(1) for out in model(batch).values()], 1)


cases = pytest.mark.parametrize(
    ("kind", "pooling"), [("roberta", "pooler"), ("bert", "cls"), ("gpt2", "last"), ("distilbert", "mean")]
)


@cases
def test_a_clip_is_answered_the_same_alone_in_company_and_behind_any_padding(folders, kind: str, pooling: str) -> None:
    _, table, made = planned(folders[kind], f"pooling={pooling}")
    whole = answers(made.model, batch_of(table, np.arange(24)))
    order = np.random.default_rng(0).permutation(24)
    torch.testing.assert_close(answers(made.model, batch_of(table, order)), whole[order], atol=1e-5, rtol=1e-5)
    for i in (0, 5, 17):
        torch.testing.assert_close(answers(made.model, batch_of(table, [i]))[0], whole[i], atol=1e-5, rtol=1e-5)
    batch = batch_of(table, np.arange(24))
    x, mask = batch.tokens["text"].x, batch.tokens["text"].mask
    longer = torch.cat([x.masked_fill(~mask[..., None], 5.0), torch.full((24, 1, 3, 1), 7.0)], 2)
    tokens = Tokens(longer, torch.cat([mask, torch.zeros(24, 1, 3, dtype=torch.bool)], 2))
    torch.testing.assert_close(
        answers(made.model, replace(batch, tokens={"text": tokens})), whole, atol=1e-5, rtol=1e-5
    )


def test_nothing_said_is_answered_by_the_biases(folders) -> None:
    _, table, made = planned(folders["bert"])
    column = table.streams["text"]
    assert set(range(24)) - set(column.clip) == {5, 17} and column.width == 1
    silent = answers(made.model, batch_of(table, [5, 17]))
    biases = torch.cat([head.bias for head in made.model.heads]).detach()
    torch.testing.assert_close(silent, biases.expand(2, -1))
    assert (answers(made.model, batch_of(table, [4])) - biases).abs().max() > 1e-3


def test_ids_survive_the_table_to_the_bit(folders) -> None:
    """float32 holds every id: those of the largest vocabularies in use, and of this table."""
    ids = np.array([250_001, 256_000, 2**24 - 1, 2**24])
    assert np.array_equal(ids.astype(np.float32).astype(np.int64), ids)
    _, table, made = planned(folders["roberta"])
    batch = batch_of(table, np.arange(24))
    expected = made.model.encoder.tokeniser([str(text) for text in table.texts]).ids
    found = batch.tokens["text"].x[:, 0, :, 0].long()
    for row, own in enumerate(expected):
        assert found[row, : len(own)].tolist() == own and int(batch.tokens["text"].mask[row].sum()) == len(own)


@cases
def test_every_trainable_parameter_is_in_one_group_and_gets_a_gradient(folders, kind: str, pooling: str) -> None:
    for freeze in (0, 1, -1):
        config, table, made = planned(folders[kind], f"pooling={pooling}", f"freeze_layers={freeze}")
        grouped = [id(p) for group in parameter_groups(made.model, config.optim) for p in group["params"]]
        trainable = {id(p): name for name, p in made.model.named_parameters() if p.requires_grad}
        assert sorted(grouped) == sorted(trainable)
        made.objective(made.model, batch_of(table, np.arange(16))).backward()
        silent = [name for name, p in made.model.named_parameters() if p.requires_grad and p.grad is None]
        assert silent == [] and (freeze != -1 or len(trainable) == 8)


@pytest.mark.parametrize("kind", ["roberta", "gpt2"])
def test_it_learns_eight_clips_by_heart_in_every_kind_of_target(folders, kind: str) -> None:
    table = small_texts().take(np.array([0, 1, 2, 3, 4, 6, 7, 8]))
    _, table, made = planned(
        folders[kind], "dropout=0", "pooling=mean", table=replace(table, split=np.full(8, "train"))
    )
    batch = batch_of(table, np.arange(8))
    optimiser = torch.optim.Adam(made.model.parameters(), lr=0.01)
    made.model.eval()  # without the encoder's own dropout
    for _ in range(80):
        optimiser.zero_grad()
        made.objective(made.model, batch).backward()
        optimiser.step()
    logits = made.model(batch)
    known = batch.valid["emotion"]
    assert torch.equal(logits["emotion"].argmax(1)[known], batch.targets["emotion"][known])
    assert torch.equal(logits["soft"].argmax(1), batch.targets["soft"].argmax(1))
    assert torch.equal(logits["many"] > 0, batch.targets["many"] > 0.5)
    assert (logits["a.value"] - batch.targets["a.value"]).abs().max() < 0.3


class Stopped(RuntimeError):
    """Stands for anything that ends a process."""


@pytest.mark.parametrize("freeze", [0, 1])
@pytest.mark.parametrize("stop_after", [1, 3, 5])  # two batches an epoch
def test_resumed_equals_uninterrupted_bitwise(folders, tmp_path: Path, freeze: int, stop_after: int) -> None:
    changes = ("trainer.save_every_steps=1", f"freeze_layers={freeze}", "optim.lr=0.01", "trainer.watch=many.map")

    def run(folder: Path, stop: int | None = None):
        made = planned(folders["roberta"], "pooling=pooler", *changes)[2]
        if stop is not None:
            inner, calls = made.objective.forward, []

            def forward(model, batch):
                if model.training:
                    calls.append(1)
                    if len(calls) > stop:
                        raise Stopped
                return inner(model, batch)

            made.objective.forward = forward  # ty: ignore[invalid-assignment]
        return fit(made, folder)

    whole = run(tmp_path / "whole")
    with pytest.raises(Stopped):
        run(tmp_path / "stopped", stop_after)
    resumed = run(tmp_path / "stopped")
    for (name, a), b in zip(whole.model.state_dict().items(), resumed.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert [row["train_loss"] for row in whole.history] == [row["train_loss"] for row in resumed.history]


def test_encoders_are_trained_with_their_dropout(folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretrained models come in evaluation mode, and Lightning would leave them in it."""
    modes = []
    compared = Keeper.on_train_batch_end

    def seen(self, trainer, module, *rest):
        modes.append([part.training for part in module.model.encoder.modules()])
        return compared(self, trainer, module, *rest)

    monkeypatch.setattr(Keeper, "on_train_batch_end", seen)
    fit(planned(folders["bert"])[2], tmp_path)
    assert len(modes) == 6 and all(all(mode) for mode in modes)
