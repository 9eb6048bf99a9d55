"""The tensor mixer with encoders that are trained along: voice, words, raw physiology, low rank; and what padding may not do."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from rated_clips import LABELS, VOTES, write
from safetensors.torch import load_file
from tiny_encoders import WORDS, write_encoder
from tiny_sights_and_sounds import write_speech_encoder
from typer.testing import CliRunner

from merkit.cli.main import app
from merkit.config import override
from merkit.data.batch import Tokens, collate
from merkit.errors import ConfigError
from merkit.features.physiology_windows import PhysiologyWindowsExtractor
from merkit.features.waveform import FRAME, WaveformExtractor
from merkit.systems import find_system, tensor_mixer
from merkit.training.optim import parameter_groups

RECIPE = find_system("tensor_mixer")
SMALL = (
    "width=8", "mixer.patch=2", "mixer.channels=12", "mixer.depth=1", "trainer.batch_size=12", "trainer.accelerator=cpu",
    "trainer.patience=0", "optim.schedule=constant",
)  # fmt: skip
WINDOWS = PhysiologyWindowsExtractor(2.0, 2.0, {"eda": 4.0, "ibi": 4.0})


def samples(shares, rng):
    """A tone whose pitch is the class; clips of many lengths."""
    time = np.arange(8 * FRAME) / 16_000
    wave = 0.3 * np.sin(2 * np.pi * (200, 1200, 4000)[int(shares.argmax())] * time) + 0.02 * rng.normal(size=len(time))
    return wave.reshape(-1, FRAME)[: rng.integers(3, 9)]


def line(shares, rng):
    return " ".join([*rng.choice(WORDS[:15], rng.integers(2, 9)), ("anger", "calm", "joy")[int(shares.argmax())]])


def windows(shares, rng):
    """Skin that swings with the class; beats are missing from every other window."""
    x = np.zeros((4, WINDOWS.width))
    x[:, :8] = 5 + rng.normal() + (0.1, 1, 3)[int(shares.argmax())] * np.sin(np.arange(8) + rng.uniform(0, 6, (4, 1)))
    x[::2, 8:16] = 0.8
    x[:, 16], x[::2, 17] = 1, 1
    return x


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned")
    made = {"speech": (WaveformExtractor().id, samples), "physiology": (WINDOWS.id, windows)}
    return {
        "root": write(folder / "made", line=line, **made),
        "speech": write_speech_encoder(folder / "sound", norm="layer"),
        "text": write_encoder(folder / "words"),
    }


def config(places, *changes: str, preset: str = "tensor_mixer", tuned: bool = True):
    named = (f"tune.text={places['text']}", f"tune.speech={places['speech']}", "tune.max_tokens=16") if tuned else ()
    return override(RECIPE.presets[preset](), [*SMALL, f"data.root={places['root']}", *named, *changes])


def planned(chosen):
    torch.manual_seed(0)
    table = tensor_mixer.load(chosen)
    return table, tensor_mixer.plan(chosen, table)


TWO = "data.modalities=[text, speech]"


def test_padding_of_sound_is_neither_heard_nor_averaged(places):
    """Published: sound was filled up to seven seconds before masks were made, so that silence was attended to and averaged."""
    table, made = planned(config(places, TWO))
    made.model.eval()
    batch = collate(table, np.arange(12), modalities=made.modalities)
    lengths = batch.tokens["speech"].mask.sum((1, 2))
    assert lengths.min() < lengths.max()
    whole = made.model(batch)
    longer = replace(
        batch.tokens["speech"],
        x=torch.cat([batch.tokens["speech"].x, torch.full((12, 1, 5, FRAME), 0.5)], 2),
        mask=torch.cat([batch.tokens["speech"].mask, torch.zeros(12, 1, 5, dtype=torch.bool)], 2),
        times=None,
    )
    padded = made.model(replace(batch, tokens={**batch.tokens, "speech": longer}))
    for i in range(12):
        alone = made.model(collate(table, np.array([i]), modalities=made.modalities))
        for name, logit in alone.items():
            torch.testing.assert_close(logit[0], whole[name][i], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(logit[0], padded[name][i], atol=1e-5, rtol=1e-4)


def test_seven_seconds_and_so_many_tokens_are_read(places):
    chosen = config(places, TWO, "tune.max_speech_s=0.08", "tune.max_tokens=5")
    table = tensor_mixer.load(chosen)
    drawn = tensor_mixer.sampling(chosen, table)
    batch = collate(table, np.arange(54), modalities=("text", "speech"), sampling=drawn)
    heard, whole = batch.tokens["speech"], collate(table, np.arange(54), modalities=("speech",)).tokens["speech"]
    assert heard.mask.sum((1, 2)).tolist() == whole.mask.sum((1, 2)).clamp(max=4).tolist()
    torch.testing.assert_close(heard.x, whole.x[:, :, :4])  # from the beginning, as published
    words = batch.tokens["text"]
    last = [row[mask][-1].item() for row, mask in zip(words.x[:, 0, :, 0], words.mask[:, 0], strict=True)]
    assert words.mask.sum((1, 2)).max() == 5 and len(set(last)) == 1  # cut texts still end as texts do


def test_every_weight_has_a_rate_and_encoders_their_own(places):
    _, made = planned(
        config(places, "physiology.encoder=true", "physiology.window_s=2", "physiology.rates_hz={eda: 4, ibi: 4}")
    )
    rates = {id(p): group["lr"] for group in parameter_groups(made.model, made.optim) for p in group["params"]}
    for name, parameter in made.model.named_parameters():
        tuned = name.startswith(("encoders.text", "encoders.speech"))
        assert rates.get(id(parameter)) == ((1e-5 if tuned else 1e-3) if parameter.requires_grad else None), name
    _, other = planned(config(places, TWO, "optim.module_lr={encoders.text: 0.2}"))
    found = {group["lr"] for group in parameter_groups(other.model, other.optim)}
    assert found == {0.2, 1e-5, 1e-3}
    with pytest.raises(ConfigError, match=r"encoders\.face"):
        _, wrong = planned(config(places, TWO, "optim.module_lr={encoders.face: 0.2}"))
        parameter_groups(wrong.model, wrong.optim)


def test_low_rank_learns_little_and_a_run_is_saved_and_judged(places, tmp_path):
    chosen = config(
        places, TWO, "tune.lora.rank=2", "tune.lora.layers=[q_proj, v_proj]", "tune.lr=0.01", "optim.lr=0.01",
        "trainer.max_epochs=14", "labels.mode=soft", "fusion=concat",
    )  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps({"system": "tensor_mixer", "config": chosen.to_dict()}))
    for words in (
        ("train", "tensor_mixer", "--config", tmp_path / "config.json", "--out", tmp_path / "run", "--json"),
        ("evaluate", tmp_path / "run", "--split", "valid", "--json"),
    ):
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, done.output + str(done.exception or "")
    assert json.loads(done.stdout)[-1]["measures"]["emotion.accuracy"][0] > 0.7
    _, made = planned(chosen)
    begun, ended = made.model.state_dict(), load_file(tmp_path / "run" / "model.safetensors")
    moved = {
        name for name, value in begun.items() if name.startswith("encoders.") and not torch.equal(ended[name], value)
    }
    voice = {name for name in moved if name.startswith("encoders.speech")}
    assert {name.rpartition(".")[2] for name in voice} == {"down", "up"} and len(voice) == 12
    assert any(name.startswith("encoders.text") for name in moved)


def test_raw_physiology_has_an_encoder_and_says_the_class_alone(places):
    raw = ("physiology.encoder=true", "physiology.window_s=2", "physiology.rates_hz={eda: 4, ibi: 4}")
    chosen = config(places, *raw, "data.modalities=[physiology]", "task=classification", "dropout=0", tuned=False)
    table, made = planned(chosen)
    rows = np.intersect1d(np.flatnonzero(table.targets["emotion"].valid), table.streams["physiology"].clip)
    batch = collate(table, rows, modalities=made.modalities)
    optimiser = torch.optim.Adam(made.model.parameters(), lr=0.01)
    for _ in range(60):
        optimiser.zero_grad()
        made.objective(made.model, batch).backward()
        optimiser.step()
    said = made.model.eval()(batch)["emotion"].argmax(1)
    assert (said == batch.targets["emotion"]).float().mean() > 0.85
    nothing = Tokens(batch.tokens["physiology"].x, torch.zeros_like(batch.tokens["physiology"].mask))
    absent = made.model(replace(batch, tokens={"physiology": nothing}))["emotion"]
    assert torch.isfinite(absent).all() and torch.equal(absent, absent[:1].expand_as(absent))
    with pytest.raises(ConfigError, match="wide"):
        planned(override(chosen, ["physiology.window_s=3"]))


def test_on_each_persons_own_scale_what_was_measured_stays_known(places):
    raw = ("physiology.encoder=true", "physiology.window_s=2", "physiology.rates_hz={eda: 4, ibi: 4}")
    chosen = config(
        places, *raw, "data.modalities=[physiology]", "data.own_scale=[physiology]", "validation_fold=1", tuned=False
    )
    table = tensor_mixer.load(chosen)
    column = table.streams["physiology"]
    assert set(np.unique(column.x[:, 16:])) == {0.0, 1.0}
    owner = table.groups["speaker"][np.repeat(column.clip, column.lengths)]
    for who in np.unique(owner):
        assert abs(column.x[owner == who, :8].mean()) < 1e-4 and abs(column.x[owner == who, :8].std() - 1) < 1e-3
    assert tensor_mixer.load(chosen, split="valid").streams["physiology"].x.shape[0] < len(column.x)


def test_what_does_not_go_together_is_refused(places):
    for changes, says in (
        (("data.earlier=2",), "sees a clip alone"),
        (("data.text_encoder=minilm",), "take one of them"),
        (("tune.lora.rank=2", "tune.speech=''"), "no encoder of speech"),
        (("tune.lora.rank=2", "tune.lora.layers=[nobody]"), "nobody"),
    ):
        with pytest.raises(ConfigError, match=says):
            planned(config(places, *changes))
    assert len(LABELS) == VOTES.shape[1]
