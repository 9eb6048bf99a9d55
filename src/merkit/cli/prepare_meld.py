"""`merkit prepare meld`, and `merkit prepare … --for hlm12erc`: words, sound and frames, of MELD or of any clips."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from merkit.cli.prepare_inputs import asked_system
from merkit.errors import ConfigError

if TYPE_CHECKING:
    from merkit.corpora import Manifest

__all__ = ["asked_for", "prepare_meld"]

_NAME, _SYSTEM = "meld", "hlm12erc"
_DOING = {"features": "sound", "frames": "frames"}


def asked_for(args: list[str]) -> bool:
    """Whether the arguments of `merkit prepare` mean this command.

    Example:
        >>> asked_for(["meld", "--root", "data"]), asked_for(["clips.csv", "--for", "hlm12erc"])
        (True, True)
        >>> asked_for(["meld", "--for", "merc2020"]), asked_for(["clips.csv"])
        (False, False)
    """
    system = asked_system(args)
    return system == _SYSTEM or (system is None and args[:1] == [_NAME])


def prepare_meld(
    corpus: Annotated[
        str, typer.Argument(help="meld; or any corpus, or your own table, for the same networks (--for hlm12erc).")
    ],
    out: Annotated[Path, typer.Option(help="Folder for manifest, sound and frames; an interrupted run goes on in it.")],
    root: Annotated[
        str | None,
        typer.Option(
            help="Folder of the corpus or of your media, or its address (s3://…, gs://…); none = see --kaggle."
        ),
    ] = None,
    kaggle: Annotated[
        str | None, typer.Option(metavar="OWNER/DATASET", help="Fetch it from Kaggle into --root first.")
    ] = None,
    subdir: Annotated[str, typer.Option(help="Which folder of Kaggle's archive is unpacked.")] = "MELD-RAW/MELD.Raw",
    cache: Annotated[
        Path | None, typer.Option(help="Folder for what is fetched from an address; none = OUT/raw.")
    ] = None,
    media: Annotated[bool, typer.Option("--media", help="Sound and frames as well, straight into stores.")] = False,
    system: Annotated[
        str | None, typer.Option("--for", help="hlm12erc: as --media, and for any corpus or table.")
    ] = None,
    labels: Annotated[str | None, typer.Option(help="Label space of your table: ekman7, or a list joy,anger,…")] = None,
    frames: Annotated[int, typer.Option(min=1, max=32, help="Frames of a clip, first to last at even distances.")] = 5,
    fps: Annotated[
        float, typer.Option(min=0, max=60, help="So many a second in place of that, --frames at most; 0 = no.")
    ] = 0.0,
    height: Annotated[int, typer.Option(min=16, max=1080, help="Pixels of a frame.")] = 240,
    width: Annotated[int, typer.Option(min=16, max=1920, help="Pixels of a frame; other shapes get black bars.")] = 426,
    mosaic: Annotated[bool, typer.Option("--mosaic", help="All frames in one picture, one under the other.")] = False,
    faces: Annotated[
        str, typer.Option(help="none; black = also the frames, black but for faces; crop = also one person's face.")
    ] = "none",
    side: Annotated[int, typer.Option(min=16, max=512, help="Pixels of a cropped face's side.")] = 112,
    most_seconds: Annotated[
        float, typer.Option(min=0.1, max=300, help="Seconds of sound that are kept at most.")
    ] = 30.0,
    headers: Annotated[bool, typer.Option(help="Read the header of every media file too (about 0.15 s each).")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Clips at a time, 1 GB each; else one per core.")] = None,
    timeout: Annotated[
        float | None, typer.Option(min=1, help="Seconds that one clip may take; a worker that hangs is ended.")
    ] = None,
    force: Annotated[
        bool, typer.Option(help="Go over it again where OUT holds a manifest, and fetch what was fetched.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON on stdout.")] = False,
) -> None:
    """Words, labels and dialogues of MELD; with --media, sound at 16 kHz and a few frames of every clip.

    OUT gets manifest.parquet and rejected.csv, and with --media features/ (samples, float16, 33 kB a second) and frames/
    (bytes; 5 frames of 426x240 are 1.5 MB a clip, 21 GB for all of MELD). Clips that are known to be bad, corrupt or missing
    keep their words. Clips that are done already, unchanged, are not done again: after a kill, run the same command with
    --force. The exit code is 1 only if nothing is usable.

    Examples:

        merkit prepare meld --root MELD.Raw --out data/meld

        merkit prepare meld --root MELD.Raw --out data/meld --media --height 112 --width 199 --workers 16

        merkit prepare meld --kaggle zaber666/meld-dataset --root raw --out data/meld --media

        merkit prepare meld --root s3://bucket/MELD.Raw --cache raw --out data/meld

        merkit prepare clips.csv --out data/mine --for hlm12erc --labels ekman7 --faces crop
    """
    from merkit.cli.prepare import write_rejected
    from merkit.cli.prepare_inputs import read_any
    from merkit.config import config_from
    from merkit.corpora import check_headers, write_manifest
    from merkit.corpora.storage import MANIFEST_FILE

    if system not in (None, _SYSTEM):
        raise ConfigError(f"--for {system}: this is {_SYSTEM}'s")
    values = {
        "frames": frames, "frames_per_second": fps, "height": height, "width": width, "mosaic": mosaic, "faces": faces,
        "side": side,
    }  # fmt: skip
    chosen = None
    if media or system is not None:
        from merkit.features.frame_stack import FrameStackConfig

        chosen = config_from(FrameStackConfig, values)  # a wrong option is known before anything is begun
    if (out / MANIFEST_FILE).exists() and not force:
        raise ConfigError(f"{out} holds a manifest already; --force goes over it again (what is done is kept)")
    where = _fetched(corpus, root, kaggle, subdir, cache, out, force, as_json)
    manifest = read_any(corpus, where, labels, out, force, {"for": _SYSTEM} if chosen else {})
    if headers:
        from merkit.cli.progress import count_progress

        with count_progress("headers", quiet=as_json) as update:
            manifest = check_headers(manifest, progress=lambda done, total: update(done, total, ""))
    if chosen is not None:
        manifest = _media(manifest, out, chosen, most_seconds, workers, timeout, as_json)
    write_rejected(manifest.rejected, out / "rejected.csv")
    write_manifest(manifest, out)
    _show(manifest, out, as_json, stored=chosen is not None)


def _fetched(
    corpus: str,
    root: str | None,
    kaggle: str | None,
    subdir: str,
    cache: Path | None,
    out: Path,
    force: bool,
    quiet: bool,
) -> Path | None:
    """Where the media lie, once they are there."""
    from merkit.cli.progress import count_progress

    far = root is not None and "://" in root
    if kaggle is None and not far:
        return None if root is None else Path(root)
    if corpus != _NAME:
        raise ConfigError(f"--kaggle and addresses are for {_NAME}, not for {corpus}")
    if kaggle is not None and far:
        raise ConfigError("--kaggle fetches into a folder: give --root a folder, or leave it out")
    with count_progress("files", quiet=quiet) as update:
        if kaggle is not None:
            from merkit.corpora.meld.kaggle import fetch_kaggle

            return fetch_kaggle(kaggle, subdir, Path(root) if root else out / "raw", force=force, progress=update)
        from merkit.corpora.meld.remote import fetch_address

        assert root is not None
        return fetch_address(root, cache or out / "raw", force=force, progress=update)


def _media(
    manifest: "Manifest",
    out: Path,
    config: Any,
    most_seconds: float,
    workers: int | None,
    timeout: float | None,
    quiet: bool,
) -> "Manifest":
    from merkit.cli.prepare_inputs import store_bars, workers_for
    from merkit.corpora.meld.prepare import SOUND_BYTES_PER_S, check_room, prepare_media
    from merkit.features.frame_stack import FrameStackExtraction
    from merkit.features.whole_sound import SoundExtraction

    needed = check_room(manifest.clips, out, config.bytes_per_clip)
    if not quiet:
        typer.echo(
            f"pictures: {needed / 1e6:.1f} MB at most ({config.bytes_per_clip / 1e6:.2f} MB a clip), twice that while they are "
            f"packed; sound: {SOUND_BYTES_PER_S / 1e3:.0f} kB a second",
            err=True,
        )
    frames = FrameStackExtraction(config)
    frames.ready()
    count = workers_for(workers, len(manifest))
    with store_bars(_DOING, quiet) as update:
        return prepare_media(
            manifest,
            out,
            sound=SoundExtraction(most_seconds),
            frames=frames,
            progress=update,
            engine="serial" if count == 1 and timeout is None else "processes",
            workers=count,
            timeout_s=timeout,
        )


def _show(manifest: "Manifest", out: Path, as_json: bool, *, stored: bool) -> None:
    from merkit.cli.prepare import show, summary
    from merkit.cli.prepare_inputs import sizes_of

    sizes = sizes_of(out, _DOING) if stored else {}
    if as_json:
        made = {"bytes": sizes, "run": manifest.facts["run"]} if stored else {}
        typer.echo(json.dumps({**summary(manifest, out), **made}, ensure_ascii=False, indent=1))
        return
    show(manifest, out)
    if stored:
        typer.echo(", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in sizes.items()))
        typer.echo(f"next:  merkit train {_SYSTEM} data.root={out}")
