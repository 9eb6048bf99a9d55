"""From config to figures: what a run records, what it refuses, and that test stays unread until it is asked for."""

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score
from small_corpus import ARRAYS, write_arrays

from merkit.config import override
from merkit.errors import ConfigError, LeakageError, MerkitError, StoreError
from merkit.systems.data import DataConfig
from merkit.systems.fusion import FusionConfig
from merkit.systems.system import find_system
from merkit.training import Run, compare_runs, evaluate_runs, train, train_seeds
from merkit.training.evaluate import Predictions, predictions_of


def config(root: Path, *changes: str) -> FusionConfig:
    base = FusionConfig(data=DataConfig(root=root, arrays=ARRAYS))
    short = (
        "trainer.max_epochs=15",
        "trainer.batch_size=16",
        "trainer.accelerator=cpu",
        "trainer.watch=accuracy",
        "model.width=8",
        "optim.lr=0.01",
    )
    return override(base, [*short, *changes])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_arrays(tmp_path_factory.mktemp("corpus"), n=90)


@pytest.fixture(scope="module")
def run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train_seeds("fusion", config(root), tmp_path_factory.mktemp("runs") / "a", 3)


def test_the_record_says_what_the_run_was_made_of(run: Run, root: Path) -> None:
    one = run.seeds()[0]
    record = one.record
    assert record["status"] == "finished" and record["data"]["clips"] == {"train": 54, "valid": 18, "test": 18}
    assert record["environment"]["torch"] and record["widths"] == {"text": 7, "speech": 5}
    assert record["test_readings"] == [] and not (one.path / "last.ckpt").exists()
    assert [len(seed.record["valid"]) > 3 for seed in run.seeds()] == [True] * 3
    assert [seed.config.trainer.seed for seed in run.seeds()] == [0, 1, 2]
    assert (one.path / "history.csv").read_text().count("\n") == 16


def test_it_learns(run: Run) -> None:
    assert np.mean([seed.record["valid"]["emotion.accuracy"] for seed in run.seeds()]) > 0.6


def test_training_never_sees_answers_of_test(root: Path, tmp_path: Path) -> None:
    """Other answers for test: the same weights and the same fingerprint of what was seen."""
    twisted = tmp_path / "twisted"
    twisted.mkdir()
    with np.load(root / "data.npz") as archive:
        arrays = dict(archive)
    arrays["label"] = np.where(arrays["split"] == "test", (arrays["label"] + 1) % 3, arrays["label"])
    np.savez(twisted / "data.npz", **arrays)
    a = train("fusion", config(root), tmp_path / "a")
    b = train("fusion", config(twisted), tmp_path / "b")
    assert (a.path / "model.safetensors").read_bytes() == (b.path / "model.safetensors").read_bytes()
    assert a.record["data"]["fingerprint"] == b.record["data"]["fingerprint"]


def test_evaluate_reads_a_folder_that_training_never_saw_and_counts_it(run: Run, tmp_path: Path) -> None:
    elsewhere = write_arrays(tmp_path / "elsewhere", n=300, seed=5)
    for reading in (1, 2):
        over_seeds, together = evaluate_runs([run.path], root=elsewhere, split="test", draws=100)
        assert "whole groups" in together.interval  # the speakers of the corpus
        assert over_seeds.readings == reading and over_seeds.n == 60 and over_seeds.seeds == 3
    readings = run.seeds()[1].record["test_readings"]
    assert len(readings) == 2 and readings[0]["root"] == str(elsewhere)
    made = [Predictions.load(next(seed.path.glob("predictions/test@elsewhere-*.npz"))) for seed in run.seeds()]
    truth = made[0].target["emotion"]
    each = [accuracy_score(truth, one.output["emotion"].argmax(1)) for one in made]
    assert over_seeds.measures["emotion.accuracy"].value == pytest.approx(np.mean(each), abs=1e-9)
    mean = np.mean([one.output["emotion"] for one in made], axis=0).argmax(1)
    assert together.measures["emotion.macro_f1"].value == pytest.approx(
        f1_score(truth, mean, average="macro"), abs=1e-9
    )
    assert together.measures["emotion.accuracy"].low <= together.measures["emotion.accuracy"].value


def test_features_of_another_extractor_are_told(run: Run, root: Path, tmp_path: Path, caplog) -> None:
    one = run.seeds()[0]
    table = one.system.load(one.config, split="valid")
    predictions_of(one, table)
    assert not caplog.records
    other = {**table.provenance, "speech": replace(table.provenance["speech"], source="another@0123")}
    predictions_of(one, replace(table, provenance=other))
    assert "speech features are another@0123, and it was trained with" in caplog.text


def test_a_folder_that_holds_only_test_needs_no_split_column(run: Run, tmp_path: Path) -> None:
    with np.load(write_arrays(tmp_path / "all", n=60, seed=9) / "data.npz") as archive:
        arrays = {name: value for name, value in archive.items() if name != "split"}
    (tmp_path / "only").mkdir()
    np.savez(tmp_path / "only" / "data.npz", **arrays)
    assert evaluate_runs([run.path], root=tmp_path / "only", draws=100)[0].n == 60


