"""From a config to a finished run: data, leakage check, training, calibration, record. Labels of `test` are never touched."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from merkit.config import Config
from merkit.data.context import dialogue_context
from merkit.data.leakage import LeakageReport, check_leakage
from merkit.data.table import ClipTable
from merkit.errors import ConfigError
from merkit.evaluation.calibration import fit_temperature
from merkit.features.extraction_note import note_of_run
from merkit.training.callbacks import EpochDone
from merkit.training.fit import fit, loader_for
from merkit.training.measuring import measure_of
from merkit.training.module import Answers, collect
from merkit.training.prior import prior_of
from merkit.training.ranks import rank
from merkit.training.run import Run, environment, facts_of
from merkit.training.trackers import log_artifact

__all__ = ["train", "train_seeds", "with_seed"]

Say = Callable[[str], object]


def train(
    system: str,
    config: Any,
    out: Path,
    *,
    table: ClipTable | None = None,
    resume: bool = True,
    say: Say = lambda text: None,
    epoch_done: EpochDone | None = None,
) -> Run:
    """Trains one seed into `out`. A finished run is left as it is, an unfinished one goes on.

    Args:
        system: name of the recipe.
        config: its config; `trainer.seed` is the seed.
        out: folder of the run.
        table: the data where it is loaded already.
        resume: False starts over.
        say: told what happens, in sentences.
        epoch_done: told after every epoch.

    Raises:
        ConfigError: `out` holds a run of another config, or the config asks for what is not there.
        LeakageError: the splits leak and `data.allow_leaks` does not name the kind.
    """
    from merkit.systems.system import find_system

    recipe = find_system(system)
    readings: list[Any] = []
    if (out / "config.json").is_file():
        held = Run(out)
        if held.system.name != system or held.config != config:
            raise ConfigError(
                f"{out} holds a run of another config ({_differences(held, system, config)}): choose another --out"
            )
        if held.finished and resume:
            say(f"{out}: finished already")
            return held
        # of other weights than those to come
        readings = [{**reading, "earlier": True} for reading in held.record.get("test_readings", [])]
    if not resume and not rank():
        _cleared(out)
    table = recipe.load(config) if table is None else table
    if not table.targets:
        raise ConfigError(f"corpus {table.name} has no targets")
    seen = table.take(table.split != "test")
    fingerprint = seen.fingerprint()
    _stop_if_other_data(out, fingerprint)
    leakage = leakage_of(table, config)
    leakage.raise_if_leaking()
    torch.manual_seed(config.trainer.seed)
    made = recipe.plan(config, seen)
    sampling = recipe.sampling(config, seen)
    if made.sampling is not None and made.sampling != sampling:
        raise ConfigError(f"system {system} trains with {made.sampling} and would be evaluated with {sampling}")
    made = replace(made, sampling=sampling)
    around = recipe.context(config, made.modalities)
    if made.context != around:
        raise ConfigError(
            f"system {system} reads {made.context} turns around a clip, not {around}: leave out data.earlier and data.later"
        )
    counts = {str(split): int(n) for split, n in zip(*np.unique(table.split, return_counts=True), strict=True)}
    run = (
        Run(out)
        if rank()
        else Run.create(
            out,
            system,
            config,
            {
                "status": "running",
                "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "environment": environment(),
                "data": {
                    "name": table.name,
                    "fingerprint": fingerprint,
                    "clips": counts,
                    "provenance": {
                        name: asdict(table.provenance[name]) for name in made.modalities if name in table.provenance
                    },
                    # so that features of new clips can be made when the store has gone
                    "extraction": note_of_run(config.data),
                },
                "leakage": [asdict(finding) for finding in leakage.findings],
                "targets": facts_of(made.specs),
                "modalities": list(made.modalities),
                "widths": {name: column.width for name, column in seen.streams.items()},
                "parameters": sum(p.numel() for p in made.model.parameters() if p.requires_grad),
                "test_readings": readings,  # what was read once is known for ever
            },
        )
    )
    fitted = fit(made, out, resume=resume, epoch_done=epoch_done)
    if rank():
        return run
    valid = seen.where("valid")
    # shares of the training labels: what is said of a clip that shows nothing, where the training data is not at hand
    prior = {name: share.tolist() for name, share in prior_of(made.table.where("train")).items()}
    facts: dict[str, Any] = {
        "prior": prior,
        "best": fitted.best,
        "seconds": round(fitted.seconds, 2),
        "epochs": len(fitted.history),
    }
    if len(valid):
        loader, _ = loader_for(valid, made.modalities, made.trainer, context=made.context, sampling=made.sampling)
        answers = collect(fitted.model, loader, made.specs)
        facts["temperature"] = temperatures(answers, made.specs)
        measures = measure_of(made.specs)(answers)
        facts["valid"] = {key: None if math.isnan(value) else value for key, value in measures.items()}
    if made.trainer.watch != "last" and made.trainer.watch not in fitted.best:
        say(
            f"{out}: {made.trainer.watch} was undefined in every epoch, so the last one is kept; name another trainer.watch"
        )
    run.note(status="finished", **facts)
    log_artifact(out, made.trainer)
    # a finished run needs no state to resume from, and it is the largest file
    (out / "last.ckpt").unlink(missing_ok=True)
    return run


def train_seeds(
    system: str,
    config: Any,
    out: Path,
    seeds: int,
    *,
    resume: bool = True,
    say: Say = lambda text: None,
    epoch_done: EpochDone | None = None,
) -> Run:
    """Trains `seeds` runs that differ in `trainer.seed` alone: from the config's seed upwards, one folder each.

    Args as for `train`.
    """
    from merkit.systems.system import find_system

    if config.trainer.devices > 1:
        raise ConfigError("several processes train one seed at a time: give trainer.seed in place of --seeds")
    table = find_system(system).load(config)
    for seed in range(config.trainer.seed, config.trainer.seed + seeds):
        say(f"seed {seed}")
        chosen, folder = with_seed(config, seed), out / f"seed-{seed}"
        train(system, chosen, folder, table=table, resume=resume, say=say, epoch_done=epoch_done)
    return Run.of_seeds(out, system, config)


def _cleared(out: Path) -> None:
    """Starting over leaves nothing that an earlier training said: answers of other weights would be read as these ones'."""
    for pattern in ("last.ckpt", "best-*.safetensors", "model.safetensors", "evaluation-*.json", "predictions/*.npz"):
        for file in out.glob(pattern):
            file.unlink()


