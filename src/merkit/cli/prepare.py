"""`merkit prepare`: a corpus's tree, or a table of your own, into a checked manifest."""

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from merkit.atomic import replacing
from merkit.errors import ConfigError

if TYPE_CHECKING:
    from merkit.corpora import Manifest, Rejected
    from merkit.labels import LabelSpace

__all__ = ["claim", "is_own", "label_space", "prepare", "show", "summary", "write_rejected"]

# as many as fit on a screen; the file has them all
_SHOWN = 40


def prepare(
    corpus: Annotated[
        str, typer.Argument(help="A corpus (`merkit corpora`), or your own CSV, JSONL or Parquet table.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the manifest and everything that is made from the corpus.")],
    root: Annotated[
        Path | None, typer.Option(help="Folder of the corpus or of your media; none = that of your table.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Label space of your table: ekman7, or a list joy,anger,…; none = the labels of its train rows."
        ),
    ] = None,
    headers: Annotated[
        bool,
        typer.Option(help="Read the header of every media file too (about 0.15 s each): is it what its name says?"),
    ] = False,
    features: Annotated[
        str | None,
        typer.Option(
            help="moviegraphs: kinds of features, scene_mvit_v1,face_resnet50_fer,…; none = all that are there."
        ),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(help="moviegraphs: how features are kept, float16 (the default, half the room) or float32."),
    ] = None,
    name_threshold: Annotated[
        float | None,
        typer.Option(help="moviegraphs: a track is a character's where its probability is above this (0.5)."),
    ] = None,
    force: Annotated[bool, typer.Option(help="Make it anew where OUT holds a manifest already.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON on stdout.")] = False,
) -> None:
    """Check a corpus once: clips per split and label, and every row that cannot be used, with the reason.

    OUT gets manifest.parquet, manifest.json and rejected.csv. An interrupted run is taken up again by the same command.
    The exit code is 1 only if nothing is usable.

    Examples:

        merkit prepare meld --root MELD.Raw --out data/meld         # --media and --kaggle: prepare meld --help

        merkit prepare clips.csv --out data/mine --labels ekman7 --headers

        merkit prepare mosi --root MOSI --out data/mosi --json

        merkit prepare moviegraphs --root data --out data/moviegraphs --features scene_mvit_v1,face_resnet50_fer

        merkit prepare merc2020 --root DATA --out data/merc2020     # so have inputs of end-to-end networks:
                                                                    # clips.csv --for merc2020, prepare merc2020 --help

        merkit prepare film holiday.mp4 --out data/holiday          # films have options of their own: prepare film --help
    """
    from merkit.corpora import CORPORA, read_user_manifest, write_manifest
    from merkit.corpora.storage import MANIFEST_FILE

    table, own = Path(corpus), is_own(corpus, labels)
    space = None if labels is None else label_space(labels)
    graphs = {"features": features, "dtype": dtype, "name_threshold": name_threshold}
    graphs = {name: value for name, value in graphs.items() if value is not None}
    if graphs and corpus != "moviegraphs":
        raise ConfigError(f"--{next(iter(graphs)).replace('_', '-')} is for moviegraphs, not for {corpus}")
    if not own and root is None:
        raise ConfigError(f"--root is needed: the folder that holds {corpus}")
    if (out / MANIFEST_FILE).exists() and not force:
        raise ConfigError(f"{out} holds a manifest already; --force makes it anew")
    out.mkdir(parents=True, exist_ok=True)
    claim(
        out, {"corpus": str(table.absolute()) if own else corpus, "root": str(root.absolute()) if root else None}, force
    )
    if own:
        manifest = read_user_manifest(table, root, space)
    else:
        assert root is not None
        manifest = _moviegraphs(root, out, graphs) if corpus == "moviegraphs" else CORPORA[corpus].read(root, out)
    if headers:
        from merkit.cli.progress import count_progress
        from merkit.corpora.headers import check_headers

        with count_progress("headers") as update:
            manifest = check_headers(manifest, progress=lambda done, total: update(done, total, ""))
    write_rejected(manifest.rejected, out / "rejected.csv")
    write_manifest(manifest, out)
    if as_json:
        typer.echo(json.dumps(summary(manifest, out), ensure_ascii=False, indent=1))
        return
    show(manifest, out)


def _moviegraphs(root: Path, out: Path, given: dict[str, Any]) -> "Manifest":
    """Hours of conversion, with a bar; what is done already is not done again."""
    from merkit.cli.progress import count_progress
    from merkit.corpora.moviegraphs import Options, with_options

    if "features" in given:
        given |= {"features": tuple(name.strip() for name in given["features"].split(",") if name.strip())}
    with count_progress("scenes") as update:
        return with_options(Options(**given, progress=update)).read(root, out)


