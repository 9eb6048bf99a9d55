"""The tensor mixer recipe: losses, sizes, fusions with physiology, and the commands a user types."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rated_clips import VOTES, write
from safetensors.torch import load_file, save_file
from scipy.stats import entropy
from torch.nn import functional as F
from typer.testing import CliRunner

from merkit.cli.main import app
from merkit.config import override
from merkit.data.batch import Batch, Tokens, collate
from merkit.errors import ConfigError, WeightError
from merkit.models.tensor_mixer import TensorMixer
from merkit.schema import TargetSpec
from merkit.systems import find_system, tensor_mixer
from merkit.training.optim import parameter_groups

SMALL = (
    "width=8", "mixer.patch=2", "mixer.channels=12", "mixer.depth=1", "trainer.batch_size=12", "trainer.accelerator=cpu",
)  # fmt: skip
RECIPE = find_system("tensor_mixer")
FUSIONS = (
    "tensor_mixer", "tensor", "low_rank", "concat", "cross_attention", "modality_attention", "cross_modal", "label_query",
)  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("rated"))


def config(root: Path, *changes: str, preset: str = "") -> tensor_mixer.TensorMixerConfig:
    base = RECIPE.presets[preset]() if preset else RECIPE.config()
    return override(base, [*SMALL, f"data.root={root}", *changes])


def planned(root: Path, *changes: str, preset: str = ""):
    chosen = config(root, *changes, preset=preset)
    torch.manual_seed(0)
    table = tensor_mixer.load(chosen)
    return chosen, table, tensor_mixer.plan(chosen, table)


# -- losses


def test_the_loss_is_seven_tenths_focal_by_clip_and_three_tenths_squared_error(root):
    _, table, made = planned(root, "dropout=0", "modality_dropout=0", "data.targets=[emotion, affect]")
    batch = collate(table, np.flatnonzero(table.targets["emotion"].valid)[:9], modalities=made.modalities)
    out = made.model.eval()(batch)
    prob = F.softmax(out["emotion"], -1)[torch.arange(9), batch.targets["emotion"]]
    by_clip = ((1 - prob) ** 2 * -prob.log()).mean()
    squared = F.mse_loss(out["affect"], batch.targets["affect"])
    torch.testing.assert_close(made.objective(made.model, batch), 0.7 * by_clip + 0.3 * squared)
    # published: one probability for the whole batch, so that a clip that is answered well counts as much as any other
    whole = -prob.log().mean()
    assert abs((1 - (-whole).exp()) ** 2 * whole - by_clip) > 1e-3
    _, table, alone = planned(root, "task=regression", "dropout=0", "reg_loss=ccc")
    batch = collate(table, np.arange(9), modalities=alone.modalities)
    value, truth = alone.model.eval()(batch)["affect"].detach().numpy(), batch.targets["affect"].numpy()
    ccc = [
        2 * np.cov(a, b, bias=True)[0, 1] / (a.var() + b.var() + (a.mean() - b.mean()) ** 2)
        for a, b in zip(value.T, truth.T, strict=True)
    ]
    assert alone.objective(alone.model, batch).item() == pytest.approx(1 - np.mean(ccc), abs=1e-5)


def test_kl_compares_distributions_and_not_probabilities_taken_for_logits(root):
    _, table, made = planned(root, "labels.mode=soft", "cls_loss=kl", "task=classification", "dropout=0")
    batch = collate(table, np.arange(8), modalities=made.modalities)
    prob = F.softmax(made.model.eval()(batch)["emotion"].detach().double(), -1).numpy()
    expected = np.mean([entropy(VOTES[i], prob[i]) for i in range(8)])
    assert made.objective(made.model, batch).item() == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ConfigError, match="there is no loss 'kl' for it"):
        planned(root, "reg_loss=kl")


# -- the network


def test_the_network_gives_the_published_numbers():
    golden = load_file(Path(__file__).parents[1] / "models" / "assets" / "tensor_mixer.safetensors")
    specs = (TargetSpec("emotion", "single_label", tuple("abcdefg")), TargetSpec("affect", "regression", ("v", "a")))
    chosen = override(
        RECIPE.config(),
        ["width=32", "mixer.patch=8", "mixer.channels=24", "mixer.depth=2", "mixer.expansion=4"],
    )
    model = tensor_mixer.build_model(chosen, {"speech": 32, "text": 32}, specs).eval()
    state = {f"projectors.{name}.weight": torch.eye(32) for name in ("speech", "text")}
    state |= {f"projectors.{name}.bias": torch.zeros(32) for name in ("speech", "text")}
    reduce = "fusion.reduce.1"
    for ours, theirs in (("embed", "1"), ("norm", "4")):
        state |= {f"{reduce}.{ours}.{kind}": golden[f"param.{theirs}.{kind}"] for kind in ("weight", "bias")}
    for block in range(2):
        for half, part in enumerate(("tokens", "channels")):
            theirs = f"param.{block + 2}.{half}"
            for kind in ("weight", "bias"):
                state[f"{reduce}.blocks.{block}.norms.{half}.{kind}"] = golden[f"{theirs}.norm.{kind}"]
                for layer, place in enumerate((0, 3)):
                    value = golden[f"{theirs}.fn.{place}.{kind}"]
                    state[f"{reduce}.blocks.{block}.{part}.{layer}.{kind}"] = value.reshape(value.shape[:2])
    for i, rows in enumerate((slice(0, 7), slice(7, 9))):
        state |= {f"heads.linears.{i}.{kind}": golden[f"param.6.{kind}"][rows] for kind in ("weight", "bias")}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all(".neutral." in name or "scales." in name for name in missing)
    tokens = {name: Tokens(golden[f"in.{name}"][:, None, None], torch.ones(3, 1, 1) > 0) for name in ("speech", "text")}
    out = model(Batch(("a", "b", "c"), 3, tokens))
    torch.testing.assert_close(torch.cat([out["emotion"], out["affect"]], 1), golden["out.logits"], atol=1e-4, rtol=0)


def test_presets_have_the_published_sizes():
    specs = (TargetSpec("emotion", "single_label", tuple("abcdefg")), TargetSpec("affect", "regression", ("v", "a")))
    untuned = ("tune.text=''", "tune.speech=''")
    widths = {"speech": 1024, "text": 1024}
    model = tensor_mixer.build_model(override(RECIPE.presets["published"](), untuned), widths, specs)
    mixer = model.fusion.reduce[1]
    assert {name: tuple(p.weight.shape) for name, p in model.projectors.items()} == dict.fromkeys(widths, (256, 1024))
    assert tuple(mixer.embed.weight.shape) == (512, 16 * 16) and len(mixer.blocks) == 12
    # 256 patches mixed through 1024, 512 channels through 256; then one linear layer to nine answers
    shapes = [
        tuple(layer.weight.shape) for part in (mixer.blocks[0].tokens, mixer.blocks[0].channels) for layer in part
    ]
    assert shapes == [(1024, 256), (256, 1024), (256, 512), (512, 256)]
    assert [tuple(linear.weight.shape) for linear in model.heads.linears] == [(7, 512), (2, 512)]
    concat = tensor_mixer.build_model(override(RECIPE.presets["published_concat"](), untuned), widths, specs)
    assert tuple(concat.hidden.weight.shape) == (256, 512) and concat.activation is F.relu
    both = tensor_mixer.build_model(override(RECIPE.presets["published_cross_attention"](), untuned), widths, specs)
    assert tuple(both.hidden.weight.shape) == (512, 2048) and both.fusion.pairs["speech_from_text"][0].heads == 8
    config = RECIPE.presets["lora"]()
    assert (config.tune.lora.rank, config.tune.lora.alpha, config.tune.lora.dropout) == (8, 32.0, 0.1)
    assert config.trainer.seed == 42 and config.labels.mode == "peakl" and config.cls_coef == 0.7


def test_projectors_learn_and_a_rate_for_nothing_is_an_error(root):
    chosen, table, made = planned(root, "optim.module_lr={projectors: 0.5}")
    groups = parameter_groups(made.model, made.optim)
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    named = dict(made.model.named_parameters())
    assert {rate[id(p)] for name, p in named.items() if name.startswith("projectors.")} == {0.5}
    assert sorted(rate) == sorted(id(p) for p in named.values())
    before = {name: p.clone() for name, p in named.items()}
    made.objective(made.model.train(), collate(table, np.arange(12), modalities=made.modalities)).backward()
    torch.optim.SGD(groups, lr=chosen.optim.lr).step()
    assert all((named[name] != before[name]).any() for name in named if name.startswith("projectors."))
    with pytest.raises(ConfigError, match="wav_projector"):
        parameter_groups(made.model, override(chosen, ["optim.module_lr={wav_projector: 0.1}"]).optim)


def test_numbers_begin_at_the_means_of_training(root):
    _, table, made = planned(root, "task=regression")
    mean = table.targets["affect"].value[table.split == "train"].mean(0)
    np.testing.assert_allclose(made.model.heads.linears[0].bias.detach(), mean, rtol=1e-5)
    assert abs(mean - table.targets["affect"].value.mean(0)).max() > 1e-3


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_takes_physiology_and_any_part_of_it_all(root, fusion):
    _, table, made = planned(root, f"fusion={fusion}")
    assert set(made.modalities) == {"speech", "text", "physiology"}
    lacks = np.setdiff1d(np.arange(len(table)), table.streams["physiology"].clip)
    assert len(lacks)  # the corpus itself has clips without
    batch = collate(table, np.concatenate([lacks[:2], np.arange(1, 5)]), modalities=made.modalities)
    made.model.eval()
    said = {}
    for bits in range(1, 8):
        kept = [name for i, name in enumerate(made.modalities) if bits >> i & 1]
        tokens = {
            name: t if name in kept else Tokens(torch.full_like(t.x, torch.nan), torch.zeros_like(t.mask))
            for name, t in batch.tokens.items()
        }
        said[bits] = torch.cat(list(made.model(replace(batch, tokens=tokens)).values()), 1)
        assert torch.isfinite(said[bits]).all()
    assert all((said[a] - said[b]).abs().max() > 1e-6 for a in said for b in said if a < b)


def test_a_product_of_more_modalities_is_no_larger():
    for fusion, width in (("tensor_mixer", 64), ("tensor", 32)):
        chosen = override(RECIPE.config(), [f"fusion={fusion}", f"width={width}"])
        for many in (1, 2, 3, 4):
            name, params, each = tensor_mixer.family(chosen, many)
            entries = (each + params["ones"]) ** many
            assert name == "tensor" and entries <= (width + (fusion == "tensor")) ** 2
    assert tensor_mixer.family(override(RECIPE.config(), ["ones=append"]), 2)[1:][1] == 63
    with pytest.raises(ConfigError, match="no multiple of mixer"):
        tensor_mixer.family(override(RECIPE.config(), ["width=30"]), 2)


def test_contrast_brings_the_modalities_of_a_clip_together_and_heads_only_look_on(root):
    _, table, made = planned(root, preset="contrastive")
    batch = collate(table, np.arange(12), modalities=made.modalities)
    assert made.model.contrast.log_scale.item() == pytest.approx(np.log(1 / 0.07))
    answers = made.model.train().outputs(batch)
    sum(logit.sum() for logit in answers.logits.values()).backward()
    assert all(p.grad is None for p in made.model.projectors.parameters())
    before = answers.contrast.item()
    optimiser = torch.optim.Adam(made.model.parameters(), lr=0.02)
    for _ in range(40):
        optimiser.zero_grad()
        made.objective(made.model, batch).backward()
        optimiser.step()
    assert made.model.outputs(batch).contrast.item() < 0.6 * before
    with pytest.raises(ConfigError, match="only speech"):
        TensorMixer({"speech": 4}, [TargetSpec("e", "single_label", ("a", "b"))], contrast=True)


def test_a_run_begins_with_what_another_has_learned_as_far_as_it_fits(root, tmp_path):
    _, _, taught = planned(root, preset="contrastive")
    with torch.no_grad():
        for parameter in taught.model.parameters():
            parameter.add_(1.0)
    save_file(taught.model.state_dict(), tmp_path / "model.safetensors")
    _, _, made = planned(root, f"start_from={tmp_path}", "fusion=low_rank", "task=classification")
    _, _, fresh = planned(root, "fusion=low_rank", "task=classification")
    before, held, now = fresh.model.state_dict(), taught.model.state_dict(), made.model.state_dict()
    assert all(torch.equal(now[name], held[name]) for name in now if name.startswith("projectors."))
    assert all(torch.equal(now[name], before[name]) for name in now if name.startswith(("fusion.", "scales.")))
    with pytest.raises(WeightError, match="no weights to begin with"):
        planned(root, f"start_from={tmp_path / 'nowhere'}")
    save_file({"other": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightError, match="none of its 1 weights fits"):
        planned(root, f"start_from={tmp_path / 'other.safetensors'}")


# -- commands


def run(*words) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output + str(done.exception or "")
    return done.stdout


@pytest.mark.parametrize("mode", ["hard", "soft", "peakl"])
def test_train_evaluate_and_predict_in_every_label_mode(root, tmp_path, mode):
    keys = (
        *SMALL,
        f"data.root={root}",
        f"labels.mode={mode}",
        "validation_fold=1",
        "trainer.max_epochs=25",
        "trainer.patience=0",
        "trainer.watch=mean(emotion.accuracy+affect.ccc)",
        "optim.lr=0.02",
    )
    run("train", "tensor_mixer", "--preset", "tensor_mixer", *keys, "--out", tmp_path / "run", "--json")
    found = json.loads(run("evaluate", tmp_path / "run", "--split", "valid", "--json"))[-1]["measures"]
    assert found["emotion.accuracy"][0] > 0.7 and found["affect.ccc"][0] > 0.5
    assert ("emotion.tie_macro_f1" in found) == (mode != "hard")
    run("predict", tmp_path / "run", "--root", root, "--json")
