"""Words with times: SubRip, WebVTT, and plain timed transcripts."""

import csv
import html
import io
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from merkit.errors import LimitError, MediaError
from merkit.media.limits import LIMITS, Limits

__all__ = ["Cue", "parse_srt", "parse_transcript", "parse_vtt", "read_text"]

_TIME = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{2})(?:[.,](\d{1,3}))?")
_ARROW = re.compile(r"^\s*(\S+)\s+-->\s+(\S+)")
_TAG = re.compile(r"<[^>]*>|\{\\[^}]*\}")
# `#` is a music sign only around a line: "# la la #"; "We are #1" keeps its own
_MUSIC = re.compile(r"[♪♫]+|^\s*#+(?=\s|$)|(?<=\s)#+\s*$")
_VOICE = re.compile(r"<v(?:\.[^ >]*)?\s+([^>]+)>")
_DASHES = ("-", "–", "—")
_BRACKETED = re.compile(r"^\s*\[([\d:.,]+)\s*(?:-\s*([\d:.,]+))?\]\s*(.*)$")

_LARGEST_CELL = 131_072  # letters; a quote that never closes is found there


@dataclass(frozen=True, slots=True)
class Cue:
    """One line of words.

    Args:
        start_s: seconds on the clip's clock.
        end_s: seconds.
        text: the words, without mark-up.
        speaker: a name where the file gives one.
    """

    start_s: float
    end_s: float
    text: str
    speaker: str | None = None


def read_text(path: str | Path, *, limits: Limits = LIMITS) -> tuple[Cue, ...]:
    """Reads .srt, .vtt, or a timed transcript (.txt, .csv, .tsv), told by the suffix.

    Args:
        path: the file; UTF-8 (with or without BOM), UTF-16 with BOM, else cp1252.
        limits: what is accepted.

    Returns:
        Cues in time order.

    Raises:
        MediaError: unreadable, or no line has a time; with the line at fault.
        LimitError: the file is too large to be words.
    """
    path = Path(path)
    if not path.is_file():
        raise MediaError("no such file", path=path)
    size = path.stat().st_size
    if size > limits.max_text_bytes:
        raise LimitError(f"{size} bytes of text; the limit is {limits.max_text_bytes}", path=path)
    text = _decoded(path.read_bytes(), path)
    parse = _PARSERS.get(path.suffix.lower(), parse_transcript)
    try:
        cues = tuple(sorted(parse(text), key=lambda cue: (cue.start_s, cue.end_s)))
    except _LineError as error:
        raise MediaError(str(error), path=path, field=f"line {error.line}") from None
    if not cues and text.strip():
        raise MediaError("no line with a start and an end time was found", path=path)
    return cues


def parse_srt(text: str) -> Iterator[Cue]:
    r"""SubRip. A cue whose lines start with "-" is two speakers who share its time by the length of their lines.

    Example:
        >>> [c.text for c in parse_srt("1\n00:00:01,000 --> 00:00:03,000\n- <i>Hi!</i>\n- Hello there")]
        ['Hi!', 'Hello there']
    """
    for number, start_s, end_s, lines in _blocks(text):
        yield from _cue(number, start_s, end_s, lines)


def parse_vtt(text: str) -> Iterator[Cue]:
    r"""WebVTT: voice tags name speakers; NOTE, STYLE and REGION blocks are passed over.

    Several voices in one cue share its time by the length of their words.

    Example:
        >>> next(parse_vtt("WEBVTT\n\n00:01.000 --> 00:02.500 align:start\n<v Ann>Good &amp; well"))
        Cue(start_s=1.0, end_s=2.5, text='Good & well', speaker='Ann')
    """
    if not text.lstrip("\ufeff").startswith("WEBVTT"):
        raise _LineError(1, "a WebVTT file begins with WEBVTT")
    for number, start_s, end_s, lines in _blocks(text):
        before, *voices = _VOICE.split("\n".join(lines))
        turns = list(zip(voices[::2], voices[1::2], strict=True))
        said = [words for _, words in turns]
        if len(turns) < 2 or before.strip():
            said, turns = ["\n".join(lines)], turns[:1] or [(None, "")]
        stretches = _shared(start_s, end_s, [_TAG.sub("", words).strip() for words in said])
        for (voice, _), words, (from_s, to_s) in zip(turns, said, stretches, strict=True):
            for cue in _cue(number, from_s, to_s, words.split("\n")):
                yield replace(cue, text=html.unescape(cue.text), speaker=voice.strip() if voice else None)


