"""Fine-tuning text encoders: the invariants of every system, on words; and what its runs are to other systems."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_encoders import KINDS, write_encoder

from merkit.config import override
from merkit.data.batch import Batch, Tokens, collate
from merkit.data.table import ClipTable, TargetColumn
from merkit.errors import ConfigError, LeakageError
from merkit.features.sentences import sentence_encoder
from merkit.networks.text_encoder import load_text_encoder
from merkit.schema import TargetSpec
from merkit.systems import text_encoder as system
from merkit.systems.data import DataConfig
from merkit.systems.system import find_system
from merkit.training import Run, evaluate_runs, train
from merkit.training.callbacks import Keeper
from merkit.training.fit import fit
from merkit.training.optim import parameter_groups

LABELS = ("joy", "anger", "calm")
FILLERS = "the film is was very it day no . yes a b c".split(" ")  # noqa: SIM905


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What encoders said is remembered under the test's own folder."""
    monkeypatch.setenv("MERKIT_HOME", str(tmp_path / "home"))


def corpus(n: int = 24) -> ClipTable:
    """The label is one word among others; clips 5 and 17 say nothing; one target of every kind."""
    rng = np.random.default_rng(3)
    label = np.arange(n) % 3
    texts = []
    for k in label:
        words = list(rng.choice(FILLERS, rng.integers(1, 9)))
        words.insert(rng.integers(0, len(words) + 1), LABELS[k])
        texts.append(" ".join(words))
    texts[5], texts[17] = "", "  "
    onehot = np.eye(3, dtype=np.float32)[label]
    specs = {
        "emotion": (TargetSpec("emotion", "single_label", LABELS), label, np.arange(n) % 11 != 0),
        "soft": (TargetSpec("soft", "soft_label", LABELS), 0.8 * onehot + 0.2 / 3, np.ones((n, 3), bool)),
        "many": (TargetSpec("many", "multi_label", LABELS[:2]), onehot[:, :2], np.ones((n, 2), bool)),
        "a.value": (
            TargetSpec("a.value", "regression", ("v",)),
            label[:, None].astype(np.float32),
            np.ones((n, 1), bool),
        ),
    }
    return ClipTable(
        "made", np.array([f"c{i}" for i in range(n)]), np.where(np.arange(n) < 16, "train", "valid"), {},
        {name: TargetColumn(*parts) for name, parts in specs.items()}, texts=np.array(texts),
    )  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("encoders")
    return {kind: write_encoder(root / f"tiny-{kind}", kind) for kind in KINDS}


def configured(folder: Path, *changes: str) -> system.TextEncoderConfig:
    common = (f"encoder={folder}", "trainer.batch_size=8", "trainer.max_epochs=3", "trainer.accelerator=cpu")
    return override(system.TextEncoderConfig(), [*common, *changes])


