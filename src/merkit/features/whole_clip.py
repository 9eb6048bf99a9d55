"""What extractions of whole clips share: all of a clip's sound, and the record of what was made and what was not."""

from collections.abc import Mapping

import numpy as np

from merkit.errors import MediaError
from merkit.features.clip import ClipFeatures
from merkit.features.sources import Sources
from merkit.media import SAMPLE_RATE, AudioChunk
from merkit.schema import Clip, Modality, Presence, TokenSequence

__all__ = ["LONG", "MAX_S", "NoSoundError", "features_of", "sound_of"]

MAX_S = 300.0
"""Seconds of a clip that is read as one."""
LONG = f"is longer than {MAX_S:g} s: cut it into clips (columns start_s and end_s)"


class NoSoundError(MediaError):
    """There is no sound, which is no fault of the pictures."""


def sound_of(sources: Sources, most_s: float | None = None) -> tuple[np.ndarray, float, bool]:
    """All sound of a clip.

    Args:
        sources: of the clip.
        most_s: seconds after which reading stops; None = a clip over `MAX_S` is refused.

    Returns:
        `(n,)` float32 samples at 16 kHz, the seconds at which they begin, and whether there was more.

    Raises:
        NoSoundError: the file has none.
        MediaError: it cannot be read, or is too long.
    """
    chunks: list[AudioChunk] = []
    more = False
    for chunk in sources.chunks(1.0, video=False, audio=True):
        if not isinstance(chunk, AudioChunk):
            continue
        chunks.append(chunk)
        reached_s = chunk.start_s - chunks[0].start_s
        if most_s is not None:
            more = reached_s + len(chunk.samples) / SAMPLE_RATE > most_s
            if more:
                break
        elif reached_s > MAX_S:
            raise MediaError(LONG, path=sources.sound.path if sources.sound else None)
    if not chunks:
        raise NoSoundError("the file has no sound", path=sources.sound.path if sources.sound else None)
    samples = np.concatenate([chunk.samples for chunk in chunks])
    return samples if most_s is None else samples[: round(most_s * SAMPLE_RATE)], chunks[0].start_s, more


def features_of(
    clip: Clip,
    tokens: Mapping[tuple[Modality, str | None], TokenSequence],
    why: Mapping[Modality, str],
    duration_s: float,
    ids: Mapping[Modality, str],
    *,
    picture: tuple[int, int] | None = None,
    shots_s: tuple[float, ...] = (),
    warnings: tuple[str, ...] = (),
) -> ClipFeatures:
    """The record of one clip.

    Args:
        clip: what was read.
        tokens: what was made.
        why: modality -> why it was not.
        duration_s: seconds.
        ids: modality -> id of what made its tokens.
        picture: width and height of its pictures in pixels.
        shots_s: seconds at which a new shot begins.
        warnings: what went wrong without ending the work.

    Example:
        >>> made = features_of(Clip("a", ()), {}, {"speech": "the file has no sound"}, 0.0, {})
        >>> made.presence
        (Presence(modality='speech', present=False, reason='the file has no sound', coverage=0.0),)
    """
    presence = [Presence(modality, True, None, 1.0) for modality, _ in tokens]
    presence += [Presence(modality, False, reason) for modality, reason in why.items()]
    return ClipFeatures(
        clip=clip,
        duration_s=duration_s,
        info=None,
        picture=picture,
        tokens=tokens,
        segment_of={},
        persons=(),
        segments=(),
        shots_s=shots_s,
        signals=(),
        presence=tuple(presence),
        warnings=warnings,
        extractor_ids=ids,
    )
