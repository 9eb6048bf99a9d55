"""`merkit export`: a run as a Hugging Face model, an ONNX graph or a torch.export program, checked against the run."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["export"]


def export(
    run: Annotated[Path, typer.Argument(help="A trained run, of one or several seeds, of any system.")],
    to: Annotated[
        str, typer.Option(help="`hf` (a Hugging Face model), `onnx`, or `torch-export` (a torch.export program).")
    ] = "hf",
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; none = RUN with `-hf`, `-onnx` … behind it.")
    ] = None,
    bundle: Annotated[
        bool, typer.Option("--bundle", help="Take the pretrained weights of encoders along, not their names alone.")
    ] = False,
    licence: Annotated[
        str, typer.Option(help="Licence of the weights, for the card, e.g. `mit`, `cc-by-nc-4.0`.")
    ] = "",
    push: Annotated[
        str, typer.Option(help="OWNER/NAME on the Hugging Face hub to upload to; nothing goes anywhere without it.")
    ] = "",
    public: Annotated[
        bool, typer.Option("--public", help="With --push: a public repository; else it is private.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an export that lies there already.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="What was written and how far it differs, as JSON.")] = False,
) -> None:
    """Write a run in a form that others can use, and check that it answers as the run does.

    The folder appears whole or not at all: its answers are compared with the run's on clips of the valid split (or made
    ones, where the data is not at hand), in several sizes, with padding and with each modality missing. What is found is
    printed; more than 1e-6 (`hf`, in another process) or 1e-4 (graphs) fails. A folder of `--to hf` is a run as well, for
    `merkit predict` and `merkit evaluate`. docs/export.md says what can become a graph and what cannot.

    Examples:

        merkit export runs/mine --to hf --out mine-hf        # then: AutoModel.from_pretrained("mine-hf") after import merkit

        merkit export runs/mine --to onnx --out mine-onnx

        merkit export runs/mine --to torch-export --json

        merkit export runs/mine --to hf --push me/my-model --licence cc-by-nc-4.0
    """
    import json

    from merkit.cli.progress import count_progress
    from merkit.errors import ConfigError
    from merkit.export.folder import FORMS, export_run
    from merkit.export.push import check_push, pushed

    if to not in FORMS:
        raise ConfigError(f"--to {to}: it is one of {', '.join(FORMS)}")
    if push:
        check_push(push)
    out = out or run.with_name(f"{run.resolve().name}-{to}")
    with count_progress("exporting", quiet=as_json) as told:
        made = export_run(run, out, form=to, bundle=bundle, force=force, licence=licence, told=told)
    address = pushed(made.folder, push, private=not public) if push else ""
    if as_json:
        typer.echo(json.dumps({**made.to_dict(), "pushed": address}, indent=1))
        return
    for note in made.notes:
        typer.secho(note, fg=typer.colors.YELLOW, err=True)
    typer.echo(f"{made.folder}: {', '.join(made.files)}")
    typer.echo(f"parity with {run}: {made.parity}")
    if address:
        typer.echo(address)
