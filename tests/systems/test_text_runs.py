"""What runs of text encoders are to evaluation and to other systems."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_texts import LABELS, small_texts
from tiny_encoders import KINDS, write_encoder

from merkit.config import override
from merkit.data.batch import Batch, collate
from merkit.data.table import ClipTable, TargetColumn
from merkit.errors import ConfigError, LeakageError
from merkit.features.sentences import sentence_encoder
from merkit.features.tuned_runs import load_tuned
from merkit.schema import TargetSpec
from merkit.systems import text_encoder as system
from merkit.systems.data import DataConfig
from merkit.systems.system import find_system
from merkit.training import Run, evaluate_runs, train
from merkit.training.train import leakage_of


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What encoders said is remembered under the test's own folder."""
    monkeypatch.setenv("MERKIT_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("encoders")
    return {kind: write_encoder(root / f"tiny-{kind}", kind) for kind in KINDS}


def configured(folder: Path, *changes: str) -> system.TextEncoderConfig:
    common = (f"encoder={folder}", "trainer.batch_size=8", "trainer.max_epochs=3", "trainer.accelerator=cpu")
    return override(system.TextEncoderConfig(), [*common, *changes])


def batch_of(table: ClipTable, rows) -> Batch:
    return collate(table, np.asarray(rows), modalities=("text",))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus as `read_arrays` takes it, with a test split."""
    table, root = small_texts(60), tmp_path_factory.mktemp("arrays")
    np.savez(
        root / "data.npz", id=table.ids, words=table.texts, unused=np.ones((60, 2)),
        label=table.targets["emotion"].value, split=np.repeat(["train", "valid", "test"], [36, 12, 12]),
        video=np.arange(60).astype(str),
    )  # fmt: skip
    return root


def of_arrays(root: Path, folder: Path, *changes: str) -> system.TextEncoderConfig:
    from merkit.corpora.arrays import ArraysConfig, ArrayTarget

    arrays = ArraysConfig(
        id="id", texts="words", modalities={"speech": "unused"},
        targets={"emotion": ArrayTarget(column="label", labels=LABELS)}, groups={"video": "video"},
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
    other = train("text_encoder", of_arrays(prepared, folders["bert"], "trainer.max_epochs=1"), tmp_path / "b")
    alone = evaluate_runs([other.path], split="valid", draws=50)[0].measures["emotion.nll"].value
    together = evaluate_runs([run.path, other.path], split="valid", draws=50)
    assert together[1].measures["emotion.nll"].value == alone


def test_the_same_seed_gives_the_same_run_and_another_seed_another(prepared: Path, folders, tmp_path: Path) -> None:
    states = []
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        config = of_arrays(prepared, folders["roberta"], "trainer.max_epochs=1", f"trainer.seed={seed}")
        states.append(load_file(train("text_encoder", config, tmp_path / name).path / "model.safetensors"))
    one, same, other = states
    assert all(torch.equal(value, same[name]) for name, value in one.items())
    assert not all(torch.equal(value, other[name]) for name, value in one.items())


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
    saved = load_tuned(both.path).save(tmp_path / "saved")
    for leaking in (both.path, saved):
        data = data.model_copy(update={"text_encoder": str(leaking)})
        with pytest.raises(LeakageError, match="fitted on the labels of valid"):
            train("fusion", fusion.model_copy(update={"data": data}), tmp_path / "leaking")
    with pytest.raises(LeakageError, match="fitted on the labels of valid"):
        train("text_encoder", of_arrays(prepared, saved), tmp_path / "further")
    allowed = of_arrays(prepared, saved, "trainer.max_epochs=1")
    accepted = allowed.data.model_copy(update={"allow_leaks": ("fitted_on_labels",)})
    further = train("text_encoder", allowed.model_copy(update={"data": accepted}), tmp_path / "further")
    assert load_tuned(further.path).fitted_on == ("train", "valid")


def test_what_a_run_learned_of_official_train_is_no_secret_in_folds(
    run: Run, prepared: Path, folders, tmp_path: Path
) -> None:
    """Its features of another system, and the encoder itself, tuned further."""
    from merkit.systems.fusion import FusionConfig

    fold = ["data.split.kind=kfold", "data.split.folds=3", "data.split.by=video"]
    data = run.config.data.model_copy(update={"modalities": ("text",)})
    fusion = override(FusionConfig(data=data), [f"data.text_encoder={run.path}", "trainer.accelerator=cpu"])
    further = of_arrays(prepared, load_tuned(run.path).save(tmp_path / "saved"))
    for name, config in (("fusion", fusion), ("text_encoder", further)):
        for changes, leaks in ((), []), (fold, ["fitted_on_labels"]):
            changed = override(config, changes)
            errors = leakage_of(find_system(name).load(changed), changed).errors
            assert [each.kind for each in errors] == leaks
            assert all("of train, before" in each.explanation for each in errors)


def test_what_makes_no_sense_is_refused(prepared: Path, folders) -> None:
    config = of_arrays(prepared, folders["bert"])
    for key, value in (("text_encoder", "minilm"), ("earlier", 2), ("modalities", ("text",))):
        changed = config.model_copy(update={"data": config.data.model_copy(update={key: value})})
        with pytest.raises(ConfigError, match="mean nothing here"):
            system.load(changed)
    table = small_texts()
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
    table = small_texts()
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
    assert (config.trainer.max_epochs, config.trainer.batch_size) == (20, 4)
