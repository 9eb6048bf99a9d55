"""HLM12ERC whole: what is read of a prepared folder, how turns are written, what a run begins with, and a training run."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_dialogues import SIDE, made_dialogues, tiny_folder
from safetensors.torch import load_file, save_file
from tiny_sights_and_sounds import write_image_encoder

from merkit.config import override
from merkit.corpora.manifest import Manifest
from merkit.corpora.storage import write_manifest
from merkit.data.batch import collate
from merkit.data.context import dialogue_context
from merkit.data.sampler import EpochBatches
from merkit.errors import ConfigError, WeightError
from merkit.features.shard import ClipRecord, Row
from merkit.features.store import FeatureStore
from merkit.models.hlm12erc import WaveformLayers, WordMean
from merkit.schema import Clip, Stream, Target, TargetSpec
from merkit.systems import find_system
from merkit.systems.hlm12erc_config import HLM12ERCConfig, TextConfig
from merkit.systems.hlm12erc_data import whole_dialogues
from merkit.systems.hlm12erc_prompts import prompts, tokenised
from merkit.training.evaluate import predictions_of
from merkit.training.fit import loader_for
from merkit.training.module import collect
from merkit.training.train import train

PUBLISHED = Path(__file__).resolve().parents[2] / "benchmarks" / "hlm12erc" / "published.json"
SYSTEM = find_system("hlm12erc")
QUIET = (
    "trainer.accelerator=cpu",
    "text.limit=0",
    "feedforward=[{out_features: 12, dropout: 0.1}]",
    "optim.lr=3e-3",
    "text.lr=3e-3",
)


def config_of(preset: str, *changes: str) -> HLM12ERCConfig:
    return override(SYSTEM.presets[preset](), changes)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A folder as `merkit prepare meld --media` leaves it: words in the manifest, samples in features/, bytes in frames/."""
    root, table = tmp_path_factory.mktemp("prepared"), made_dialogues()
    emotion = TargetSpec("emotion", "single_label", table.targets["emotion"].spec.labels)
    other = TargetSpec("sentiment", "single_label", ("good", "bad"))
    clips = []
    stores = {
        "features": ("float16", "samples", "speech", "whole-waveform@1"),
        "frames": ("uint8", "scene", "scene", f"frames-{SIDE}x{SIDE}@2"),
    }
    opened = {name: FeatureStore.create(root / name, dtype=spec[0]) for name, spec in stores.items()}
    for i, name in enumerate(map(str, table.ids)):
        said = str(table.texts[i])
        clips.append(
            Clip(
                name, (Stream("text", None, text=said),) if said else (), str(table.split[i]),
                {"dialogue": f"{table.split[i]}{table.dialogue[i]}", "character": str(table.groups["character"][i])},
                (Target(emotion, np.array(int(table.targets["emotion"].value[i]))), Target(other, np.array(i % 2))),
                turn=int(table.turn[i]),
            )
        )  # fmt: skip
        for folder, (_, column, modality, source) in stores.items():
            x = table.streams[column].take(np.array([i])).x
            at = np.arange(len(x)) / 50
            opened[folder].add(
                ClipRecord(
                    name, "k", f"h{i}", {}, (Row(modality, None, source, x, at, at + 0.02, np.zeros(len(x), int)),)
                )
            )
    for store in opened.values():
        store.finalise()
    write_manifest(Manifest("made", tuple(clips), (emotion, other), root), root)
    return root


