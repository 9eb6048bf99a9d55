"""Whether the media of a manifest are what they are named after, by their headers; nothing is decoded to its end."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from merkit.corpora.manifest import Manifest, Rejected
from merkit.errors import ConfigError, MediaError
from merkit.schema import Clip

__all__ = ["check_headers"]

_NEEDS = {"face": "picture", "scene": "picture", "speech": "sound"}
_TOLERANCE_S = 0.05  # a container's length is rounded to a frame


def check_headers(
    manifest: Manifest, *, workers: int | None = None, progress: Callable[[int, int], None] | None = None
) -> Manifest:
    """The manifest without streams and clips that its media cannot give.

    A file that cannot be read is taken from its clips; speech is taken from clips whose file has no sound, face and
    scene from those whose file has no picture; a clip whose span lies beyond the file's end, or that is left with no
    stream, is left out. All of it is listed.

    Args:
        manifest: as read.
        workers: headers at a time, each in a process of its own (about 0.15 s); none = one per core.
        progress: is told files done and files in all.

    Raises:
        ConfigError: no clip is left.

    Example:
        >>> from merkit.schema import Stream
        >>> clip = Clip("a", (Stream("text", None, text="Hello"),))
        >>> len(check_headers(Manifest("tiny", (clip,), (), Path("."))))
        1
    """
    files = list(
        dict.fromkeys(
            stream.path
            for clip in manifest.clips
            for stream in clip.streams
            if stream.path is not None and stream.modality in ("face", "scene", "speech")
        )
    )
    found: dict[Path, _Header] = {}
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        for done, (file, header) in enumerate(zip(files, pool.map(_header, files), strict=True), 1):
            found[file] = header
            if progress is not None:
                progress(done, len(files))
    clips, rejected = [], list(manifest.rejected)
    for clip in manifest.clips:
        kept, reasons = _checked(clip, found)
        rejected += reasons
        if kept is not None:
            clips.append(kept)
    if not clips:
        listed = "".join(f"\n  {one}" for one in rejected[:10])
        raise ConfigError(f"{manifest.name}: no clip with readable media{listed}")
    ids = {clip.id for clip in clips}
    if len(clips) < len(manifest):  # turns that are gone are no context
        clips = [replace(clip, context=tuple(turn for turn in clip.context if turn in ids)) for clip in clips]
    return replace(manifest, clips=tuple(clips), rejected=tuple(rejected))


@dataclass(frozen=True, slots=True)
class _Header:
    """What one file holds, or why it cannot be read."""

    has: tuple[str, ...] = ()
    duration_s: float = 0.0
    reason: str | None = None


def _header(file: Path) -> _Header:
    # av and Pillow are loaded only where headers are asked for
    from merkit.features.still import is_still, probe_still
    from merkit.media import probe

    try:
        if is_still(file):
            probe_still(file)
            return _Header(("picture",))
        info = probe(file)
    except MediaError as error:
        return _Header(reason=error.reason)
    has = [kind for kind, part in (("picture", info.video), ("sound", info.audio)) if part is not None]
    return _Header(tuple(has), info.duration_s)


def _checked(clip: Clip, headers: dict[Path, _Header]) -> tuple[Clip | None, list[Rejected]]:
    streams, lost = [], {}
    for stream in clip.streams:
        header = headers.get(stream.path) if stream.path is not None else None
        if header is None:
            streams.append(stream)
        elif header.reason is not None:
            lost[stream.modality] = f"{stream.path}: {header.reason}"
        elif _NEEDS[stream.modality] not in header.has:
            lost[stream.modality] = f"{stream.path}: holds no {_NEEDS[stream.modality]}"
        elif (
            clip.span is not None
            and header.duration_s
            and clip.span[1] > header.duration_s + stream.start_s + _TOLERANCE_S
        ):
            reason = (
                f"the clip ends at {clip.span[1]:g} s, beyond the file's {header.duration_s + stream.start_s:.2f} s"
            )
            return None, [Rejected(clip.id, reason, "end_s")]
        else:
            streams.append(stream)
    reasons: dict[str, list[str]] = {}
    for modality, reason in lost.items():
        reasons.setdefault(reason, []).append(modality)
    if not streams:
        return None, [Rejected(clip.id, "; ".join(reasons), "path")]
    listed = [Rejected(clip.id, reason, "path", what=", ".join(kinds)) for reason, kinds in reasons.items()]
    return replace(clip, streams=tuple(streams)), listed
