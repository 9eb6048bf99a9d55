"""Which modalities of a clip could be used, how much of it they cover, and why the others could not."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from merkit.media import MediaInfo, Signal
from merkit.schema import Modality, Presence, TokenSequence

__all__ = ["no_speech", "no_table", "no_video", "no_words", "presence_rows"]

# the order in which reports name them
_ORDER: tuple[Modality, ...] = ("face", "speech", "text", "scene", "physiology")
_NO_MEDIA = "no media file was given"


def no_video(info: MediaInfo | None) -> str | None:
    """Why there are no pictures; None where there are.

    Example:
        >>> no_video(None)
        'no media file was given'
    """
    if info is None:
        return _NO_MEDIA
    return None if info.video else "the file has no video stream"


def no_speech(info: MediaInfo | None, speech_s: float) -> str | None:
    """Why there is no speech; None where `speech_s` seconds were found.

    Example:
        >>> no_speech(None, 0.0)
        'no media file was given'
    """
    if info is None:
        return _NO_MEDIA
    if info.audio is None:
        return "the file has no audio stream"
    return None if speech_s else "no speech was found in the audio"


def no_words(given: bool, inline: bool, spanned: bool) -> str | None:
    """Why words that a clip brought gave nothing; None where it brought none and the voice must tell.

    Args:
        given: whether the clip has a text stream.
        inline: whether that holds the words themselves.
        spanned: whether the clip is a span of its files.

    Example:
        >>> no_words(True, False, False)
        'the subtitle file has no lines'
    """
    if not given:
        return None
    if inline:
        return "the text is empty"
    return "the subtitle file has no lines in this span" if spanned else "the subtitle file has no lines"


def no_table(given: bool, spanned: bool) -> str | None:
    """Why there are no signals; None where there are.

    Example:
        >>> no_table(False, False)
        'no physiology table was given'
    """
    if not given:
        return "no physiology table was given"
    return "the physiology table has nothing in this span" if spanned else None


def presence_rows(
    tokens: Mapping[tuple[Modality, str | None], TokenSequence],
    signals: Sequence[Signal],
    wanted: Collection[Modality],
    left_out: Mapping[Modality, str],
    why: Mapping[str, str | None],
    duration_s: float,
) -> tuple[Presence, ...]:
    """One row per modality.

    Args:
        tokens: what was made.
        signals: physiology as measured; shown even where no extractor was wanted.
        wanted: modalities that had an extractor.
        left_out: modality -> why the caller did without it.
        why: modality -> why it is absent although it was wanted.
        duration_s: seconds, for the coverage.

    Example:
        >>> rows = presence_rows({}, (), ("face",), {}, {"face": "no face was found in 9 frames"}, 3.0)
        >>> rows[0].reason, rows[1].reason
        ('no face was found in 9 frames', 'not asked for')
    """
    rows = []
    for modality in _ORDER:
        made = [sequence for (m, _), sequence in tokens.items() if m == modality and len(sequence)]
        if made:
            start_s = np.concatenate([sequence.start_s for sequence in made])
            end_s = np.concatenate([sequence.end_s for sequence in made])
            rows.append(Presence(modality, True, None, _share(start_s, end_s, duration_s)))
        elif modality == "physiology" and signals:
            start_s = np.array([signal.times_s[0] for signal in signals])
            end_s = np.array([signal.times_s[-1] for signal in signals])
            rows.append(Presence(modality, True, None, _share(start_s, end_s, duration_s)))
        elif modality not in wanted:
            rows.append(Presence(modality, False, left_out.get(modality, "not asked for")))
        else:
            rows.append(Presence(modality, False, why[modality]))
    return tuple(rows)


def _share(start_s: np.ndarray, end_s: np.ndarray, duration_s: float) -> float:
    """Share of the clip that at least one of the stretches covers."""
    if duration_s <= 0.0:
        return 1.0  # words alone have no time that they could leave uncovered
    order = np.argsort(start_s)
    start_s, reach_s = start_s[order], np.maximum.accumulate(end_s[order])
    gaps_s = np.clip(start_s[1:] - reach_s[:-1], 0.0, None).sum()
    return float(np.clip((reach_s[-1] - start_s[0] - gaps_s) / max(duration_s, 1e-9), 0.0, 1.0))