def test_of_a_prepared_folder_it_reads_what_is_switched_on(prepared, tmp_path):
    text = config_of("text", f"data.root={prepared}", f"text.encoder={tiny_folder('bert')}", "text.limit=0")
    table = SYSTEM.load(text)
    assert list(table.streams) == ["text"] and list(table.targets) == ["emotion"] and len(table) == 24
    ids = table.streams["text"].take(np.array([0])).x[:, 0].astype(int)
    assert ids[-1] == 3 and 2 not in ids  # the end of a text is there, its beginning is set before the first turn
    assert "lose" not in table.provenance["text"].source
    encoder = write_image_encoder(tmp_path / "resnet", "resnet")
    both = override(
        text, ["speech.encoder=waveform", "speech.max_s=0.04", f"scene.encoder={encoder}", "scene.frames=2"]
    )
    table = SYSTEM.load(both, split="valid")
    assert set(table.streams) == {"text", "speech", "scene"} and set(table.split) == {"valid"}
    assert table.streams["scene"].x.dtype == np.uint8 and table.streams["speech"].width == 320
    table = SYSTEM.load(override(both, ["fusion=multi_headed_attn", "fusion_width=16", "fusion_heads=2"]))
    both = override(both, ["fusion=multi_headed_attn", "fusion_width=16", "fusion_heads=2"])
    made = SYSTEM.plan(both, table)
    assert isinstance(made.model.readers["speech"], WaveformLayers)
    assert made.model.readers["scene"].shape.tolist() == [SIDE, SIDE] and made.context == (-1, 0)
    assert (
        SYSTEM.sampling(both, table).streams["scene"].limit == 2
        and SYSTEM.sampling(both, table).streams["speech"].limit == 2
    )
    # all three are read, learn, and are answered for alike by weights that are loaded
    batch = collate(
        table,
        np.arange(8),
        modalities=made.modalities,
        context=dialogue_context(table, *made.context),
        sampling=made.sampling,
    )
    made.objective(made.model, batch).backward()
    assert [name for name, p in made.model.named_parameters() if p.requires_grad and p.grad is None] == []
    again = SYSTEM.build_model(both, {name: column.width for name, column in table.streams.items()}, made.specs)
    again.load_state_dict(made.model.state_dict())
    with torch.no_grad():
        out, other = made.model.eval().outputs(batch), again.eval().outputs(batch)
    assert torch.equal(out.logits["emotion"], other.logits["emotion"])
    assert out.attention["modalities"].shape == (8, 3, 3) and out.present["text"].tolist() == [i != 6 for i in range(8)]
    with pytest.raises(ConfigError, match=r"face.encoder=stored: .* holds no face"):
        SYSTEM.load(override(text, ["face.encoder=stored"]))
    with pytest.raises(ConfigError, match=r"speech.encoder=waveform: .* holds no speech"):
        SYSTEM.load(override(text, ["speech.encoder=waveform", f"data.store={prepared / 'nothing'}"]))
    with pytest.raises(ConfigError, match="what was said before it"):
        override(text, ["data.later=1"])
    with pytest.raises(ConfigError, match="say what is read"):
        SYSTEM.load(override(text, ["data.modalities=[text]"]))


def test_turns_are_written_as_published_or_light():
    table = made_dialogues()
    published = prompts(table, TextConfig())
    assert published[1] == f'\n\n\nThe speaker "Phoebe" said:\n###\n{table.texts[1]}\n###' and published[6] == ""
    assert prompts(table, TextConfig(template="light"))[0] == f"\nRoss: {table.texts[0]}"
    assert prompts(table, TextConfig(template="light", speakers=False))[0] == f"\n{table.texts[0]}"
    odd = replace(table, texts=np.array(["{speaker} {0} {text}"] * 24))
    assert prompts(odd, TextConfig(template="<{speaker}> {text}"))[0] == "<Ross> {speaker} {0} {text}"
    twice = TextConfig(template="{text}, {speaker}: {text} ({speaker})")
    assert prompts(odd, twice)[0] == "{speaker} {0} {text}, Ross: {speaker} {0} {text} (Ross)"
    assert prompts(odd, TextConfig(template="{speaker} -> {text}", speakers=False))[0] == " -> {speaker} {0} {text}"
    with pytest.raises(ConfigError, match=r"with \{text\} in it"):
        prompts(table, TextConfig(template="nothing"))
    with pytest.raises(ConfigError, match="the groups of made are character"):
        prompts(table, TextConfig(speaker_group="cast"))
    with pytest.raises(ConfigError, match="has no words"):
        prompts(replace(table, texts=None), TextConfig(encoder="minilm"))


def test_trying_out_takes_whole_dialogues():
    table = whole_dialogues(made_dialogues(), 7)
    assert {name: int((table.dialogue == name).sum()) for name in np.unique(table.dialogue)} == {
        "d0": 6,
        "d1": 6,
        "d2": 2,
        "d3": 6,
    }
    assert whole_dialogues(made_dialogues(), 999).ids.tolist() == made_dialogues().ids.tolist()


def test_what_was_trained_without_its_dialogue_is_answered_without_it(prepared, tmp_path):
    changes = [f"data.root={prepared}", *QUIET, f"text.encoder={tiny_folder('bert')}", "trainer.max_epochs=1"]
    run = train("hlm12erc", config_of("utterance", *changes), tmp_path / "run")
    assert run.config.data.earlier == -1 and run.context == (0, 0)
    table = SYSTEM.load(run.config, split="valid")
    alone = replace(table, dialogue=np.array([f"its own {i}" for i in range(len(table))]))
    answers = [predictions_of(run, each).output["emotion"] for each in (table, alone)]
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-6)
    run = train("hlm12erc", config_of("text", *changes), tmp_path / "in dialogues")
    answers = [predictions_of(run, each).output["emotion"] for each in (table, alone)]
    assert run.context == (-1, 0) and np.abs(answers[0] - answers[1]).max() > 1e-4


