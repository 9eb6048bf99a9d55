"""What must hold for the MERC2020 model in each mode: batches, padding, absent modalities, gradients, frozen parts, runs."""

import itertools

import pytest
import torch
from made_merc2020 import EMOTIONS, SPECS, WIDTHS, batch_of, model_of
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from merkit.data import Batch, Tokens
from merkit.errors import ConfigError, WeightError
from merkit.models.merc2020 import MERC2020Model
from merkit.schema import TargetSpec

LENGTHS = {"speech": [90, 30, 0, 130, 64], "face": [5, 0, 3, 2, 5], "text": [0, 6, 3, 2, 6]}
FILM = {"backbone": "x3d_tiny"}
modes = pytest.mark.parametrize(
    ("mode", "settings"),
    [
        ("speech", {}),
        ("face", {}),
        ("face", {"face": FILM}),
        ("text", {}),
        ("multimodal", {}),
        ("multimodal", {"face": FILM, "speech": {"mode": "relation"}}),
    ],
    ids=["speech", "face", "film", "text", "multimodal", "multimodal-film"],
)


def rows(batch: Batch, chosen: list[int]) -> Batch:
    """Some clips of a batch, padded to their own longest."""
    taken = {}
    for name, tokens in batch.tokens.items():
        x, mask = tokens.x[chosen], tokens.mask[chosen]
        longest = max(int(mask.sum(-1).max()), 1)
        taken[name] = Tokens(x[:, :, :longest], mask[:, :, :longest])
    return Batch(tuple(batch.ids[i] for i in chosen), len(chosen), taken)


def without(batch: Batch, *names: str) -> Batch:
    tokens = {n: Tokens(t.x, torch.zeros_like(t.mask) if n in names else t.mask) for n, t in batch.tokens.items()}
    return Batch(batch.ids, batch.size, tokens)


@modes
def test_a_clip_is_answered_the_same_alone_in_any_batch_and_in_any_order(mode: str, settings) -> None:
    """The published text network failed here: it attended from clip to clip."""
    model, batch = model_of(mode, **settings), batch_of(LENGTHS)
    whole = model.outputs(batch)
    for chosen in ([2], [0], [3, 1], [4, 0, 2, 3, 1]):
        some = model.outputs(rows(batch, chosen))
        for name in whole.logits:
            torch.testing.assert_close(some.logits[name], whole.logits[name][chosen], atol=1e-5, rtol=1e-4)
        for name, said in whole.auxiliary.items():
            for target, logit in said.items():
                torch.testing.assert_close(some.auxiliary[name][target], logit[chosen], atol=1e-5, rtol=1e-4)
    assert all(logit.std(0).max() > 1e-3 for logit in whole.logits.values())  # the clips are told apart


