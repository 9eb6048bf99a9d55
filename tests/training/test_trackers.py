"""Trackers: what is asked of W&B, by a stand-in for it, what the run's own files would say, and the sweep that is shipped.

W&B itself is not installed for tests. The stand-in has the few functions that Lightning's logger calls; it was checked
against wandb 0.31, offline.
"""

import csv
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch.loggers import MLFlowLogger
from lightning.pytorch.loggers import wandb as lightning_wandb
from omegaconf import OmegaConf
from small_corpus import ARRAYS, write_arrays

from merkit.config import override
from merkit.errors import ConfigError
from merkit.systems.system import SYSTEMS
from merkit.training.config import TrainerConfig
from merkit.training.run import write_json
from merkit.training.trackers import BestSoFar, build_tracker
from merkit.training.train import train, train_seeds

SWEEP = Path(__file__).resolve().parents[2] / "examples" / "emotx_sweep.yaml"


class Experiment:
    """One W&B run."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.asked, self.logged, self.summary, self.exit_code = asked, [], {}, None
        self.id, self.name = "abc", asked.get("name")
        self.config = SimpleNamespace(update=lambda *args, **more: None)
        self.artifacts: list[tuple[str, str, dict[str, bytes]]] = []

    def log(self, metrics: dict[str, Any]) -> None:
        assert self.exit_code is None, "logged to a run that is over"
        self.logged.append(metrics)

    def log_artifact(self, artifact: Any) -> None:
        assert self.exit_code is None
        self.artifacts.append((artifact.name, artifact.type, artifact.files))

    def finish(self, exit_code: int = 0) -> None:
        self.exit_code = exit_code
        sys.modules["wandb"].run = None  # ty: ignore


class Artifact:
    """What W&B takes files into; the files as they are when they are added."""

    def __init__(self, name: str, type: str) -> None:
        self.name, self.type, self.files = name, type, {}

    def add_file(self, path: str, name: str) -> None:
        self.files[name] = Path(path).read_bytes()


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> list[Experiment]:
    """Every run that was begun."""
    begun: list[Experiment] = []
    fake, errors, parts = ModuleType("wandb"), ModuleType("wandb.errors"), {}

    def init(**asked: Any) -> Experiment:
        if asked["mode"] == "online":
            raise fake.errors.Error("No API key configured")  # ty: ignore
        begun.append(Experiment(asked))
        fake.run = begun[-1]  # ty: ignore
        return begun[-1]

    errors.Error = type("Error", (Exception,), {})  # ty: ignore
    for name, held in (
        ("sdk", {}),
        ("sdk.lib", {"RunDisabled": type("RunDisabled", (), {})}),
        ("wandb_run", {"Run": Experiment}),
    ):
        parts[f"wandb.{name}"] = ModuleType(f"wandb.{name}")
        vars(parts[f"wandb.{name}"]).update(held)
    fake.init, fake.run, fake.errors, fake.Artifact = init, None, errors, Artifact  # ty: ignore
    for name, module in {"wandb": fake, "wandb.errors": errors, **parts}.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(lightning_wandb, "_WANDB_AVAILABLE", True)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    return begun


def tiny(folder: Path, *changes: str) -> Any:
    write_arrays(folder)
    config = SYSTEMS["fusion"].config()
    config = config.model_copy(update={"data": config.data.model_copy(update={"root": folder, "arrays": ARRAYS})})
    return override(config, ["trainer.tracker=wandb", "trainer.max_epochs=3", "trainer.accelerator=cpu", *changes])


def test_a_run_per_seed_with_config_measures_and_summary(tmp_path: Path, wandb: list[Experiment]) -> None:
    changes = ["trainer.project=films", "trainer.entity=us", "trainer.watch=macro_f1", "trainer.best_by=[loss]"]
    run = train_seeds("fusion", tiny(tmp_path / "data", *changes), tmp_path / "runs" / "mine", 2)
    assert [one.asked["name"] for one in wandb] == ["mine/seed-0", "mine/seed-1"]
    for seed, (one, held) in enumerate(zip(wandb, run.seeds(), strict=True)):
        asked = one.asked
        assert (asked["project"], asked["entity"], asked["group"], asked["mode"]) == ("films", "us", "mine", "offline")
        assert Path(asked["dir"]) == held.path
        assert asked["config"]["system"] == "fusion" and asked["config"]["trainer"]["seed"] == seed
        assert asked["config"] == {"system": "fusion", **held.config.to_dict()}
        rows = list(csv.DictReader((held.path / "history.csv").open()))
        measured = [m for m in one.logged if "valid/loss" in m]
        assert [m["valid/emotion.macro_f1"] for m in measured] == pytest.approx(
            [float(row["valid.emotion.macro_f1"]) for row in rows], abs=1e-6
        )
        best = held.record["best"]
        losses = [m["train/loss"] for m in one.logged if "train/loss" in m]
        assert losses == pytest.approx([float(row["train_loss"]) for row in rows], rel=1e-5)
        assert measured[-1]["best/watch"] == pytest.approx(best["macro_f1"]["value"], abs=1e-6)
        for rule in ("macro_f1", "loss"):
            assert one.summary[f"best/{rule}"] == pytest.approx(best[rule]["value"], abs=1e-6)
            assert one.summary[f"best/{rule}/epoch"] == best[rule]["epoch"]
        assert one.exit_code == 0


def test_weights_are_an_artifact_where_that_is_asked_for(tmp_path: Path, wandb: list[Experiment]) -> None:
    config = tiny(tmp_path / "data", "trainer.artifact=true", "trainer.watch=macro_f1")
    run = train_seeds("fusion", config, tmp_path / "runs" / "mine", 2)
    for one, held in zip(wandb, run.seeds(), strict=True):
        ((name, kind, files),) = one.artifacts
        assert (name, kind) == (f"mine-{held.path.name}", "model")
        assert files == {
            file: (held.path / file).read_bytes()
            for file in ("config.json", "record.json", "history.csv", "model.safetensors")
        }
        assert json.loads(files["record.json"])["status"] == "finished" and one.exit_code == 0
    train("fusion", tiny(tmp_path / "data"), tmp_path / "other")
    assert not wandb[-1].artifacts and wandb[-1].exit_code == 0


def test_nothing_goes_online_unless_asked_for(
    tmp_path: Path, wandb: list[Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert TrainerConfig().tracker_mode == "offline"
    build_tracker(tmp_path, TrainerConfig(tracker="wandb"))
    assert wandb[-1].asked["mode"] == "offline"
    wandb[-1].finish()
    with pytest.raises(ConfigError, match=r"No API key.*wandb login"):
        build_tracker(tmp_path, TrainerConfig(tracker="wandb", tracker_mode="online"))
    for held, mode in (("offline", "offline"), ("dryrun", "offline"), ("disabled", "disabled")):
        monkeypatch.setenv("WANDB_MODE", held)
        build_tracker(tmp_path, TrainerConfig(tracker="wandb", tracker_mode="online"))
        assert wandb[-1].asked["mode"] == mode
        wandb[-1].finish()
    monkeypatch.setenv("WANDB_MODE", "online")  # a shell's setting alone sends nothing
    build_tracker(tmp_path, TrainerConfig(tracker="wandb"))
    assert wandb[-1].asked["mode"] == "offline"


def test_a_run_that_goes_on_remembers_its_best_epochs(tmp_path: Path, wandb: list[Experiment]) -> None:
    write_json({"system": "fusion", "config": {}}, tmp_path / "config.json")
    (tmp_path / "history.csv").write_text("epoch,lr,valid.loss,valid.emotion.accuracy\n0,1,0.5,0.9\n1,1,0.4,\n")
    config = TrainerConfig(tracker="wandb", watch="accuracy", best_by=("loss",))
    anew = {"best/accuracy": 0.7, "best/accuracy/epoch": 2, "best/loss": 0.6, "best/loss/epoch": 2}
    on = {"best/accuracy": 0.9, "best/accuracy/epoch": 0, "best/loss": 0.4, "best/loss/epoch": 1}
    for stopped, want in ((False, anew), (True, on)):
        if stopped:
            (tmp_path / "last.ckpt").write_text("")
        tracker = build_tracker(tmp_path, config)
        assert not isinstance(tracker, bool)
        tracker.log_metrics({"valid/loss": 0.6, "valid/emotion.accuracy": 0.7, "epoch": 2}, 5)
        tracker.finalize("success")
        assert wandb[-1].summary == want


def test_a_failed_run_is_marked_as_failed(tmp_path: Path, wandb: list[Experiment]) -> None:
    tracker = build_tracker(tmp_path, TrainerConfig(tracker="wandb"))
    assert not isinstance(tracker, bool)
    tracker.finalize("failed")
    assert wandb[-1].exit_code == 1


def test_a_dry_run_begins_nothing(tmp_path: Path, wandb: list[Experiment]) -> None:
    build_tracker(tmp_path, TrainerConfig(tracker="wandb", fast_dev_run=True))
    assert wandb == []


def test_without_the_package_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setattr(lightning_wandb, "_WANDB_AVAILABLE", False)
    with pytest.raises(ConfigError, match=r"trainer.tracker=wandb needs `pip install merkit\[track\]`"):
        build_tracker(tmp_path, TrainerConfig(tracker="wandb"))


def test_csv_holds_what_the_run_itself_holds(tmp_path: Path) -> None:
    run = train("fusion", tiny(tmp_path / "data", "trainer.tracker=csv", "trainer.watch=macro_f1"), tmp_path / "run")
    logged = list(csv.DictReader((run.path / "tracked" / "metrics.csv").open()))
    held = list(csv.DictReader((run.path / "history.csv").open()))
    losses = [row["train/loss"] for row in logged if row.get("train/loss")]
    assert [float(loss) for loss in losses] == pytest.approx([float(row["train_loss"]) for row in held], rel=1e-5)
    measured = [row for row in logged if row["valid/loss"]]
    assert len(measured) == len(held) == 3
    for one, other in zip(measured, held, strict=True):
        assert float(one["valid/loss"]) == pytest.approx(float(other["valid.loss"]), abs=1e-6)
        assert one["valid/watch"] == one["valid/emotion.macro_f1"]


def test_tensorboard_holds_what_the_run_itself_holds(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    changes = ["trainer.tracker=tensorboard", "trainer.watch=macro_f1", "trainer.max_epochs=2"]
    run = train("fusion", tiny(tmp_path / "data", *changes), tmp_path / "run")
    events = accumulator.EventAccumulator(str(run.path / "tensorboard")).Reload()
    held = list(csv.DictReader((run.path / "history.csv").open()))
    assert [event.value for event in events.Scalars("valid/loss")] == pytest.approx(
        [float(row["valid.loss"]) for row in held], abs=1e-6
    )


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What every MLflow run was begun with; like MLflow, it leaves its server in the environment for child processes."""
    begun: list[dict[str, Any]] = []

    def init(self: object, experiment_name: str, **asked: Any) -> None:
        begun.append({"experiment_name": experiment_name, **asked})
        monkeypatch.setenv("MLFLOW_TRACKING_URI", asked["tracking_uri"])

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(MLFlowLogger, "__init__", init)
    monkeypatch.setattr(MLFlowLogger, "log_hyperparams", lambda self, config: begun[-1].update(config=config))
    monkeypatch.setattr(MLFlowLogger, "log_metrics", lambda self, metrics, step: begun[-1].update(metrics=metrics))
    return begun


