"""`merkit prepare kemdy19`, `kemdy20`, and `kemdy` for both: options of their own, and many processes for sensor files."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from merkit.errors import ConfigError

if TYPE_CHECKING:
    from merkit.corpora import Corpus, Manifest
    from merkit.corpora.kemdy import Options

__all__ = ["asked_for", "prepare_kemdy"]

_NAMES = ("kemdy19", "kemdy20", "kemdy")
_SHOWN = 20


def asked_for(args: list[str]) -> bool:
    """Whether the arguments of `merkit prepare` mean this command.

    Example:
        >>> asked_for(["kemdy19", "--root", "data"]), asked_for(["kemdy-aihub"]), asked_for([])
        (True, False, False)
    """
    return bool(args) and args[0] in _NAMES


def prepare_kemdy(
    corpus: Annotated[str, typer.Argument(help="kemdy19, kemdy20, or kemdy for both at once.")],
    root: Annotated[Path, typer.Option(help="Folder of the corpus: annotation, wav, EDA … lie in it.")],
    out: Annotated[Path, typer.Option(help="Folder for manifest, merged.csv and physiology; a run goes on in it.")],
    view: Annotated[
        str, typer.Option(help="Whose state is asked: speaker; or listener (kemdy19), with the listener's sensors.")
    ] = "speaker",
    marks: Annotated[
        str, typer.Option(help="keep or drop the transcribers' marks of breath, laughter, noise (b/ l/ n/ …).")
    ] = "keep",
    unusable: Annotated[
        bool, typer.Option("--keep-unusable", help="Keep the five scenes of kemdy19 that are known to be unusable.")
    ] = False,
    headers: Annotated[bool, typer.Option(help="Read the header of every recording too (about 0.15 s each).")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Sessions at a time; none = one per core where there is much to read.")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(min=1, help="Seconds that a session may take; a worker that hangs is ended.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw how far each two raters agree into this PNG (needs matplotlib).")
    ] = None,
    force: Annotated[bool, typer.Option(help="Go over it again where OUT holds a manifest already.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON on stdout.")] = False,
) -> None:
    """Votes, words, sound and sensors of every segment, in five folds of sessions.

    OUT gets manifest.parquet, rejected.csv, merged.csv (a row per segment: votes, and each rater's answers) and
    physiology/ (a table per segment). Sessions that are done already, unchanged, are not done again: after a kill, run the
    same command. What is written does not depend on --workers. The exit code is 1 only if nothing is usable.

    Examples:

        merkit prepare kemdy19 --root KEMDy19 --out data/kemdy19

        merkit prepare kemdy20 --root KEMDy20_v1_1 --out data/kemdy20 --workers 8 --picture raters.png

        merkit prepare kemdy19 --root KEMDy19 --out data/kemdy19-listener --view listener

        merkit prepare kemdy --root data --out data/kemdy    # data/KEMDy19 with data/KEMDy20_v1_1, fold k with fold k
    """
    from importlib.util import find_spec

    from merkit.cli.prepare import claim, write_rejected
    from merkit.cli.progress import count_progress
    from merkit.corpora import check_headers, write_manifest
    from merkit.corpora.kemdy import Options
    from merkit.corpora.storage import MANIFEST_FILE

    if (out / MANIFEST_FILE).exists() and not force:
        raise ConfigError(f"{out} holds a manifest already; --force goes over it again (what is done is kept)")
    if picture is not None and find_spec("matplotlib") is None:
        raise ConfigError("--picture needs matplotlib: pip install 'merkit[viz]'")
    values: dict[str, Any] = {"view": view, "marks": marks, "unusable": unusable}
    if picture is not None and corpus == "kemdy":
        raise ConfigError("--picture is for kemdy19 or kemdy20: their raters are other people")
    _chosen(corpus, Options(**values))  # a wrong option is known before OUT is claimed
    out.mkdir(parents=True, exist_ok=True)
    claim(out, {"corpus": corpus, "root": str(root.absolute()), **values}, force)
    with count_progress("sessions", quiet=as_json) as update:
        options = Options(**values, workers=workers, timeout_s=timeout, progress=update)
        manifest = _chosen(corpus, options).read(root, out)
    if headers:
        with count_progress("headers", quiet=as_json) as update:
            manifest = check_headers(manifest, progress=lambda done, total: update(done, total, ""))
    write_rejected(manifest.rejected, out / "rejected.csv")
    write_manifest(manifest, out)
    if picture is not None:
        _draw(manifest, out, picture)
    _show(manifest, out, as_json)


def _chosen(corpus: str, options: "Options") -> "Corpus":
    from merkit.corpora.kemdy import both_with_options, with_options

    return both_with_options(options) if corpus == "kemdy" else with_options(corpus, options)


def _draw(manifest: "Manifest", out: Path, picture: Path) -> None:
    from merkit.atomic import replacing
    from merkit.corpora.kemdy import read_ratings
    from merkit.evaluation.agreement import rater_correlation, rater_kappa
    from merkit.evaluation.agreement_picture import picture_of_raters

    ratings = read_ratings(out / manifest.facts["merged_csv"])
    matrices = {
        "emotion (Cohen's kappa)": rater_kappa(ratings.emotion),
        "valence (correlation)": rater_correlation(ratings.valence),
        "arousal (correlation)": rater_correlation(ratings.arousal),
    }
    title = f"{manifest.name}: raters against raters, {len(ratings.segments)} segments"
    with replacing(picture) as temporary:
        temporary.write_bytes(picture_of_raters(matrices, ratings.raters, title))


def _show(manifest: "Manifest", out: Path, as_json: bool) -> None:
    from merkit.cli.prepare import summary

    said = ("view", "folds", "ties", "agreement", "physiology")
    facts: dict[str, Any] = {**summary(manifest, out), **{name: manifest.facts[name] for name in said}}
    merged = manifest.facts["merged_csv"]
    facts["merged_csv"] = str(out / merged) if isinstance(merged, str) else [str(out / each) for each in merged]
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False, indent=1))
        return
    for target, labels in facts["labels"][""].items():
        typer.echo(f"  {target}: " + ", ".join(f"{label} {count}" for label, count in labels.items()))
    typer.echo(
        f"  ties: {facts['ties']}; sensors: " + ", ".join(f"{k} {n}" for k, n in facts["physiology"].items() if n)
    )
    typer.echo("  folds: " + "; ".join(f"{fold}: {' '.join(names)}" for fold, names in facts["folds"].items()))
    figures = {name: value for name, value in facts["agreement"].items() if isinstance(value, float)}
    typer.echo("  raters: " + ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in figures.items()))
    for rejected in manifest.rejected[:_SHOWN]:
        typer.secho(str(rejected), fg=typer.colors.YELLOW, err=True)
    if (more := len(manifest.rejected) - _SHOWN) > 0:
        typer.secho(f"… and {more} more in {facts['rejected_csv']}", fg=typer.colors.YELLOW, err=True)
    whole = sum(rejected.what == "clip" for rejected in manifest.rejected)
    partly = len(manifest.rejected) - whole
    typer.echo(f"{len(manifest)} clips, {whole} left out, {partly} in part; manifest: {out}")
    typer.echo(f"licence: {facts['licence']}")
