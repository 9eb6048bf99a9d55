"""Search of settings with Optuna, on valid alone; the study lives in a file, so the same command goes on with it.

It goes on with the same question only: measure, space, seeds and what all trials share are kept in that file.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from merkit.config import override
from merkit.errors import ConfigError
from merkit.training.config import data_key
from merkit.training.criteria import Criterion
from merkit.training.run import write_json
from merkit.training.valid_measure import check_kept, check_measure, valid_value

__all__ = ["Tuned", "parse_space", "run_tune"]


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a search found.

    Args:
        params: key -> value of the best trial.
        value: its measure on valid.
        measure: which.
        trials: finished so far.
        config: file with the whole best config.
    """

    params: dict[str, Any]
    value: float
    measure: str
    trials: int
    config: Path


def parse_space(space: Sequence[str]) -> dict[str, Any]:
    """`key=a,b,c` | `key=1..8` | `key=0.1..0.5` | `key=log:1e-4..1e-2` as Optuna distributions.

    Raises:
        ConfigError: none of these.

    Example:
        >>> parse_space(["optim.lr=log:1e-4..1e-2", "model.width=32,64"])
        {'optim.lr': FloatDistribution(high=0.01, log=True, low=0.0001, step=None),
         'model.width': CategoricalDistribution(choices=('32', '64'))}
    """
    optuna = _optuna()
    found = {}
    for axis in space:
        key, _, text = axis.partition("=")
        log = text.startswith("log:")
        low, dots, high = text.removeprefix("log:").partition("..")
        try:
            if dots and not log and all(part.strip().lstrip("-").isdigit() for part in (low, high)):
                found[key] = optuna.distributions.IntDistribution(int(low), int(high))
            elif dots:
                found[key] = optuna.distributions.FloatDistribution(float(low), float(high), log=log)
            else:
                found[key] = optuna.distributions.CategoricalDistribution(
                    [part.strip() for part in text.split(",") if part.strip()]
                )
        except ValueError as error:
            raise ConfigError(
                f"--space {axis}: {error}; write key=a,b,c or key=low..high or key=log:low..high"
            ) from None
    if not found:
        raise ConfigError("nothing to search: give at least one --space")
    return found


def run_tune(
    system: str,
    config: Any,
    out: Path,
    *,
    space: Sequence[str],
    trials: int,
    seeds: int = 1,
    progress: Callable[[int, int, str], object] = lambda done, total, last: None,
) -> Tuned:
    """Tries `trials` more settings. A setting that cannot be trained counts as failed and the search goes on.

    Raises:
        ConfigError: the space or a key of it is wrong; no target has the measure; `out` holds a search for something else;
            no setting could be trained.
    """
    from merkit.systems.system import find_system
    from merkit.training.train import train, with_seed

    optuna = _optuna()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = parse_space(space)
    for key in distributions:  # a wrong key must fail now, not in the tenth trial
        override(config, [f"{key}={_first(distributions[key])}"])
    if config.trainer.watch == "last":
        raise ConfigError("a search needs a measure on valid: set trainer.watch")
    criterion = Criterion.parse(config.trainer.watch)
    check_kept(criterion, config.trainer)
    table = find_system(system).load(config)
    check_measure(criterion, table)
    out.mkdir(parents=True, exist_ok=True)
    search = optuna.create_study(
        study_name="merkit",
        storage=f"sqlite:///{(out / 'optuna.db').resolve()}",
        direction="minimize" if criterion.mode == "min" else "maximize",
        load_if_exists=True,
    )
    _same_question(search, out, _question(system, config, distributions, criterion, seeds))
    # a search that goes on must not draw again what it drew first
    seed = np.random.SeedSequence([config.trainer.seed % 2**32, len(search.trials)]).generate_state(1)[0]
    search.sampler = optuna.samplers.TPESampler(seed=int(seed))

    def objective(trial: Any) -> float:
        try:
            return tried(trial)
        except ConfigError as error:
            trial.set_user_attr("failed", str(error))
            progress(trial.number + 1, len(search.trials), f"failed: {error}")
            raise optuna.TrialPruned(str(error)) from error

    def tried(trial: Any) -> float:
        changes = [f"{key}={_suggest(trial, key, kind)}" for key, kind in distributions.items()]
        chosen = override(config, changes)
        same = data_key(system, chosen) == data_key(system, config)
        values = []
        for seed in range(config.trainer.seed, config.trainer.seed + seeds):
            folder = out / f"trial-{trial.number}" / f"seed-{seed}"
            run = train(system, with_seed(chosen, seed), folder, table=table if same else None)
            values.append(valid_value(run, criterion))
        progress(trial.number + 1, len(search.trials), f"{criterion.text} {np.mean(values):.4f}")
        return float(np.mean(values))

    search.optimize(objective, n_trials=trials, catch=(ArithmeticError, RuntimeError))
    if not any(trial.state == optuna.trial.TrialState.COMPLETE for trial in search.trials):
        reasons = [trial.user_attrs["failed"] for trial in search.trials if "failed" in trial.user_attrs]
        raise ConfigError(f"{out}: no setting could be trained{f'; the last: {reasons[-1]}' if reasons else ''}")
    best = search.best_trial
    chosen = override(config, [f"{key}={value}" for key, value in best.params.items()])
    write_json({"system": system, "config": chosen.to_dict()}, out / "best.json")
    return Tuned(dict(best.params), float(best.value or 0.0), criterion.text, len(search.trials), out / "best.json")