def test_figures_do_not_depend_on_the_batch_size(root: Path, tmp_path: Path) -> None:
    run = train("fusion", config(root), tmp_path / "run")
    whole = evaluate_runs([run.path], split="valid", draws=100)[0].measures
    text = (run.path / "config.json").read_text()
    (run.path / "config.json").write_text(text.replace('"batch_size": 16', '"batch_size": 7'))
    small = evaluate_runs([run.path], split="valid", draws=100)[0].measures
    assert Run(run.path).config.trainer.batch_size == 7
    for name, interval in whole.items():
        assert small[name].value == pytest.approx(interval.value, abs=1e-6), name


def test_compare_finds_the_better_run_and_no_difference_with_itself(run: Run, root: Path, tmp_path: Path) -> None:
    untrained = train("fusion", config(root, "optim.lr=1e-9", "trainer.max_epochs=1"), tmp_path / "untrained")
    found = compare_runs(run.path, untrained.path, measure="accuracy", draws=500)[0]
    assert found.difference.low > 0 and found.p_value < 0.05 and found.n == 18
    assert compare_runs(run.path, run.path, measure="accuracy", draws=200)[0].difference.value == 0
    with pytest.raises(StoreError, match="merkit evaluate"):
        compare_runs(untrained.path, untrained.path, split="test")


def test_a_finished_run_is_left_alone_and_another_config_is_refused(root: Path, tmp_path: Path) -> None:
    run = train("fusion", config(root), tmp_path / "run")
    before = (run.path / "model.safetensors").stat().st_mtime_ns
    train("fusion", config(root), tmp_path / "run")
    assert (run.path / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(ConfigError, match=r"optim\.lr=0\.01 there, 0\.5 here"):
        train("fusion", config(root, "optim.lr=0.5"), tmp_path / "run")


def test_starting_over_leaves_no_answers_of_before_and_forgets_no_reading_of_test(root: Path, tmp_path: Path) -> None:
    short = config(root, "trainer.max_epochs=2")
    run = train_seeds("fusion", short, tmp_path / "run", 2)
    evaluate_runs([run.path], split="test", draws=20)
    one = run.seeds()[1].path
    assert (one / "predictions" / "test.npz").is_file()
    before = (one / "model.safetensors").stat().st_mtime_ns
    train_seeds("fusion", short, run.path, 2, resume=False)
    assert (one / "model.safetensors").stat().st_mtime_ns > before
    assert not (one / "predictions" / "test.npz").exists() and len(Run(one).record["test_readings"]) == 1


def test_a_training_does_not_go_on_with_other_data(root: Path, tmp_path: Path, monkeypatch) -> None:
    def killed(*given):
        raise KeyboardInterrupt

    copy = write_arrays(tmp_path / "copy", n=90)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(import_module("merkit.training.fit"), "_finished", killed)
        train("fusion", config(copy, "trainer.max_epochs=1"), tmp_path / "run")
    write_arrays(copy, n=90, seed=5)
    with pytest.raises(ConfigError, match=r"began on other data .* --fresh"):
        train("fusion", config(copy, "trainer.max_epochs=1"), tmp_path / "run")
    assert train("fusion", config(copy, "trainer.max_epochs=1"), tmp_path / "run", resume=False).finished


def test_mixed_precision_trains_with_clipped_gradients(root: Path, tmp_path: Path) -> None:
    assert config(root).trainer.clip > 0
    run = train("fusion", config(root, "trainer.precision=bf16", "trainer.max_epochs=2"), tmp_path / "run")
    assert run.finished and np.isfinite(run.record["valid"]["emotion.nll"])


def test_weights_that_are_no_numbers_end_a_training(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="diverged in epoch 1"):
        train("fusion", config(root, "optim.lr=1e38", "trainer.clip=0", "optim.name=sgd"), tmp_path / "run")
    assert not Run(tmp_path / "run").finished


def test_the_loss_on_valid_does_not_depend_on_where_unlabelled_clips_lie(tmp_path: Path) -> None:
    folder = write_arrays(tmp_path / "corpus", n=90)
    with np.load(folder / "data.npz") as archive:
        arrays = dict(archive)
    arrays["label"] = np.where(np.arange(90) % 90 < 62, arrays["label"], -1)  # of 18 in valid, 8 are known
    np.savez(folder / "data.npz", **arrays)
    losses = []
    for size in (1, 5, 64):
        changes = ("trainer.max_epochs=1", "optim.lr=0", f"trainer.batch_size={size}", "trainer.watch=loss")
        losses.append(
            train("fusion", config(folder, *changes), tmp_path / f"run-{size}").record["best"]["loss"]["value"]
        )
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)


