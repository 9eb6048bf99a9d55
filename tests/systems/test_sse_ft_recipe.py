"""The SSE-FT recipe: switches, target types, presets; all four target types through the commands a user types."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from typer.testing import CliRunner

from merkit.cli.main import app
from merkit.config import override
from merkit.corpora.arrays import ArraysConfig, ArrayTarget
from merkit.data.batch import collate
from merkit.data.context import dialogue_context
from merkit.errors import ConfigError
from merkit.systems import find_system, sse_ft

SMALL = (
    "encoder_ffn_embed_dim=16",
    "encoder_layers=1",
    "encoder_layers_cross=1",
    "dropout=0",
    "pooler_dropout=0",
    "modality_dropout=0.3",
    "trainer.batch_size=12",
    "trainer.accelerator=cpu",
    "optim.lr=0.003",
)
LABELS = ("neutral", "sadness", "anger", "joy")


def write(folder: Path, n: int = 90) -> Path:
    """Three modalities with four classes and a number in them; the second half of `valid` lacks its faces."""
    rng = np.random.default_rng(0)
    label = np.arange(n) % 4
    centre = np.random.default_rng(1).normal(size=(4, 8)) * 2
    columns = {}
    for name, width in (("words", 8), ("voice", 6), ("face", 5)):
        columns[name] = centre[label][:, :width] + rng.normal(size=(n, width))
    columns["face"][-9:] = np.nan
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "data.npz", id=np.char.add("c", np.arange(n).astype(str)), label=label,
             score=np.round((label - 1.5) * 1.6 + rng.normal(size=n) * 0.1, 4),
             split=np.repeat(["train", "valid"], [n - 18, 18]), **columns)  # fmt: skip
    return folder


def arrays(target: str) -> ArraysConfig:
    targets = {
        "emotion": ArrayTarget(column="label", labels=LABELS),
        "sentiment": ArrayTarget(column="score", kind="regression", labels=("sentiment",)),
    }
    modalities = {"text": "words", "speech": "voice", "face": "face"}
    return ArraysConfig(id="id", modalities=modalities, targets={target: targets[target]})


def config(root: Path, target: str, *changes: str) -> sse_ft.SSEFTConfig:
    base = sse_ft.SSEFTConfig()
    base = base.model_copy(update={"data": base.data.model_copy(update={"root": root, "arrays": arrays(target)})})
    return override(base, [*SMALL, *changes])


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write(tmp_path_factory.mktemp("arrays"))


@pytest.mark.parametrize(
    ("switches", "modalities", "width"),
    [
        ((), ("text", "speech", "face"), 19),
        (("all_in=true",), ("text", "speech", "face"), 19),
        (("t_only=true", "a_only=true", "v_only=true"), ("text", "speech", "face"), 19),
        (("t_only=true", "a_only=true"), ("text", "speech"), 14),
        (("a_only=true", "v_only=true"), ("speech", "face"), 11),
        (("t_only=true",), ("text",), 8),
    ],
)
def test_switches_add_up_and_widths_follow(root, switches, modalities, width):
    chosen = config(root, "emotion", *switches)
    table = sse_ft.load(chosen)
    assert tuple(table.streams) == modalities
    model = sse_ft.plan(chosen, table).model
    assert model.width == width
    assert model.inter == {1: "none", 2: "concat", 3: "hadamard"}[len(modalities)]


def test_switches_and_lists_must_agree(root):
    with pytest.raises(ConfigError, match="ask for text"):
        sse_ft.load(config(root, "emotion", "t_only=true", "data.modalities=[speech]"))
    with pytest.raises(ConfigError, match="has no words"):
        sse_ft.load(config(root, "emotion", "tune_text=minilm"))


def test_one_against_the_rest_is_the_sum_of_two_way_likelihoods(root):
    """Published: `K` pairs of logits and NLL of each pair's softmax. The difference of a pair is one logit under BCE."""
    chosen = config(root, "emotion", "target=one_vs_rest")
    table = sse_ft.load(chosen)
    made = sse_ft.plan(chosen, table)
    assert made.specs[0].kind == "multi_label"
    batch = collate(table, np.arange(10), modalities=made.modalities)
    logit = made.model.eval()(batch)["emotion"]
    pairs = torch.stack([torch.zeros_like(logit), logit], -1)
    truth = F.one_hot(torch.arange(10) % 4, 4)
    expected = F.cross_entropy(pairs.flatten(0, 1), truth.flatten())
    torch.testing.assert_close(made.objective(made.model, batch), expected)


