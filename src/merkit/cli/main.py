"""`merkit`: the commands, and what happens when one of them fails."""

import sys
from typing import Annotated

import typer

from merkit import __version__
from merkit.cli.analyze import analyze
from merkit.cli.corpora import corpora
from merkit.cli.demo import demo
from merkit.cli.doctor import doctor
from merkit.cli.evaluate import compare, evaluate
from merkit.cli.export import export
from merkit.cli.extract import extract
from merkit.cli.figures import figures
from merkit.cli.film import PrepareCommand
from merkit.cli.predict import predict
from merkit.cli.prepare import prepare
from merkit.cli.train import study, train, tune
from merkit.cli.units import units
from merkit.cli.weights import weights
from merkit.errors import MerkitError

__all__ = ["app", "run"]

app = typer.Typer(
    name="merkit",
    help="Multimodal emotion recognition: a clip in, an emotion timeline with honest probabilities out.",
    epilog="First steps:  merkit demo   ·   merkit analyze clip.mp4",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(analyze)
app.command()(demo)
app.command()(doctor)
app.command()(corpora)
app.command(cls=PrepareCommand)(prepare)
app.command()(extract)
app.command()(units)
app.command()(train)
app.command()(predict)
app.command()(evaluate)
app.command()(compare)
app.command()(export)
app.command()(figures)
app.command()(study)
app.command()(tune)
app.add_typer(weights, name="weights")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"merkit {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


def run() -> None:
    """Entry point. An error that merkit raises on purpose is one line on stderr and exit code 1, never a traceback."""
    try:
        app()
    except MerkitError as error:
        typer.secho(f"merkit: {error}", fg=typer.colors.RED, err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.secho("merkit: stopped", err=True)
        sys.exit(130)


if __name__ == "__main__":
    run()