# what of a config changes how a search is run, not what it finds
_ASIDE = {
    f"trainer.{name}"
    for name in (
        "save_every_s", "save_every_steps", "workers", "accelerator", "tracker", "tracker_mode", "artifact", "project",
        "entity",
    )
}  # fmt: skip


def _question(
    system: str, config: Any, space: dict[str, Any], criterion: Criterion, seeds: int
) -> dict[str, dict[str, Any]]:
    """What a search asks, as plain JSON."""
    base = {
        key: value
        for key, value in config.flat().items()
        if key not in _ASIDE and not any(key == axis or key.startswith(f"{axis}.") for axis in space)
    }
    about = {"system": system, "measure": criterion.text, "seeds": seeds}
    return {
        "about": about,
        "space": {key: str(kind) for key, kind in space.items()},
        "config": base,
    }


def _same_question(search: Any, out: Path, asked: dict[str, dict[str, Any]]) -> None:
    """Keeps what a new search asks; one that goes on must ask the same."""
    held = search.user_attrs.get("question")
    wanted = search.direction.name
    if held is None and search.trials:  # written before questions were kept: its direction is all that is known
        mode = Criterion.parse(asked["about"]["measure"]).mode
        if wanted != ("MINIMIZE" if mode == "min" else "MAXIMIZE"):
            raise ConfigError(f"{out} holds a search that {wanted.lower()}s another measure: choose another folder")
    if held is None:
        search.set_user_attr("question", asked)
        return
    differ = [
        f"{key}: {held[part].get(key)} there, {asked[part].get(key)} now"
        for part in asked
        for key in dict.fromkeys((*held[part], *asked[part]))
        if held[part].get(key) != asked[part].get(key)
    ]
    if differ:
        raise ConfigError(f"{out} holds a search for something else ({'; '.join(differ)}): choose another folder")


def _suggest(trial: Any, key: str, kind: Any) -> Any:
    name = type(kind).__name__
    if name == "CategoricalDistribution":
        return trial.suggest_categorical(key, kind.choices)
    if name == "IntDistribution":
        return trial.suggest_int(key, kind.low, kind.high)
    return trial.suggest_float(key, kind.low, kind.high, log=kind.log)


def _first(kind: Any) -> Any:
    return kind.choices[0] if hasattr(kind, "choices") else kind.low


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise ConfigError("tuning needs `pip install merkit[tune]`") from None
    return optuna
