"""Training: one module for all systems, checkpoints without pickle, runs that resume, studies, comparisons."""

from merkit.training.checkpoint import load_checkpoint, save_checkpoint
from merkit.training.compare import ComparedMeasure, compare_runs
from merkit.training.config import TrainerConfig
from merkit.training.criteria import Criterion
from merkit.training.evaluate import Evaluation, Predictions, evaluate_runs
from merkit.training.fit import Fitted, Plan, fit
from merkit.training.objective import Objective
from merkit.training.optim import OptimConfig, build_optimiser, parameter_groups
from merkit.training.ranger import Ranger
from merkit.training.run import Run
from merkit.training.study import StudyReport, run_study
from merkit.training.train import train, train_seeds
from merkit.training.tune import Tuned, run_tune

__all__ = [
    "ComparedMeasure",
    "Criterion",
    "Evaluation",
    "Fitted",
    "Objective",
    "OptimConfig",
    "Plan",
    "Predictions",
    "Ranger",
    "Run",
    "StudyReport",
    "TrainerConfig",
    "Tuned",
    "build_optimiser",
    "compare_runs",
    "evaluate_runs",
    "fit",
    "load_checkpoint",
    "parameter_groups",
    "run_study",
    "run_tune",
    "save_checkpoint",
    "train",
    "train_seeds",
]
