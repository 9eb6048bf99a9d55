"""`merkit extract`: every clip of a manifest into a feature store, once."""

import json
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from merkit.atomic import replacing
from merkit.errors import ConfigError

if TYPE_CHECKING:
    from merkit.features import ExtractionProgress, ExtractionReport
    from merkit.schema import Modality

__all__ = ["extract", "modality_choice"]


def extract(
    manifest: Annotated[
        Path,
        typer.Argument(help="What `merkit prepare` wrote (folder or manifest.parquet), or a CSV or JSONL of yours."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the feature store; one that is there already is continued.")],
    engine: Annotated[
        str, typer.Option(help="serial, processes, or ray (one machine, or the cluster that RAY_ADDRESS names).")
    ] = "processes",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Clips at a time, about 1 GB of memory each; else one per core.")
    ] = None,
    modalities: Annotated[
        str,
        typer.Option(help="Comma-separated: face, speech, text, physiology, scene; video and audio as for analyze."),
    ] = "all",
    fps: Annotated[float, typer.Option(min=0.1, max=60, help="Frames a second.")] = 3.0,
    asr: Annotated[bool, typer.Option(help="Transcribe speech where a clip brings no words.")] = True,
    extractor: Annotated[
        list[str] | None, typer.Option(help="MODALITY=NAME: another extractor than the default; may be repeated.")
    ] = None,
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            help="MODALITY=NAME for speech, face, scene or text: a pretrained encoder, by folder or by its name on the "
            "Hugging Face hub; may be repeated. speech=NAME:9 takes the output of block 9, face=NAME:mean the mean patch."
        ),
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch encoders that are not on this machine from the Hugging Face hub.")
    ] = False,
    dtype: Annotated[str, typer.Option(help="How tokens are kept: float32 is exact, float16 takes half the room.")] = (
        "float32"
    ),
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N clips.")] = None,
    timeout: Annotated[
        float | None, typer.Option(min=0.1, help="Seconds that one clip may take; with the engine processes.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON on stdout.")] = False,
) -> None:
    """Extract features of many clips into a store, resumably.

    What the store holds already, unchanged, is not done again: after a kill or a crash, run the same command. A clip
    that cannot be used is left out; which and why stands at the end and in STORE/skipped.csv. The exit code is 0 if the
    store holds at least one of the clips, else 1.

    Examples:

        merkit extract data/meld --out stores/meld

        merkit extract clips.csv --out store --modalities face,text --no-asr

        merkit extract data/ravdess --out store --engine ray --workers 16 --dtype float16

        merkit extract clips.jsonl --out store --extractor face=face-api-expression --json

        merkit extract clips.csv --out store --encoder speech=facebook/hubert-base-ls960:9 --encoder text=roberta-base --download
    """
    import os
    from contextlib import redirect_stdout
    from functools import partial
    from sys import stderr

    from merkit.corpora import read_manifest
    from merkit.features import ClipExtraction, FeatureStore, extract_many
    from merkit.features.extraction_note import write_note
    from merkit.inference.extraction import extraction_tools

    wanted = _modalities(modalities)
    chosen = dict(modality_choice(text) for text in extractor or ())
    encoders = dict(modality_choice(text, "--encoder") for text in encoder or ())
    if dtype not in ("float32", "float16"):
        raise ConfigError(f"--dtype is float32 or float16, not {dtype!r}")
    extraction = ClipExtraction(
        partial(extraction_tools, wanted, chosen=chosen, encoders=encoders, asr=asr, download=download), fps
    )
    found = read_manifest(manifest)
    clips = list(found.clips)[:limit]
    _ = extraction.identity  # missing weights are found here, before a store is made
    store = FeatureStore.create(out, dtype=dtype)
    # Ray's own processes report on stdout, which is for the summary
    with _bar(len(clips)) as update, redirect_stdout(stderr):
        report = extract_many(
            clips,
            extraction,
            store,
            engine=engine,  # ty: ignore[invalid-argument-type]  checked there
            workers=workers or os.cpu_count() or 1,
            timeout_s=timeout,
            progress=update,
        )
    noted = {"fps": fps, "asr": asr, "phrases": asr and "text" in wanted, "dtype": dtype}
    write_note(out, {**noted, "extractors": chosen, "encoders": {m: _lasting(name) for m, name in encoders.items()}})
    reasons = out / "skipped.csv"
    rejected = [(item.item, str(item)) for item in found.rejected if item.what == "clip"]
    _write_reasons(rejected, report, reasons)
    if as_json:
        typer.echo(json.dumps(_facts(rejected, report, out, reasons), ensure_ascii=False, indent=1))
    else:
        for skipped in report.skipped:
            typer.secho(f"{skipped.clip}: left out: {skipped.reason}", fg=typer.colors.YELLOW, err=True)
        if rejected:
            typer.secho(f"{len(rejected)} clips are not in the manifest; why stands in {reasons}", err=True)
        typer.echo(
            f"{len(report.done)} extracted, {len(report.reused)} as before, {len(report.skipped)} left out; store: {out}"
            + (f"; reasons: {reasons}" if report.skipped else "")
        )
    raise typer.Exit(0 if report.done or report.reused else 1)


