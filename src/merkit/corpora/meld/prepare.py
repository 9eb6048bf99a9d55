"""From a manifest to what networks of words, sound and frames read: OUT/features (samples) and OUT/frames (bytes).

Of MELD or of anybody's own clips. Words stay in the manifest. Both stores are filled by `extract_many`, so a run that was
ended goes on where it was, and every clip that lost something is named with its reason.
"""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merkit.corpora.inputs import InputPass, Progress, made_inputs
from merkit.corpora.manifest import Manifest, Rejected
from merkit.errors import ConfigError, MediaError
from merkit.schema import Clip, Modality, Stream

if TYPE_CHECKING:
    from merkit.features.frame_stack import FrameStackExtraction
    from merkit.features.whole_sound import SoundExtraction

__all__ = ["FEATURES", "FRAMES", "SOUND_BYTES_PER_S", "check_room", "inline_words", "prepare_media"]

FEATURES, FRAMES = "features", "frames"
"""Names of the two stores: samples as float16, pictures as uint8."""
SOUND_BYTES_PER_S = 2 * 16_000 + 20 * 50
"""What a second of sound takes: 16,000 numbers of two bytes, and for each of 50 tokens two times and a segment."""


def prepare_media(
    manifest: Manifest,
    out: Path,
    *,
    sound: "SoundExtraction | None" = None,
    frames: "FrameStackExtraction | None" = None,
    progress: Progress | None = None,
    **engine: Any,
) -> Manifest:
    """Makes sound and pictures of every clip.

    A modality that cannot be made is taken from its clip, with the reason; a clip of which nothing is left, not even words,
    is left out.

    Args:
        manifest: of any corpus; its clips name video, sound or words.
        out: folder for the stores.
        sound: makes speech; None for `SoundExtraction()`.
        frames: makes scene and faces; None for `FrameStackExtraction()`.
        progress: told which store is filled, and how far.
        engine: of `extract_many`: `engine`, `workers`, `threads`, `timeout_s`.

    Returns:
        The manifest of what can be used, not yet written.

    Raises:
        ConfigError: nothing can be used.
        WeightError: the face detector's weights are missing.
        StoreError: a store is damaged, or there is one of another number type.
    """
    from merkit.features.frame_stack import FrameStackExtraction
    from merkit.features.whole_sound import SoundExtraction

    frames = frames or FrameStackExtraction()
    seen: tuple[Modality, ...] = tuple(frames.ids)
    passes = (
        InputPass(FEATURES, ("speech",), ("speech",), sound or SoundExtraction(), "float16"),
        InputPass(FRAMES, seen, ("face", "scene"), frames, "uint8"),
    )
    return made_inputs(inline_words(manifest), out, passes, as_given=("text",), progress=progress, **engine)


def inline_words(manifest: Manifest) -> Manifest:
    """The manifest with the words of subtitle and text files in it, where words of a whole clip belong.

    A clip whose file cannot be read loses its words, which is written down.
    """
    from merkit.features.sources import Sources

    clips, rejected = [], list(manifest.rejected)
    for clip in manifest.clips:
        if not any(stream.modality == "text" and stream.path is not None for stream in clip.streams):
            clips.append(clip)
            continue
        streams = tuple(stream for stream in clip.streams if stream.modality != "text")
        try:
            cues = Sources.of(clip).cues()
            if cues is None:
                raise MediaError("holds vectors, not words")
            if said := " ".join(cue.text for cue in cues).strip():
                streams += (Stream("text", None, text=said),)
        except MediaError as error:
            rejected.append(Rejected(clip.id, error.reason, "text", what="text"))
        clips.append(replace(clip, streams=streams))
    return replace(manifest, clips=tuple(clips), rejected=tuple(rejected))


def check_room(clips: Sequence[Clip], out: Path, bytes_per_clip: int) -> int:
    """Bytes that the pictures of these clips take at most, once it is known that there is room for them.

    Args:
        clips: of the corpus.
        out: where the stores go.
        bytes_per_clip: of pictures.

    Raises:
        ConfigError: the disk has less room than they take while they are packed, which is twice that.
    """
    pictured = sum(any(stream.modality in ("face", "scene") for stream in clip.streams) for clip in clips)
    needed = pictured * bytes_per_clip
    held = sum(file.stat().st_size for file in (out / FRAMES).rglob("*") if file.is_file())
    free = shutil.disk_usage(out).free
    if 2 * needed - held > free:
        raise ConfigError(
            f"pictures of {pictured} clips take {needed / 1e9:.1f} GB, and twice that while they are packed; {out} has room for "
            f"{free / 1e9:.1f} GB: a smaller --height and --width (112 and 199 take a fifth), or fewer --frames"
        )
    return needed
