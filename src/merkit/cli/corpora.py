"""`merkit corpora`: what is supported, under which terms, and how to get it."""

import json
from typing import Annotated

import typer

from merkit.errors import ConfigError

__all__ = ["corpora"]


def corpora(
    name: Annotated[str | None, typer.Argument(help="One corpus in full; none = the list.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable on stdout.")] = False,
) -> None:
    """The corpora that merkit reads: licence, how to obtain them, expected tree, items known to be bad.

    merkit downloads none of them: their owners' terms are between them and you.

    Examples:

        merkit corpora

        merkit corpora meld
    """
    from merkit.corpora.catalogue import CORPORA
    from merkit.report.notice import NOTICE_SHORT

    if name is None:
        if as_json:
            rows = [{"name": corpus.name, **corpus.facts()} for corpus in CORPORA.values()]
            typer.echo(json.dumps(rows, ensure_ascii=False, indent=1))
            return
        from rich.console import Console
        from rich.table import Column, Table

        table = Table(Column("name", no_wrap=True), "title", "modalities", "licence")
        for corpus in CORPORA.values():
            table.add_row(corpus.name, corpus.title, ", ".join(corpus.modalities), corpus.licence)
        Console().print(table)
        typer.echo("merkit corpora NAME: how to obtain it, the tree it is expected in, and what is known to be bad.")
        return
    if name not in CORPORA:
        raise ConfigError(unknown_corpus(name))
    corpus = CORPORA[name]
    if as_json:
        typer.echo(json.dumps({"name": name, **corpus.facts(), "notice": NOTICE_SHORT}, ensure_ascii=False, indent=1))
        return
    typer.secho(f"{corpus.title} ({name})", bold=True)
    for title, words in (
        ("licence", corpus.licence),
        ("obtain", corpus.obtain),
        ("cite", corpus.citation),
        ("modalities", ", ".join(corpus.modalities)),
        ("labels", corpus.labels),
        ("split", corpus.split),
        ("people", corpus.people),
    ):
        typer.echo(f"  {title:<11}{words}")
    typer.echo("  tree")
    for line in corpus.tree.splitlines():
        typer.echo(f"    {line}")
    if corpus.known_bad:
        typer.echo("  known to be bad")
        for bad in corpus.known_bad:
            typer.echo(f"    {bad.item} ({bad.what}): {bad.reason}")
    for note in corpus.notes:
        typer.echo(f"  note       {note}")
    typer.echo(f"\nmerkit prepare {name} --root DIR --out DIR")
    typer.secho(f"{NOTICE_SHORT} See docs/intended-use.md.", dim=True)


def unknown_corpus(name: str) -> str:
    """What to say of a name that no corpus has.

    Example:
        >>> unknown_corpus("medl").partition(";")[0]
        "no corpus 'medl'"
    """
    import difflib

    from merkit.corpora.catalogue import CORPORA

    near = difflib.get_close_matches(name.lower(), CORPORA, 1)
    return f"no corpus {name!r}; " + (f"did you mean {near[0]}?" if near else f"there are {', '.join(CORPORA)}")
