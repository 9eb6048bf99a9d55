"""What is said in a clip: words from its subtitles, and the features that were made of them."""

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from merkit.errors import LimitError, MediaError

if TYPE_CHECKING:
    from merkit.media.words import Cue

__all__ = ["read_subtitles", "spoken_features"]

_MAX_BYTES = 4 << 20
# What is heard and not said: "(SIGHS)", "[door slams]". Over lines of one cue, never over a blank line or a time.
_ASIDE = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
_BEYOND = re.compile(r"-->|\n\s*\n")
# a note, as UTF-8 bytes look when they are read as cp1252
_NOTES = re.compile("â™[ª«¬]?|[♪♫]")
# A tag, which parsing takes away: an empty line would end the cue.
_NOTHING = "<i>"


def read_subtitles(path: Path, name: str) -> "list[Cue]":
    r"""The utterances of a clip in order of time, on its own clock.

    The release's files are cp1252; one that is UTF-8 is read as such. Lines that begin with a dash are speakers who share
    the time of their cue.

    Args:
        path: the `.srt` file.
        name: of it below the root, for messages.

    Raises:
        MediaError: a time is none; the message names the line.
        LimitError: the file is too large to be the words of a clip.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "a.srt"
        ...     _ = file.write_bytes(b"1\n00:00:01,000 --> 00:00:02,000\n(SIGHS)\nIt\x92s late.\n")
        ...     [(cue.start_s, cue.text) for cue in read_subtitles(file, "a.srt")]
        [(1.0, 'It’s late.')]
    """
    # merkit.media loads its decoder, which a listing of corpora need not wait for
    from merkit.media.words import parse_srt

    if not path.is_file():
        raise MediaError("not a regular file", path=name)
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise LimitError(f"{size} bytes of words; the limit is {_MAX_BYTES}", path=name)
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _NOTES.sub(" ", _ASIDE.sub(lambda found: found[0] if _BEYOND.search(found[0]) else _NOTHING, text))
    try:
        cues = [replace(cue, text=" ".join(cue.text.split()).lstrip("-–— ")) for cue in parse_srt(text)]
    except ValueError as error:
        line = getattr(error, "line", None)
        raise MediaError(str(error), path=name, field=f"line {line}" if line is not None else None) from None
    if not cues and text.strip() and "-->" not in text:
        raise MediaError("no line with a start and an end time was found", path=name)
    return sorted((cue for cue in cues if cue.text), key=lambda cue: (cue.start_s, cue.end_s))


def spoken_features(content: Any, width: int, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Features of a clip's words, and when each was said.

    Args:
        content: the two pickles of a file: times, features.
        width: `D`.
        name: of the file, for messages.

    Returns:
        `(n, D)`, and `(n,)` seconds on the clip's clock: the middle of each utterance. None in place of times where one
        token stands for all words.

    Raises:
        MediaError: they are something else, or do not belong together.
    """
    times, features = content
    if isinstance(features, list) and not features:
        return np.zeros((0, width), np.float32), None  # nothing is said
    if not isinstance(features, np.ndarray) or features.ndim != 2 or features.dtype.kind != "f":
        raise MediaError("is no array (n, D)", path=name, field="features")
    if features.shape[1] != width:
        raise MediaError(
            f"rows of {features.shape[1]} numbers where {width} were expected", path=name, field="features"
        )
    times = times.tolist() if isinstance(times, np.ndarray) else times
    if not isinstance(times, list):
        raise MediaError("is no list", path=name, field="times")
    if not times and len(features) == 1:
        return features, None
    if len(times) != len(features):
        raise MediaError(f"{len(times)} times for {len(features)} utterances", path=name, field="times")
    if not all(isinstance(t, int | float) and math.isfinite(t) and 0 <= t < 1e6 for t in times):
        raise MediaError("holds what is no time in seconds", path=name, field="times")
    return features, np.array(times, np.float64)