def _modalities(words: str) -> "tuple[Modality, ...]":
    from merkit.cli.analyze import MODALITY_WORDS

    known: dict[str, tuple[Modality, ...]] = {**MODALITY_WORDS, "scene": ("scene",)}
    chosen: dict[Modality, None] = {}
    for word in words.split(","):
        try:
            chosen |= dict.fromkeys(known[word.strip().lower()])
        except KeyError:
            raise ConfigError(f"--modalities: {word!r} is none of {', '.join(known)}") from None
    return tuple(chosen)


def modality_choice(text: str, option: str = "--extractor") -> "tuple[Modality, str]":
    """Modality and name out of `MODALITY=NAME`.

    Raises:
        ConfigError: something else.

    Example:
        >>> modality_choice("face=face-api-expression")
        ('face', 'face-api-expression')
    """
    from merkit.schema import MODALITIES

    modality, sign, name = text.partition("=")
    for known in MODALITIES:
        if modality == known and sign and name:
            return known, name
    raise ConfigError(f"{option} is MODALITY=NAME with a modality of {', '.join(MODALITIES)}; got {text!r}")


def _lasting(name: str) -> str:
    """An encoder's folder by its full path, so that the note holds from anywhere."""
    folder, colon, rest = name.partition(":")
    there = Path(folder).expanduser()
    return f"{there.absolute()}{colon}{rest}" if there.is_dir() else name


@contextmanager
def _bar(total: int) -> "Generator[Callable[[ExtractionProgress], None]]":
    """A bar on stderr: clips dealt with, clips a second of this run, time left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.text import Text

    class Left(TextColumn):
        """By the run's own rate: clips that the store held already say nothing about those to come."""

        def render(self, task: Any) -> Text:
            left_s = task.fields["left_s"]
            if left_s is None:
                return Text("")
            minutes, seconds = divmod(round(left_s), 60)
            return Text(f"{minutes // 60}:{minutes % 60:02}:{seconds:02} left", style="cyan")

    columns = (MofNCompleteColumn(), TextColumn("clips"), TextColumn("{task.fields[rate]}", style="dim"), Left(""))
    with Progress(BarColumn(), *columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total, rate="", left_s=None)

        def update(at: "ExtractionProgress") -> None:
            rate = "" if at.clips_per_s is None else f"{at.clips_per_s:.2f} clips/s"
            bar.update(task, completed=at.finished, rate=rate, left_s=at.left_s)

        yield update


def _write_reasons(rejected: Sequence[tuple[str, str]], report: "ExtractionReport", path: Path) -> None:
    """One row per clip that was left out, and at which stage; the file of an earlier run is replaced as a whole."""
    import csv

    rows = [(item, "manifest", reason) for item, reason in rejected]
    rows += [(skipped.clip, "extraction", skipped.reason) for skipped in report.skipped]
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("clip", "stage", "reason"), *rows])


def _facts(rejected: Sequence[tuple[str, str]], report: "ExtractionReport", out: Path, reasons: Path) -> dict[str, Any]:
    return {
        "store": str(out),
        "extracted": len(report.done),
        "reused": len(report.reused),
        "skipped": [{"clip": skipped.clip, "reason": skipped.reason} for skipped in report.skipped],
        "rejected": [{"item": item, "reason": reason} for item, reason in rejected],
        "skipped_csv": str(reasons),
    }
