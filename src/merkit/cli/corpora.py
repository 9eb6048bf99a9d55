"""`merkit corpora`: what is supported, under which terms, and how to get it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from merkit.errors import ConfigError

if TYPE_CHECKING:
    from merkit.report.corpus import CorpusStatistics

__all__ = ["corpora"]


def corpora(
    name: Annotated[str | None, typer.Argument(help="One corpus in full; none = the list.")] = None,
    stats: Annotated[bool, typer.Option("--stats", help="Count what a prepared corpus holds; needs --data.")] = False,
    data: Annotated[
        Path | None, typer.Option(help="With --stats: the folder of `merkit prepare`, or a table of your own.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="With --stats: folder for the page, pictures, CSV and JSON; none = tables alone."),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="With --stats: whose labels are counted; none = train and valid, never test.")
    ] = None,
    headers: Annotated[
        bool,
        typer.Option("--headers", help="With --stats: durations from the headers of media files (about 0.15 s each)."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable on stdout.")] = False,
) -> None:
    """The corpora that merkit reads: licence, how to obtain them, expected tree, items known to be bad.

    merkit downloads none of them: their owners' terms are between them and you. With --stats, what a prepared corpus (or
    a table of yours) holds: balance of classes, lengths, speakers and modalities by split, words that set a class apart,
    labels from turn to turn, agreement of raters. Labels of test are counted with --split test alone.

    Examples:

        merkit corpora

        merkit corpora meld

        merkit corpora meld --stats --data data/meld --out statistics/meld

        merkit corpora --stats --data clips.csv --headers        # your own table
    """
    if stats:
        if data is None:
            raise ConfigError(
                "--stats counts a prepared corpus: name its folder with --data (`merkit prepare` makes one)"
            )
        _count(name, data, out, split, headers, as_json)
        return
    for given, option in ((data, "--data"), (out, "--out"), (split, "--split"), (headers or None, "--headers")):
        if given is not None:
            raise ConfigError(f"{option} goes with --stats")
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


def _count(name: str | None, data: Path, out: Path | None, split: str | None, headers: bool, as_json: bool) -> None:
    from merkit.cli.progress import count_progress
    from merkit.report.corpus import corpus_statistics

    with count_progress("headers", quiet=as_json or not headers) as progress:
        found = corpus_statistics(data, split=split, headers=headers, progress=progress)
    if name is not None and name != found.name:
        raise ConfigError(f"{data} holds {found.name}, not {name}")
    files = [] if out is None else found.write(out)
    if as_json:
        told = found.to_dict() | {"files": [str(file) for file in files]}
        typer.echo(json.dumps(told, ensure_ascii=False, indent=1, allow_nan=False))
        return
    _show(found)
    if files:
        typer.echo(f"{files[0]}  (one page; beside it pictures/, tables/ and statistics.json)")


def _show(found: "CorpusStatistics") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from merkit.report.notice import NOTICE_SHORT

    console = Console()
    typer.secho(f"{found.facts.get('title', found.name)} ({found.name})", bold=True)
    sealed = "test" in found.splits and "test" not in found.labels_of
    typer.echo(f"labels counted: {', '.join(found.labels_of) or 'none'}{' (test: --split test)' if sealed else ''}")
    for section in found.sections:
        columns, rows = section.seen()
        typer.secho(f"\n{section.title}", bold=True)
        table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
        for row in rows:
            table.add_row(*map(Text, row))  # words of a corpus are no markup
        if rows:
            console.print(table)
        for note in section.notes:
            console.print(Text(note, style="dim"))
    typer.secho(f"\n{NOTICE_SHORT}", dim=True)


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
