"""Where measures go beside the run's own files. All of them write to the run's folder; none needs a network."""

import csv
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from merkit.errors import ConfigError
from merkit.training.config import TrainerConfig
from merkit.training.criteria import Criterion

__all__ = ["TRACKERS", "BestSoFar", "build_tracker", "log_artifact"]

# of a finished run: what it answers with, and how it was made
_ARTIFACT = ("config.json", "record.json", "history.csv", "model.safetensors")


class BestSoFar:
    """The best value by each of a run's criteria, and its epoch, from measures as they come.

    Args:
        config: its `watch` and `best_by` are the criteria; `last` is none.

    Example:
        >>> best = BestSoFar(TrainerConfig(watch="accuracy", best_by=("loss",)))
        >>> best.see(0, {"accuracy": 0.5, "loss": 0.9})
        >>> best.see(1, {"accuracy": 0.6, "loss": 1.1})
        >>> best.summary()
        {'best/accuracy': 0.6, 'best/accuracy/epoch': 1, 'best/loss': 0.9, 'best/loss/epoch': 0}
    """

    def __init__(self, config: TrainerConfig) -> None:
        self.watch = config.watch
        rules = dict.fromkeys((config.watch, *config.best_by))
        self.criteria = [Criterion.parse(rule) for rule in rules if rule != "last"]
        self._held: dict[str, tuple[float, int]] = {}

    def see(self, epoch: int, measures: Mapping[str, float]) -> None:
        """The measures of one epoch on valid."""
        for criterion in self.criteria:
            value = criterion(measures)
            held = self._held.get(criterion.text)
            if criterion.better(value, None if held is None else held[0]):
                self._held[criterion.text] = (value, epoch)

    def along(self, logged: Mapping[str, float]) -> Mapping[str, float]:
        """What a trainer logs (`valid/NAME`, `epoch`), with `best/watch` beside the measures of an epoch: the watched measure
        at its best so far, which is what a sweep goes by."""
        measures = {name.removeprefix("valid/"): value for name, value in logged.items() if name.startswith("valid/")}
        if "loss" not in measures:
            return logged
        self.see(int(logged.get("epoch", 0)), measures)
        return {**logged, "best/watch": self._held[self.watch][0]} if self.watch in self._held else logged

    def summary(self) -> dict[str, float]:
        """`best/RULE` and `best/RULE/epoch` of every criterion that had a value."""
        found: dict[str, float] = {}
        for rule, (value, epoch) in self._held.items():
            found |= {f"best/{rule}": value, f"best/{rule}/epoch": epoch}
        return found