def test_a_run_trains_answers_and_can_be_begun_with(prepared, tmp_path):
    changes = [
        f"data.root={prepared}",
        *QUIET,
        f"text.encoder={tiny_folder('gpt2')}",
        "trainer.max_epochs=8",
        "trainer.batch_size=4",
    ]
    config = config_of("text", *changes)
    run = train("hlm12erc", config, tmp_path / "run")
    facts = json.loads((tmp_path / "run" / "record.json").read_text())
    assert facts["status"] == "finished" and facts["modalities"] == ["text"]
    history = (tmp_path / "run" / "history.csv").read_text().splitlines()
    losses = [float(row.split(",")[history[0].split(",").index("train_loss")]) for row in history[1:]]
    assert losses[-1] < 0.8 * losses[0]
    # what it answers does not depend on how clips are batched, nor on whether dialogues are shared
    table, model = SYSTEM.load(config, split="valid"), run.model()
    answers = []
    for size, share in ((64, True), (1, True), (64, False)):
        model.readers["text"].share = share
        own = config.trainer.model_copy(update={"batch_size": size})
        loader, _ = loader_for(table, ("text",), own, context=(-1, 0))
        answers.append(collect(model, loader, model.specs)["emotion"][0])
    np.testing.assert_allclose(answers[1], answers[0], atol=1e-5)
    np.testing.assert_allclose(answers[2], answers[0], atol=1e-5)
    # begin with it: everything that fits is taken, and it is said whose labels it saw
    assert SYSTEM.load(override(config, [f"start={tmp_path / 'run'}"])).provenance["text"].fitted_on == ("train",)
    torch.manual_seed(1)
    begun = SYSTEM.plan(override(config, [f"start={tmp_path / 'run'}"]), SYSTEM.load(config)).model
    held = load_file(tmp_path / "run" / "model.safetensors")
    assert all(torch.equal(value, held[name]) for name, value in begun.state_dict().items())
    # the encoder of a run of text_encoder, under the name that it has there
    tuned = {
        f"encoder.{name.removeprefix('readers.text.encoder.')}": value + (0.5 if value.is_floating_point() else 0)
        for name, value in held.items()
        if name.startswith("readers.text.encoder.")
    }
    save_file({name: value.clone() for name, value in tuned.items()}, tmp_path / "tuned.safetensors")
    started = SYSTEM.plan(override(config, [f"start={tmp_path / 'tuned.safetensors'}"]), SYSTEM.load(config)).model
    name = "backbone.h.0.attn.c_attn.weight"
    assert torch.equal(started.readers["text"].encoder.state_dict()[name], tuned[f"encoder.{name}"])
    save_file({k: v.clone() for k, v in tuned.items() if ".h.1." not in k}, tmp_path / "part.safetensors")
    with pytest.raises(WeightError, match="of another text encoder"):
        SYSTEM.plan(override(config, [f"start={tmp_path / 'part.safetensors'}"]), SYSTEM.load(config))


def test_dialogues_come_together_unless_classes_are_drawn_evenly():
    config = config_of("text", *QUIET, f"text.encoder={tiny_folder('gpt2')}", "trainer.batch_size=6")
    table = tokenised(config, made_dialogues()).where("train")
    _, order = loader_for(table, ("text",), config.trainer, context=(-1, 0), train=True)
    for rows in order:
        inside = set(table.dialogue[rows])
        assert set(np.flatnonzero(np.isin(table.dialogue, list(inside)))) == set(rows)
    even = config.trainer.model_copy(update={"balance": True})
    _, order = loader_for(table, ("text",), even, context=(-1, 0), train=True)
    assert isinstance(order, EpochBatches)
    counts = np.bincount(np.concatenate(list(order)) % 3, minlength=3)
    assert counts.max() - counts.min() <= 1
    for rows in order:
        assert np.bincount(table.targets["emotion"].value[rows], minlength=3).min() >= len(rows) // 3