@modes
@pytest.mark.parametrize("filler", [1e6, float("nan")])
def test_padding_and_what_stands_in_it_changes_nothing(mode: str, settings, filler: float) -> None:
    model, batch = model_of(mode, **settings), batch_of(LENGTHS, dtype=torch.float32)
    want = model(batch)
    spoilt = {}
    for name, tokens in batch.tokens.items():
        x, mask = F.pad(tokens.x, (0, 0, 0, 3)), F.pad(tokens.mask, (0, 3))
        spoilt[name] = Tokens(x.masked_fill(~mask[..., None], filler), mask)
    got = model(Batch(batch.ids, batch.size, spoilt))
    for name in want:
        torch.testing.assert_close(got[name], want[name], atol=1e-5, rtol=1e-4)
    model.train()
    sum(logit.square().sum() for logit in model(Batch(batch.ids, batch.size, spoilt)).values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@modes
def test_every_parameter_gets_a_gradient(mode: str, settings) -> None:
    model, batch = model_of(mode, **settings).train(), batch_of(LENGTHS)
    for module in model.modules():
        if hasattr(module, "drop_path"):
            module.drop_path = 0.0
    out = model.outputs(batch)
    losses = [logit.square().sum() for logit in out.logits.values()]
    losses += [logit.square().sum() for said in out.auxiliary.values() for logit in said.values()]
    sum(losses).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_without_auxiliary_heads_the_logits_alone_reach_every_parameter() -> None:
    model = model_of("multimodal", auxiliary=False, speech={"drop_path": 0.0}, face={"drop_path": 0.0}).train()
    out = model.outputs(batch_of(LENGTHS))
    assert out.auxiliary == {} and set(out.logits) == {spec.name for spec in SPECS}
    sum(logit.square().sum() for logit in out.logits.values()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_every_subset_of_modalities_gets_its_own_finite_answer() -> None:
    model, batch = model_of("multimodal"), batch_of({"speech": [90], "face": [5], "text": [6]})
    answers = {}
    for count in range(4):
        for gone in itertools.combinations(WIDTHS, count):
            out = model.outputs(without(batch, *gone))
            answers[gone] = out.logits["emotion"]
            assert {name: bool(here) for name, here in out.present.items()} == {n: n not in gone for n in WIDTHS}
    assert len(answers) == 8 and all(torch.isfinite(answer).all() for answer in answers.values())
    for one, other in itertools.combinations(answers.values(), 2):
        assert (one - other).abs().max() > 1e-4


def test_an_absent_modality_is_a_learned_vector_and_costs_its_network_nothing() -> None:
    model, batch = model_of("multimodal"), batch_of(LENGTHS)
    sizes: dict[str, int] = {}
    for name in ("speech", "face"):
        model.networks[name].backbone.stem.register_forward_pre_hook(
            lambda _, given, name=name: sizes.__setitem__(name, len(given[0]))
        )
    feature = model.outputs(batch).embedding
    assert sizes == {"speech": 4, "face": 5 + 3 + 2 + 5}
    wide = model.networks["speech"].width
    assert torch.equal(feature[2, :wide], model.networks["speech"].absent)
    assert torch.equal(feature[0, -8:], model.networks["text"].absent)
    sizes.clear()
    model(without(batch, "speech", "face"))
    assert sizes == {}


@modes
def test_saved_and_loaded_it_is_identical(mode: str, settings, tmp_path) -> None:
    model, batch = model_of(mode, **settings), batch_of(LENGTHS)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    other = model_of(mode, **settings)
    for p in other.parameters():
        nn.init.normal_(p)
    other.load_state_dict(load_file(tmp_path / "model.safetensors"))
    for name, logit in model(batch).items():
        assert torch.equal(other(batch)[name], logit)


def test_who_answers_what() -> None:
    """λ's targets are answered by the single networks' own heads, the task by all of them together."""
    model, batch = model_of("multimodal"), batch_of(LENGTHS)
    out = model.outputs(batch)
    assert list(out.logits) == ["emotion", "face_emotion", "speech_emotion"]
    for name in ("speech", "face"):
        own = model.networks[name](batch.tokens[name])[1]
        torch.testing.assert_close(out.logits[f"{name}_emotion"], own)
    features = [net(batch.tokens[name])[0] for name, net in model.networks.items()]
    assert list(model.networks) == ["speech", "face", "text"]
    torch.testing.assert_close(out.embedding, torch.cat(features, 1))
    torch.testing.assert_close(out.logits["emotion"], model.heads.linears[0](torch.cat(features, 1)))
    assert {name: list(said) for name, said in out.auxiliary.items()} == {"text": ["emotion"]}
    # a corpus with one label a clip: every head is asked for it
    out = model_of("multimodal", SPECS[:1]).outputs(batch)
    assert {name: list(said) for name, said in out.auxiliary.items()} == {n: ["emotion"] for n in WIDTHS}


def test_one_network_alone_answers_every_target_in_its_own_numbers() -> None:
    specs = (SPECS[0], TargetSpec("valence", "regression", ("valence",)), SPECS[2])
    model, batch = model_of("speech", specs), batch_of(LENGTHS)
    logits, whole = model(batch), model.networks["speech"](batch.tokens["speech"])[1]
    assert {name: logit.shape[1] for name, logit in logits.items()} == {"emotion": 7, "valence": 1, "speech_emotion": 7}
    torch.testing.assert_close(torch.cat(list(logits.values()), 1), whole)


def test_the_published_widths() -> None:
    with torch.device("meta"):
        model = MERC2020Model("multimodal", {"speech": 128, "face": 3 * 224**2, "text": 200}, SPECS)
        assert [net.width for net in model.networks.values()] == [1024, 640, 200]
        assert model.heads.linears[0].weight.shape == (7, 1864)
        assert model.networks["speech"].backbone.variant == "b4" and model.networks["face"].backbone.variant == "b0"
        assert len(model.networks["text"].encoder.layers) == 12


@pytest.mark.parametrize("mode", ["speech", "face", "multimodal"])
def test_what_is_frozen_learns_nothing_and_its_norms_stand_still(mode: str) -> None:
    model = model_of(mode, freeze_backbone=True, modality_dropout=0.3).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        sum(logit.square().sum() for logit in model(batch_of(LENGTHS)).values()).backward()
        optimiser.step()
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    if mode == "multimodal":
        assert moved == {"heads.linears.0.weight", "heads.linears.0.bias"} | {f"networks.{n}.absent" for n in WIDTHS}
    else:
        assert moved and not any(".backbone." in name for name in moved)
        assert any(".recurrent.encoder." in name for name in moved)
    assert model.training and not any(m.training for m in model.modules() if isinstance(m, nn.BatchNorm2d))


def test_norms_that_are_not_frozen_do_move() -> None:
    model = model_of("speech").train()
    before = model.networks["speech"].backbone.stem.norm.running_mean.clone()
    model(batch_of(LENGTHS, seed=3))
    assert not torch.equal(model.networks["speech"].backbone.stem.norm.running_mean, before)


def test_text_has_nothing_to_freeze() -> None:
    with pytest.raises(ConfigError, match="mode text"):
        model_of("text", freeze_backbone=True)


@pytest.mark.parametrize("as_folder", [True, False])
def test_unimodal_runs_begin_the_multimodal_model(as_folder: bool, tmp_path) -> None:
    model, batch = model_of("multimodal"), batch_of(LENGTHS)
    for p in model.parameters():
        nn.init.normal_(p, std=0.05)
    for name in WIDTHS:
        own = next((spec for spec in SPECS if spec.name == f"{name}_emotion"), SPECS[0])
        alone = model_of(name, (own,))
        (tmp_path / name).mkdir()
        save_file(alone.state_dict(), tmp_path / name / "model.safetensors")
        path = tmp_path / name if as_folder else tmp_path / name / "model.safetensors"
        assert model.load_backbone(path) == (name,)
        feature, logits = model.networks[name](batch.tokens[name])
        torch.testing.assert_close(feature, alone.outputs(batch).embedding)
        torch.testing.assert_close(logits, alone(batch)[own.name])


def test_a_head_for_other_labels_is_left_as_it_is(tmp_path) -> None:
    two = TargetSpec("emotion", "single_label", EMOTIONS[:2])
    save_file(model_of("speech", (two,)).state_dict(), tmp_path / "a.safetensors")
    model = model_of("multimodal")
    head = model.networks["speech"].head.linear.weight.clone()
    model.networks["speech"].absent.data.fill_(9.0)
    assert model.load_backbone(tmp_path / "a.safetensors") == ("speech",)
    assert torch.equal(model.networks["speech"].head.linear.weight, head)
    assert model.networks["speech"].absent.abs().max() < 1


def test_a_run_that_does_not_fit_is_refused(tmp_path) -> None:
    save_file(model_of("speech", speech={"hidden": 4}).state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(WeightError, match="speech network is of another build"):
        model_of("multimodal").load_backbone(tmp_path / "other.safetensors")
    with pytest.raises(WeightError, match="holds no network for face"):
        model_of("face").load_backbone(tmp_path / "other.safetensors")
    with pytest.raises(WeightError, match=r"model\.safetensors"):
        model_of("face").load_backbone(tmp_path)
    (tmp_path / "seed-0").mkdir()
    with pytest.raises(WeightError, match=r"several seeds.*seed-0"):
        model_of("face").load_backbone(tmp_path)


def test_modality_dropout_is_for_training_and_never_takes_the_last_one() -> None:
    model, batch = model_of("multimodal", modality_dropout=0.9), batch_of(LENGTHS)
    here = torch.stack(list(model.outputs(batch).present.values()))
    assert torch.equal(here, torch.tensor([LENGTHS[name] for name in model.networks]) > 0)
    torch.manual_seed(0)
    left = torch.stack([torch.stack(list(model.train().outputs(batch).present.values())) for _ in range(10)])
    assert left.any(1).all() and not (left & ~here).any()
    assert left.float().sum() < 0.7 * 10 * here.float().sum()


def test_the_same_seed_makes_the_same_step() -> None:
    results = []
    for _ in range(2):
        model = model_of("multimodal", modality_dropout=0.3).train()
        torch.manual_seed(5)
        sum(logit.sum() for logit in model(batch_of(LENGTHS)).values()).backward()
        results.append([p.grad for p in model.parameters() if p.grad is not None])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_what_cannot_be_asked_is_refused() -> None:
    with pytest.raises(ConfigError, match="video"):
        MERC2020Model("video", WIDTHS, SPECS)
    with pytest.raises(ConfigError, match="needs face"):
        MERC2020Model("face", {"speech": 128}, SPECS)
    with pytest.raises(ConfigError, match="asked of persons"):
        MERC2020Model("text", WIDTHS, [TargetSpec("emotion", "single_label", EMOTIONS, per_entity=True)])
    with pytest.raises(ConfigError, match="batch has no face, text"):
        model_of("multimodal")(batch_of({"speech": [30]}))
