"""`merkit prepare film`: any film into scenes with their characters and features, ready for `merkit predict`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from merkit.errors import ConfigError, WeightError

if TYPE_CHECKING:
    from merkit.corpora import Manifest
    from merkit.features import ClipExtraction
    from merkit.schema import Modality

__all__ = ["PrepareCommand", "film"]

# in this order, and as far as they are there: a film without pictures is still a film
_MODALITIES: "tuple[Modality, ...]" = ("face", "scene", "speech", "text")
_COUNTED = ("scenes", "shots", "persons", "utterances")


class PrepareCommand(TyperCommand):
    """`merkit prepare`, which hands over where the corpus has options of its own: films are files, without a root."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of this command, or of the one that knows the corpus's own options."""
        from merkit.cli import prepare_kemdy, prepare_meld, prepare_merc2020

        other = film if args and args[0] == "film" else None
        if prepare_meld.asked_for(args):
            other = prepare_meld.prepare_meld
        elif prepare_merc2020.asked_for(args):
            other = prepare_merc2020.prepare_merc2020
        elif prepare_kemdy.asked_for(args):
            other = prepare_kemdy.prepare_kemdy
        if other is not None:
            alone = typer.Typer(add_completion=False, rich_markup_mode="markdown")
            alone.command(other.__name__)(other)
            name = f"{info_name} film" if other is film else info_name
            rest = args[1:] if other is film else args
            return typer.main.get_command(alone).make_context(name, rest, parent=parent, **extra)
        return super().make_context(info_name, args, parent=parent, **extra)


def film(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO…", help="Films, or clips of any length.")],
    out: Annotated[Path, typer.Option(help="Folder for scenes, features and persons; the same one goes on.")],
    subtitles: Annotated[
        Path | None,
        typer.Option(help="Words of the one film, .srt or .vtt; else FILM.srt beside each film, else transcribed."),
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option(help="CSV with the columns person,name (and film where there are several): who is who."),
    ] = None,
    min_scene: Annotated[float, typer.Option(help="Seconds of a scene at least.")] = 30.0,
    max_scene: Annotated[float, typer.Option(help="Seconds of a scene at most; at least twice --min-scene.")] = 90.0,
    modalities: Annotated[
        str | None,
        typer.Option(help="Comma-separated: face, scene, speech, text; none = all whose weights are here."),
    ] = None,
    fps: Annotated[float, typer.Option(min=0.1, max=60, help="Frames a second that are looked at.")] = 3.0,
    asr: Annotated[bool, typer.Option(help="Transcribe speech where a film brings no subtitles (English).")] = True,
    extractor: Annotated[
        list[str] | None, typer.Option(help="MODALITY=NAME: another extractor than the default; may be repeated.")
    ] = None,
    portraits: Annotated[bool, typer.Option(help="Keep one picture of each person, to know them by.")] = True,
    workers: Annotated[int, typer.Option(min=1, help="Films at a time, about 1 GB of memory each.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON on stdout.")] = False,
) -> None:
    """Read films once: scenes cut at shots, people followed, features of scene, faces, voice and words.

    People are anonymous: person_1 is who is seen most. OUT/persons.csv lists them; fill in its column `name` and give it
    back as --names. A film that was read is not read again: other names or scene lengths take seconds. A film that cannot
    be read is left out, and said so in OUT/rejected.csv. The exit code is 1 only if none could be read.

    Examples:

        merkit prepare film holiday.mp4 --out scenes

        merkit prepare film film.mkv --subtitles film.srt --min-scene 20 --max-scene 60 --out scenes

        merkit prepare film film.mkv --out scenes --names scenes/persons.csv

        merkit prepare film *.mp4 --out scenes --workers 4 && merkit predict runs/mine --root scenes
    """
    import os

    from merkit.cli.progress import clip_progress, count_progress
    from merkit.corpora import write_manifest
    from merkit.corpora.film import prepare_films
    from merkit.corpora.film_files import films_of, read_names
    from merkit.features.film import FilmExtraction

    found = films_of(videos, subtitles)
    called = None if names is None else read_names(names, [each.id for each in found])
    extraction, without = _extraction(modalities, extractor or (), asr, fps)
    for modality, reason in without.items():
        typer.secho(f"without {modality}: {reason}", fg=typer.colors.YELLOW, err=True)
    from merkit.cli.prepare import claim, write_rejected

    out.mkdir(parents=True, exist_ok=True)
    claim(out, {"corpus": "film", "root": None}, False)
    settings = {"names": called, "min_s": min_scene, "max_s": max_scene}
    kept = out / "portraits" if portraits else None
    if workers == 1:
        with clip_progress(quiet=as_json) as update:
            extract = FilmExtraction(extraction, kept, update)
            manifest = prepare_films(found, extract, out, threads=os.cpu_count() or 1, **settings)
    else:
        with count_progress("films", quiet=as_json) as count:
            manifest = prepare_films(
                found,
                FilmExtraction(extraction, kept),
                out,
                engine="processes",
                workers=workers,
                progress=lambda at: count(at.finished, at.total, at.clip),
                **settings,
            )
    write_rejected(manifest.rejected, out / "rejected.csv")
    if len(manifest):
        write_manifest(manifest, out)
    _show(manifest, out, as_json)
    raise typer.Exit(0 if len(manifest) else 1)