class _Wandb(WandbLogger):
    """A W&B run of its own for every run of ours, with the whole config, and at its end the best epochs as summary."""

    def __init__(self, folder: Path, config: TrainerConfig) -> None:
        super().__init__(
            name=_name(folder),
            group=folder.parent.name if folder.name.startswith("seed-") else None,
            project=config.project,
            entity=config.entity or None,
            save_dir=folder,
            mode=_mode(config),
            config=_asked(folder),
        )
        self._best, self._artifact = _best(folder, config), config.artifact

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Hands them on, with the best so far."""
        super().log_metrics(self._best.along(metrics), step)

    def finalize(self, status: str) -> None:
        """Ends the W&B run, which the next seed of the same process must not write into; one whose weights are to be logged is
        ended by `log_artifact`, when they are there."""
        super().finalize(status)
        if self._experiment is not None:
            self._experiment.summary.update(self._best.summary())
            if status != "success" or not self._artifact:
                self._experiment.finish(exit_code=0 if status == "success" else 1)


class _MLflow(MLFlowLogger):
    """An MLflow run with the whole config as parameters; in a file of the run's folder, or on the server of the user."""

    def __init__(self, folder: Path, config: TrainerConfig) -> None:
        uri = f"sqlite:///{folder.resolve() / 'mlflow.db'}"
        if config.tracker_mode == "online":
            uri = os.environ.get("MLFLOW_TRACKING_URI", "")
            if not uri:
                raise ConfigError("trainer.tracker_mode=online with MLflow needs its server in MLFLOW_TRACKING_URI")
        place = str(folder / "mlflow") if config.tracker_mode == "offline" else None
        super().__init__(config.project, run_name=_name(folder), tracking_uri=uri, artifact_location=place)
        self._best = _best(folder, config)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Hands them on, with the best so far."""
        super().log_metrics(self._best.along(metrics), step)


def _name(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}" if folder.name.startswith("seed-") else folder.name


def _best(folder: Path, config: TrainerConfig) -> BestSoFar:
    """The best of what was measured before the run was stopped, where it is about to go on."""
    best = BestSoFar(config)
    for epoch, measures in _earlier(folder):
        best.see(epoch, measures)
    return best


def _mode(config: TrainerConfig) -> str:
    """What the config asks for; a WANDB_MODE that allows less wins."""
    allowed = os.environ.get("WANDB_MODE", "online")
    if allowed == "disabled":
        return "disabled"
    return "offline" if allowed in ("offline", "dryrun") else config.tracker_mode


def _asked(folder: Path) -> dict[str, Any]:
    """System and effective config of the run, which lie in its folder before training begins."""
    try:
        held = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return {"system": held["system"], **held["config"]}
    except (OSError, ValueError, KeyError):
        return {}


def _earlier(folder: Path) -> list[tuple[int, dict[str, float]]]:
    """Epochs and their measures from before; none where training begins anew."""
    path = folder / "history.csv"
    if not path.is_file() or not (folder / "last.ckpt").is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [
        (int(row["epoch"]), {name.removeprefix("valid."): float(value or math.nan) for name, value in row.items()
                             if name.startswith("valid.")})
        for row in rows
    ]  # fmt: skip


def _csv(folder: Path, config: TrainerConfig) -> Logger:
    return CSVLogger(folder, name="", version="tracked")


def _tensorboard(folder: Path, config: TrainerConfig) -> Logger:
    return TensorBoardLogger(folder, name="", version="tensorboard")


def _wandb(folder: Path, config: TrainerConfig) -> Logger:
    tracker = _Wandb(folder, config)
    if config.fast_dev_run:
        return tracker  # which Lightning then leaves aside
    import wandb  # ty: ignore[import-not-found]

    try:
        _ = tracker.experiment  # so that what hinders it is said now
    except wandb.errors.Error as error:
        raise ConfigError(
            f"W&B does not start ({error}); trainer.tracker_mode=online needs `wandb login` and a network, offline neither"
        ) from error
    return tracker


def log_artifact(folder: Path, config: TrainerConfig) -> None:
    """Logs a finished run's weights, config and record to its W&B run, where `trainer.artifact` asks for it, and ends that."""
    if config.tracker != "wandb" or not config.artifact or config.fast_dev_run:
        return
    import wandb  # ty: ignore[import-not-found]

    if wandb.run is None:
        return
    artifact = wandb.Artifact(_name(folder).replace("/", "-"), type="model")
    for name in _ARTIFACT:
        artifact.add_file(str(folder / name), name=name)
    wandb.run.log_artifact(artifact)
    wandb.run.finish(exit_code=0)


def _mlflow(folder: Path, config: TrainerConfig) -> Logger:
    tracker = _MLflow(folder, config)
    if not config.fast_dev_run:
        tracker.log_hyperparams(_asked(folder))
    return tracker


TRACKERS: dict[str, Callable[[Path, TrainerConfig], Logger]] = {
    "csv": _csv,
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "mlflow": _mlflow,
}


def build_tracker(folder: Path, config: TrainerConfig) -> Logger | bool:
    """The tracker of the config, or False for none.

    Raises:
        ConfigError: its package is not installed, or it does not start.

    Example:
        >>> build_tracker(Path("runs/a"), TrainerConfig())
        False
    """
    if config.tracker == "none":
        return False
    try:
        return TRACKERS[config.tracker](folder, config)
    except ImportError as error:  # Lightning raises ModuleNotFoundError with the name of what is missing
        raise ConfigError(f"trainer.tracker={config.tracker} needs `pip install merkit[track]` ({error})") from None
