"""`merkit prepare merc2020`, and `merkit prepare … --for merc2020`: what end-to-end networks read, of any clips."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from merkit.cli.prepare_inputs import asked_system
from merkit.errors import ConfigError

if TYPE_CHECKING:
    from merkit.corpora import Manifest
    from merkit.features.raw_inputs import Words

__all__ = ["asked_for", "prepare_merc2020"]

_NAME = "merc2020"
_SHOWN = 20
_DOING = {"features": "voice, words", "faces": "faces"}


def asked_for(args: list[str]) -> bool:
    """Whether the arguments of `merkit prepare` mean this command.

    Example:
        >>> asked_for(["merc2020", "--root", "data"]), asked_for(["clips.csv", "--for", "merc2020"]), asked_for(["meld"])
        (True, True, False)
    """
    return args[:1] == [_NAME] or asked_system(args) is not None


def prepare_merc2020(
    corpus: Annotated[
        str, typer.Argument(help="merc2020; or any corpus, or your own table, for the same networks (--for merc2020).")
    ],
    out: Annotated[Path, typer.Option(help="Folder for manifest, features, faces; an interrupted run goes on in it.")],
    root: Annotated[
        Path | None, typer.Option(help="Folder of the corpus or of your media; none = that of your table.")
    ] = None,
    system: Annotated[str, typer.Option("--for", help="Which system's networks the inputs are for.")] = _NAME,
    labels: Annotated[str | None, typer.Option(help="Label space of your table: ekman7, or a list joy,anger,…")] = None,
    side: Annotated[
        int, typer.Option(min=16, max=512, help="Pixels of a face picture's side; 112 takes a quarter.")
    ] = 224,
    face_fps: Annotated[float, typer.Option(min=0.1, max=60, help="Pictures a second at most.")] = 30.0,
    most_faces: Annotated[
        int, typer.Option(min=1, help="Pictures of a clip at most: of a longer one, fewer a second.")
    ] = 48,
    detect_every: Annotated[int, typer.Option(min=1, help="Look for faces in every so many frames.")] = 2,
    margin: Annotated[
        float, typer.Option(min=0.21, max=3, help="Side of a crop, in longer sides of the face box; 0.93 = as FER2013.")
    ] = 1.0,
    crop: Annotated[
        str, typer.Option(help="face = find the face; picture = the whole picture is one (FER2013 and the like).")
    ] = "face",
    words: Annotated[
        str | None,
        typer.Option(
            help="Vectors for the words of your own clips: a table (word2vec, GloVe, fastText as text), minilm, or none; "
            "by default minilm where its weights are. The challenge brings its own."
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Clips at a time, 1 GB each; else one per core.")] = None,
    timeout: Annotated[
        float | None, typer.Option(min=1, help="Seconds that one clip may take; a worker that hangs is ended.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Go over it again where OUT holds a manifest already.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON on stdout.")] = False,
) -> None:
    """Log-mel columns, pictures of one face and word vectors of every clip, for `merkit train merc2020`.

    OUT gets manifest.parquet, rejected.csv, features/ (speech and text, float16) and faces/ (bytes), and of the challenge
    its templates in submissions/. Clips that are done already, unchanged, are not done again: after a kill, run the same
    command. The exit code is 1 only if nothing is usable.

    Examples:

        merkit prepare merc2020 --root DATA --out data/merc2020

        merkit prepare merc2020 --root DATA --out data/small --side 112 --workers 16

        merkit prepare clips.csv --out data/mine --for merc2020 --labels ekman7 --words cc.en.300.vec

        merkit prepare ravdess --root RAVDESS --out data/ravdess-raw --for merc2020
    """
    from merkit.cli.prepare import write_rejected
    from merkit.cli.prepare_inputs import read_any, store_bars, workers_for
    from merkit.corpora import write_manifest
    from merkit.corpora.merc2020.prepare import FACES, FEATURES, prepare_inputs
    from merkit.corpora.storage import MANIFEST_FILE
    from merkit.features.extraction_note import write_note
    from merkit.features.raw_inputs import HeardExtraction, SeenExtraction

    if system != _NAME:
        raise ConfigError(
            f"--for {system}: there are {_NAME} and hlm12erc; other systems read features (merkit extract)"
        )
    seen = SeenExtraction(_pictures(side, face_fps, most_faces, detect_every, margin, crop))
    if (out / MANIFEST_FILE).exists() and not force:
        raise ConfigError(f"{out} holds a manifest already; --force goes over it again (what is done is kept)")
    manifest = read_any(corpus, root, labels, out, force, {"for": _NAME})
    count = workers_for(workers, len(manifest))
    seen.ready()
    heard = HeardExtraction(_words(words, manifest))
    with store_bars(_DOING, as_json) as update:
        made = prepare_inputs(
            manifest,
            out,
            heard=heard,
            seen=seen,
            progress=update,
            engine="serial" if count == 1 and timeout is None else "processes",
            workers=count,
            timeout_s=timeout,
        )
    # an id says whether pictures are the same, not how to cut them again
    write_note(out / FACES, {"pictures": seen.config.to_dict()})
    write_note(out / FEATURES, {"words": str(Path(words).absolute()) if words and Path(words).is_file() else "minilm"})
    write_rejected(made.rejected, out / "rejected.csv")
    write_manifest(made, out)
    _show(made, out, as_json)


def _pictures(side: int, fps: float, most: int, every: int, margin: float, crop: str) -> Any:
    from merkit.config import config_from
    from merkit.features.face_pictures import PictureConfig

    values = {
        "side": side,
        "frames_per_second": fps,
        "most": most,
        "detect_every": every,
        "margin": margin,
        "crop": crop,
    }
    return config_from(PictureConfig, values)


def _words(named: str | None, manifest: "Manifest") -> "Words | None":
    """What makes vectors of words; None where no clip has words of that kind."""
    from merkit.features.text import TextExtractor
    from merkit.features.word_vectors import WordVectors
    from merkit.weights import is_cached, locate

    streams = [stream for clip in manifest.clips for stream in clip.streams if stream.modality == "text"]
    if all(stream.path is not None and stream.path.suffix == ".npz" for stream in streams):
        if named not in (None, "none"):
            raise ConfigError(f"--words {named}: there are no words here but those that bring their vectors")
        return None
    if named == "none" or (named is None and not all(map(is_cached, TextExtractor.weights))):
        if named is None:
            typer.secho("without words: fetch minilm-l6 (merkit weights), or give --words TABLE", fg="yellow", err=True)
        return None
    if named in (None, "minilm"):
        for weight in TextExtractor.weights:
            locate(weight)
        return TextExtractor(pool="token")
    made = WordVectors(named)
    _ = made.width  # a wrong table is found before hours of work
    return made


def _show(manifest: "Manifest", out: Path, as_json: bool) -> None:
    from merkit.cli.prepare import summary
    from merkit.cli.prepare_inputs import sizes_of

    sizes = sizes_of(out, _DOING)
    facts = {**summary(manifest, out), "bytes": sizes, "run": manifest.facts["run"]}
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False, indent=1))
        return
    for split, size in facts["splits"].items():
        typer.echo(f"{split or 'no split'}: {size} clips")
    for rejected in manifest.rejected[:_SHOWN]:
        typer.secho(str(rejected), fg=typer.colors.YELLOW, err=True)
    if (more := len(manifest.rejected) - _SHOWN) > 0:
        typer.secho(f"… and {more} more in {facts['rejected_csv']}", fg=typer.colors.YELLOW, err=True)
    whole = sum(each.what == "clip" for each in manifest.rejected)
    typer.echo(
        f"{len(manifest)} clips in {out}, {whole} left out; "
        + ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in sizes.items())
        + (f"; reasons: {facts['rejected_csv']}" if manifest.rejected else "")
    )
    typer.echo(f"next:  merkit train {_NAME} data.root={out}")