def is_own(corpus: str, labels: str | None) -> bool:
    """Whether CORPUS is a table of the user's own.

    Raises:
        ConfigError: it is neither that nor a corpus, or labels are given for a corpus, which has its own.
    """
    from merkit.corpora import CORPORA

    own, table = corpus not in CORPORA, Path(corpus)
    if own and not table.suffix:
        from merkit.cli.corpora import unknown_corpus

        raise ConfigError(unknown_corpus(corpus))
    if own and not table.is_file():
        raise ConfigError(f"{corpus}: no such table")
    if labels is not None and not own:
        raise ConfigError(f"--labels is for tables of your own; {corpus} has its own labels")
    return own


def label_space(words: str) -> "LabelSpace":
    """A label space by name, or made of the words between commas."""
    from merkit.labels import LABEL_SPACES, LabelSpace

    if words in LABEL_SPACES:
        return LABEL_SPACES[words]
    named = tuple(word.strip().lower() for word in words.split(","))
    if len(named) < 2 or not all(named) or len(set(named)) != len(named):
        raise ConfigError(
            f"--labels is one of {', '.join(LABEL_SPACES)}, or two or more words between commas; got {words!r}"
        )
    return LabelSpace("own", named, {})


def claim(out: Path, source: dict[str, Any], force: bool) -> None:
    """Files that another corpus left in OUT must not be taken for this one's."""
    marker = out / "prepare.json"
    # a folder that holds nothing but a claim was begun for something that could not be read
    begun = any(path != marker for path in out.iterdir())
    if marker.exists() and begun and not force:
        try:
            before = json.loads(marker.read_text(encoding="utf-8"))
        except ValueError:
            before = None
        if before != source:
            raise ConfigError(f"{out} was begun for {before}; take another folder, or --force")
    with replacing(marker) as temporary:
        temporary.write_text(json.dumps(source, indent=1) + "\n", encoding="utf-8")


def write_rejected(rejected: "tuple[Rejected, ...]", path: Path) -> None:
    """One row for everything that was left out, by rename."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("item", "line", "field", "left_out", "reason"))
        writer.writerows((r.item, r.line, r.field, r.what, r.reason) for r in rejected)


def summary(manifest: "Manifest", out: Path) -> dict[str, Any]:
    """What was made, as JSON types: clips per split and label, and everything that was left out."""
    sizes: dict[str, int] = {}
    for clip in manifest.clips:
        sizes[clip.split or ""] = sizes.get(clip.split or "", 0) + 1
    return {
        "name": manifest.name,
        "manifest": str(out),
        "clips": len(manifest),
        "splits": sizes,
        "labels": manifest.counts(),
        "rejected": [
            {"item": r.item, "line": r.line, "field": r.field, "left_out": r.what, "reason": r.reason}
            for r in manifest.rejected
        ],
        "rejected_csv": str(out / "rejected.csv"),
        "licence": manifest.facts.get("licence"),
    }


def _listed(labels: dict[str, int]) -> str:
    """All labels with their counts; of hundreds, the most frequent."""
    shown = list(labels.items())
    if len(shown) > _SHOWN:
        shown = sorted(shown, key=lambda pair: (-pair[1], pair[0]))[: _SHOWN // 2]
    more = len(labels) - len(shown)
    return ", ".join(f"{label} {count}" for label, count in shown) + (f" and {more} more labels" if more else "")


def show(manifest: "Manifest", out: Path) -> None:
    """Prints clips per split and label, and what was left out."""
    facts = summary(manifest, out)
    for split, size in facts["splits"].items():
        typer.echo(f"{split or 'no split'}: {size} clips")
        for target, labels in facts["labels"].get(split, {}).items():
            typer.echo(f"  {target}: {_listed(labels)}")
    for rejected in manifest.rejected[:_SHOWN]:
        typer.secho(str(rejected), fg=typer.colors.YELLOW, err=True)
    more = len(manifest.rejected) - _SHOWN
    if more > 0:
        typer.secho(f"… and {more} more in {facts['rejected_csv']}", fg=typer.colors.YELLOW, err=True)
    whole = sum(rejected.what == "clip" for rejected in manifest.rejected)
    partly = len(manifest.rejected) - whole
    typer.echo(
        f"{len(manifest)} clips, {whole} left out, {partly} in part; manifest: {out}"
        + (f"; reasons: {facts['rejected_csv']}" if manifest.rejected else "")
    )
    typer.echo(f"licence: {facts['licence']}")