def planned(folder: Path, *changes: str, table: ClipTable | None = None):
    config = configured(folder, *changes)
    table = system.tokenised(config, corpus() if table is None else table)
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
    table = corpus().take(np.array([0, 1, 2, 3, 4, 6, 7, 8]))
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


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus as `read_arrays` takes it, with a test split."""
    table, root = corpus(60), tmp_path_factory.mktemp("arrays")
    np.savez(
        root / "data.npz", id=table.ids, words=table.texts, unused=np.ones((60, 2)),
        label=table.targets["emotion"].value, split=np.repeat(["train", "valid", "test"], [36, 12, 12]),
    )  # fmt: skip
    return root


def of_arrays(root: Path, folder: Path, *changes: str) -> system.TextEncoderConfig:
    from merkit.corpora.arrays import ArraysConfig, ArrayTarget

    arrays = ArraysConfig(
        id="id", texts="words", modalities={"speech": "unused"},
        targets={"emotion": ArrayTarget(column="label", labels=LABELS)},
    )  # fmt: skip
    config = configured(folder, "optim.lr=0.01", "trainer.watch=accuracy", "trainer.max_epochs=16", *changes)
    return config.model_copy(update={"data": DataConfig(root=root, arrays=arrays)})


@pytest.fixture(scope="module")
def run(prepared: Path, folders, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train("text_encoder", of_arrays(prepared, folders["roberta"]), tmp_path_factory.mktemp("runs") / "a")


def test_a_run_learns_evaluates_and_says_what_it_read(run: Run) -> None:
    record = run.record
    assert record["modalities"] == ["text"] and record["widths"] == {"text": 1}
    assert record["data"]["provenance"]["text"]["source"].startswith("token ids of tiny-roberta (")
    assert record["valid"]["emotion.accuracy"] > 0.8  # a third by chance
    found = evaluate_runs([run.path], split="valid", draws=50)[0]
    assert found.measures["emotion.accuracy"].value == pytest.approx(record["valid"]["emotion.accuracy"])


def test_runs_of_two_encoders_are_judged_on_ids_of_their_own(run: Run, prepared: Path, folders, tmp_path: Path) -> None:
    other = train("text_encoder", of_arrays(prepared, folders["bert"]), tmp_path / "b")
    alone = evaluate_runs([other.path], split="valid", draws=50)[0].measures["emotion.nll"].value
    together = evaluate_runs([run.path, other.path], split="valid", draws=50)
    assert together[1].measures["emotion.nll"].value == alone


def test_the_same_seed_gives_the_same_run_and_another_seed_another(
    run: Run, prepared: Path, folders, tmp_path: Path
) -> None:
    same = train("text_encoder", of_arrays(prepared, folders["roberta"]), tmp_path / "same")
    other = train("text_encoder", of_arrays(prepared, folders["roberta"], "trainer.seed=1"), tmp_path / "other")
    state = load_file(run.path / "model.safetensors")
    assert all(torch.equal(value, load_file(same.path / "model.safetensors")[name]) for name, value in state.items())
    assert not all(
        torch.equal(value, load_file(other.path / "model.safetensors")[name]) for name, value in state.items()
    )


def test_a_run_gives_its_encoders_vectors_and_says_what_it_was_fitted_on(run: Run) -> None:
    encoder = sentence_encoder(str(run.path))
    assert encoder.fitted_on == ("train",) and encoder.id.startswith("tiny-roberta+tuned@")
    table = system.load(run.config)
    model = run.model()
    with torch.inference_mode():
        expected = model.outputs(batch_of(table, np.arange(len(table)))).embedding.numpy()
    np.testing.assert_allclose(encoder([str(text) for text in table.texts]), expected, atol=2e-6)
    assert np.abs(encoder(["joy day"]) - sentence_encoder(run.config.encoder)(["joy day"])).max() > 1e-3


def test_its_features_feed_another_system_under_the_leakage_rules(
    run: Run, prepared: Path, folders, tmp_path: Path
) -> None:
    from merkit.systems.fusion import FusionConfig

    data = run.config.data.model_copy(update={"text_encoder": str(run.path), "modalities": ("text",)})
    fusion = override(FusionConfig(data=data), ["model.width=8", "trainer.max_epochs=2", "trainer.accelerator=cpu"])
    record = train("fusion", fusion, tmp_path / "fused").record
    assert record["data"]["provenance"]["text"]["fitted_on"] == ["train"]
    assert [f for f in record["leakage"] if f["kind"] == "fitted_on_labels"] == []
    merged = of_arrays(prepared, folders["roberta"], "trainer.watch=last", "trainer.max_epochs=1")
    merged = merged.model_copy(
        update={
            "data": merged.data.model_copy(update={"split": merged.data.split.model_copy(update={"merge_valid": True})})
        }
    )
    both = train("text_encoder", merged, tmp_path / "merged")
    assert sentence_encoder(str(both.path)).fitted_on == ("train", "valid")
    data = data.model_copy(update={"text_encoder": str(both.path)})
    with pytest.raises(LeakageError, match="fitted on the labels of valid"):
        train("fusion", fusion.model_copy(update={"data": data}), tmp_path / "leaking")


def test_what_makes_no_sense_is_refused(prepared: Path, folders) -> None:
    config = of_arrays(prepared, folders["bert"])
    for key, value in (("text_encoder", "minilm"), ("earlier", 2), ("modalities", ("text",))):
        changed = config.model_copy(update={"data": config.data.model_copy(update={key: value})})
        with pytest.raises(ConfigError, match="mean nothing here"):
            system.load(changed)
    table = corpus()
    with pytest.raises(ConfigError, match="no words"):
        system.tokenised(config, replace(table, texts=None))
    each = TargetSpec("each", "multi_label", LABELS, True)
    asked = TargetColumn(each, np.zeros((24, 2, 3), np.float32), np.ones((24, 2, 3), bool))
    both = replace(table, targets={**table.targets, "each": asked})
    assert "each" not in system.tokenised(config, both).targets
    named = config.model_copy(update={"data": DataConfig(targets=("each",))})
    with pytest.raises(ConfigError, match="asked of persons"):
        system.plan(named, system.tokenised(named, replace(table, targets={"each": asked})))


def test_what_is_cut_off_is_said_and_recorded(folders, caplog: pytest.LogCaptureFixture) -> None:
    table = corpus()
    texts = table.texts.astype(object)
    texts[3] = "very " * 30
    made = system.tokenised(configured(folders["bert"], "max_tokens=12"), replace(table, texts=texts.astype(str)))
    assert made.provenance["text"].source.endswith("up to 12; 1 of 24 texts lose their end")
    assert "1 of 24 texts are over 12 tokens" in caplog.text
    assert int(np.diff(made.streams["text"].offsets).max()) == 12


def test_presets_are_what_was_published() -> None:
    presets = find_system("text_encoder").presets
    config = presets["emotx"]()
    assert (config.encoder, config.pooling, config.dropout) == ("roberta-base", "pooler", 0.0)
    assert (config.optim.name, config.optim.lr, config.optim.schedule, config.optim.weight_decay) == (
        "adam",
        1e-6,
        "constant",
        0,
    )
    assert config.objective.loss == "bce" and presets["minilm"]().encoder == "minilm"
    assert json.loads(json.dumps(config.to_dict()))["trainer"]["max_epochs"] == 20


WORDS_OF_SCENES = ("happy", "worried", "bored")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenes of two films, one without any label of the published ten, as `merkit prepare moviegraphs` leaves them."""
    from merkit.corpora.manifest import Manifest
    from merkit.corpora.storage import write_manifest
    from merkit.corpora.utterances import Said, write_utterances
    from merkit.schema import Clip, Stream, Target

    out = tmp_path_factory.mktemp("film")
    scene = TargetSpec("scene_words", "multi_label", WORDS_OF_SCENES)
    character = TargetSpec("character_words", "multi_label", WORDS_OF_SCENES, True)
    clips = []
    for name, split, words in (("s1", "train", [1, 0, 1]), ("s2", "valid", [0, 1, 0]), ("s3", "train", [0, 0, 1])):
        value = np.array(words, np.float32)
        streams = (Stream("text", None, text=""),)
        targets = (Target(scene, value), Target(character, value, entity="Ann"))
        clips.append(Clip(name, streams, split=split, targets=targets, groups={"movie": f"m{split}"}))
    write_manifest(Manifest("film", tuple(clips), (scene, character), out), out)
    write_utterances(
        [Said("s1", 5.0, 6.0, "bad day"), Said("s1", 1.0, 2.0, "yes", "Ann"), Said("s2", 0.0, 1.0, "the film .")], out
    )
    return out