def _stop_if_other_data(out: Path, fingerprint: str) -> None:
    if not (out / "last.ckpt").is_file() or not (out / "record.json").is_file():
        return
    before = Run(out).record.get("data", {}).get("fingerprint", fingerprint)
    if before != fingerprint:
        raise ConfigError(
            f"{out}: this training began on other data ({before[:12]}, now {fingerprint[:12]}); --fresh starts it over"
        )


def with_seed(config: Any, seed: int) -> Any:
    """The same config with another seed."""
    return config.model_copy(update={"trainer": config.trainer.model_copy(update={"seed": seed})})


def temperatures(answers: Answers, specs: tuple[Any, ...]) -> dict[str, float]:
    """One temperature per target of classes, fitted on what is known of the valid split."""
    fitted = {}
    for spec in specs:
        logit, target, valid = answers[spec.name]
        if spec.kind == "regression" or not valid.any():
            continue
        if spec.kind == "multi_label":
            fitted[spec.name] = fit_temperature(logit.astype(np.float64), target, valid, multi_label=True)
        else:
            known = valid if valid.ndim == 1 else valid.all(-1)
            fitted[spec.name] = fit_temperature(logit[known].astype(np.float64), target[known])
    return fitted


# a study checks the same data once for every modality subset, not once for every run
_checked: dict[str, LeakageReport] = {}


def leakage_of(table: ClipTable, config: Any) -> LeakageReport:
    """The leakage check on what a run sees: clips of all splits, without the answers of `test`."""
    data = config.data
    blind = replace(table, targets={name: _blind(column, table.split) for name, column in table.targets.items()})
    # the same numbers may come from an encoder that has seen other labels
    key = f"{table.fingerprint()} {dict(table.provenance)} {data.to_dict()}"
    if key not in _checked:
        known = data.split.by in table.groups or (data.split.by == "dialogue" and table.dialogue is not None)
        group = data.split.by if known else None
        context = dialogue_context(table, data.earlier, data.later)
        _checked[key] = check_leakage(blind, group=group, context=context, allow=data.allow_leaks)
    return _checked[key]


def _blind(column: Any, split: np.ndarray) -> Any:
    test = split == "test"
    value, valid = column.value.copy(), column.valid.copy()
    value[test], valid[test] = 0, False
    votes = None if column.votes is None else np.where(test.reshape(-1, 1), 0, column.votes)
    return replace(column, value=value, valid=valid, votes=votes)


def _differences(held: Run, system: str, config: Config) -> str:
    if held.system.name != system:
        return f"system {held.system.name}"
    old, new = held.config.flat(), config.flat()
    different = [
        f"{key}={old.get(key)!r} there, {new.get(key)!r} here"
        for key in sorted(old | new)
        if old.get(key) != new.get(key)
    ]
    return "; ".join(different[:3]) + (" …" if len(different) > 3 else "")
