"""Where measures go beside the run's own files. All of them write to the run's folder; none needs a network."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from merkit.errors import ConfigError
from merkit.training.config import TrainerConfig

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

__all__ = ["TRACKERS", "build_tracker"]


def _csv(folder: Path, config: TrainerConfig) -> "Logger":
    from lightning.pytorch.loggers import CSVLogger

    return CSVLogger(folder, name="", version="tracked")


def _tensorboard(folder: Path, config: TrainerConfig) -> "Logger":
    from lightning.pytorch.loggers import TensorBoardLogger

    return TensorBoardLogger(folder, name="", version="tensorboard")


def _wandb(folder: Path, config: TrainerConfig) -> "Logger":
    import os

    from lightning.pytorch.loggers import WandbLogger

    # the user's own WANDB_MODE wins: sending anything away must be asked for
    return WandbLogger(project=config.project, save_dir=folder, offline=os.environ.get("WANDB_MODE") != "online")


def _mlflow(folder: Path, config: TrainerConfig) -> "Logger":
    import os

    from lightning.pytorch.loggers import MLFlowLogger

    uri = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{folder.resolve() / 'mlflow.db'}")
    return MLFlowLogger(experiment_name=config.project, tracking_uri=uri, artifact_location=str(folder / "mlflow"))


TRACKERS: dict[str, Callable[[Path, TrainerConfig], "Logger"]] = {
    "csv": _csv,
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "mlflow": _mlflow,
}


def build_tracker(folder: Path, config: TrainerConfig) -> "Logger | bool":
    """The tracker of the config, or False for none.

    Raises:
        ConfigError: its package is not installed.

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