@pytest.mark.parametrize("half", ["data.earlier=2", "model.context=fused"])
def test_turns_that_nothing_reads_are_told(root: Path, half: str, caplog) -> None:
    chosen = config(root, half)
    find_system("fusion").plan(chosen, find_system("fusion").load(chosen))
    assert "no turn around a clip is read" in caplog.text


def test_a_measure_that_is_never_defined_is_told(root: Path, tmp_path: Path, monkeypatch) -> None:
    from merkit.training.criteria import Criterion

    said: list[str] = []
    monkeypatch.setattr(Criterion, "__call__", lambda self, measures: float("nan"))
    train("fusion", config(root, "trainer.max_epochs=1"), tmp_path / "run", say=said.append)
    assert any("accuracy was undefined in every epoch" in line for line in said)


def test_leaks_stop_a_training_unless_they_are_named(root: Path, tmp_path: Path) -> None:
    leaking = tmp_path / "leaking"
    leaking.mkdir()
    with np.load(root / "data.npz") as archive:
        arrays = dict(archive)
    arrays["speaker"] = np.full(len(arrays["label"]), "ann")
    np.savez(leaking / "data.npz", **arrays)
    with pytest.raises(LeakageError, match=r"(?s)speaker.*allow_leaks"):
        train("fusion", config(leaking), tmp_path / "run")
    assert not (tmp_path / "run" / "model.safetensors").exists()
    run = train("fusion", config(leaking, "data.allow_leaks=[group]"), tmp_path / "run")
    assert any("speaker" in finding["explanation"] for finding in run.record["leakage"])


def test_an_unfinished_run_cannot_be_evaluated(root: Path, tmp_path: Path) -> None:
    run = train("fusion", config(root), tmp_path / "run")
    (run.path / "model.safetensors").unlink()
    with pytest.raises(StoreError, match="not finished"):
        evaluate_runs([run.path], split="valid")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("optim.rl=1", "did you mean"),
        ("lr=1", r"optim\.lr"),
        ("trainer.batch_size=0", "batch_size"),
        ("model.fusion=concatt", "concat"),
        ("data.modalities=[text,taste]", "taste"),
        ("data.targets=[mood]", "mood"),
        ("trainer.watch=acuracy", "acuracy"),
        ("trainer.best_by=[mean(accuracy+loss)]", "mixes measures"),
        ("data.split.kind=kfold data.split.by=planet", "planet"),
        ("data.arrays.modalities.text=nowhere", "nowhere"),
        ("optim.module_lr={fusoin: 0.1}", "fusoin"),
    ],
)
def test_what_is_wrong_is_said_by_name(root: Path, tmp_path: Path, change: str, said: str) -> None:
    with pytest.raises(MerkitError, match=said):
        train("fusion", config(root, *_split(change)), tmp_path / "run")


def _split(change: str) -> list[str]:
    """Two changes are separated by a space before a key."""
    return change.replace(" data.", "\ndata.").split("\n")


@pytest.mark.parametrize("modalities", [["text"], ["speech"], ["text", "speech"]])
@pytest.mark.parametrize("fusion", ["concat", "modality_attention", "tensor", "cross_modal", "label_query"])
def test_every_family_trains_on_every_subset(root: Path, tmp_path: Path, fusion: str, modalities: list[str]) -> None:
    changes = (f"model.fusion={fusion}", f"data.modalities=[{','.join(modalities)}]", "trainer.fast_dev_run")
    run = train("fusion", config(root, *changes), tmp_path / "run")
    measures = evaluate_runs([run.path], split="valid", draws=100)[0].measures
    assert 0.0 <= measures["emotion.accuracy"].value <= 1.0
    assert sorted(run.record["widths"]) == sorted(modalities)


def test_context_best_by_ema_and_merged_valid_work_together(root: Path, tmp_path: Path) -> None:
    changes = (
        "data.earlier=2", "data.later=-1", "model.context=streams", "trainer.ema=0.9", "optim.name=ranger",
        "trainer.best_by=[macro_f1,mean(accuracy+macro_f1),gmean(uar+accuracy)]", "objective.auxiliary=0.5",
    )  # fmt: skip
    run = train("fusion", config(root, *changes), tmp_path / "run")
    assert set(run.record["best"]) == {"accuracy", "macro_f1", "mean(accuracy+macro_f1)", "gmean(uar+accuracy)"}
    for held in run.record["best"].values():
        run.model(held["file"])
    merged = train("fusion", config(root, "data.split.merge_valid=true", "trainer.watch=last"), tmp_path / "merged")
    assert merged.record["data"]["clips"] == {"train": 72, "test": 18}
    assert "temperature" not in merged.record


def test_evaluations_are_kept_as_json_without_nan(run: Run) -> None:
    evaluate_runs([run.path], split="valid", draws=100)
    text = (run.path / "evaluation-valid.json").read_text()
    assert "NaN" not in text and json.loads(text)[0]["seeds"] == 3