def test_every_seed_has_an_mlflow_file_of_its_own(tmp_path: Path, mlflow: list[dict[str, Any]]) -> None:
    """MLflow puts the first seed's file into the environment; the second must not follow it there."""
    for seed in (0, 1):
        folder = tmp_path / "mine" / f"seed-{seed}"
        write_json({"system": "fusion", "config": {"trainer": {"seed": seed}}}, folder / "config.json")
        tracker = build_tracker(folder, TrainerConfig(tracker="mlflow", project="films"))
        assert not isinstance(tracker, bool)
        tracker.log_metrics({"valid/loss": 0.5, "epoch": 0}, 1)
        assert mlflow[-1] == {
            "experiment_name": "films", "run_name": f"mine/seed-{seed}", "tracking_uri": f"sqlite:///{folder}/mlflow.db",
            "artifact_location": str(folder / "mlflow"), "config": {"system": "fusion", "trainer": {"seed": seed}},
            "metrics": {"valid/loss": 0.5, "epoch": 0, "best/watch": 0.5},
        }  # fmt: skip


def test_mlflow_goes_to_a_server_only_when_asked(
    tmp_path: Path, mlflow: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    online = TrainerConfig(tracker="mlflow", tracker_mode="online")
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_URI"):
        build_tracker(tmp_path, online)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example")
    build_tracker(tmp_path, TrainerConfig(tracker="mlflow"))
    assert mlflow[-1]["tracking_uri"].startswith("sqlite:///")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example")
    build_tracker(tmp_path, online)
    assert (mlflow[-1]["tracking_uri"], mlflow[-1]["artifact_location"]) == ("https://mlflow.example", None)


def test_the_best_is_by_each_rule_in_its_own_direction() -> None:
    best = BestSoFar(TrainerConfig(watch="gmean(scene.map+character.map)", best_by=("loss",)))
    best.see(0, {"scene.map": 0.4, "character.map": 0.1, "loss": 0.5})
    best.see(1, {"scene.map": 0.3, "character.map": 0.3, "loss": 0.6})
    best.see(2, {"scene.map": float("nan"), "character.map": 0.9, "loss": 0.55})
    assert best.summary() == {
        "best/gmean(scene.map+character.map)": pytest.approx(0.3), "best/gmean(scene.map+character.map)/epoch": 1,
        "best/loss": 0.5, "best/loss/epoch": 0,
    }  # fmt: skip
    assert BestSoFar(TrainerConfig(watch="last")).summary() == {}


def sweep() -> dict[str, Any]:
    held = OmegaConf.to_container(OmegaConf.create(SWEEP.read_text().replace("${", "$ {")))
    assert isinstance(held, dict)
    return held


def arguments(chosen: dict[str, Any]) -> list[str]:
    """The agent's command, as `wandb agent` fills it in: `name=str(value)`."""
    command: list[str] = []
    for word in sweep()["command"]:
        word = word.replace("$ {", "${")
        if word == "${args_no_hyphens}":
            command += [f"{name}={value}" for name, value in chosen.items()]
        else:
            command.append(sweep()["program"] if word == "${program}" else word)
    return command


def choices() -> list[dict[str, Any]]:
    """The lowest, and the highest, of everything that the sweep may choose."""
    found: list[dict[str, Any]] = [{}, {}]
    for name, spec in sweep()["parameters"].items():
        low, high = (spec["values"][0], spec["values"][-1]) if "values" in spec else (spec["min"], spec["max"])
        found[0][name], found[1][name] = low, high
    return found


@pytest.mark.parametrize("chosen", choices())
def test_the_command_of_the_sweep_is_a_config(chosen: dict[str, Any]) -> None:
    program, train, system, *changes = arguments(chosen)
    assert (program, train) == ("merkit", "train")
    config = override(SYSTEMS[system].config(), changes)
    assert config.trainer.tracker == "wandb" and config.trainer.tracker_mode == "online"
    for name, value in chosen.items():
        held: Any = config
        for part in name.split("."):
            held = getattr(held, part)
        assert held == value, name


def test_the_sweep_goes_by_what_the_tracker_logs() -> None:
    config = SYSTEMS["emotx"].config()
    assert sweep()["metric"] == {"name": "best/watch", "goal": "maximize"}
    best = BestSoFar(config.trainer)
    assert best.criteria[0].mode == "max"


def test_what_wandb_writes_for_odd_values_is_understood() -> None:
    """`str` of Python's own values: 1e-05, True."""
    config = override(SYSTEMS["emotx"].config(), ["optim.lr=1e-05", "use_emotic_mapping=True", "dropout=0"])
    assert (config.optim.lr, config.use_emotic_mapping, config.dropout) == (1e-5, True, 0.0)