def test_encoders_have_a_rate_of_their_own_and_contrast_is_of_training_alone():
    config = config_of("offline", *QUIET, f"text.encoder={tiny_folder('gpt2')}", "contrast=anchor", "text.lr=1e-4")
    table = tokenised(config, made_dialogues())
    table = replace(table, streams={name: table.streams[name] for name in ("text", "speech", "face")})
    made = SYSTEM.plan(config, table)
    assert made.optim.module_lr == {"readers.text.encoder": 1e-4}
    batch = collate(table, np.arange(12), modalities=made.modalities, context=dialogue_context(table, -1, 0))
    made.model.eval()
    with torch.no_grad():
        judged = made.objective.eval()(made.model, batch)
        trained = made.objective.train()(made.model, batch)
        plain = SYSTEM.plan(override(config, ["contrast=none"]), table)
        plain.model.load_state_dict(made.model.state_dict())
        torch.testing.assert_close(judged, plain.objective.eval()(plain.model.eval(), batch))
    assert trained > judged + 0.05
    # stored features of words are of the utterance alone
    stored = override(config, ["text.encoder=stored"])
    table = replace(table, streams={**table.streams, "text": table.streams["speech"]})
    assert SYSTEM.plan(stored, table).context == (0, 0)


def test_word_vectors_of_a_file_learn_along_and_survive_words_that_nobody_knows(tmp_path):
    (tmp_path / "glove.txt").write_text("joy 1 0 0\nanger 0 1 0\ncalm 0 0 1\nrare 9 9 9\n")
    text = (
        "text.encoder=vectors",
        f"text.vectors={tmp_path / 'glove.txt'}",
        "text.template='{text}'",
        "text.vector_words=3",
    )
    config = config_of(
        "baseline", *QUIET[2:3], *text, "speech.encoder=none", "scene.encoder=none", "text.context=false"
    )
    table = tokenised(config, made_dialogues())
    table = replace(table, streams={"text": table.streams["text"]}, texts=None)
    made = SYSTEM.plan(config, table)
    assert isinstance(made.model.readers["text"], WordMean) and made.context == (0, 0)
    batch = collate(table, np.arange(24), modalities=("text",))
    out = made.model.eval().outputs(batch)
    assert out.present["text"].tolist() == [i % 7 != 6 for i in range(24)]
    with torch.no_grad():
        x, _ = made.model.readers["text"](batch.tokens["text"], batch)
    label = torch.from_numpy(table.targets["emotion"].value)
    assert torch.equal(x[out.present["text"]].argmax(1), label[out.present["text"]])
    made.objective(made.model, batch).backward()
    assert made.model.readers["text"].table.weight.grad.abs().sum() > 0
    with pytest.raises(ConfigError, match=r"name the file in text.vectors"):
        config_of("text", "text.encoder=vectors")


def test_a_network_over_turns_that_nobody_would_build_is_refused():
    for change in ("text.context=false", "text.encoder=stored"):
        config = config_of("conversation", f"text.encoder={tiny_folder('bert')}", change)
        with pytest.raises(ConfigError, match=r"text\.over_turns=gru needs turns"):
            SYSTEM.plan(config, made_dialogues())


def test_all_thirty_published_configurations_can_be_said():
    held = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    assert len(held) == 30
    made = {name: config_of(one["preset"], *one["changes"]) for name, one in held.items()}
    final = made["final-i05-wav2vec2-200kx1536"]
    assert final == SYSTEM.presets["published"]()
    assert final.encoders == {"text": "gpt2", "speech": "facebook/wav2vec2-base", "scene": "microsoft/resnet-50"}
    assert (final.fusion, final.fusion_width, final.fusion_heads, final.loss) == ("multi_headed_attn", 512, 4, "dice")
    assert [(f.out_features, f.dropout) for f in final.feedforward] == [(256, 0.2), (128, 0.2)]
    assert (final.optim.lr, final.optim.weight_decay, final.optim.warmup) == (5e-5, 0.1, 2000)
    assert (final.trainer.watch, final.trainer.patience, final.trainer.batch_size) == ("weighted_f1", 5, 8)
    assert made["t-um-gpt2"].encoders == {"text": "gpt2"} and made["v-um-retinaface"].encoders == {
        "face": "microsoft/resnet-50"
    }
    assert made["final-i04-waveform-300Kx768mha"].speech.chunk_s > 0
    assert made["losses-dice_triplet"].contrast == "anchor" and made["losses-dice_triplet"].trainer.balance
    assert made["baseline-focal"].loss_params["class_weight"][2] == 37.27
    assert not any(made["final-i10-best-l2norm_off"].model_dump()[m]["l2norm"] for m in ("text", "speech", "scene"))