def parse_transcript(text: str) -> Iterator[Cue]:
    r"""Plain forms: a table with header `start_s,end_s,text[,speaker]` (comma or tab), or lines `[m:ss.s - m:ss.s] words`.

    Where a bracketed line gives no end, it lasts until the next one begins (at most 10 s).

    Example:
        >>> [(c.start_s, c.end_s, c.text) for c in parse_transcript("[0:01.5] one\n[0:04] two")]
        [(1.5, 4.0, 'one'), (4.0, 14.0, 'two')]
        >>> next(parse_transcript("start_s\tend_s\ttext\n0.5\t2\tHello, you")).text
        'Hello, you'
    """
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    if first.lower().replace("\t", ",").startswith("start"):
        yield from _table(text, "\t" if "\t" in first else ",")
        return
    found: list[tuple[float, float | None, str]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        match = _BRACKETED.match(line)
        if match is None:
            raise _LineError(number, "expected `[m:ss] words`, or a table with header start_s,end_s,text")
        end = _seconds(match.group(2), number) if match.group(2) else None
        found.append((_seconds(match.group(1), number), end, match.group(3).strip()))
    for i, (start_s, end_s, words) in enumerate(found):
        if end_s is None:
            end_s = min(found[i + 1][0] if i + 1 < len(found) else start_s + 10.0, start_s + 10.0)
        if words and end_s > start_s:
            yield Cue(start_s, end_s, words)


_PARSERS: dict[str, Callable[[str], Iterator[Cue]]] = {".srt": parse_srt, ".vtt": parse_vtt}


class _LineError(ValueError):
    def __init__(self, line: int, reason: str) -> None:
        self.line = line
        super().__init__(reason)


def _blocks(text: str) -> Iterator[tuple[int, float, float, list[str]]]:
    """Line number, times and lines of every cue: what stands between an arrow line and the next blank line."""
    lines = text.splitlines()
    i = 0
    while i < len(lines):
        match = _ARROW.match(lines[i])
        i += 1
        if match is None:
            continue
        number = i
        start_s, end_s = _seconds(match.group(1), number), _seconds(match.group(2), number)
        said = []
        while i < len(lines) and lines[i].strip() and not _ARROW.match(lines[i]):
            said.append(lines[i])
            i += 1
        yield number, start_s, end_s, said


def _cue(number: int, start_s: float, end_s: float, lines: list[str]) -> Iterator[Cue]:
    if end_s < start_s:
        raise _LineError(number, f"the cue ends at {end_s:g} s, before it starts at {start_s:g} s")
    clean = [_MUSIC.sub("", _TAG.sub("", line)).strip() for line in lines]
    clean = [line for line in clean if line]
    if end_s == start_s or not clean:
        return
    if clean[0].startswith(_DASHES) and sum(line.startswith(_DASHES) for line in clean) > 1:
        turns: list[str] = []
        for line in clean:
            if line.startswith(_DASHES):
                turns.append(line.lstrip("-–— "))
            else:
                turns[-1] = f"{turns[-1]} {line}"  # a turn that was broken into two lines
        for turn, (from_s, to_s) in zip(turns, _shared(start_s, end_s, turns), strict=True):
            if turn and to_s > from_s:
                yield Cue(from_s, to_s, turn)
        return
    yield Cue(start_s, end_s, " ".join(clean))


def _shared(start_s: float, end_s: float, turns: list[str]) -> Iterator[tuple[float, float]]:
    """The stretch of every turn when they share `start_s` to `end_s` by the length of their words."""
    total = sum(map(len, turns)) or 1
    done = 0
    for turn in turns:
        from_s = start_s + (end_s - start_s) * done / total
        done += len(turn)
        yield from_s, end_s if done == total else start_s + (end_s - start_s) * done / total


def _table(text: str, separator: str) -> Iterator[Cue]:
    # the limit belongs to the whole process: say it here, whatever another reader has set
    csv.field_size_limit(_LARGEST_CELL)
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    names = {(name or "").strip().lower(): name for name in rows.fieldnames or ()}
    missing = [name for name in ("start_s", "end_s", "text") if name not in names]
    if missing:
        raise _LineError(1, f"the table lacks the column(s) {', '.join(missing)}")
    for row in _rows(rows):
        try:
            start_s, end_s = float(row[names["start_s"]]), float(row[names["end_s"]])
        except (TypeError, ValueError):
            raise _LineError(rows.line_num, "start_s and end_s must be seconds") from None
        if not 0 <= start_s <= end_s < 1e7:
            raise _LineError(rows.line_num, f"times {start_s:g} to {end_s:g} s make no stretch of time")
        speaker = row.get(names.get("speaker", "")) or None
        words = (row[names["text"]] or "").strip()
        if words and end_s > start_s:
            yield Cue(start_s, end_s, words, speaker)


def _rows(rows: csv.DictReader) -> Iterator[dict[str, str]]:
    try:
        yield from rows
    except csv.Error as error:  # such as a quote that never closes over a very large field
        raise _LineError(rows.line_num, str(error)) from None


def _seconds(word: str, line: int) -> float:
    match = _TIME.fullmatch(word)
    if match is None:
        try:
            seconds = float(word.replace(",", "."))
        except ValueError:
            seconds = math.nan
        if not 0 <= seconds < 1e7:  # NaN too
            raise _LineError(line, f"{word!r} is not a time")
        return seconds
    hours, minutes, whole, part = match.groups()
    return int(hours or 0) * 3600 + int(minutes) * 60 + int(whole) + (int(part.ljust(3, "0")) / 1000 if part else 0.0)


def _decoded(data: bytes, path: Path) -> str:
    for codec in ("utf-16",) if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "cp1252"):
        try:
            text = data.decode(codec)
        except UnicodeDecodeError:
            continue
        if "\x00" in text:
            raise MediaError("this is not a text file", path=path)
        return text
    raise MediaError("neither UTF-8 nor cp1252 text", path=path)
