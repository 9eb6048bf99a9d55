"""`merkit train`, `merkit study`, `merkit tune`: from a config to runs."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["study", "train", "tune"]

Changes = Annotated[list[str] | None, typer.Argument(help="`key=value` with dotted keys; `--keys` lists them.")]


def train(
    system: Annotated[str, typer.Argument(help="Which recipe: `fusion`, …")],
    changes: Changes = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; none = runs/SYSTEM-…")] = None,
    preset: Annotated[str | None, typer.Option(help="A named starting point of the system.")] = None,
    config: Annotated[Path | None, typer.Option(help="Start from the config.json of a run.")] = None,
    seeds: Annotated[
        int, typer.Option(min=1, help="Train this many seeds; measures then come as mean ± interval.")
    ] = 1,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over instead of going on with an unfinished run.")
    ] = False,
    keys: Annotated[bool, typer.Option("--keys", help="List every config key with its default, and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The run's record on stdout.")] = False,
) -> None:
    """Train a system. Before it starts, the splits are checked for leakage; the test split's labels are never read.

    The same command goes on with a run that was stopped, and leaves a finished one as it is.

    Examples:

        merkit train fusion data.root=prepared/ravdess model.fusion=concat --out runs/ravdess

        merkit train fusion data.root=prepared/meld data.earlier=8 model.context=fused --seeds 5

        merkit train fusion data.root=prepared/mine trainer.fast_dev_run data.num_data=16

        merkit train fusion --keys
    """
    import json

    from merkit.cli.progress import epoch_progress
    from merkit.errors import ConfigError
    from merkit.training.ranks import rank
    from merkit.training.train import train as train_one
    from merkit.training.train import train_seeds

    if keys:
        _print_keys(system)
        return
    chosen = _config(system, preset, config, changes)
    if chosen.trainer.devices > 1 and out is None:
        raise ConfigError("trainer.devices: several processes must agree on a folder; give --out")
    folder = out or _free(Path("runs"), system)
    with epoch_progress(quiet=as_json or rank() > 0) as epoch_done:
        say = (lambda text: None) if as_json else (lambda text: typer.echo(text, err=True))
        if seeds > 1:
            run = train_seeds(system, chosen, folder, seeds, resume=not fresh, say=say, epoch_done=epoch_done)
        else:
            run = train_one(system, chosen, folder, resume=not fresh, say=say, epoch_done=epoch_done)
    if rank():
        return
    if as_json:
        typer.echo(json.dumps([one.record for one in run.seeds()], indent=1))
        return
    _print_valid(run)


def study(
    system: Annotated[str, typer.Argument(help="Which recipe.")],
    changes: Changes = None,
    over: Annotated[
        list[str] | None,
        typer.Option("--over", help="`key=a,b,c`, or `key=a;b,c;…` where values are lists. Several make a grid."),
    ] = None,
    cells: Annotated[
        Path | None,
        typer.Option(help="A JSON file of named cells: `{name: {preset: …, changes: [key=value, …]}}`."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of every cell.")] = 5,
    workers: Annotated[int, typer.Option(min=1, help="Processes, one thread each.")] = 2,
    out: Annotated[Path, typer.Option(help="Folder of the study.")] = Path("runs/study"),
    preset: Annotated[str | None, typer.Option(help="A named starting point of the system.")] = None,
    config: Annotated[Path | None, typer.Option(help="Start from a config.json.")] = None,
    subsets: Annotated[bool, typer.Option("--subsets", help="Every non-empty subset of the modalities.")] = False,
    measure: Annotated[str | None, typer.Option(help="Column of the table; none = what chooses the epoch.")] = None,
) -> None:
    """Train a grid of configs, several seeds each, and write one table of valid results: Markdown, CSV, picture.

    Cells that are finished are not trained again. The best cell is chosen on valid; test is read by `merkit evaluate` alone.

    Examples:

        merkit study fusion data.root=prepared/mine --over model.fusion=concat,tensor --subsets --seeds 5 --out runs/mine

        merkit study hlm12erc data.root=data/meld --cells benchmarks/hlm12erc/published.json --seeds 1 --out runs/published
    """
    from merkit.cli.progress import count_progress
    from merkit.training.study import run_study

    chosen = _config(system, preset, config, changes)
    with count_progress("runs") as done:
        report = run_study(
            system,
            chosen,
            out,
            over=over or [],
            named=cells,
            changes=changes or [],
            subsets=subsets,
            seeds=seeds,
            workers=workers,
            measure=measure,
            progress=done,
        )
    typer.echo(report.table.markdown())
    typer.echo(f"Best on valid: {report.best} · table in {out / 'study.md'}, {out / 'study.csv'}, {out / 'study.png'}")
    typer.echo(f"Next: merkit evaluate {out / report.best} --split test")


def tune(
    system: Annotated[str, typer.Argument(help="Which recipe.")],
    changes: Changes = None,
    space: Annotated[
        list[str] | None,
        typer.Option(
            "--space", help="`key=a,b,c` (one of) or `key=low..high` (a number; `log:low..high` on a log scale)."
        ),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Configs to try.")] = 30,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of every trial; their mean counts.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder of the search; the same command goes on with it.")] = Path(
        "runs/tune"
    ),
    preset: Annotated[str | None, typer.Option(help="A named starting point of the system.")] = None,
    config: Annotated[Path | None, typer.Option(help="Start from a config.json.")] = None,
) -> None:
    """Search settings with Optuna, by the watched measure on the valid split only.

    Examples:

        merkit tune fusion data.root=prepared/mine --space optim.lr=log:1e-4..1e-2 --space model.fusion=concat,tensor
    """
    from merkit.cli.progress import count_progress
    from merkit.training.tune import run_tune

    chosen = _config(system, preset, config, changes)
    with count_progress("trials") as done:
        best = run_tune(system, chosen, out, space=space or [], trials=trials, seeds=seeds, progress=done)
    typer.echo(f"Best of {best.trials} trials on valid: {best.measure} = {best.value:.4f}")
    for key, value in best.params.items():
        typer.echo(f"  {key}={value}")
    typer.echo(f"Its config: {best.config}; train it with `merkit train {system} --config {best.config} --seeds 5`")


def _config(system: str, preset: str | None, path: Path | None, changes: list[str] | None):
    import json

    from merkit.config import config_from, override
    from merkit.errors import ConfigError
    from merkit.systems.system import find_system

    recipe = find_system(system)
    if preset is not None and path is not None:
        raise ConfigError("--preset and --config are two starting points: give one of them")
    chosen = recipe.preset(preset) if preset is not None else recipe.config()
    if path is not None:
        path = path / "config.json" if path.is_dir() else path
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path}: not a readable config ({error})") from None
        chosen = config_from(recipe.config, values.get("config", values))
    return override(chosen, changes or [])


def _print_keys(system: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from merkit.config import describe
    from merkit.systems.system import find_system

    table = Table("key", "default", "what it does", box=None)
    for key, default, about in describe(find_system(system).config):
        table.add_row(key, default if len(default) < 40 else default[:37] + "…", about)
    Console().print(table)


def _print_valid(run) -> None:
    from merkit.training.study import summarise

    for line in summarise(run):
        typer.echo(line)


def _free(root: Path, system: str) -> Path:
    number = 1
    while (root / f"{system}-{number}").exists():
        number += 1
    return root / f"{system}-{number}"
