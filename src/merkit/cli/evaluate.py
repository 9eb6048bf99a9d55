"""`merkit evaluate` and `merkit compare`: figures with intervals, and whether two runs differ."""

from pathlib import Path
from typing import Annotated

import typer

from merkit.cli.answering_options import DeviceOption, RawOption, TemperOption, ViewsOption, WeightOption, answering

__all__ = ["compare", "evaluate"]


def evaluate(
    runs: Annotated[list[Path], typer.Argument(help="One run, or several for an ensemble.")],
    root: Annotated[
        Path | None, typer.Option(help="Another folder of the same layout; none = the one of training.")
    ] = None,
    split: Annotated[str, typer.Option(help="`test`, `valid` or `train`.")] = "test",
    draws: Annotated[int, typer.Option(min=100, help="Bootstrap resamples.")] = 1000,
    views: ViewsOption = "1",
    temper: TemperOption = 1.0,
    raw: RawOption = False,
    weight: WeightOption = None,
    missing: Annotated[
        str,
        typer.Option(
            help="Clips that show nothing: what the `model` says of nothing, or `prior`: shares of training labels."
        ),
    ] = "model",
    device: DeviceOption = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable figures on stdout.")] = False,
) -> None:
    """Measure runs on a split, with 95 % intervals. The only command that reads test labels; each reading is counted.

    A run of several seeds is shown as mean with its interval over seeds, and as an ensemble. With the views, power and
    weights of `merkit predict`, what is measured is what that command answers; such figures lie beside the plain ones.

    Examples:

        merkit evaluate runs/mine

        merkit evaluate runs/mine --root another/folder --split test

        merkit evaluate runs/a runs/b --split valid      # each, and both together as one ensemble

        merkit evaluate runs/a runs/b --split valid --views 12 --temper 0.1
    """
    import json

    from merkit.cli.progress import count_progress
    from merkit.errors import ConfigError
    from merkit.training.evaluate import evaluate_runs

    if missing not in ("model", "prior"):
        raise ConfigError(f"--missing {missing}: it is `model` or `prior`")
    how = answering(views, temper, raw, device)
    with count_progress("answering", quiet=as_json or not how.label) as told:
        found = evaluate_runs(
            runs,
            root=root,
            split=split,
            draws=draws,
            how=how,
            weights=weight or (),
            missing="prior" if missing == "prior" else "model",
            told=told,
        )
    if as_json:
        typer.echo(json.dumps([item.to_dict() for item in found], indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    from merkit.evaluation.measures import definitions
    from merkit.training.evaluate import elsewhere
    from merkit.training.run import Run

    console = Console()
    for item in found:
        way = f" · {item.answering}" if item.answering else ""
        typer.echo(f"{item.name} · {item.split}, n={item.n}{way} · {item.interval}")
        table = Table("measure", "value")
        for name, interval in item.measures.items():
            table.add_row(name, str(interval))
        console.print(table)
    for name, meaning in definitions(Run(runs[0]).seeds()[0].specs).items():
        console.print(f"  {name}: {meaning}", style="dim")
    if split == "test":
        times = max(item.readings for item in found)
        console.print(
            f"This run's test split has now been read {times} time{'s' if times != 1 else ''}; its record says so."
        )
    for path in runs:
        if tag := elsewhere(Run(path), root):
            way = f"-{found[0].answering}" if found[0].answering else ""
            typer.echo(
                f"About {root}, beside the figures of the run's own data: {path}/evaluation-{split}{way}{tag}.json"
            )


def compare(
    first: Annotated[Path, typer.Argument(help="A run.")],
    second: Annotated[Path, typer.Argument(help="Another run.")],
    split: Annotated[str, typer.Option(help="Split that both were evaluated on.")] = "valid",
    root: Annotated[
        Path | None, typer.Option(help="Another folder that both were evaluated on; none = the data of each run.")
    ] = None,
    measure: Annotated[str | None, typer.Option(help="Measure to compare; none = all.")] = None,
    draws: Annotated[int, typer.Option(min=100, help="Bootstrap resamples.")] = 2000,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable figures on stdout.")] = False,
) -> None:
    """Does one run beat the other? Paired bootstrap over the clips that both answered for, whole groups at a time.

    Runs of several seeds are compared as ensembles. Predictions for `valid` are made on the way; those for `test` must
    be there already, because only `merkit evaluate` reads test labels.

    Examples:

        merkit compare runs/concat runs/tensor

        merkit compare runs/concat runs/tensor --split test --measure accuracy
    """
    import json

    from merkit.training.compare import compare_runs

    rows = compare_runs(first, second, root=root, split=split, measure=measure, draws=draws)
    if as_json:
        typer.echo(json.dumps([row.to_dict() for row in rows], indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    typer.echo(f"{first} against {second} on {split}, n={rows[0].n}")
    table = Table("measure", "first", "second", "difference, 95 %", "p")
    for row in rows:
        table.add_row(row.measure, f"{row.first:.4f}", f"{row.second:.4f}", str(row.difference), f"{row.p_value:.3f}")
    Console().print(table)
