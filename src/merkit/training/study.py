"""A grid of configs, several seeds each: one table, in which the best cell is chosen on valid alone."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from merkit.config import override
from merkit.data.table import ClipTable
from merkit.errors import ConfigError, MerkitError
from merkit.evaluation.measures import definitions
from merkit.evaluation.seeds import seed_interval
from merkit.evaluation.tables import ResultRow, ResultTable
from merkit.training.config import data_key
from merkit.training.criteria import Criterion
from merkit.training.grid import Cell, cells, check_apart, named_cells
from merkit.training.run import Run, write_json
from merkit.training.valid_measure import check_kept, check_measure, valid_value

__all__ = ["StudyReport", "run_study", "summarise"]


@dataclass(frozen=True, slots=True)
class StudyReport:
    """What a study found.

    Args:
        table: the measure on valid for every cell, mean and interval over seeds.
        values: cell -> one value per seed.
        best: folder name of the cell that is best on valid.
        measure: what was measured.
    """

    table: ResultTable
    values: dict[str, tuple[float, ...]]
    best: str
    measure: str

    def write(self, out: Path) -> tuple[Path, ...]:
        """`study.md`, `study.csv`, `study.png` (with matplotlib) and `study.json` with every seed."""
        write_json({"measure": self.measure, "best": self.best, "values": self.values}, out / "study.json")
        return self.table.write(out, "study")


def run_study(
    system: str,
    config: Any,
    out: Path,
    *,
    over: Sequence[str] = (),
    named: Path | None = None,
    changes: Sequence[str] = (),
    subsets: bool = False,
    seeds: int = 5,
    workers: int = 2,
    measure: str | None = None,
    progress: Callable[[int, int, str], object] = lambda done, total, last: None,
) -> StudyReport:
    """Trains what is not trained yet, and writes `study.md`, `study.csv`, `study.png` and `study.json` into `out`.

    Args:
        system: which recipe.
        config: what all cells share.
        out: folder of the study; a cell is a run of several seeds within it.
        over: axes of the grid, see `cells`.
        named: a file of cells, see `named_cells`; with axes, each of them in each of its cells.
        changes: `key=value` on top of every named cell, whose presets take the place of `config`.
        subsets: one more axis with every subset of the modalities.
        seeds: of every cell, from the config's upwards.
        workers: processes, one thread each.
        measure: of valid; none = what chooses the epoch.
        progress: `(runs done, runs, the last one)`.

    Raises:
        ConfigError: an axis, a config or the measure is wrong, or two cells would share a folder; nothing has been trained
            then.
    """
    from merkit.systems.system import find_system

    if measure is None and config.trainer.watch == "last":
        raise ConfigError("trainer.watch=last chooses by nothing: name what cells are compared by (--measure accuracy)")
    recipe = find_system(system)
    names = tuple(recipe.load(config).streams) if subsets else ()
    columns, grid = cells(over, names)
    if named is not None:
        columns = ("config", *columns)
        grid = [
            Cell((*one.changes, *changes, *cell.changes), one.names + cell.names, one.preset)
            for one in named_cells(named)
            for cell in grid
        ]
    check_apart(grid)
    bases = {cell.preset: recipe.preset(cell.preset) if cell.preset else config for cell in grid}
    configs = [override(bases[cell.preset], cell.changes) for cell in grid]
    criterion, jobs = Criterion.parse(measure or config.trainer.watch), []
    for chosen in configs:
        check_kept(criterion, chosen.trainer)
    # a measure that nothing has would else be found out after all trainings; what asks for other data does so in `_work`
    check_measure(criterion, _table_of(system, configs[0]))
    if workers > 1:
        _tables.clear()  # workers hold their own
    grid = [_as_held(cell, out, system, chosen, grid) for cell, chosen in zip(grid, configs, strict=True)]
    asked = {cell.slug: _seeds(chosen, seeds) for cell, chosen in zip(grid, configs, strict=True)}
    for cell, chosen in zip(grid, configs, strict=True):
        folder = out / cell.slug
        Run.of_seeds(folder, system, chosen)
        jobs += [(system, chosen.to_dict(), seed, folder / f"seed-{seed}", criterion) for seed in asked[cell.slug]]
    for number, (_, _, _, folder, _) in enumerate(_trained(jobs, workers), start=1):
        progress(number, len(jobs), f"{folder.parent.name} {folder.name}")
    report = report_of(out, columns, grid, measure or config.trainer.watch, asked)
    report.write(out)
    return report


def _as_held(cell: Cell, out: Path, system: str, config: Any, grid: Iterable[Cell]) -> Cell:
    """The cell, under the folder name that an earlier study gave the same config."""
    former = cell.former_slug
    if former == cell.slug or any(former in (other.slug, other.former_slug) for other in grid if other is not cell):
        return cell
    try:
        held = Run(out / former)
        same = held.system.name == system and held.config == config
    except MerkitError:
        return cell
    return replace(cell, folder=former) if same else cell


_Job = tuple[str, dict[str, Any], int, Path, Criterion]


def _trained(jobs: list[_Job], workers: int):
    """Jobs as they are finished. Longer work would be cut off by a failure of one: the first error ends the study,
    and what is finished stays."""
    if workers == 1:
        for job in jobs:
            _work(job)
            yield job
        return
    # fresh processes: torch must not be forked; one thread each, so two workers fill two cores
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
            futures = {pool.submit(_work, job): job for job in jobs}
            try:
                for future in as_completed(futures):
                    future.result()
                    yield futures[future]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


# tables by what they depend on: a worker trains many cells on the same data
_tables: dict[str, ClipTable] = {}


def _work(job: _Job) -> None:
    import torch

    from merkit.config import config_from
    from merkit.systems.system import find_system
    from merkit.training.train import train, with_seed

    torch.set_num_threads(1)
    system, values, seed, folder, criterion = job
    recipe = find_system(system)
    config = with_seed(config_from(recipe.config, values), seed)
    if (folder / "config.json").is_file() and Run(folder).finished and Run(folder).config == config:
        return
    table = _table_of(system, config)
    check_measure(criterion, table)
    train(system, config, folder, table=table)


def _table_of(system: str, config: Any) -> ClipTable:
    from merkit.systems.system import find_system

    key = data_key(system, config)
    if key not in _tables:
        _tables.clear()  # a worker holds one corpus at a time
        _tables[key] = find_system(system).load(config)
    return _tables[key]


def _seeds(config: Any, seeds: int) -> tuple[int, ...]:
    """From the cell's own seed upwards: a preset, or a cell's changes, may have another than the study."""
    return tuple(range(config.trainer.seed, config.trainer.seed + seeds))


def report_of(
    out: Path, columns: tuple[str, ...], grid: Sequence[Cell], measure: str, seeds: Mapping[str, tuple[int, ...]]
) -> StudyReport:
    """Reads the finished runs of a study: the seeds of each cell that are asked for, whatever else lies there.

    Raises:
        ConfigError: there is no valid split to compare cells on.
    """
    criterion = Criterion.parse("loss" if measure == "last" else measure)
    rows, found = [], {}
    for cell in grid:
        runs = [Run(out / cell.slug / f"seed-{seed}") for seed in seeds[cell.slug]]
        found[cell.slug] = tuple(valid_value(run, criterion) for run in runs)
        data = runs[0].record["data"]
        made_by = {name: about["source"] for name, about in data["provenance"].items()}
        rows.append(
            ResultRow(
                cell.names or ("all",),
                {criterion.text: seed_interval(found[cell.slug])},
                "valid",
                data["clips"].get("valid", 0),
                seeds[cell.slug],
                {name: made_by.get(name, "not stated") for name in runs[0].record["modalities"]},
            )
        )
    sign = -1 if criterion.mode == "min" else 1
    means = [sign * float(np.mean(values)) for values in found.values()]
    if np.all(np.isnan(means)):
        raise ConfigError(f"{out}: {criterion.text} is undefined in every cell")
    first = Run(out / grid[0].slug / f"seed-{seeds[grid[0].slug][0]}")
    meanings = {
        "loss": "the training objective on valid, not comparable between objectives",
        **definitions(first.specs),
    }
    meaning = "; ".join(meanings.get(name.rsplit(".", 1)[-1], name) for name in criterion.names)
    chosen = first.config.trainer.watch
    kept = (
        "the last epoch is kept"
        if chosen == "last"
        else f"the epoch is chosen by {chosen} on the same split, which flatters"
    )
    count = len(seeds[grid[0].slug])
    table = ResultTable(
        f"{first.record['data']['name']}: {len(grid)} configs, {count} seed{'s' if count > 1 else ''} each",
        columns or ("config",),
        {criterion.text: f"{meaning}; {kept}"},
        tuple(rows),
        {criterion.text: criterion.mode == "max"},
    )
    return StudyReport(table, found, list(found)[int(np.nanargmax(means))], criterion.text)


def summarise(run: Run) -> list[str]:
    """A finished run, or its seeds, in a few lines."""
    runs = run.seeds()
    lines = [f"{run.path}: {len(runs)} seed{'s' if len(runs) > 1 else ''} finished"]
    first = runs[0].record
    for name in first.get("valid", {}):
        values = [one.record["valid"][name] for one in runs]
        if all(value is not None for value in values):
            lines.append(
                f"  valid {name}  {seed_interval(tuple(values))}"
                if len(runs) > 1
                else f"  valid {name}  {values[0]:.4f}"
            )
    for finding in first.get("leakage", []):
        lines.append(f"  leakage ({finding['severity']}): {finding['explanation']}")
    return [*lines, f"  next: merkit evaluate {run.path} --split test"]
