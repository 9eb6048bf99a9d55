"""`merkit doctor`: is this machine ready?"""

import json
from typing import Annotated

import typer

__all__ = ["doctor"]


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable report on stdout.")] = False,
) -> None:
    """Check the environment and the weights in the cache; exit code 1 if `analyze` could not run.

    Example:

        merkit doctor
    """
    import os
    import platform
    from importlib.metadata import version

    from merkit import __version__
    from merkit.errors import WeightError
    from merkit.inference import needed_weights
    from merkit.weights import cache_root, locate

    packages = {name: version(name) for name in ("torch", "av", "numpy", "transformers", "safetensors", "pyarrow")}
    found: dict[str, str] = {}
    for name in needed_weights():
        try:
            locate(name)
            found[name] = "ok"
        except WeightError as error:
            found[name] = str(error)
    ready = all(state == "ok" for state in found.values())
    report = {
        "merkit": __version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "packages": packages,
        "cache": str(cache_root()),
        "weights": found,
        "ready": ready,
    }
    if as_json:
        typer.echo(json.dumps(report, indent=1))
    else:
        for key in ("merkit", "python", "machine", "cache"):
            typer.echo(f"{key:8} {report[key]}")
        typer.echo("packages " + ", ".join(f"{name} {number}" for name, number in packages.items()))
        for name, state in found.items():
            typer.echo(f"weights  {name}: {state}")
        typer.echo("ready" if ready else "not ready: run `merkit weights fetch`")
    raise typer.Exit(0 if ready else 1)
