"""The one measure on valid that configs are compared by: whether runs will have it, said before any is trained, and its value."""

from merkit.data.table import ClipTable
from merkit.errors import ConfigError
from merkit.evaluation.measures import measures_of
from merkit.training.config import TrainerConfig
from merkit.training.criteria import Criterion
from merkit.training.run import Run

__all__ = ["check_kept", "check_measure", "valid_value"]


def check_kept(criterion: Criterion, trainer: TrainerConfig) -> None:
    """Whether a run's record will hold what cells are compared by.

    Raises:
        ConfigError: the loss of the best epoch is kept only where it is what chooses an epoch.
    """
    if "loss" in criterion.names and (criterion.text != "loss" or "loss" not in (trainer.watch, *trainer.best_by)):
        raise ConfigError(
            f"runs that watch {trainer.watch} do not keep {criterion.text}: set trainer.best_by=[loss] and compare by loss"
        )


def check_measure(criterion: Criterion, table: ClipTable) -> None:
    """Whether finished runs on a table can be compared by a measure.

    Raises:
        ConfigError: no target has it, or more than one; there is no valid split.
    """
    if not (table.split == "valid").any():
        raise ConfigError(f"{table.name} has no valid split to measure {criterion.text} on")
    named = {f"{name}.{each}": 0.0 for name, held in table.targets.items() for each in measures_of(held.spec)}
    criterion({"loss": 0.0, **named})


def valid_value(run: Run, criterion: Criterion) -> float:
    """A measure of a finished run on its valid split."""
    valid = {name: float("nan") if v is None else v for name, v in run.record.get("valid", {}).items()}
    held = run.record.get("best", {}).get(criterion.text)
    if criterion.text == "loss" and held is not None:
        valid = {**valid, "loss": held["value"]}
    if not valid:
        raise ConfigError(f"{run.path} has no valid split to measure on")
    return criterion(valid)