def test_numbers_are_learned_by_their_distance_and_classes_by_their_likelihood(root):
    for target, changes, loss in (
        ("sentiment", (), "L1Loss"), ("sentiment", ("loss=mse",), "MSELoss"), ("emotion", (), "CrossEntropyLoss"),
        ("emotion", ("loss=l1",), "CrossEntropyLoss"),
    ):  # fmt: skip
        chosen = config(root, target, *changes)
        made = sse_ft.plan(chosen, sse_ft.load(chosen))
        assert type(made.objective.losses[0]).__name__ == loss


def test_context_needs_turns_and_positions_reach_the_model(root):
    chosen = config(root, "emotion", "data.earlier=2", "data.later=0", "turns=3", "cls={text: mean}")
    table = sse_ft.load(chosen)
    n = len(table)
    table = replace(table, dialogue=np.array([f"d{i // 6}" for i in range(n)]), turn=np.arange(n) % 6)
    made = sse_ft.plan(chosen, table)
    assert made.context == (2, 0) and made.model.farthest == 3
    context = dialogue_context(table, 2, 0)
    batch = collate(table, np.array([5]), modalities=made.modalities, context=context)
    made.model.eval()
    alone = collate(table, np.array([5]), modalities=made.modalities)
    assert not torch.allclose(made.model(batch)["emotion"], made.model(alone)["emotion"])


def test_presets_are_the_published_commands():
    presets = find_system("sse_ft").presets
    mosei, pair, stacked = presets["mosei"](), presets["bert_like"](), presets["co_attention"]()
    assert (mosei.optim.lr, mosei.trainer.batch_size, mosei.trainer.accumulate, mosei.trainer.max_epochs) == (
        1e-3,
        4,
        2,
        32,
    )
    assert mosei.all_in and mosei.self_layers == {"text": 0} and mosei.encoder_attention_heads == 4
    assert (pair.optim.lr, pair.optim.warmup, pair.trainer.accumulate) == (1e-5, 165, 8)
    assert pair.chosen == ("text", "speech") and pair.target == "one_vs_rest" and pair.head == "linear"
    assert (pair.inter, stacked.inter, stacked.encoder_layers_cross) == ("none", "concat", 1)
    assert (
        pair.data.split.kind == "group_fold"
        and pair.data.label_map == "iemocap4_exc"
        and pair.data.split.by == "session"
    )


def merkit(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output + str(done.exception or "")
    return done.stdout


@pytest.mark.parametrize(
    ("target", "changes", "measure", "floor"),
    [
        ("emotion", ("target=one_vs_rest",), "emotion.binary_weighted_f1", 0.8),
        ("emotion", (), "emotion.accuracy", 0.7),
        ("sentiment", (), "sentiment.pearson", 0.7),
        ("sentiment", ("loss=mse",), "sentiment.acc2_negative_positive", 0.8),
    ],
)
def test_every_kind_of_target_trains_and_is_evaluated(root, tmp_path, target, changes, measure, floor):
    chosen = config(root, target, *changes, "trainer.max_epochs=16", "optim.lr=0.006")
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"system": "sse_ft", "config": chosen.to_dict()}))
    run = tmp_path / "run"
    merkit("train", "sse_ft", "--config", file, "--out", run, "--json")
    found = json.loads(merkit("evaluate", run, "--split", "valid", "--json"))[-1]["measures"]
    # planted classes: what is learned lies far above the floor of guessing
    assert found[measure][0] > floor
    if target == "sentiment":
        assert {"sentiment.acc7", "sentiment.mae", "sentiment.acc2_negative_nonnegative"} <= set(found)
