"""The EmoTx recipe: names of models, what is sampled, which loss, which epoch is best."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_scenes import WIDTHS, small_scenes
from torch.nn import functional as F

from merkit.config import override
from merkit.data.table import TokenColumn
from merkit.errors import ConfigError
from merkit.models.emotx import EmoTx
from merkit.models.scene_baselines import MaxPoolMLP, SingleTransformer
from merkit.systems import emotx, find_system
from merkit.systems.scenes import FRAME_S, spacing_s

SMALL = ("hidden_dim=16", "num_heads=4", "feedforward=16", "trainer.batch_size=8", "trainer.accelerator=cpu")


def config(*changes: str) -> emotx.EmoTxConfig:
    return override(emotx.EmoTxConfig(), [*SMALL, *changes])


def planned(*changes: str):
    torch.manual_seed(0)
    chosen = config(*changes)
    table = small_scenes()
    table = replace(table, targets={name: table.targets[name] for name in chosen.targets})
    return emotx.plan(chosen, table)


@pytest.mark.parametrize(
    ("number", "network", "targets"),
    [
        ("1.1", MaxPoolMLP, ("character",)),
        ("1.2", MaxPoolMLP, ("scene",)),
        ("2.1", SingleTransformer, ("character",)),
        ("2.2", SingleTransformer, ("scene",)),
    ],
)
def test_published_numbers_of_baselines_work(number, network, targets):
    made = planned(f"model_no={number}")
    assert tuple(spec.name for spec in made.specs) == targets
    assert isinstance(made.model.networks[0], network)
    # published: training these ended at the first checkpoint, which asked for attributes that they lacked
    assert set(made.model.state_dict())


@pytest.mark.parametrize(("number", "name"), [("3.0", "emotx_1cls"), ("4.0", "emotx"), ("4", "emotx")])
def test_published_numbers_of_emotx_are_their_readable_names(number, name):
    a, b = planned(f"model_no={number}").model, planned(f"model_no={name}").model
    assert isinstance(a, EmoTx) and a.queries == b.queries
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_an_unknown_model_and_switched_off_targets_are_refused():
    with pytest.raises(ConfigError, match=r"4\.5"):
        config("model_no=4.5")
    with pytest.raises(ConfigError, match="switch off"):
        emotx.load(config("model_no=2.2", "get_scene_targets=false"))


def test_the_loss_is_one_mean_over_scenes_and_characters():
    made = planned("pos_weight=auto")
    table = made.table
    from merkit.data.batch import collate

    batch = collate(table, np.arange(8), modalities=made.modalities)
    made.model.eval()
    logits = made.model(batch)
    rows = torch.cat([logits["scene"], logits["character"][batch.valid["character"].all(-1)]])
    truth = torch.cat([batch.targets["scene"], batch.targets["character"][batch.valid["character"].all(-1)]])
    train = table.targets["scene"].value[table.split == "train"]
    weight = torch.tensor((len(train) - train.sum(0)) / train.sum(0))
    expected = F.binary_cross_entropy_with_logits(rows + weight.log(), truth, pos_weight=weight)
    torch.testing.assert_close(made.objective(made.model, batch), expected)
    # 5.0 is 4.0 with the soft margin loss, which is BCE without weights
    soft = planned("model_no=5.0").objective(made.model, batch)
    torch.testing.assert_close(soft, F.multilabel_soft_margin_loss(rows, truth))
    torch.testing.assert_close(planned("pos_weight=none").objective(made.model, batch), soft)


def test_weighted_labels_do_not_bend_probabilities():
    """Of a label that is on in one of ten, a network that knows nothing else must learn to say .1, whatever its weight."""
    spec = planned().specs[0]
    logit = torch.zeros(3, requires_grad=True)
    truth = torch.zeros(100, 3)
    truth[:10, 0], truth[:50, 1], truth[:90, 2] = 1, 1, 1
    weight = (100 - truth.sum(0)) / truth.sum(0)
    loss = emotx.build_loss(spec, "bce", pos_weight=weight.tolist())
    objective = emotx.JointRows([spec], loss, weight.log())
    from merkit.data.batch import Batch

    batch = Batch(tuple("x" * 100), 100, {}, targets={"scene": truth}, valid={"scene": truth >= 0})
    optimiser = torch.optim.LBFGS([logit], max_iter=100)

    def closure():
        optimiser.zero_grad()
        value = objective(lambda batch: {"scene": logit.expand(100, 3)}, batch)
        value.backward()
        return value

    optimiser.step(closure)
    torch.testing.assert_close(logit.detach().sigmoid(), torch.tensor([0.1, 0.5, 0.9]), atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", ["emotx", "emotx_1cls", "transformer", "mlp"])
def test_training_begins_where_published_training_does(name):
    shifted, plain = planned(f"model_no={name}"), planned(f"model_no={name}", "pos_weight=none")
    from merkit.data.batch import collate

    batch = collate(shifted.table, np.arange(6), modalities=shifted.modalities)
    log_weight = shifted.objective.log_weight
    assert log_weight.abs().max() > 0.1
    there = batch.valid["character"].all(-1)
    for target, logit in plain.model.eval()(batch).items():
        moved = shifted.model.eval()(batch)[target] + log_weight
        rows = there if target == "character" else slice(None)
        torch.testing.assert_close(moved[rows], logit[rows], atol=1e-5, rtol=1e-5)


def test_published_weights_belong_to_their_label_sets():
    with pytest.raises(ConfigError, match="10, 25 and 26"):
        planned("pos_weight=published")
    for count, weights in emotx._PUBLISHED_WEIGHTS.items():
        assert len(weights) == count and min(weights) > 1


def column(apart_s: float, count: int = 50) -> TokenColumn:
    x = np.zeros((2 * count, 3), np.float32)
    start_s = np.tile(np.arange(count) * apart_s, 2)
    return TokenColumn(x, np.array([0, count, 2 * count]), np.arange(2), np.zeros(2, int), start_s)


@pytest.mark.parametrize(
    ("apart_s", "step"),
    [(FRAME_S, 8), (16 * FRAME_S, 1), (1 / 3, 1), (1 / 25, 8), (0.1, 3)],
    ids=["frames of a film", "windows of MViT", "faces at 3 Hz", "frames at 25 Hz", "10 Hz"],
)
def test_every_eighth_frame_whatever_the_features_are_made_at(apart_s, step):
    assert spacing_s(column(apart_s)) == pytest.approx(apart_s)
    table = replace(small_scenes(2), streams={"face": column(apart_s), "text": column(apart_s)}, targets={})
    made = emotx.sampling(config("max_feats=300"), table)
    assert (made.streams["face"].step, made.streams["face"].limit) == (step, 300)
    assert made.streams["face"].random == (step > 1)
    assert (made.streams["text"].step, made.streams["text"].limit) == (1, 0)
    assert not emotx.sampling(config("random_feat_selection=false"), table).streams["face"].random


def test_switches_take_streams_from_the_model_and_keep_who_is_there():
    model = planned("use_char_feats=false", "use_scene_feats=false").model
    assert model.looks == ("text",) and model.streams == tuple(WIDTHS)
    with pytest.raises(ConfigError, match="no stream"):
        planned("use_char_feats=false", "use_scene_feats=false", "use_srt_feats=false")


def test_the_best_epoch_is_chosen_by_what_is_asked():
    both = planned().trainer
    assert both.watch == "gmean(scene.map+character.map)" and len(both.best_by) == 3
    only = planned("get_char_targets=false").trainer
    assert only.watch == "scene.map" and only.best_by == ()
    kept = planned("get_scene_targets=false", "trainer.watch=loss").trainer
    assert kept.watch == "loss"


def test_presets_say_what_was_published():
    presets = find_system("emotx").presets
    readme, paper = presets["readme"](), presets["paper"]()
    assert (readme.optim.lr, readme.trainer.batch_size, readme.trainer.max_epochs) == (1e-5, 4, 20)
    assert (paper.optim.lr, paper.trainer.batch_size, paper.trainer.max_epochs) == (5e-5, 8, 50)
    for each in (readme, paper, presets["mlsm"]()):
        assert each.max_feats == 300 and not each.standardise and each.attention_dropout == 0.1
    assert presets["mlsm"]().model.loss == "multilabel_soft_margin"