def test_scenes_of_a_film_are_texts_with_the_runs_label_set(film: Path, folders) -> None:
    config = override(system.emotx(), [f"encoder={folders['roberta']}", f"data.root={film}"])
    table = system.load(config)
    # s3 shows nothing of the ten; nobody was tracked, which words do not need
    assert table.ids.tolist() == ["s1", "s2"] and table.texts.tolist() == ["yes bad day", "the film ."]
    assert list(table.targets) == ["scene"] and table.targets["scene"].spec.labels[:2] == ("happy", "worried")
    assert table.targets["scene"].value[:, :2].tolist() == [[1, 0], [0, 1]] and table.targets["scene"].value.sum() == 2
    counted = system.load(override(config, ["scenes.top_k=2", "scenes.label_source=train"]))
    assert counted.targets["scene"].spec.labels == ("bored", "happy") and counted.ids.tolist() == ["s1", "s3"]
    tokens = load_text_encoder(str(folders["roberta"])).tokeniser(["yes bad day", "the film ."]).ids
    assert table.streams["text"].x[:, 0].tolist() == tokens[0] + tokens[1]
    with pytest.raises(ConfigError, match="asked of persons"):
        named = override(config, ["data.targets=character"])
        system.plan(named, system.load(named))


@pytest.fixture(scope="module")
def dialogues(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two dialogues, their turns not in order."""
    from merkit.corpora.manifest import Manifest
    from merkit.corpora.storage import write_manifest
    from merkit.schema import Clip, Stream, Target

    out = tmp_path_factory.mktemp("dialogues")
    spec = TargetSpec("emotion", "single_label", LABELS)
    said = [("d1", 1, "the film", 1), ("d1", 0, "yes no", 0), ("d2", 0, "the film", 2)]
    clips = tuple(
        Clip(
            f"{dialogue}_{turn}", (Stream("text", None, text=text),), split="train", turn=turn,
            targets=(Target(spec, np.array(label)),), groups={"dialogue": dialogue, "character": f"Ann{turn}"},
        )
        for dialogue, turn, text, label in said
    )  # fmt: skip
    write_manifest(Manifest("talk", clips, (spec,), out), out)
    return out


def test_dialogues_are_scenes_too_and_their_words_are_read_alone_or_together(dialogues: Path, folders) -> None:
    from merkit.systems import emotx

    config = override(system.emotx(), [f"encoder={folders['bert']}", f"data.root={dialogues}", "max_tokens=12"])
    table = system.load(config)
    assert table.texts.tolist() == ["yes no the film", "the film"]
    assert table.targets["scene"].value.tolist() == [[1, 1, 0], [0, 0, 1]]

    features = {}
    for mode in ("independent", "concat"):
        asked = override(
            emotx.EmoTxConfig(),
            [f"data.root={dialogues}", f"data.text_encoder={folders['bert']}", f"srt_feat_type={mode}"],
        )
        features[mode] = emotx.load(asked).streams["text"].x
    encoder = load_text_encoder(str(folders["bert"]))
    np.testing.assert_allclose(features["independent"], encoder.encode(["yes no", "the film", "the film"]), atol=2e-6)
    np.testing.assert_allclose(
        features["concat"], np.concatenate(encoder.encode_joined([["yes no", "the film"], ["the film"]])), atol=2e-6
    )
    assert np.abs(features["independent"] - features["concat"]).max() > 1e-3
