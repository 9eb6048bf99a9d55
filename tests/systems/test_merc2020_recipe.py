"""The MERC2020 recipe: modes, targets, published settings, losses, augmentation, which tokens, what it begins with."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.special import log_softmax
from small_clips import LABELS, NAMES, small_clips

from merkit.config import override
from merkit.data.augment import CutMix3D, FirstOf, Mixup
from merkit.data.batch import collate
from merkit.data.draws import Draw
from merkit.data.table import ClipTable, TokenColumn
from merkit.errors import ConfigError
from merkit.systems import find_system, merc2020
from merkit.systems.merc2020_data import AUXILIARY

TINY = (
    "speech_coeff=tiny", "face_coeff=tiny", "speech.frames=32", "speech.hidden=6", "face.hidden=6", "text.layers=1",
    "text.heads=2", "text.feedforward=16", "trainer.batch_size=8", "trainer.accelerator=cpu",
)  # fmt: skip
PLAIN = ("dropout=0", "text.dropout=0", "drop_path=0", "modality_dropout=0")


def config(*changes: str) -> merc2020.MERC2020Config:
    return override(merc2020.MERC2020Config(), [*TINY, *changes])


def of_mode(chosen: merc2020.MERC2020Config, table: ClipTable | None = None) -> ClipTable:
    table = small_clips() if table is None else table
    return replace(table, streams={name: table.streams[name] for name in chosen.streams if name in table.streams})


def planned(*changes: str, targets: tuple[str, ...] = NAMES):
    torch.manual_seed(0)
    chosen = config(*changes)
    return merc2020.plan(chosen, of_mode(chosen, small_clips(targets=targets)))


@pytest.mark.parametrize(
    ("preset", "settings", "optim", "networks"),
    [
        ("speech", (256, 100, "16"), ("ranger", 4e-3, "cosine"), ("b4", "b0")),
        ("face", (32, 20, "16"), ("ranger", 4e-3, "cosine"), ("b0", "b0")),
        ("text", (128, 100, "32"), ("ranger", 3e-4, "cosine"), ("b0", "b0")),
        ("multimodal", (16, 20, "32"), ("sgd", 3e-4, "step"), ("b4", "b0")),
        ("multimodal_big", (8, 20, "32"), ("sgd", 6e-4, "step"), ("b7", "b1")),
    ],
)
def test_presets_are_the_published_commands(preset, settings, optim, networks):
    chosen = find_system("merc2020").presets[preset]()
    assert (chosen.trainer.batch_size, chosen.trainer.max_epochs, chosen.trainer.precision) == settings
    assert (chosen.optim.name, chosen.optim.lr, chosen.optim.schedule) == optim
    assert (
        preset == "text" or (chosen.speech_coeff, chosen.face_coeff)[preset == "face" :] == networks[preset == "face" :]
    )
    assert chosen.label_smoothing == 0.1 and chosen.optim.weight_decay == 5e-5 and chosen.trainer.clip == 0
    assert chosen.mixup_prob == (preset not in ("face", "text")) and chosen.cutmix_prob == (preset == "face")
    assert chosen.speech.frames == 400 and chosen.face.n_frames == 16 and chosen.speech.hidden == 512
    assert (chosen.text.layers, chosen.text.heads, chosen.text.feedforward, chosen.face.hidden) == (12, 8, 2048, 320)
    if chosen.mode == "multimodal":
        assert (chosen.lam, chosen.optim.momentum, chosen.optim.step_every, chosen.optim.factor) == (2, 0.9, 0.5, 0.1)
        assert chosen.trainer.seed == {"multimodal": 42, "multimodal_big": 1234}[preset]


def test_published_networks_have_the_published_widths():
    recipe = find_system("merc2020")
    chosen = recipe.presets["multimodal"]()
    with torch.device("meta"):
        specs = tuple(column.spec for column in small_clips(1).targets.values())
        model = recipe.build_model(chosen, {"speech": 128, "face": 3 * 224 * 224, "text": 200}, specs)
    assert {name: net.width for name, net in model.networks.items()} == {"speech": 1024, "face": 640, "text": 200}
    assert model.networks["speech"].backbone.width == 1792 and model.networks["face"].backbone.width == 1280


def test_coefficients_are_understood_as_published():
    assert config("speech_coeff=4", "face_coeff=M").speech_coeff == "b4"
    assert config("trainer.precision=16").trainer.precision == "16"  # `--amp`
    assert config("face_coeff=XL").face_coeff == "x3d_xl" and config("face_coeff=1").face_coeff == "b1"
    auto = config("speech_coeff=7", "face_coeff=0")
    assert [auto.backbone("speech", width) for width in (128, 384)] == ["b7", "none"]
    assert [auto.backbone("face", width) for width in (3 * 224 * 224, 512, 768)] == ["b0", "none", "none"]
    assert config("speech.backbone=none").backbone("speech", 128) == "none"
    with pytest.raises(ConfigError, match="X3D"):
        config("speech_coeff=M")
    with pytest.raises(ConfigError, match="mode=face"):
        config("mode=speech", "cutmix_prob=1")


def cross_entropy(logit: np.ndarray, label: np.ndarray, known: np.ndarray, smoothing: float) -> float:
    """Written out as published: the true class keeps 1 - ε, the others share ε evenly."""
    share = np.full(logit.shape, smoothing / (logit.shape[1] - 1))
    share[np.arange(len(label)), label] = 1 - smoothing
    return float(-(share * log_softmax(logit.astype(np.float64), axis=1)).sum(1)[known].mean())


@pytest.mark.parametrize("lam", [2.0, 0.5])
def test_the_loss_is_that_of_all_plus_half_lambda_of_voice_and_face(lam):
    made = planned("label_smoothing=0.1", f"lam={lam}", *PLAIN)
    batch = collate(made.table, np.arange(12), modalities=made.modalities)
    made.model.eval(), made.objective.eval()
    with torch.no_grad():
        loss = float(made.objective(made.model, batch))
        logits = {name: logit.numpy() for name, logit in made.model(batch).items()}
    parts = {
        name: cross_entropy(logits[name], batch.targets[name].numpy(), batch.valid[name].numpy(), 0.1) for name in NAMES
    }
    assert loss == pytest.approx(
        parts["emotion"] + lam * (parts["speech_emotion"] + parts["face_emotion"]) / 2, rel=1e-5
    )
    # the words' own head is not supervised, as published: there is none
    assert made.model.outputs(batch).auxiliary == {}


def test_where_voice_and_face_are_not_asked_every_network_is_asked_what_all_are():
    made = planned("lam=1.5", *PLAIN, targets=("emotion",))
    batch = collate(made.table, np.arange(12), modalities=made.modalities)
    made.model.eval()
    with torch.no_grad():
        out, loss = made.model.outputs(batch), float(made.objective(made.model, batch))
    target, known = batch.targets["emotion"].numpy(), batch.valid["emotion"].numpy()
    heads = [
        cross_entropy(said["emotion"].numpy(), target, known & out.present[name].numpy(), 0)
        for name, said in out.auxiliary.items()
    ]
    assert len(heads) == 3
    whole = cross_entropy(out.logits["emotion"].numpy(), target, known, 0)
    assert loss == pytest.approx(whole + 1.5 * np.mean(heads), rel=1e-5)
    without = planned("lam=0", targets=("emotion",))
    assert without.model.outputs(batch).auxiliary == {} and without.objective.auxiliary == 0


def test_the_epoch_is_chosen_by_the_likelihood_of_the_integrated_answer():
    made = planned()
    assert (made.trainer.watch, made.trainer.best_by) == ("emotion.nll", ("emotion.accuracy",))
    asked = planned("trainer.watch=mean(accuracy+face_emotion.uar)").trainer.watch
    assert asked == "mean(emotion.accuracy+face_emotion.uar)"
    assert planned("trainer.watch=last").trainer.watch == "last"


def test_a_stretch_of_voice_and_pictures_in_order_and_in_evaluation_the_same_again():
    chosen = config("speech.frames=20", "face.n_frames=4", "face.n_frames_test=8", "face.skip_s=0.3")
    rising = TokenColumn.of_sequences([np.arange(50.0)[:, None]] * 2)
    rising = replace(rising, start_s=np.tile(np.arange(50) * 0.1, 2))
    table = replace(small_clips(2), streams={"speech": rising, "face": rising})
    rule = merc2020.sampling(chosen, table)

    def seen(draw: Draw | None) -> dict[str, np.ndarray]:
        batch = collate(table, np.array([0]), modalities=("speech", "face"), sampling=rule, draw=draw)
        return {name: tokens.x.flatten().numpy() for name, tokens in batch.tokens.items()}

    still = seen(None)
    assert still["speech"].tolist() == list(range(15, 35))  # the middle
    assert len(still["face"]) == 8 and (np.diff(still["face"]) >= 5).all() and still["face"].min() >= 3
    drawn = [seen(Draw(0, epoch)) for epoch in range(20)]
    assert all((np.diff(each["speech"]) == 1).all() and len(each["speech"]) == 20 for each in drawn)
    assert all(len(each["face"]) == 4 and (np.diff(each["face"]) > 0).all() for each in drawn)
    assert min(each["face"].min() for each in drawn) >= 3 and max(each["face"].max() for each in drawn) <= 46
    dense = replace(rising, start_s=rising.start_s * 0.5)
    assert merc2020.sampling(chosen, replace(table, streams={"face": dense})).streams["face"].skip_ends == 6
    assert len({each["speech"][0] for each in drawn}) > 8 and len({tuple(each["face"]) for each in drawn}) == 20


def test_augmentation_is_for_training_alone_and_each_part_can_be_switched_off():
    made = planned("mixup_prob=1", *PLAIN)
    batch = collate(made.table, np.arange(8), modalities=made.modalities)
    made.model.eval()
    with torch.no_grad():
        losses = [float(made.objective.eval()(made.model, batch)) for _ in range(2)]
        torch.manual_seed(1)
        trained = float(made.objective.train()(made.model, batch))
    assert losses[0] == losses[1] != trained
    widths = {"speech": 128, "face": 3 * 32 * 32, "text": 8}

    def steps(*changes: str) -> list[str]:
        chain = merc2020.augmentation(config(*changes), widths)
        return [] if chain is None else [type(step).__name__ for step in chain.steps]

    every = ["BrightnessContrast", "SpecAugment", "Flip", "BrightnessContrast", "Rotation"]
    assert steps() == every and steps("mixup_prob=.5") == [*every, "Mixup"]
    assert steps("augment=false") == [] and steps("augment=false", "mixup_prob=1") == ["Mixup"]
    assert steps("speech.light=0", "face.flip=0", "face.rotation=0") == ["SpecAugment", "BrightnessContrast"]
    assert steps("speech.spec_augment=false", "face.light_prob=0") == ["BrightnessContrast", "Flip", "Rotation"]
    # states of an encoder are no spectrogram and features of faces no pictures
    assert merc2020.augmentation(config(), {"speech": 384, "face": 512}) is None


def test_mixup_draws_first_and_cutmix_else():
    chosen = config("mode=face", "mixup_prob=0.3", "cutmix_prob=1", "cutmix_beta=2", "augment=false")
    (pairs,) = merc2020.augmentation(chosen, {"face": 3 * 32 * 32}).steps
    assert pairs == FirstOf((Mixup(1.0, 0.3, "batch"), CutMix3D(2.0, 1.0, "batch")))
    with pytest.raises(ConfigError, match="not pictures"):
        merc2020.augmentation(chosen, {"face": 512})


def test_networks_begin_with_unimodal_runs_and_stay_as_they_are_when_frozen(tmp_path):
    alone = {}
    for mode in ("speech", "face"):
        made = planned(f"mode={mode}", targets=(AUXILIARY[mode],))
        with torch.no_grad():
            for parameter in made.model.parameters():
                parameter.add_(0.05)  # another network than a fresh one
        (tmp_path / mode).mkdir()
        save_file(
            {k: v.contiguous() for k, v in made.model.state_dict().items()}, tmp_path / mode / "model.safetensors"
        )
        alone[mode] = made.model
    named = [f"{mode}_load_weights={tmp_path / mode}" for mode in alone]
    made = planned(*named, "face_load_weights=default", "freeze_backbone=true")
    fresh = planned("freeze_backbone=true").model
    for key, value in made.model.networks["speech"].state_dict().items():
        assert torch.equal(value, alone["speech"].networks["speech"].state_dict()[key]), key
    # `default` overrode the path that was named before it
    faces = made.model.networks["face"].state_dict()
    assert all(torch.equal(value, fresh.networks["face"].state_dict()[key]) for key, value in faces.items())
    learning = {
        name.split(".")[0] for name, p in made.model.named_parameters() if p.requires_grad and ".absent" not in name
    }
    assert learning == {"heads"}
    with pytest.raises(ConfigError, match="no face network"):
        planned(f"face_load_weights={tmp_path / 'speech'}", f"speech_load_weights={tmp_path / 'speech'}")


def test_of_several_seeds_a_network_begins_with_its_own(tmp_path):
    held = {}
    for seed in (4, 5):
        held[seed] = planned("mode=text", f"trainer.seed={seed}", targets=("emotion",)).model.networks["text"]
        torch.nn.init.constant_(held[seed].head.linear.bias, seed)
        (tmp_path / f"seed-{seed}").mkdir()
        tensors = {f"networks.text.{k}": v.contiguous() for k, v in held[seed].state_dict().items()}
        save_file(tensors, tmp_path / f"seed-{seed}" / "model.safetensors")
    chosen = ("mode=text", f"text_load_weights={tmp_path}")
    for seed in (4, 5):
        net = planned(*chosen, f"trainer.seed={seed}", targets=("emotion",)).model.networks["text"]
        assert net.head.linear.bias.tolist() == [seed] * 3
    with pytest.raises(ConfigError, match="seed-4, seed-5 and none of seed 6"):
        planned(*chosen, "trainer.seed=6", targets=("emotion",))


def test_states_of_an_encoder_need_no_spectrogram():
    rng = np.random.default_rng(0)
    label = np.arange(24) % 3
    states = [rng.normal(size=(9, 40)) * 30 + 400 + 60 * k for k in label]
    table = replace(small_clips(targets=("speech_emotion",)), streams={"speech": TokenColumn.of_sequences(states)})
    torch.manual_seed(0)
    made = merc2020.plan(config("mode=speech"), table)
    net = made.model.networks["speech"]
    assert not hasattr(net, "backbone")
    # scaled by the training clips alone
    train = np.concatenate(states[:16])
    np.testing.assert_allclose(net.scale.centre.numpy(), train.mean(0), rtol=1e-4)
    np.testing.assert_allclose(net.scale.scale.numpy(), train.std(0), rtol=1e-4)
    batch = collate(table, np.arange(24), modalities=("speech",))
    with torch.no_grad():
        scaled = (batch.tokens["speech"].x[:, 0] - net.scale.centre) / net.scale.scale
        feature = net.recurrent.attention(net.recurrent.encoder(scaled)[0], batch.tokens["speech"].mask[:, 0])
        expected = net.head.linear(feature)
    torch.testing.assert_close(made.model.eval()(batch)["speech_emotion"], expected, atol=1e-5, rtol=1e-5)
    assert len(LABELS) == expected.shape[1]