def _extraction(
    modalities: str | None, extractor: Sequence[str], asr: bool, fps: float
) -> "tuple[ClipExtraction, dict[str, str]]":
    """What reads the films, and why it does without the rest."""
    from functools import partial

    from merkit.features import ClipExtraction
    from merkit.inference.extraction import extraction_tools

    chosen: dict[Any, str] = {}
    for text in extractor:
        modality, sign, name = text.partition("=")
        if not sign or not name:
            raise ConfigError(f"--extractor is MODALITY=NAME, not {text!r}")
        chosen[modality] = name

    def made(wanted: "Sequence[Modality]", transcribe: bool) -> ClipExtraction:
        own = {m: name for m, name in chosen.items() if m in wanted}
        tried = ClipExtraction(partial(extraction_tools, tuple(wanted), chosen=own, asr=transcribe), fps)
        _ = tried.tools
        return tried

    wanted = tuple(dict.fromkeys(word.strip().lower() for word in (modalities or ",".join(_MODALITIES)).split(",")))
    if unknown := [word for word in (*wanted, *chosen) if word not in _MODALITIES]:
        raise ConfigError(f"{', '.join(unknown)}: a film has {', '.join(_MODALITIES)}")
    known = tuple(m for m in _MODALITIES if m in wanted)
    try:
        return made(known, asr), {}
    except WeightError as error:
        if modalities is not None:
            raise
        last = error
    have, without, transcribe = [], {}, asr
    for modality in known:
        try:
            made([modality], asr)
            have.append(modality)
        except WeightError as error:
            without[modality] = str(error)
            if modality == "text" and asr:  # subtitles need no recogniser
                try:
                    made([modality], False)
                    have.append(modality)
                    transcribe, without = False, {**without, "text": f"but for subtitles: {error}"}
                except WeightError:
                    pass
    if not have:
        raise last
    return made(have, transcribe), without


def _show(manifest: "Manifest", out: Path, as_json: bool) -> None:
    facts = dict(manifest.facts)
    rejected = [{"film": each.item, "reason": each.reason} for each in manifest.rejected]
    if as_json:
        whole = {"manifest": str(out), "clips": len(manifest), **facts, "rejected": rejected}
        typer.echo(json.dumps(whole, ensure_ascii=False, indent=1))
        return
    before = set(facts["reading"]["as_before"])
    for each in facts["films"]:
        counts = [
            f"{each['duration_s']:.0f} s",
            *(_count(each[what], what) for what in _COUNTED if each[what] is not None),
        ]
        read = " (read before)" if each["film"] in before else ""
        typer.echo(f"{each['film']}: {', '.join(counts)}{read}")
        for modality, reason in each["absent"].items():
            if reason != "not asked for":
                typer.echo(f"  no {modality}: {reason}")
        for warning in each["warnings"]:
            typer.secho(f"  {warning}", fg=typer.colors.YELLOW, err=True)
    for each in rejected:
        typer.secho(f"{each['film']}: left out: {each['reason']}", fg=typer.colors.YELLOW, err=True)
    if not len(manifest):
        typer.echo("no film could be read")
        return
    people = any(each["persons"] for each in facts["films"])
    typer.echo(
        f"{_count(len(manifest), 'scenes')} in {out}" + (f"; who is who: {out / 'persons.csv'}" if people else "")
    )
    typer.echo(f"next:  merkit predict RUN --root {out}")


def _count(number: int, things: str) -> str:
    return f"{number} {things.removesuffix('s') if number == 1 else things}"
